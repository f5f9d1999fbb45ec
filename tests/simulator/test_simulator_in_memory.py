"""The simulator without sockets gives its clients what it gives them over a socket, and the same run twice is equal."""

from __future__ import annotations

import asyncio
import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_persona.api.messages import Outcome, Response, TransportFailure
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.bulk.apply.run import ApplyOptions, apply_plan
from airflow_provider_persona.bulk.plan.draft import Draft, PlanOptions, complete, new_draft
from airflow_provider_persona.bulk.plan.file import PlanHeader
from airflow_provider_persona.bulk.source.columns import ObjectRows
from airflow_provider_persona.bulk.source.rows import read_rows
from airflow_provider_persona.bulk.subjects.kinds import CASE
from airflow_provider_persona.client.aiohttp_transport import AiohttpTransport
from airflow_provider_persona.client.transport import Sending
from persona_simulator import SANDBOX_KEY, FaultKind, SimulatorConfig, SimulatorControl, SimulatorServer, usual_rates
from tests.virtual_time import StandstillError, VirtualPersona, VirtualTime

CONFIG = SimulatorConfig(cases=20, frozen_clock=True, clock_start=1_767_600_000.0)
TIMEOUT = 1.0
SET_STATUS, RETRIEVE = "set-status-for-a-case", "retrieve-case"


def settings_for(sim: SimulatorControl) -> PersonaSettings:
    return PersonaSettings.checked(api_key=SANDBOX_KEY, host=sim.url, read_timeout=TIMEOUT)


def sendings(sim: SimulatorControl) -> list[Sending]:
    """A write, the same again under its key, and a read."""
    case_id = next(case_id for case_id, status in sim.statuses().items() if status == "Open")
    path = {"case-id": case_id}
    write = operation(SET_STATUS).bind(path, body={"meta": {"status": "Approved"}})
    read = operation(RETRIEVE).bind(path)
    return [Sending(write, "key", 5.0, TIMEOUT), Sending(write, "key", 5.0, TIMEOUT), Sending(read, None, 5.0, TIMEOUT)]


async def outcomes(transport: Any, sending: list[Sending]) -> list[Outcome]:
    try:
        return [await transport.transmit(one) for one in sending]
    finally:
        await transport.close()


def seen(outcome: Outcome) -> Any:
    """What a client goes by. The server of a socket adds headers of its own, and names of errors are a library's."""
    if isinstance(outcome, TransportFailure):
        return outcome.point
    own = {name: value for name, value in outcome.headers.items() if name not in ("content-length", "date")}
    return outcome.status, own, outcome.content


def told(sim: SimulatorControl) -> tuple[Any, ...]:
    requests = [asdict(request) | {"headers": None, "connection": None} for request in sim.requests()]
    return sim.journal(), requests, sim.statuses()


@pytest.mark.parametrize("operation_id", [SET_STATUS, RETRIEVE])
@pytest.mark.parametrize("kind", [None, *FaultKind])
def test_each_fault_is_to_a_client_in_memory_what_it_is_over_a_socket(
    kind: FaultKind | None, operation_id: str
) -> None:
    memory = VirtualPersona(CONFIG)
    with SimulatorServer(CONFIG) as served:
        for sim in (memory, served):
            if kind is not None:
                sim.script_fault(kind, operation=operation_id, seconds=0.05)
        over_socket = asyncio.run(outcomes(AiohttpTransport(settings_for(served), 4), sendings(served)))
        in_memory = memory.run(outcomes(memory.transport(settings_for(memory)), sendings(memory)))
        assert [seen(outcome) for outcome in in_memory] == [seen(outcome) for outcome in over_socket]
        assert told(memory) == told(served)


def test_a_client_that_gives_up_or_goes_away_takes_nothing_back() -> None:
    sim = VirtualPersona(SimulatorConfig(cases=20))
    write, *_ = sendings(sim)
    for seconds in (5.0, 0.4):
        sim.script_fault(FaultKind.LATENCY, operation=SET_STATUS, seconds=seconds)

    async def go() -> None:
        transport = sim.transport(settings_for(sim))
        late = await transport.transmit(write)
        assert isinstance(late, TransportFailure)
        assert sim.time.now() == pytest.approx(TIMEOUT, abs=0.01)
        assert sim.journal() == []
        await asyncio.sleep(5.0)
        assert len(sim.journal()) == 1
        again = asyncio.create_task(transport.transmit(replace(sendings(sim)[0], key="another")))
        await asyncio.sleep(0.1)
        again.cancel()
        await transport.close()
        assert sim.requests()[-1].status == 200
        assert len(sim.journal()) == 2

    sim.run(go())


def test_latencies_pass_on_the_time_of_the_loop_and_side_by_side() -> None:
    sim = VirtualPersona(SimulatorConfig(cases=20, latency_ms=40_000, limit=5, window_seconds=60))
    statuses: list[int] = []

    async def one(number: int) -> None:
        sending = Sending(operation(RETRIEVE).bind({"case-id": "case_sim000001"}), None, 5.0, 90.0)
        outcome = await sim.transport(settings_for(sim)).transmit(sending)
        assert isinstance(outcome, Response)
        statuses.append(outcome.status)

    async def go() -> None:
        await asyncio.gather(*(one(number) for number in range(5)))
        assert sim.time.now() == pytest.approx(40, abs=0.01)
        await one(6)
        await asyncio.sleep(1)
        await one(7)

    sim.run(go())
    assert statuses == [200] * 5 + [429, 200]
    assert sim.state()["clock"]["now"] == pytest.approx(sim.utc().timestamp(), abs=0.01)


def run_once(folder: Path, seed: int) -> tuple[Any, ...]:
    """Plan and apply with faults, limits and waits; return all that is left of it."""
    config = SimulatorConfig(cases=120, limit=60, seed=seed, fault_rates=usual_rates(0.15), latency_ms=7)
    sim = VirtualPersona(config)
    labels = random.Random(seed)
    rows = [
        {"case_id": case_id, "status": labels.choice(["Approved", "Declined"]), "expected_status": status}
        for case_id, status in sim.statuses().items()
        if status in ("Open", "Pending", "In Review")
    ]
    header = PlanHeader("run", "rows", None, sim.utc().isoformat())
    draft: Draft = new_draft(read_rows(rows, ObjectRows(CASE)), folder, header)

    async def go() -> Any:
        async with sim.client() as client:
            plan = await complete(draft, client, PlanOptions())
            return await apply_plan(plan, client, ApplyOptions(verify=True), utc=sim.utc)

    report = sim.run(go())
    draft.close()
    files = {path.name: path.read_text() for path in sorted(folder.rglob("*.jsonl"))}
    return report.to_xcom() | {"plan": None, "ledger": None}, files, *told(sim)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_replays_exactly(tmp_path: Path, seed: int) -> None:
    first, second = (run_once(tmp_path / name, seed) for name in ("first", "second"))
    assert first == second
    report, files, journal, requests, _ = first
    assert report["retries"] > 5
    assert report["waited_seconds"] > 60
    assert {"plan.jsonl", "ledger-00001.jsonl"} <= files.keys()
    assert len(journal) > 50
    assert len({request["fault"] for request in requests}) > 5


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    assert run_once(tmp_path / "first", 1) != run_once(tmp_path / "second", 2)


# ---------------------------------------------------------------------- the loop itself


def test_waits_cost_nothing_and_end_in_their_order() -> None:
    time, order = VirtualTime(), []

    async def one(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append((seconds, time.now()))

    async def go() -> None:
        await asyncio.gather(*(one(seconds) for seconds in (3600.0, 0.5, 86_400.0)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100):
                await asyncio.Event().wait()

    time.run(go())
    assert order == [(0.5, 0.5), (3600.0, 3600.0), (86_400.0, 86_400.0)]
    assert time.now() == pytest.approx(86_500)


def test_what_goes_to_a_thread_returns_and_raises_as_there() -> None:
    async def go() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 1, 0)
        return await asyncio.to_thread(sum, [3, 4])

    assert VirtualTime().run(go()) == 7


def test_a_wait_that_nothing_ends_is_said() -> None:
    async def go() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StandstillError, match="waits for ever"):
        VirtualTime().run(go())
