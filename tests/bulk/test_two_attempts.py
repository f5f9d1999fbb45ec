"""Two attempts at one plan at once, and what an attempt that was cut off leaves to know: the newer fences the older,
nothing that was planned or written is replaced, and each row's last outcome is true."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import SET_STATUS, attempt, case_rows, changes, decisions, header_of, last_results, lines_of, plan_of

from airflow_provider_persona.api.rate_limit import WindowBudget
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.errors import PlanError, RunStoppedError
from airflow_provider_persona.bulk.ledger.ledger import read_ledger, read_results
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.ledger.writer import LedgerWriter
from airflow_provider_persona.bulk.plan.draft import Draft, PlanOptions, complete, resume_or_draft
from airflow_provider_persona.bulk.plan.file import PLAN_FILE, read_plan
from airflow_provider_persona.bulk.plan.guards import Guards
from airflow_provider_persona.client import AsyncPersonaClient
from airflow_provider_persona.storage.errors import FencedError, StoreError
from airflow_provider_persona.tasks.event_loop import TaskLoop
from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer
from tests.virtual_time import VirtualPersona

CREATED = "2026-01-05T08:00:00+00:00"


def begun(folder: Path, plan_hash: str, at: str, *numbers: int) -> None:
    """Leave the ledger of an attempt that was killed with some rows under way."""

    async def go() -> None:
        ledger = LedgerWriter(folder, plan_hash, 1, 24, at)
        await ledger.open()
        for number in numbers:
            await ledger.begin(number, at)
        ledger.release()

    asyncio.run(go())


@pytest.mark.parametrize("guards", [None, Guards.of(None, ["nothing"])], ids=["unguarded", "guarded"])
@pytest.mark.parametrize("instant", [0.05, 0.07, 0.1001, 0.15])
def test_a_newer_attempt_stops_the_older_and_every_row_ends_as_updated(
    persona: VirtualPersona, tmp_path: Path, guards: Guards | None, instant: float
) -> None:
    """Airflow lost the heartbeats of a task and started its retry, while the first process still works."""
    persona.configure(latency_ms=20)
    rows = decisions(persona)
    plan = plan_of(rows, tmp_path, guards=guards)

    async def work() -> Report:
        found = read_plan(tmp_path)
        assert found is not None
        async with persona.client() as client:
            return await apply_plan(found, client, ApplyOptions(), utc=persona.utc)

    async def both() -> tuple[Report, Report]:
        older = asyncio.create_task(work())
        await asyncio.sleep(instant)
        assert 0 < len(persona.journal()) < len(rows)
        newer = await work()
        return await older, newer

    older, newer = persona.run(both())

    assert older.stopped is not None
    assert "a newer attempt of this task is at work" in older.stopped
    assert newer.counts == {RowOutcome.UPDATED: len(rows)}
    assert set(changes(persona).values()) == {1}
    assert Counter(result.outcome for result in last_results(plan).values()) == {RowOutcome.UPDATED: len(rows)}
    written = len(persona.requests(operation=SET_STATUS))
    assert written - len(rows) <= 24


def test_an_attempt_that_waits_for_the_window_with_its_last_rows_gives_way_to_a_newer_one(tmp_path: Path) -> None:
    """All of its rows are begun, so no worker looks for a newer attempt any more."""
    persona = VirtualPersona(SimulatorConfig(cases=100, limit=30))
    rows = decisions(persona, 50)
    plan = plan_of(rows, tmp_path)

    async def work() -> Report:
        async with persona.client() as client:
            return await apply_plan(plan, client, ApplyOptions(), utc=persona.utc)

    async def both() -> tuple[Report, Report]:
        older = asyncio.create_task(work())
        await asyncio.sleep(20)
        newer = await work()
        return await older, newer

    older, newer = persona.run(both())
    assert older.stopped is not None
    assert newer.counts == {RowOutcome.UPDATED: 50}
    assert len(persona.requests(operation=SET_STATUS)) == 50


def test_an_attempt_that_was_paused_while_it_planned_replaces_no_plan(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = decisions(persona, 20)

    def draft() -> Draft:
        found = resume_or_draft(lambda: case_rows(rows), tmp_path, header_of(), is_retry=True)
        assert isinstance(found, Draft)
        return found

    async def completed(one: Draft) -> Any:
        async with persona.client() as client:
            return await complete(one, client, PlanOptions())

    paused = draft()
    plan = persona.run(completed(draft()))
    attempt(persona, plan)
    kept = (plan.folder / PLAN_FILE).read_bytes()
    with pytest.raises(FencedError, match="is another attempt's plan; this one stops"):
        persona.run(completed(paused))
    assert (plan.folder / PLAN_FILE).read_bytes() == kept
    assert len(list(read_results(plan.folder, plan.header.hash))) == 20


def test_what_is_known_is_not_replaced_by_a_look(tmp_path: Path) -> None:
    """The older attempt noted late that it had changed the row; the newer one had found the change and no author."""
    line = {"plan": "hash", "object_id": "case_1", "from": "Open", "to": "Declined", "http_status": 200}
    line |= {"request_ids": [], "generation": 0, "attempts": 1, "retryable": False, "at": CREATED, "row": 1}
    looked = "already so after an interruption; it may have been this run's own doing"
    opening = {"segment": 1, "plan": "hash", "concurrency": 24, "at": CREATED, "notes_begun": True}
    older = [opening, line | {"outcome": "updated", "reason": ""}]
    newer = [opening | {"segment": 2}, line | {"outcome": "unchanged", "reason": looked}]
    for number, lines in ((1, older), (2, newer)):
        text = "".join(json.dumps(one) + "\n" for one in lines)
        (tmp_path / f"ledger-0000{number}.jsonl").write_text(text)
    assert [result.outcome for result in read_results(tmp_path, "hash")] == [RowOutcome.UPDATED]
    assert read_ledger(tmp_path, "hash").outcome(1) is RowOutcome.UPDATED


def test_a_row_that_may_have_been_written_before_a_human_decided_says_so(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    case_id = next(case_id for case_id, status in persona.statuses().items() if status == "Open")
    plan = plan_of([{"case_id": case_id, "status": "Declined"}], tmp_path, guards=Guards.of("Open"))
    at = persona.utc().isoformat(timespec="milliseconds")
    begun(tmp_path, plan.header.hash, at, 1)
    persona.act_as_human(case_id, status="Approved")
    assert attempt(persona, plan).counts == {RowOutcome.SKIPPED_GUARD: 1}
    reason = last_results(plan)[1].reason
    assert f"an attempt that was cut off began this row at {at}, and whether it wrote is unknown" in reason


@pytest.mark.parametrize(("minutes", "reads"), [(44, 0), (46, 1)])
def test_the_age_of_a_key_counts_from_the_attempt_that_first_used_it(
    persona: VirtualPersona, tmp_path: Path, minutes: int, reads: int
) -> None:
    (row,) = decisions(persona, 1)
    plan = plan_of([row], tmp_path)
    now = persona.utc()
    begun(tmp_path, plan.header.hash, (now - timedelta(minutes=minutes)).isoformat(), 1)
    attempt(persona, plan, utc=lambda: now)
    assert len(persona.requests(operation="retrieve-case")) == reads


def test_rows_that_no_attempt_began_are_not_in_doubt(persona: VirtualPersona, tmp_path: Path) -> None:
    """Two hours after a kill only the two rows that were under way are looked at."""
    rows = decisions(persona, 60)
    plan = plan_of(rows, tmp_path)
    now = persona.utc()
    begun(tmp_path, plan.header.hash, (now - timedelta(hours=2)).isoformat(), 3, 7)
    report = attempt(persona, plan, utc=lambda: now)
    looked = {request.case_id for request in persona.requests(operation="retrieve-case")}
    assert looked == {rows[2]["case_id"], rows[6]["case_id"]}
    assert report.counts == {RowOutcome.UPDATED: 60}


def _carried(**damaged: Any) -> bytes:
    sound = {"settled": [[1, 1]], "counts": {}, "generations": {}, "concurrency": 1, "at": "2026-01-05T08:00:00+00:00"}
    return json.dumps({"plan": "HASH", "carried": sound | damaged}).encode()


DAMAGE = [
    b"{}",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 5000,
    b'{"plan": "HASH"',
    b'{"plan": "HASH", "row": 1}',
    b'{"plan": "HASH", "row": 999999999999}',
    b'{"plan": "HASH", "row": "x", "outcome": "updated"}',
    b'{"plan": "HASH", "end": "somehow"}',
    b'{"plan": "HASH", "begun": -1, "at": 1}',
    b'{"plan": "HASH", "carried": 3}',
    b"\0" * 200,
    b'{"plan": "HASH"}',
    b'{"plan": "of another"}',
    b'{"plan": "HASH", "begun": 2, "at": "2026-01-05T08:00:0~Z"}',
    b'{"plan": "HASH", "begun": 2, "at": "2026-01-05T08:00:00"}',
    b'{"plan": "HASH", "segment": 1, "at": 5, "concurrency": 3, "notes_begun": true}',
    b'{"plan": "HASH", "segment": 1, "at": "2026-01-05T08:00:00Z", "concurrency": "x", "notes_begun": true}',
    _carried(settled=[[1, 10**13]]),
    _carried(settled=[[3, 1]]),
    _carried(counts={"updated": "many"}),
    _carried(counts=None),
    _carried(generations={"1": -1}),
    _carried(generations={"-5": 1}),
    _carried(generations={"999999999999": 1}),
    _carried(at="soon"),
    b'{"plan": "HASH"}\0'.decode().encode("utf-16"),
]


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_line_is_said_and_its_row_is_settled_by_a_look(
    persona: VirtualPersona, tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    rows = decisions(persona, 3)
    plan = plan_of(rows, tmp_path)
    attempt(persona, plan)
    ledger = tmp_path / "ledger-00001.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    index = next(number for number, line in enumerate(lines) if b'"row":2,' in line)
    lines[index] = damage.replace(b"HASH", plan.header.hash.encode()) + b"\n"
    lines = [line for line in lines if b'"end"' not in line or b"somehow" in line]  # it was cut off after that
    ledger.write_bytes(b"".join(lines))
    report = attempt(persona, plan)
    assert "has a damaged line; the rows that have no outcome are looked at first" in caplog.text
    assert report.counts == {RowOutcome.UPDATED: 2, RowOutcome.UNCHANGED: 1}
    assert set(changes(persona).values()) == {1}


ODD = (None, 5.5, -1, 10**400, True, "x", "", [], [None], {}, float("nan"), "2026-13-01T00:00:00Z", "9" * 300)


@pytest.mark.parametrize("which", ["segment", "begun", "row", "end"])
def test_no_member_of_a_line_that_is_damaged_ends_a_run_in_an_error_of_python(
    persona: VirtualPersona, tmp_path: Path, which: str
) -> None:
    plan = plan_of([*decisions(persona, 3), {"case_id": "case_missing", "status": "Open"}], tmp_path)
    attempt(persona, plan)
    ledger = tmp_path / "ledger-00001.jsonl"
    sound = lines_of(ledger)
    index = next(number for number, line in enumerate(sound) if which in line)
    for member, odd in itertools.product(sound[index], ODD):
        for path in tmp_path.glob("ledger-*.jsonl"):
            path.unlink()
        lines = [*sound[:index], sound[index] | {member: odd}, *sound[index + 1 :]]
        ledger.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        assert len(list(read_results(plan.folder, plan.header.hash))) >= 3
        report = attempt(persona, plan)
        assert report.is_balanced
        assert set(changes(persona).values()) == {1}


def test_a_segment_that_stands_there_twice_counts_once(persona: VirtualPersona, tmp_path: Path) -> None:
    plan = plan_of(decisions(persona, 3), tmp_path)
    attempt(persona, plan)
    (tmp_path / "ledger-00002.jsonl").write_bytes((tmp_path / "ledger-00001.jsonl").read_bytes())
    report = attempt(persona, plan)
    assert report.counts == {RowOutcome.UPDATED: 3}
    assert set(changes(persona).values()) == {1}


@pytest.mark.parametrize("name", ["ledger-00001.jsonl", "plan.jsonl"])
def test_a_folder_in_the_place_of_a_file_is_named(persona: VirtualPersona, tmp_path: Path, name: str) -> None:
    plan = plan_of(decisions(persona, 3), tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).mkdir()
    with pytest.raises((StoreError, PlanError), match=name):
        attempt(persona, plan)
    assert not persona.journal()


def test_a_clean_stop_leaves_nothing_to_repeat(served_persona: SimulatorServer, tmp_path: Path) -> None:
    """All requests under way got their answers before the ledger was closed."""
    persona = served_persona
    persona.configure(latency_ms=20)
    rows = decisions(persona)
    plan = plan_of(rows, tmp_path)

    settings = PersonaSettings.checked(api_key=SANDBOX_KEY, host=persona.url, reserve=0.0)

    async def main() -> Report:
        async with AsyncPersonaClient(settings, budget=WindowBudget(0.0)) as client:
            return await apply_plan(plan, client, ApplyOptions())

    loop = TaskLoop(main)

    def stop() -> None:
        while len(persona.journal()) < 100:
            time.sleep(0.01)
        loop.stop()

    threading.Thread(target=stop).start()
    with pytest.raises(RunStoppedError):
        loop.run()
    end = lines_of(tmp_path / "ledger-00001.jsonl")[-1]
    assert end["end"] == "stopped"
    assert attempt(persona, plan).counts == {RowOutcome.UPDATED: len(rows)}
    assert len(persona.requests(operation=SET_STATUS)) == len(rows)


def test_a_stop_while_the_changed_objects_are_read_again_closes_the_ledger_too(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    persona.configure(latency_ms=50)
    plan = plan_of(decisions(persona, 30), tmp_path)

    async def stopped() -> None:
        async with persona.client() as client:
            task = asyncio.create_task(apply_plan(plan, client, ApplyOptions(verify=True), utc=persona.utc))
            while not persona.requests(operation="list-all-cases"):  # noqa: ASYNC110 - in virtual time
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    persona.run(stopped())
    assert lines_of(tmp_path / "ledger-00001.jsonl")[-1]["end"] == "stopped"
    assert attempt(persona, plan, verify=True).verified == 30
