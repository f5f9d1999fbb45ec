"""What the tests of bulk runs share: rows that change something, a plan of them, an attempt at it, its evidence."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_provider_persona.api.rate_limit import WindowBudget
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.ledger.ledger import ledger_of, read_results
from airflow_provider_persona.bulk.ledger.outcomes import RowResult
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.plan.file import Plan, PlanHeader, read_plan
from airflow_provider_persona.bulk.plan.guards import Guards
from airflow_provider_persona.bulk.plan.spool import Spool
from airflow_provider_persona.bulk.plan.write import write_spooled
from airflow_provider_persona.bulk.source.columns import ObjectRows
from airflow_provider_persona.bulk.source.rows import InvalidRow, ValidRow, read_rows
from airflow_provider_persona.bulk.subjects.kinds import CASE
from airflow_provider_persona.client import AsyncPersonaClient
from airflow_provider_persona.storage.paths import StorePath, prepare_folder
from persona_simulator import SANDBOX_KEY, SimulatorControl
from tests.virtual_time import VirtualPersona

FAST = RetryPolicy(delays=(0.005, 0.01, 0.02, 0.05, 0.05))
"""For real time; virtual time has the usual delays."""

CREATED = "2026-01-05T08:00:00+00:00"

SET_STATUS = "set-status-for-a-case"
RETRIEVE = "retrieve-case"

_DECISIONS = {"Approved": "Declined", "resolved": "closed"}


def other_decision(status: str) -> str:
    """A final status of the same template that the case does not have."""
    decision = "Approved" if status in ("Open", "Pending", "In Review", "Approved", "Declined") else "resolved"
    return _DECISIONS[decision] if status == decision else decision


def decisions(sim: SimulatorControl, count: int | None = None) -> list[dict[str, Any]]:
    """Rows of which every one changes its case."""
    cases = list(sim.statuses().items())[:count]
    return [{"case_id": case_id, "status": other_decision(status)} for case_id, status in cases]


def case_rows(
    rows: Iterable[Mapping[str, Any]], mapping: Mapping[str, Any] | None = None, columns: Iterable[str] | None = None
) -> Iterator[ValidRow | InvalidRow]:
    """What each row asks for of a case."""
    return read_rows(rows, ObjectRows(CASE, mapping), columns)


def segment_names(folder: StorePath) -> list[str]:
    """The names of a ledger's files."""
    log = ledger_of(folder)
    return [log.path_of(number).name for number in log.numbers()]


def header_of(run: str = "run", **given: Any) -> PlanHeader:
    return PlanHeader(run, "rows", None, CREATED, **given)


def write_plan(rows: Iterable[ValidRow | InvalidRow], folder: StorePath, header: PlanHeader) -> Plan:
    """Write the plan for rows, without looking at the live objects."""
    with Spool(only_row_per=header.subject.only_row_per) as spool:
        spool.fill(enumerate(rows, 1))
        return write_spooled(spool, folder, header)


def plan_of(
    rows: Iterable[Mapping[str, Any]],
    folder: StorePath,
    mapping: Mapping[str, Any] | None = None,
    run: str = "run",
    guards: Guards | None = None,
) -> Plan:
    prepare_folder(folder)
    given: dict[str, Any] = {}
    if guards is not None:
        only_from = None if guards.only_from is None else sorted(guards.only_from)
        given = {"only_from": only_from, "never_from": sorted(guards.never_from)}
    return write_plan(case_rows(rows, mapping), folder, header_of(run, **given))


def attempt(
    sim: SimulatorControl,
    plan: Plan,
    *,
    key: str = SANDBOX_KEY,
    policy: RetryPolicy | None = None,
    read_timeout: float = 20.0,
    expected_environment_id: str | None = None,
    utc: Callable[[], datetime] | None = None,
    url: str | None = None,
    **options: Any,
) -> Report:
    """Make one attempt at a plan, with all of the limit to itself.

    :param sim: Persona; one on virtual time is sent to in memory, any other over its socket.
    :param utc: UTC time; by default that of `sim`.
    :param url: sends to this address over a socket instead.
    """
    settings = PersonaSettings.checked(
        api_key=key,
        host=url or sim.url,
        reserve=0.0,
        read_timeout=read_timeout,
        expected_environment_id=expected_environment_id,
    )

    async def go(client: AsyncPersonaClient, utc: Callable[[], datetime]) -> Report:
        async with client:
            return await apply_plan(plan, client, ApplyOptions(**options), utc=utc)

    if isinstance(sim, VirtualPersona) and url is None:
        return sim.run(go(sim.client(settings=settings, policy=policy), utc or sim.utc))
    client = AsyncPersonaClient(settings, policy=policy or FAST, budget=WindowBudget(0.0))
    return asyncio.run(go(client, utc or (lambda: datetime.now(UTC))))


def outcomes(report: Report) -> dict[str, int]:
    """Outcomes of a report that occurred."""
    return {outcome.value: count for outcome, count in report.counts.items() if count}


def plan_in(folder: Path) -> Plan:
    """The first plan of a run's folder."""
    plan = read_plan(folder / "1")
    assert plan is not None
    return plan


def last_results(plan: Plan) -> dict[int, RowResult]:
    """What the ledger says of each row in the end."""
    return {result.row: result for result in read_results(plan.folder, plan.header.hash)}


def changes(sim: SimulatorControl) -> Counter[str]:
    """How often the API really changed each case, by the simulator's journal."""
    return Counter(effect.case_id for effect in sim.journal() if effect.changed and effect.actor != "human")


def assert_each_changed_once(sim: SimulatorControl, rows: Iterable[Mapping[str, Any]]) -> None:
    """Make sure that exactly the wanted cases were changed, each once, and are as wanted."""
    wanted = {row["case_id"]: row["status"] for row in rows}
    assert changes(sim) == Counter(dict.fromkeys(wanted, 1))
    statuses = sim.statuses()
    assert {case_id: statuses[case_id] for case_id in wanted} == wanted


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]
