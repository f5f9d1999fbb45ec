"""What an attempt may conclude from one that broke off or failed: cases that the accounting tests have brought up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import crash_worker
from bulk_runs import (
    CREATED,
    SET_STATUS,
    assert_each_changed_once,
    attempt,
    changes,
    decisions,
    last_results,
    plan_of,
)
from crash_worker import CheckpointFile, Job

from airflow_provider_persona.bulk.checkpoint import Checkpoint
from airflow_provider_persona.bulk.compare import CompareMode, Comparer
from airflow_provider_persona.bulk.guards import Guards
from airflow_provider_persona.bulk.ledger import LedgerState, LedgerWriter
from airflow_provider_persona.bulk.outcomes import RowOutcome
from airflow_provider_persona.bulk.plan import Plan
from airflow_provider_persona.bulk.revert import wishes_to_revert
from airflow_provider_persona.bulk.rows import InvalidRow
from airflow_provider_persona.bulk.run import wishes_of
from airflow_provider_persona.bulk.segments import SegmentedLog, SegmentWriter
from airflow_provider_persona.bulk.spool import Spool
from airflow_provider_persona.simulator import SimulatorServer

NOTE = "external-integration-id"


def with_states(sim: SimulatorServer, rows: list[dict[str, Any]], folder: Path) -> Plan:
    """Plan with the states of the cases in the plan."""
    return crash_worker.plan(Job(sim.url, str(folder), rows, "", compare="list", heeds_drift=True))


def broken_off(plan: Plan) -> None:
    """Leave the ledger of an attempt that broke off before its first row was noted."""

    async def go() -> None:
        ledger = LedgerWriter(plan.folder, plan.header.hash, 1, 24, CREATED)
        await ledger.open()
        ledger.release()

    asyncio.run(go())


def test_a_row_in_doubt_does_not_hide_that_somebody_else_changed_the_case(
    persona: SimulatorServer, tmp_path: Path
) -> None:
    rows = decisions(persona, 2)
    plan = with_states(persona, rows, tmp_path)
    broken_off(plan)
    persona.act_as_human(rows[0]["case_id"], fields={NOTE: "looked into"})
    report = attempt(persona, plan, heed_drift=True)
    assert report.counts == {RowOutcome.SKIPPED_GUARD: 1, RowOutcome.UPDATED: 1}
    assert last_results(plan)[1].reason.startswith("drift: it was changed at")
    assert set(changes(persona)) == {rows[1]["case_id"]}


def test_a_part_that_this_run_made_is_no_drift_to_its_next_attempt(persona: SimulatorServer, tmp_path: Path) -> None:
    rows = [row | {"fields": {NOTE: "decided"}} for row in decisions(persona, 1)]
    plan = with_states(persona, rows, tmp_path)
    persona.script_fault("http_500", operation=SET_STATUS, times=6)
    first = attempt(persona, plan, heed_drift=True)
    assert first.counts == {RowOutcome.FAILED: 1}
    assert "already changed: fields" in last_results(plan)[1].reason
    assert attempt(persona, plan, heed_drift=True).counts == {RowOutcome.UPDATED: 1}


def test_a_guarded_case_that_lacks_a_part_is_not_called_unchanged(persona: SimulatorServer, tmp_path: Path) -> None:
    case_id = next(case_id for case_id, status in persona.statuses().items() if status == "Approved")
    row = {"case_id": case_id, "status": "Approved", "add_tags": ["chargeback"]}
    plan = plan_of([row], tmp_path, guards=Guards.of(None, ["Approved"]))
    broken_off(plan)
    assert attempt(persona, plan).counts == {RowOutcome.SKIPPED_GUARD: 1}
    assert persona.journal() == []


def test_rows_of_several_calls_that_are_in_doubt_are_read_and_not_called_anew(
    persona: SimulatorServer, tmp_path: Path
) -> None:
    rows = [row | {"fields": {NOTE: "decided"}, "tags": ["done"]} for row in decisions(persona, 20)]
    plan = plan_of(rows, tmp_path)
    assert attempt(persona, plan).requests == 60
    ledger = plan.folder / "ledger-00001.jsonl"
    ledger.write_bytes(ledger.read_bytes().splitlines(keepends=True)[0])  # as if killed with all of them under way
    again = plan_of(rows, tmp_path)
    assert again.header.hash == plan.header.hash
    assert attempt(persona, again).requests == 20


def test_what_two_walks_through_the_list_have_both_seen_counts_once(persona: SimulatorServer, tmp_path: Path) -> None:
    rows = [{"case_id": case_id, "status": status} for case_id, status in list(persona.statuses().items())[:3]]
    job = Job(persona.url, str(tmp_path), rows, "")
    seen = {row["case_id"]: [row["status"], None, True] for row in rows[:2]}

    async def go(spool: Spool) -> int:
        notes = SegmentedLog(tmp_path, "seen")
        writer = SegmentWriter(notes, 1, {"content": spool.content_hash(), "at": "2026-01-05T08:00:00+00:00"})
        await writer.open()
        for walk in ("", rows[0]["case_id"]):
            await writer.put({"seen": seen, "walk": walk, "after": None})
        writer.release()
        async with job.client() as client:
            comparer = Comparer(spool, client, CompareMode.LIST, needs_states=False, cost_of_blind=3)
            return (await comparer.run(notes, now=crash_worker.MORNING)).right

    with Spool() as spool:
        spool.fill(wishes_of(rows, None))
        assert asyncio.run(go(spool)) == 3


def test_a_call_in_doubt_that_meets_a_dead_network_is_not_taken_for_undone(
    persona: SimulatorServer, tmp_path: Path
) -> None:
    """It was made before the kill; called failed, it would be made once more under the next key."""
    call = {
        "operation_id": "create-a-case",
        "body": {f"data.attributes.fields.{NOTE}": "number"},
        "constants": {"data.attributes.case-template-id": "ctmpl_kyc"},
    }
    plan = crash_worker.plan(Job(persona.url, str(tmp_path), [{"number": "row 1"}], "", call=call))
    attempt(persona, plan)
    ledger = plan.folder / "ledger-00001.jsonl"
    ledger.write_bytes(ledger.read_bytes().splitlines(keepends=True)[0])
    values = plan.folder / "values.jsonl"
    values.write_text(
        '{"body":{"data":{"attributes":{"case-template-id":"ctmpl_kyc","fields":{"NOTE":"row 1"}}}}}\n'.replace(
            "NOTE", NOTE
        )
    )
    assert attempt(persona, plan, url="http://127.0.0.1:9").counts == {RowOutcome.UNRESOLVED: 1}
    assert len(persona.journal()) == 1


class AllCheckpoints(CheckpointFile):
    """Remembers each."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.kept: list[Checkpoint] = []

    def save(self, checkpoint: Checkpoint) -> None:
        self.kept.append(checkpoint)


def test_a_checkpoint_says_that_rows_may_be_under_way_before_the_first_is(
    persona: SimulatorServer, tmp_path: Path
) -> None:
    from airflow_provider_persona.bulk.apply import ApplyOptions, apply_plan

    rows = decisions(persona, 3)
    plan = plan_of(rows, tmp_path)
    store = AllCheckpoints(tmp_path / "checkpoint.json")

    async def go() -> None:
        async with Job(persona.url, "", [], "").client() as client:
            await apply_plan(plan, client, ApplyOptions(concurrency=7), checkpoints=store)

    asyncio.run(go())
    assert (store.kept[0].settled, store.kept[0].concurrency, store.kept[0].end) == ([], 7, None)
    assert_each_changed_once(persona, rows)


def _doubt(state: LedgerState, rows: Sequence[Sequence[int]]) -> tuple[int, str | None]:
    state.carry_over(rows, {"updated": 3}, {}, 24, "2026-01-05T00:10:00.000+00:00")
    return state.in_doubt, state.in_doubt_since


def test_what_a_lost_ledger_left_in_doubt_is_as_old_as_its_last_checkpoint() -> None:
    state = LedgerState()
    state.begin_attempt("2026-01-05T00:50:00.000+00:00", 4)
    assert _doubt(state, [(1, 3)]) == (24, "2026-01-05T00:10:00.000+00:00")


def test_a_plan_to_take_back_names_what_may_have_been_changed_too(persona: SimulatorServer, tmp_path: Path) -> None:
    """An attempt broke off after it had changed a guarded case; a later one finds it as wished."""
    rows = decisions(persona, 3)
    plan = plan_of(rows, tmp_path, guards=Guards.of(None, ["nothing"]))
    broken_off(plan)
    persona.act_as_human(rows[0]["case_id"], status=rows[0]["status"])  # by whom, nobody can tell from here
    persona.script_fault("http_500_after", operation=SET_STATUS, case_id=rows[1]["case_id"], times=6)
    persona.script_fault("proxy_503", operation="retrieve-case", case_id=rows[1]["case_id"], times=20, skip=1)
    report = attempt(persona, plan, verify=True)
    assert report.counts == {RowOutcome.UNCHANGED: 1, RowOutcome.UNRESOLVED: 1, RowOutcome.UPDATED: 1}
    assert (report.verified, report.differences) == (2, 0)
    back = {wish.object_id: wish for wish in wishes_to_revert(plan)}
    reasons = [wish.reason for wish in back.values() if isinstance(wish, InvalidRow)]
    assert len(back) == 3
    assert reasons == [
        "an attempt that was cut off may have changed it; look who did",
        "whether it was changed is unknown: the run left it unresolved",
    ]


def test_a_case_that_is_not_there_fails_also_when_it_was_looked_at_for_the_plan(
    persona: SimulatorServer, tmp_path: Path
) -> None:
    rows = [*decisions(persona, 1), {"case_id": "case_missing", "status": "Declined"}]
    job = Job(persona.url, str(tmp_path), rows, "", compare="get", heeds_drift=True, never_from=["nothing"])
    plan = crash_worker.plan(job)
    assert plan.header.transitions["(none) -> Declined"] == 1
    report = attempt(persona, plan, heed_drift=True)
    assert report.counts == {RowOutcome.UPDATED: 1, RowOutcome.FAILED: 1}
    assert last_results(plan)[2].http_status == 404 or "404" in last_results(plan)[2].reason


def test_what_was_right_when_it_was_planned_says_so(persona: SimulatorServer, tmp_path: Path) -> None:
    case_id, status = next(iter(persona.statuses().items()))
    plan = with_states(persona, [{"case_id": case_id, "status": status}], tmp_path)
    assert attempt(persona, plan, heed_drift=True).counts == {RowOutcome.UNCHANGED: 1}
    assert last_results(plan)[1].reason == "already so when it was planned"
