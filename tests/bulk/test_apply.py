"""Applying a plan to a simulated Persona: each outcome, held against what the simulator says really happened."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import (
    RETRIEVE,
    SET_STATUS,
    assert_each_changed_once,
    attempt,
    changes,
    decisions,
    last_results,
    lines_of,
    plan_of,
)

from airflow_provider_persona.api.retry import NO_RETRIES
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.errors import RunStoppedError
from airflow_provider_persona.bulk.job import judge
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.ledger.report import Approval
from airflow_provider_persona.bulk.ledger.writer import unsynced_rows
from airflow_provider_persona.bulk.plan.file import VALUES_FILE
from persona_simulator import READ_ONLY_KEY, SimulatorConfig, SimulatorControl, SimulatorServer
from tests.virtual_time import VirtualPersona

CANARY = "Noor-Grimaldi-9052"
NOTE = {"fields": {"decision-note": "note"}}


def cases_in(sim: SimulatorControl, *statuses: str) -> list[str]:
    return [case_id for case_id, status in sim.statuses().items() if status in statuses]


def to_approved(case_ids: list[str], **more: Any) -> list[dict[str, Any]]:
    return [{"case_id": case_id, "status": "Approved", **more} for case_id in case_ids]


def test_exactly_the_planned_cases_change_and_each_once(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = decisions(persona, 200)
    before = persona.statuses()
    report = attempt(persona, plan_of(rows, tmp_path))
    assert report.counts == {RowOutcome.UPDATED: 200}
    assert report.is_balanced
    assert_each_changed_once(persona, rows)
    planned = {row["case_id"] for row in rows}
    assert all(persona.statuses()[other] == status for other, status in before.items() if other not in planned)
    assert report.requests == len(persona.requests()) == 200
    assert report.environment == "env_simulator"


def test_the_ledger_tells_what_the_api_log_tells(persona: VirtualPersona, tmp_path: Path) -> None:
    plan = plan_of(decisions(persona, 60), tmp_path)
    attempt(persona, plan)
    effects = {effect.case_id: effect for effect in persona.journal()}
    results = last_results(plan)
    assert len(results) == 60
    for result in results.values():
        effect = effects[str(result.object_id)]
        assert result.request_ids == (effect.request_id,)
        assert (result.to_status, result.http_status, result.attempts) == (effect.to_status, 200, 1)


def test_one_request_at_a_time_is_possible_and_all_go_over_one_connection(
    served_persona: SimulatorServer, tmp_path: Path
) -> None:
    rows = decisions(served_persona, 30)
    before = served_persona.connections()["seen_by_api"]
    assert attempt(served_persona, plan_of(rows, tmp_path), concurrency=1).is_balanced
    assert_each_changed_once(served_persona, rows)
    assert served_persona.connections()["seen_by_api"] == before + 1


def test_compare_reads_first_and_leaves_out_what_is_so_already(persona: VirtualPersona, tmp_path: Path) -> None:
    approved, opened = cases_in(persona, "Approved"), cases_in(persona, "Open")[:10]
    plan = plan_of(to_approved([*approved, *opened]), tmp_path)
    report = attempt(persona, plan, read_first=True)
    assert report.counts == {RowOutcome.UNCHANGED: len(approved), RowOutcome.UPDATED: 10}
    assert set(changes(persona)) == set(opened)
    written = Counter(request.case_id for request in persona.requests(operation=SET_STATUS))
    assert written == Counter(opened)
    assert {last.reason for last in last_results(plan).values()} == {""}


def test_compare_leaves_out_the_parts_that_are_so_already(persona: VirtualPersona, tmp_path: Path) -> None:
    case_id = cases_in(persona, "Open")[0]
    persona.act_as_human(case_id, fields={"decision-note": "seen"})
    row = {"case_id": case_id, "status": "Approved", "note": "seen", "add_tags": "batch"}
    report = attempt(persona, plan_of([row], tmp_path, NOTE), read_first=True)
    assert report.counts == {RowOutcome.UPDATED: 1}
    called = [request.operation for request in persona.requests() if request.operation != RETRIEVE]
    assert called == ["add-tag", SET_STATUS]


def test_all_parts_of_a_change_are_written_and_the_status_last(persona: VirtualPersona, tmp_path: Path) -> None:
    case_id = cases_in(persona, "Open")[0]
    row = {
        "case_id": case_id,
        "status": "Approved",
        "note": "done",
        "assignee": "chika.lead@example.com",
        "tags": "vip,batch",
        "case_queue_id": "cqueue_escalations",
    }
    plan = plan_of([row], tmp_path, NOTE)
    assert attempt(persona, plan).counts == {RowOutcome.UPDATED: 1}
    called = [request.operation for request in persona.requests()]
    assert called == ["update-a-case", "set-tags", "assign-a-case", SET_STATUS]
    case = next(case for case in persona.cases() if case["case_id"] == case_id)
    assert (case["status"], case["assignee"], case["tags"]) == ("Approved", "chika.lead@example.com", ["vip", "batch"])
    assert case["fields"]["decision-note"] == "done"
    assert len(last_results(plan)[1].request_ids) == 4


def test_guards_leave_out_the_cases_that_a_human_has_decided(persona: VirtualPersona, tmp_path: Path) -> None:
    opened = cases_in(persona, "Open")[:30]
    plan = plan_of(to_approved(opened, expected_status="Open"), tmp_path)
    for case_id in opened[:10]:
        persona.act_as_human(case_id, status="Declined")
    report = attempt(persona, plan)
    assert report.counts == {RowOutcome.SKIPPED_GUARD: 10, RowOutcome.UPDATED: 20}
    assert changes(persona) == Counter(dict.fromkeys(opened[10:], 1))
    assert last_results(plan)[1].reason == "its status is Declined, expected was Open"
    assert last_results(plan)[30].from_status == "Open"


@pytest.mark.parametrize(
    ("guards", "changed", "reason"),
    [
        (
            {"only_from": frozenset({"Open", "Pending"})},
            ("Open", "Pending"),
            "its status is In Review, and only Open, Pending may be changed",
        ),
        (
            {"never_from": frozenset({"In Review"})},
            ("Open", "Pending", "Declined"),
            "its status is In Review, which is never changed",
        ),
    ],
)
def test_only_from_and_never_from_hold_for_all_rows(
    persona: VirtualPersona, tmp_path: Path, guards: dict[str, Any], changed: tuple[str, ...], reason: str
) -> None:
    from airflow_provider_persona.bulk.plan.guards import Guards

    chosen = cases_in(persona, "Open", "Pending", "In Review", "Declined")
    may = set(cases_in(persona, *changed))
    plan = plan_of(to_approved(chosen), tmp_path, guards=Guards(**guards))
    report = attempt(persona, plan)
    assert report.is_balanced
    assert report.counts == {RowOutcome.UPDATED: len(may), RowOutcome.SKIPPED_GUARD: len(chosen) - len(may)}
    assert changes(persona) == Counter(dict.fromkeys(may, 1))
    assert any(result.reason.startswith(reason) for result in last_results(plan).values())


def test_invalid_rows_are_never_sent_and_are_on_the_ledger(persona: VirtualPersona, tmp_path: Path) -> None:
    good, twice = cases_in(persona, "Open")[:2]
    rows = [
        *to_approved([good]),
        {"case_id": "", "status": "Approved"},
        {"case_id": twice, "status": "Approved"},
        {"case_id": twice, "status": "Declined"},
    ]
    plan = plan_of(rows, tmp_path)
    report = attempt(persona, plan)
    assert report.counts == {RowOutcome.UPDATED: 1, RowOutcome.INVALID: 3}
    assert [request.case_id for request in persona.requests()] == [good]
    assert [last_results(plan)[number].object_id for number in (2, 3, 4)] == [None, twice, twice]


def test_a_refused_value_fails_its_row_and_says_where(persona: VirtualPersona, tmp_path: Path) -> None:
    opened = cases_in(persona, "Open")[:3]
    rows = [{"case_id": opened[0], "status": "Aproved"}, {"case_id": "case_missing", "status": "Open"}]
    plan = plan_of([*rows, *to_approved(opened[1:])], tmp_path)
    report = attempt(persona, plan)
    assert report.counts == {RowOutcome.FAILED: 2, RowOutcome.UPDATED: 2}
    assert report.retryable_failures == 0
    refused, missing = last_results(plan)[1], last_results(plan)[2]
    assert "Persona answered 422 (Unprocessable Entity) at /meta/status to set-status-for-a-case" in refused.reason
    assert refused.http_status == 422
    assert refused.request_ids[0] in refused.reason
    assert "Persona answered 404 (Record not found)" in missing.reason
    assert changes(persona) == Counter(dict.fromkeys(opened[1:], 1))


def test_a_dry_run_writes_nothing_and_says_what_it_would_do(persona: VirtualPersona, tmp_path: Path) -> None:
    approved, opened = cases_in(persona, "Approved")[:4], cases_in(persona, "Open")[:6]
    plan = plan_of(to_approved([*approved, *opened]), tmp_path)
    report = attempt(persona, plan, dry_run=True, read_first=True)
    assert report.counts == {RowOutcome.UNCHANGED: 4, RowOutcome.PLANNED: 6}
    assert report.is_balanced
    assert persona.journal() == []
    assert {request.method for request in persona.requests()} == {"GET"}


def test_a_plan_that_was_tried_dry_can_then_be_applied(persona: VirtualPersona, tmp_path: Path) -> None:
    opened = cases_in(persona, "Open")[:6]
    plan = plan_of([row | {"note": "x"} for row in to_approved(opened)], tmp_path, NOTE)
    assert attempt(persona, plan, dry_run=True).counts == {RowOutcome.PLANNED: 6}
    assert persona.requests() == []
    assert attempt(persona, plan).counts == {RowOutcome.UPDATED: 6}
    assert set(changes(persona)) == set(opened)


def test_an_empty_plan_is_done_without_a_request(persona: VirtualPersona, tmp_path: Path) -> None:
    report = attempt(persona, plan_of([], tmp_path))
    assert (report.is_balanced, report.settled, persona.requests()) == (True, 0, [])


@pytest.mark.parametrize(
    ("key", "status", "advice"),
    [(READ_ONLY_KEY, 403, "check the key's permissions"), ("persona_sandbox_wrong", 401, "check the API key")],
)
def test_a_refused_key_stops_at_once_and_loses_nothing(
    persona: VirtualPersona, tmp_path: Path, key: str, status: int, advice: str
) -> None:
    rows = decisions(persona)
    plan = plan_of(rows, tmp_path)
    report = attempt(persona, plan, key=key, concurrency=8)
    assert report.stopped is not None
    assert str(status) in report.stopped
    assert advice in report.stopped
    assert report.stopped_for_good
    assert not report.is_balanced
    assert len(persona.requests()) == report.counts[RowOutcome.FAILED] <= (1 if status == 401 else 8)
    assert report.settled == report.counts[RowOutcome.FAILED]
    assert persona.journal() == []
    with pytest.raises(RunStoppedError, match="300 of 300 rows not done") as error:
        judge(report, ApplyOptions())
    assert not error.value.retryable
    assert attempt(persona, plan).counts == {RowOutcome.UPDATED: 300}
    assert_each_changed_once(persona, rows)


def test_a_key_that_is_refused_at_a_guards_read_settles_no_row(persona: VirtualPersona, tmp_path: Path) -> None:
    plan = plan_of(decisions(persona), tmp_path)
    report = attempt(persona, plan, key="persona_sandbox_wrong", read_first=True)
    assert report.stopped is not None
    assert report.settled == 0
    assert last_results(plan) == {}


def test_a_limit_that_stops_a_run_at_a_guards_read_says_when_it_is_over(tmp_path: Path) -> None:
    persona = VirtualPersona(SimulatorConfig(cases=3, limit=1))

    async def used_up() -> None:
        async with persona.client() as client:
            await client.call("list-all-rate-limits")

    persona.run(used_up())
    report = attempt(persona, plan_of(decisions(persona), tmp_path), policy=NO_RETRIES, read_first=True)
    assert report.stopped is not None
    assert report.retry_after == pytest.approx(60, abs=1)


def test_a_row_that_fails_for_itself_does_not_stop_the_run(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = decisions(persona)
    plan = plan_of(rows, tmp_path)
    persona.script_fault("redirect", case_id=rows[100]["case_id"])
    first = attempt(persona, plan, expected_environment_id="env_simulator")
    assert first.stopped is None
    assert first.counts == {RowOutcome.UPDATED: 299, RowOutcome.FAILED: 1}
    assert "a redirect, to set-status-for-a-case" in last_results(plan)[101].reason
    assert attempt(persona, plan).counts == {RowOutcome.UPDATED: 300}
    assert_each_changed_once(persona, rows)


def test_another_environment_stops_the_run_before_its_first_write(persona: VirtualPersona, tmp_path: Path) -> None:
    report = attempt(persona, plan_of(decisions(persona), tmp_path), expected_environment_id="env_production")
    assert "belongs to environment env_simulator, but the connection expects env_production" in str(report.stopped)
    assert persona.journal() == []
    assert {request.method for request in persona.requests()} == {"GET"}


def test_personal_values_are_in_no_record_and_are_deleted_when_the_run_is_done(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    opened = cases_in(persona, "Open")[:4]
    rows = [row | {"note": CANARY, "assignee": f"{CANARY}@example.com"} for row in to_approved(opened)]
    rows[0] |= {"assignee": "ana.reviewer@example.com"}
    plan = plan_of(rows, tmp_path, NOTE)
    assert CANARY in (tmp_path / VALUES_FILE).read_text()
    first = attempt(persona, plan)
    assert first.counts == {RowOutcome.UPDATED: 1, RowOutcome.FAILED: 3}  # no such users
    assert not (tmp_path / VALUES_FILE).exists()  # no attempt could do better with them
    records = [entry for entry in tmp_path.iterdir() if entry.name != VALUES_FILE]
    assert len(records) == 2
    assert not any(CANARY in entry.read_text() for entry in records)
    assert CANARY not in repr(first)
    done = plan_of(rows[:1], tmp_path / "done", NOTE)
    assert attempt(persona, done).failures == 0
    assert not (tmp_path / "done" / VALUES_FILE).exists()


def test_the_ledger_ends_with_the_balance(persona: VirtualPersona, tmp_path: Path) -> None:
    plan = plan_of(decisions(persona, 5), tmp_path)
    attempt(persona, plan)
    lines = lines_of(tmp_path / "ledger-00001.jsonl")
    assert {line["plan"] for line in lines} == {plan.header.hash}
    assert lines[0]["segment"] == 1
    assert (lines[-1]["end"], lines[-1]["counts"]) == ("complete", {"updated": 5})


@pytest.mark.parametrize("approval", [None, Approval("ana", "2026-01-05T07:59:00+00:00", "ticket 7")])
def test_the_ledger_begins_with_the_approval_of_the_plan_and_the_rows_at_risk(
    persona: VirtualPersona, tmp_path: Path, approval: Approval | None
) -> None:
    report = attempt(persona, plan_of(decisions(persona, 2), tmp_path), approval=approval, concurrency=4)
    opening = lines_of(tmp_path / "ledger-00001.jsonl")[0]
    assert opening.get("approval") == (None if approval is None else approval.to_json())
    assert report.approval == approval
    assert (opening["concurrency"], opening["notes_begun"], opening["unsynced"]) == (4, True, unsynced_rows(4))


def test_what_a_failed_row_had_changed_before_is_on_the_ledger(persona: VirtualPersona, tmp_path: Path) -> None:
    opened = cases_in(persona, "Open")[0]
    plan = plan_of([{"case_id": opened, "status": "Nope", "add_tags": "vip"}], tmp_path)
    assert attempt(persona, plan).failures == 1
    assert last_results(plan)[1].reason.endswith("; already changed: tags")
