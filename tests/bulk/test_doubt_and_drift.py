"""What an attempt may conclude from one that broke off or failed: cases that the accounting tests have brought up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import (
    CREATED,
    SET_STATUS,
    assert_each_changed_once,
    attempt,
    case_rows,
    changes,
    decisions,
    last_results,
    plan_of,
)
from crash_worker import MORNING, CheckpointFile, Job, planned

from airflow_provider_persona.api.retry import KEY_GOOD_FOR
from airflow_provider_persona.bulk.apply.object_writer import PERHAPS_OWN
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.ledger.checkpoint import Checkpoint
from airflow_provider_persona.bulk.ledger.ledger import LedgerState
from airflow_provider_persona.bulk.ledger.outcomes import OWN_DOING, RowOutcome
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.ledger.writer import LedgerWriter
from airflow_provider_persona.bulk.plan.compare import CompareMode, Comparer
from airflow_provider_persona.bulk.plan.file import Plan
from airflow_provider_persona.bulk.plan.guards import Guards
from airflow_provider_persona.bulk.plan.revert import RowsToRevert
from airflow_provider_persona.bulk.plan.spool import Spool
from airflow_provider_persona.bulk.source.rows import InvalidRow
from airflow_provider_persona.bulk.subjects.kinds import CASE
from airflow_provider_persona.storage.segments import SegmentedLog, SegmentWriter
from tests.virtual_time import VirtualPersona

NOTE = "external-integration-id"


def with_states(sim: VirtualPersona, rows: list[dict[str, Any]], folder: Path) -> Plan:
    """Plan with the states of the cases in the plan."""
    job = Job(sim.url, str(folder), rows, "", compare="list", heeds_drift=True)
    return sim.run(planned(job, sim.client()))


def broken_off(plan: Plan, begun_at: datetime | None = None) -> None:
    """Leave the ledger of an attempt that broke off with all rows under way."""
    at = (begun_at or datetime.now(UTC)).isoformat()

    async def go() -> None:
        ledger = LedgerWriter(plan.folder, plan.header.hash, 1, 24, CREATED)
        await ledger.open()
        for number in plan.numbers():
            await ledger.begin(number, at)
        ledger.release()

    asyncio.run(go())


def without_outcomes(ledger: Path) -> None:
    """Leave a segment as if its attempt had been killed with all rows under way."""
    first, *lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join([first, *(line for line in lines if b'"begun"' in line)]))


def killed_after(plan: Plan, row: int) -> None:
    """Leave the first segment as if its attempt, which had one row under way at a time, was killed after a row."""
    ledger = plan.folder / "ledger-00001.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[: 1 + 2 * row]))  # its opening, then two lines a row


def test_a_row_in_doubt_does_not_hide_that_somebody_else_changed_the_case(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    rows = decisions(persona, 2)
    plan = with_states(persona, rows, tmp_path)
    broken_off(plan)
    persona.act_as_human(rows[0]["case_id"], fields={NOTE: "looked into"})
    report = attempt(persona, plan, heed_drift=True)
    assert report.counts == {RowOutcome.SKIPPED_GUARD: 1, RowOutcome.UPDATED: 1}
    assert last_results(plan)[1].reason.startswith("drift: it was changed at")
    assert set(changes(persona)) == {rows[1]["case_id"]}


def test_a_part_that_this_run_made_is_no_drift_to_its_next_attempt(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = [row | {"fields": {NOTE: "decided"}} for row in decisions(persona, 1)]
    plan = with_states(persona, rows, tmp_path)
    persona.script_fault("http_500", operation=SET_STATUS, times=6)
    first = attempt(persona, plan, heed_drift=True)
    assert first.counts == {RowOutcome.FAILED: 1}
    assert "already changed: fields" in last_results(plan)[1].reason
    assert attempt(persona, plan, heed_drift=True).counts == {RowOutcome.UPDATED: 1}


def test_a_guarded_case_that_lacks_a_part_is_not_called_unchanged(persona: VirtualPersona, tmp_path: Path) -> None:
    case_id = next(case_id for case_id, status in persona.statuses().items() if status == "Approved")
    row = {"case_id": case_id, "status": "Approved", "add_tags": ["chargeback"]}
    plan = plan_of([row], tmp_path, guards=Guards.of(None, ["Approved"]))
    broken_off(plan)
    assert attempt(persona, plan).counts == {RowOutcome.SKIPPED_GUARD: 1}
    assert persona.journal() == []


def test_a_guarded_case_that_shows_all_but_what_never_shows_is_called_unchanged(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    """The status is set last. So whoever set it under this guard, the attempt that broke off, had added the account."""
    case_id = next(case_id for case_id, status in persona.statuses().items() if status == "Approved")
    persona.add_objects("act_x")
    row = {"case_id": case_id, "status": "Approved", "add_objects": ["act_x"]}
    plan = plan_of([row], tmp_path, guards=Guards.of(None, ["Approved"]))
    broken_off(plan)
    assert attempt(persona, plan).counts == {RowOutcome.UNCHANGED: 1}
    assert last_results(plan)[1].reason == OWN_DOING
    assert persona.journal() == []


@pytest.mark.parametrize("by", ["a change of a report", "a call"])
@pytest.mark.parametrize(("older", "sent", "outcome"), [(5.0, 1, "unresolved"), (600.0, 2, "updated")])
def test_a_call_is_made_again_only_while_its_key_is_remembered_also_from_before_a_kill(
    persona: VirtualPersona, tmp_path: Path, by: str, older: float, sent: int, outcome: str
) -> None:
    """Its answer takes 20 s to be given up. By then a key that was `older` seconds from its end may be forgotten."""
    if by == "a call":
        operation = "create-a-case"
        call = {
            "operation_id": operation,
            "body": {f"data.attributes.fields.{NOTE}": "number"},
            "constants": {"data.attributes.case-template-id": "ctmpl_kyc"},
        }
        job = Job(persona.url, str(tmp_path), [{"number": "row 1"}], "", call=call)
    else:
        operation = "report-action-re-run-report"
        persona.add_objects("rep_one")
        persona.change_object("rep_one", status="ready")
        job = Job(persona.url, str(tmp_path), [{"report_id": "rep_one", "rerun": True}], "", kind="report")
    plan = persona.run(planned(job, persona.client()))
    broken_off(plan, persona.utc() - timedelta(seconds=KEY_GOOD_FOR - older))
    persona.script_fault("hang_before", operation=operation, times=1)
    report = attempt(persona, plan)
    assert report.counts == {RowOutcome(outcome): 1}
    assert len(persona.requests(operation=operation)) == sent


def test_rows_of_several_calls_that_are_in_doubt_are_read_and_not_called_anew(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    rows = [row | {"fields": {NOTE: "decided"}, "tags": ["done"]} for row in decisions(persona, 20)]
    plan = plan_of(rows, tmp_path)
    values = (tmp_path / "values.jsonl").read_bytes()
    assert attempt(persona, plan).requests == 60
    without_outcomes(tmp_path / "ledger-00001.jsonl")
    (tmp_path / "values.jsonl").write_bytes(values)  # a run that was killed would not have deleted them
    assert attempt(persona, plan).requests == 21  # the first asks for Persona's time


def test_what_two_walks_through_the_list_have_both_seen_counts_once(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = [{"case_id": case_id, "status": status} for case_id, status in list(persona.statuses().items())[:3]]
    seen = {row["case_id"]: [row["status"], None, True] for row in rows[:2]}

    async def go(spool: Spool) -> int:
        notes = SegmentedLog(tmp_path, "seen")
        writer = SegmentWriter(notes, 1, {"content": spool.content_hash(), "at": "2026-01-05T08:00:00+00:00"})
        await writer.open()
        for walk in ("", rows[0]["case_id"]):
            await writer.put({"seen": seen, "walk": walk, "after": None})
        writer.release()
        async with persona.client() as client:
            comparer = Comparer(spool, CASE, client, CompareMode.LIST, needs_states=False, cost_of_blind=3)
            return (await comparer.run(notes, now=MORNING)).right

    with Spool(only_row_per="case") as spool:
        spool.fill(enumerate(case_rows(rows, None), 1))
        assert persona.run(go(spool)) == 3


def test_a_call_in_doubt_that_meets_a_dead_network_is_not_taken_for_undone(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    """It was made before the kill; called failed, it would be made once more under the next key."""
    call = {
        "operation_id": "create-a-case",
        "body": {f"data.attributes.fields.{NOTE}": "number"},
        "constants": {"data.attributes.case-template-id": "ctmpl_kyc"},
    }
    job = Job(persona.url, str(tmp_path), [{"number": "row 1"}], "", call=call)
    plan = persona.run(planned(job, persona.client()))
    attempt(persona, plan)
    ledger = plan.folder / "ledger-00001.jsonl"
    without_outcomes(ledger)
    values = plan.folder / "values.jsonl"
    values.write_text(
        '{"body":{"data":{"attributes":{"case-template-id":"ctmpl_kyc","fields":{"NOTE":"row 1"}}}}}\n'.replace(
            "NOTE", NOTE
        )
    )
    # Soon after, so that its key is remembered and the call is made again.
    assert attempt(persona, plan, url="http://127.0.0.1:9", utc=persona.utc).counts == {RowOutcome.UNRESOLVED: 1}
    assert "its key is too old" not in last_results(plan)[1].reason
    assert len(persona.journal()) == 1


def test_a_dry_run_does_not_let_an_unresolved_call_be_made_once_more(persona: VirtualPersona, tmp_path: Path) -> None:
    call = {
        "operation_id": "create-a-case",
        "body": {f"data.attributes.fields.{NOTE}": "number"},
        "constants": {"data.attributes.case-template-id": "ctmpl_kyc"},
    }
    job = Job(persona.url, str(tmp_path), [{"number": "row 1"}, {"number": "row 2"}], "", call=call)
    plan = persona.run(planned(job, persona.client()))
    values = (plan.folder / "values.jsonl").read_bytes()
    persona.script_fault("reset_after", operation="create-a-case", times=6)
    assert attempt(persona, plan, concurrency=1).counts[RowOutcome.UNRESOLVED] == 1
    killed_after(plan, row=1)
    (plan.folder / "values.jsonl").write_bytes(values)  # a run that was killed would not have deleted them
    made = len(persona.journal())
    assert attempt(persona, plan, dry_run=True).counts == {RowOutcome.PLANNED: 2}
    assert attempt(persona, plan).counts == {RowOutcome.UNRESOLVED: 1, RowOutcome.UPDATED: 1}
    assert len(persona.journal()) == made


def test_a_dry_run_hides_from_nobody_what_failed_or_is_unresolved(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = decisions(persona, 2)
    plan = plan_of(rows, tmp_path)
    persona.script_fault("proxy_503", operation=SET_STATUS, case_id=rows[0]["case_id"], times=6)
    persona.script_fault("proxy_503", operation="retrieve-case", case_id=rows[0]["case_id"], times=20)
    persona.script_fault("http_500", operation=SET_STATUS, case_id=rows[1]["case_id"], times=6)
    known = {RowOutcome.UNRESOLVED: 1, RowOutcome.FAILED: 1}
    assert attempt(persona, plan).counts == known
    persona.clear_faults()
    assert attempt(persona, plan, dry_run=True).counts == {RowOutcome.PLANNED: 2}
    assert Counter(result.outcome for result in last_results(plan).values()) == known
    (back,) = [row for row in RowsToRevert(plan).read() if isinstance(row, InvalidRow)]
    assert back.reason == "whether it was changed is unknown: the run left it unresolved"


def test_a_row_in_doubt_that_cannot_be_looked_at_is_not_called_failed(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = decisions(persona, 2)
    plan = plan_of(rows, tmp_path, guards=Guards.of(None, ["nothing"]))
    broken_off(plan)
    persona.act_as_human(rows[0]["case_id"], status=rows[0]["status"])  # as the attempt may have done
    persona.script_fault("http_500", operation="retrieve-case", case_id=rows[0]["case_id"], times=6)
    assert attempt(persona, plan).counts == {RowOutcome.UNRESOLVED: 1, RowOutcome.UPDATED: 1}
    assert attempt(persona, plan).counts == {RowOutcome.UNCHANGED: 1, RowOutcome.UPDATED: 1}


def test_a_dry_run_leaves_in_doubt_what_was_in_doubt(persona: VirtualPersona, tmp_path: Path) -> None:
    """An attempt broke off after it had written one of two parts; that is no drift to the attempt after a dry run."""
    rows = [row | {"fields": {NOTE: "decided"}} for row in decisions(persona, 2)]
    plan = with_states(persona, rows, tmp_path)
    persona.script_fault("proxy_503", operation=SET_STATUS, times=100)
    attempt(persona, plan, heed_drift=True)
    without_outcomes(plan.folder / "ledger-00001.jsonl")
    persona.clear_faults()
    assert attempt(persona, plan, heed_drift=True, dry_run=True).counts == {RowOutcome.PLANNED: 2}
    assert attempt(persona, plan, heed_drift=True).counts == {RowOutcome.UPDATED: 2}
    assert {effect.operation: 0 for effect in persona.journal()} == {"update-a-case": 0, SET_STATUS: 0}
    assert len(persona.journal()) == 4


class AllCheckpoints(CheckpointFile):
    """Remembers each."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.kept: list[Checkpoint] = []

    def save(self, checkpoint: Checkpoint) -> None:
        self.kept.append(checkpoint)


def test_a_checkpoint_says_that_rows_may_be_under_way_before_the_first_is(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    rows = decisions(persona, 3)
    plan = plan_of(rows, tmp_path)
    store = AllCheckpoints(tmp_path / "checkpoint.json")

    async def go() -> None:
        async with persona.client() as client:
            await apply_plan(plan, client, ApplyOptions(concurrency=7), checkpoints=store)

    persona.run(go())
    assert (store.kept[0].settled, store.kept[0].concurrency, store.kept[0].end) == ([], 7, None)
    assert_each_changed_once(persona, rows)


def _doubt(state: LedgerState, rows: Sequence[Sequence[int]]) -> tuple[int, str | None]:
    state.carry_over(rows, {"updated": 3}, {}, 24, "2026-01-05T00:10:00.000+00:00")
    return state.in_doubt, state.in_doubt_since


def test_what_a_lost_ledger_left_in_doubt_is_as_old_as_its_last_checkpoint() -> None:
    state = LedgerState()
    state.begin_attempt("2026-01-05T00:50:00.000+00:00", 4)
    assert _doubt(state, [(1, 3)]) == (24, "2026-01-05T00:10:00.000+00:00")


def test_a_plan_to_take_back_names_what_may_have_been_changed_too(persona: VirtualPersona, tmp_path: Path) -> None:
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
    back = {wish.object_id: wish for wish in RowsToRevert(plan).read()}
    reasons = {wish.object_id: wish.reason for wish in back.values() if isinstance(wish, InvalidRow)}
    assert back.keys() == {row["case_id"] for row in rows}
    assert reasons == {
        rows[0]["case_id"]: "an attempt that was cut off may have changed it; look who did",
        rows[1]["case_id"]: "whether it was changed is unknown: the run left it unresolved",
    }


def test_a_case_that_is_not_there_fails_also_when_it_was_looked_at_for_the_plan(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    rows = [*decisions(persona, 1), {"case_id": "case_missing", "status": "Declined"}]
    job = Job(persona.url, str(tmp_path), rows, "", compare="get", heeds_drift=True, never_from=["nothing"])
    plan = persona.run(planned(job, persona.client()))
    assert plan.header.transitions["(none) -> Declined"] == 1
    report = attempt(persona, plan, heed_drift=True)
    assert report.counts == {RowOutcome.UPDATED: 1, RowOutcome.FAILED: 1}
    assert last_results(plan)[2].http_status == 404 or "404" in last_results(plan)[2].reason


def test_what_was_right_when_it_was_planned_says_so(persona: VirtualPersona, tmp_path: Path) -> None:
    case_id, status = next(iter(persona.statuses().items()))
    plan = with_states(persona, [{"case_id": case_id, "status": status}], tmp_path)
    assert attempt(persona, plan, heed_drift=True).counts == {RowOutcome.UNCHANGED: 1}
    assert last_results(plan)[1].reason == "already so when it was planned"


def test_a_change_that_the_run_itself_may_have_made_is_not_told_as_somebody_elses(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    """Resuming an inquiry that did not expire leaves its status and changes its times."""
    persona.add_objects("inq_new")
    persona.change_object("inq_new", status="created")
    rows = [{"inquiry_id": "inq_new", "status": "pending"}]
    job = Job(persona.url, str(tmp_path), rows, "", kind="inquiry", compare="list", heeds_drift=True)
    plan = persona.run(planned(job, persona.client()))
    assert attempt(persona, plan, heed_drift=True).counts == {RowOutcome.FAILED: 1}
    assert attempt(persona, plan, heed_drift=True).counts == {RowOutcome.SKIPPED_GUARD: 1}
    assert last_results(plan)[1].reason.endswith(PERHAPS_OWN)


def goes_on(persona: VirtualPersona, plan: Plan, carried: Checkpoint) -> Report:
    """Make an attempt at a plan that replaces a lost one."""

    async def go() -> Report:
        async with persona.client() as client:
            return await apply_plan(plan, client, ApplyOptions(), carried=carried)

    return persona.run(go())


def lost(plan: Plan, content_hash: str = "") -> Checkpoint:
    """The checkpoint of an attempt whose folder was lost before any row was settled."""
    header = plan.header
    content_hash = content_hash or header.content_hash
    return Checkpoint(header.run, content_hash, header.hash, plan.uri, CREATED, header.rows, concurrency=24, at=CREATED)


def killed_before(plan: Plan, row: int) -> None:
    """Cut the first segment off before the first line about a row."""
    ledger = plan.folder / "ledger-00001.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    kept = next(
        n for n, line in enumerate(lines) if f'"row":{row},'.encode() in line or f'"begun":{row},'.encode() in line
    )
    ledger.write_bytes(b"".join(lines[:kept]))


def test_that_a_plan_replaces_a_lost_one_is_known_to_each_of_its_attempts(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    """It was made after the lost one's attempt had changed the cases, so it found them right."""
    rows = [{"case_id": case_id, "status": status} for case_id, status in list(persona.statuses().items())[:3]]
    plan = with_states(persona, rows, tmp_path)
    goes_on(persona, plan, lost(plan))
    killed_before(plan, row=2)
    goes_on(persona, plan, lost(plan))
    assert {result.reason for result in last_results(plan).values()} == {OWN_DOING}
    assert all(isinstance(row, InvalidRow) for row in RowsToRevert(plan).read())


def test_a_run_of_a_report_that_a_lost_plan_of_other_rows_may_have_made_is_never_made_anew(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    persona.add_objects("rep_one", "rep_two")
    rows = [{"report_id": object_id, "rerun": True} for object_id in ("rep_one", "rep_two")]
    for object_id in ("rep_one", "rep_two"):
        persona.change_object(object_id, status="ready")
    job = Job(persona.url, str(tmp_path), rows, "", kind="report", concurrency=1)
    plan = persona.run(planned(job, persona.client()))
    assert goes_on(persona, plan, lost(plan, "of other rows")).counts == {RowOutcome.UNRESOLVED: 2}
    killed_before(plan, row=2)
    assert goes_on(persona, plan, lost(plan)).counts == {RowOutcome.UNRESOLVED: 2}
    assert all(effect.actor == "background" for effect in persona.journal())
