"""State folders that the landed version left are read, resumed, applied and taken back by today's code.

`landed/README.md` says what the folders hold and how they were made.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bulk_runs import RETRIEVE, attempt, case_rows, header_of, last_results, write_plan
from landed_folder import LANDED, Landed, assert_keys_follow_on, effects, ranges, requests_of

from airflow_provider_persona.api.exchange import idempotency_key
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.ledger.checkpoint import Checkpoint
from airflow_provider_persona.bulk.ledger.ledger import read_ledger, read_results
from airflow_provider_persona.bulk.ledger.outcomes import OWN_DOING, RowOutcome
from airflow_provider_persona.bulk.plan.draft import Draft, PlanOptions, complete, resume_or_draft
from airflow_provider_persona.bulk.plan.file import Plan, Planned
from airflow_provider_persona.bulk.plan.revert import RowsToRevert
from airflow_provider_persona.bulk.source.rows import InvalidRow
from airflow_provider_persona.bulk.subjects.subject import ObjectUpdate
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator
from persona_simulator import LoggedRequest, SimulatorControl, SimulatorServer
from tests.virtual_time import VirtualPersona

SOON = datetime(2026, 1, 5, 8, 15, tzinfo=UTC)
"""Minutes after the landed attempts: Persona still has the answers that it kept under their keys."""
LATER = SOON + timedelta(days=2)

EVERY = [
    "approved",
    "complete",
    "killed-add-tag",
    "killed-create",
    "killed-guarded",
    "killed-plain",
    "operator-changes",
    "operator-sql",
    "revertible",
    "stopped",
]


# ---------------------------------------------------------------------- reading


@pytest.mark.parametrize("name", EVERY)
def test_plan_and_ledger_say_what_they_said(name: str, tmp_path: Path) -> None:
    landed = Landed(name, tmp_path / name)
    header, state = landed.plan.header, landed.state
    found = {
        "hash": header.hash,
        "identity": header.identity,
        "planned": header.planned,
        "counts": {outcome.value: count for outcome, count in state.counts().items()},
        "end": state.end,
        "in_doubt": state.in_doubt,
        "in_doubt_since": state.in_doubt_since,
        "last_at": state.last_at,
        "last_segment": state.last_segment,
        "generations": {str(row): generation for row, generation in state.generations.items()},
        "settled": [list(stretch) for stretch in state.settled_ranges()],
    }
    assert found == landed.known


@pytest.mark.parametrize("name", [name for name in EVERY if name != "approved"])
def test_the_records_of_a_ledger_are_those_of_its_lines(name: str, tmp_path: Path) -> None:
    plan = Landed(name, tmp_path / name).plan
    raw = [line for path in sorted(Path(plan.folder).glob("ledger-*.jsonl")) for line in path.read_bytes().splitlines()]
    lines = [json.loads(line) for line in raw if b'"row":' in line and line.endswith(b"}")]
    assert len(lines) >= 6
    assert [result.to_line(plan.header.hash) for result in read_results(plan.folder, plan.header.hash)] == lines


@pytest.mark.parametrize("name", ["killed-guarded", "killed-plain", "killed-add-tag", "killed-create"])
def test_the_last_line_of_a_killed_ledger_is_torn(name: str) -> None:
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads((LANDED / name / "ledger-00001.jsonl").read_bytes().splitlines()[-1])


@pytest.mark.parametrize("name", [name for name in EVERY if name != "revertible"])
def test_every_row_gets_the_keys_that_it_had(name: str, tmp_path: Path) -> None:
    landed = Landed(name, tmp_path / name)
    made = {
        (row.number, request.operation_id): [
            idempotency_key(f"{landed.plan.header.identity}:{row.number}", request, generation)
            for generation in range(len(landed.keys[row.number, request.operation_id]))
        ]
        for row in landed.plan.rows()
        for request in requests_of(row)
        if row.planned is Planned.CHANGE and request.takes_idempotency_key
    }
    assert made == landed.keys


# ---------------------------------------------------------------------- going on


def for_rows(persona: SimulatorControl, since: int) -> list[LoggedRequest]:
    """Requests since a number, without the one that asks for Persona's time."""
    return [request for request in persona.requests(since) if request.operation != "list-all-rate-limits"]


@pytest.mark.parametrize("now", [SOON, LATER], ids=["soon", "later"])
@pytest.mark.parametrize("name", ["killed-guarded", "killed-plain", "stopped"])
def test_a_run_that_broke_off_is_ended_and_changes_each_case_once(
    persona: VirtualPersona, tmp_path: Path, name: str, now: datetime
) -> None:
    landed = Landed(name, tmp_path / name)
    rows, settled = list(landed.plan.rows()), set(ranges(landed.known["settled"]))
    landed.send_again(persona)
    if now is LATER:
        persona.configure(idempotency_ttl_seconds=0.0)
    sent = len(persona.requests())
    report = attempt(persona, landed.plan, utc=lambda: now)
    assert report.is_balanced
    assert report.resumed == len(settled) > 0
    assert set(report.counts) <= {RowOutcome.UPDATED, RowOutcome.UNCHANGED}
    assert landed.state.end == "complete"
    wanted = [(request.operation_id, row.object_id) for row in rows for request in requests_of(row)]
    assert effects(persona) == Counter(wanted)
    statuses = persona.statuses()
    assert all(row.to_status is not None and statuses[row.object_id or ""] == row.to_status for row in rows)
    touched = {request.case_id for request in for_rows(persona, sent)}
    assert touched == {row.object_id for row in rows if row.number not in settled}
    assert_keys_follow_on(persona, sent, landed, rows)
    assert not (landed.folder / "values.jsonl").exists()


def _done_but_not_noted(landed: Landed) -> set[str]:
    """Cases that the landed version wrote to, of which its ledger does not tell."""
    noted = {result.object_id for result in last_results(landed.plan).values()}
    return {call["case_id"] for call in landed.sent} - noted


def test_rows_in_doubt_are_sent_again_under_their_keys_while_persona_remembers(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    landed = Landed("killed-plain", tmp_path / "run")
    landed.send_again(persona)
    doubtful, sent = _done_but_not_noted(landed), len(persona.requests())
    assert doubtful
    assert attempt(persona, landed.plan, utc=lambda: SOON).counts == {RowOutcome.UPDATED: landed.plan.header.rows}
    after = for_rows(persona, sent)
    assert {request.case_id for request in after if request.replayed} == doubtful
    assert {request.method for request in after} == {"POST"}


def test_rows_in_doubt_are_read_first_when_persona_may_have_forgotten(persona: VirtualPersona, tmp_path: Path) -> None:
    landed = Landed("killed-plain", tmp_path / "run")
    landed.send_again(persona)
    persona.configure(idempotency_ttl_seconds=0.0)
    doubtful, sent = _done_but_not_noted(landed), len(persona.requests())
    report = attempt(persona, landed.plan, utc=lambda: LATER)
    assert report.counts[RowOutcome.UNCHANGED] == len(doubtful) > 0
    reads = [request for request in for_rows(persona, sent) if request.operation == RETRIEVE]
    assert len(reads) == landed.known["in_doubt"]
    own = {result.object_id for result in last_results(landed.plan).values() if result.reason == OWN_DOING}
    assert own == doubtful


def test_fields_and_assignees_of_a_killed_run_arrive(persona: VirtualPersona, tmp_path: Path) -> None:
    landed = Landed("killed-guarded", tmp_path / "run")
    values = [json.loads(line) for line in (landed.folder / "values.jsonl").read_bytes().splitlines()]
    ids = [row.object_id for row in landed.plan.rows()]
    landed.send_again(persona)
    attempt(persona, landed.plan, utc=lambda: SOON)
    found = {case["case_id"]: case for case in persona.cases()}
    note = "decision-note"
    assert [(found[one or ""]["assignee"], found[one or ""]["fields"][note]) for one in ids] == [
        (value["assignee"], value["fields"][note]) for value in values
    ]


def test_the_guards_of_a_killed_run_still_guard(persona: VirtualPersona, tmp_path: Path) -> None:
    landed = Landed("killed-guarded", tmp_path / "run")
    landed.send_again(persona)
    last = list(landed.plan.rows())[-1].object_id
    assert last is not None
    persona.act_as_human(last, status="Approved")
    report = attempt(persona, landed.plan, utc=lambda: SOON)
    assert report.counts[RowOutcome.SKIPPED_GUARD] == 1
    assert persona.statuses()[last] == "Approved"


@pytest.mark.parametrize("now", [SOON, LATER], ids=["soon", "later"])
def test_a_run_of_repeatable_calls_is_ended(persona: VirtualPersona, tmp_path: Path, now: datetime) -> None:
    landed = Landed("killed-add-tag", tmp_path / "run")
    rows, settled = list(landed.plan.rows()), set(ranges(landed.known["settled"]))
    landed.send_again(persona)
    sent = len(persona.requests())
    report = attempt(persona, landed.plan, utc=lambda: now)
    assert (report.counts, report.resumed) == ({RowOutcome.UPDATED: len(rows)}, len(settled))
    assert effects(persona) == Counter({("add-tag", row.object_id): 1 for row in rows})
    after = for_rows(persona, sent)
    assert {request.case_id for request in after} == {row.object_id for row in rows if row.number not in settled}
    assert_keys_follow_on(persona, sent, landed, rows)


def _made(sim: SimulatorServer) -> Counter[str]:
    """The invented numbers of the cases that were created."""
    numbers = [str(case["fields"].get("external-integration-id")) for case in sim.cases()]
    return Counter(number for number in numbers if number.startswith("invented-"))


def test_a_run_of_calls_that_create_makes_each_case_once(persona: VirtualPersona, tmp_path: Path) -> None:
    landed = Landed("killed-create", tmp_path / "run")
    rows, settled = landed.plan.header.rows, set(ranges(landed.known["settled"]))
    landed.send_again(persona)
    before, sent = sum(_made(persona).values()), len(persona.requests())
    assert len(settled) < before < rows
    report = attempt(persona, landed.plan, utc=lambda: SOON)
    assert report.counts == {RowOutcome.UPDATED: rows}
    assert _made(persona) == Counter(f"invented-{number}" for number in range(rows))
    after = for_rows(persona, sent)
    wanted = {keys[0] for (row, _), keys in landed.keys.items() if row not in settled}
    assert {request.idempotency_key for request in after} == wanted
    assert sum(request.replayed for request in after) == before - len(settled)


def test_calls_that_create_stay_unresolved_when_persona_may_have_forgotten(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    landed = Landed("killed-create", tmp_path / "run")
    rows, doubtful = landed.plan.header.rows, landed.known["in_doubt"]
    landed.send_again(persona)
    persona.configure(idempotency_ttl_seconds=0.0)
    before = _made(persona)
    report = attempt(persona, landed.plan, utc=lambda: LATER)
    assert report.counts == {RowOutcome.UPDATED: rows - doubtful, RowOutcome.UNRESOLVED: doubtful}
    assert set(_made(persona).values()) == {1}
    assert before.keys() < _made(persona).keys()


def test_rows_that_failed_begin_with_the_generation_after_their_last(persona: VirtualPersona, tmp_path: Path) -> None:
    landed = Landed("stopped", tmp_path / "run")
    landed.send_again(persona)
    failed = {result.row for result in last_results(landed.plan).values() if result.outcome is RowOutcome.FAILED}
    assert {str(row) for row in failed} == set(landed.known["generations"])
    sent = len(persona.requests())
    attempt(persona, landed.plan, utc=lambda: SOON)
    assert not any(request.replayed for request in for_rows(persona, sent))
    again = last_results(landed.plan)
    assert {str(row): again[row].generation for row in failed} == landed.known["generations"]
    assert {again[row].attempts for row in failed} == {1}


# ---------------------------------------------------------------------- approval


def test_a_plan_that_waited_for_approval_is_applied(persona: VirtualPersona, tmp_path: Path) -> None:
    landed = Landed("approved", tmp_path / "run")
    rows = list(landed.plan.rows())
    assert all(row.from_status is not None and row.updated_at is not None for row in rows)
    report = attempt(persona, landed.plan, heed_drift=True)
    assert report.counts == {RowOutcome.UPDATED: 12, RowOutcome.UNCHANGED: 2, RowOutcome.SKIPPED_GUARD: 2}
    to_change = [row for row in rows if row.planned is Planned.CHANGE]
    assert effects(persona) == Counter(
        (request.operation_id, row.object_id) for row in to_change for request in requests_of(row)
    )
    assert_keys_follow_on(persona, 0, landed, rows)


def test_a_case_that_was_changed_while_its_plan_waited_is_left_alone(persona: VirtualPersona, tmp_path: Path) -> None:
    landed = Landed("approved", tmp_path / "run")
    first, second, *_ = [row.object_id or "" for row in landed.plan.rows()]
    persona.act_as_human(first, status="Pending")
    persona.act_as_human(second, fields={"name-first": "Invented"})
    report = attempt(persona, landed.plan, heed_drift=True)
    assert report.counts == {RowOutcome.UPDATED: 10, RowOutcome.UNCHANGED: 2, RowOutcome.SKIPPED_GUARD: 4}
    reasons = [last_results(landed.plan)[number].reason for number in (1, 2)]
    assert reasons[0] == "drift: its status is Pending, and was Open when planned"
    assert reasons[1].startswith("drift: it was changed at")


# ---------------------------------------------------------------------- a run that ended


def test_of_a_complete_run_only_the_failed_row_is_tried_again(persona: VirtualPersona, tmp_path: Path) -> None:
    landed = Landed("complete", tmp_path / "run")
    landed.send_again(persona)
    before, sent = effects(persona), len(persona.requests())
    report = attempt(persona, landed.plan)
    assert {outcome.value: count for outcome, count in report.counts.items()} == landed.known["counts"]
    assert {request.case_id for request in for_rows(persona, sent)} == {"case_missing"}
    assert effects(persona) == before


def test_a_complete_run_without_its_values_is_closed(persona: VirtualPersona, tmp_path: Path) -> None:
    landed = Landed("revertible", tmp_path / "run")
    assert landed.plan.header.values_hash is not None
    assert not landed.plan.has_values
    report = attempt(persona, landed.plan)
    assert (report.requests, report.settled, report.resumed) == (0, 14, 14)


def test_a_complete_run_is_taken_back(persona: VirtualPersona, tmp_path: Path) -> None:
    before = persona.statuses()
    landed = Landed("revertible", tmp_path / "run")
    landed.send_again(persona)
    changed = {case_id for operation, case_id in effects(persona) if operation == "set-status-for-a-case"}
    back = list(RowsToRevert(landed.plan).read())
    wishes = [wish for wish in back if isinstance(wish, ObjectUpdate)]
    assert [(wish.object_id, wish.change.status, wish.expected_status) for wish in wishes] == [
        (result.object_id, result.from_status, "Approved")
        for result in read_results(landed.plan.folder, landed.plan.header.hash)
        if result.object_id in changed
    ]
    assert {wish.change.status for wish in wishes} == {"Open", "Pending", "In Review"}
    assert [wish.reason for wish in back if isinstance(wish, InvalidRow)] == [
        "its status was not changed, and nothing else can be taken back"
    ]
    (tmp_path / "back").mkdir()
    report = attempt(persona, write_plan(back, tmp_path / "back", header_of("back")))
    assert report.counts == {RowOutcome.UPDATED: 12, RowOutcome.INVALID: 1}
    assert persona.statuses() == before


# ---------------------------------------------------------------------- a folder that was lost


@pytest.mark.parametrize("now", [SOON, LATER], ids=["soon", "later"])
def test_a_run_with_a_lost_folder_is_resumed_from_its_checkpoint(
    persona: VirtualPersona, tmp_path: Path, now: datetime
) -> None:
    landed = Landed("lost", tmp_path / "landed")
    wanted, kept = landed.json("rows.json"), Checkpoint.from_json(landed.json("checkpoint.json"))
    assert kept is not None
    landed.send_again(persona)
    if now is LATER:
        persona.configure(idempotency_ttl_seconds=0.0)
    sent, before = len(persona.requests()), effects(persona)
    header = replace(header_of("landed"), created_at=now.isoformat())
    draft = resume_or_draft(lambda: case_rows(wanted, None), tmp_path / "new", header, checkpoint=kept)
    assert isinstance(draft, Draft)

    async def go() -> Plan:
        async with persona.client() as client:
            plan = await complete(draft, client, PlanOptions())
            report = await apply_plan(plan, client, ApplyOptions(), utc=lambda: now, carried=kept)
            assert report.resumed == sum(kept.counts.values())
            assert report.settled == len(wanted)
            assert set(report.counts) <= {RowOutcome.UPDATED, RowOutcome.UNCHANGED}
            return plan

    plan = persona.run(go())
    assert (plan.header.hash, plan.header.identity) == (kept.plan_hash, landed.known["identity"])
    assert plan.folder == tmp_path / "new" / "1"
    operations = ("add-tag", "set-status-for-a-case")
    assert effects(persona) == Counter((name, row["case_id"]) for row in wanted for name in operations)
    assert before < effects(persona)
    settled = set(ranges(kept.settled))
    touched = {request.case_id for request in for_rows(persona, sent)}
    assert touched == {row["case_id"] for number, row in enumerate(wanted, 1) if number not in settled}
    assert kept.generations == landed.known["generations"]
    assert_keys_follow_on(persona, sent, landed, list(plan.rows()))
    state = read_ledger(plan.folder, plan.header.hash)
    assert state.carried == {RowOutcome.UPDATED: len(settled)}
    lost = [wish for wish in RowsToRevert(plan).read() if isinstance(wish, InvalidRow) and wish.object_id is None]
    assert len(lost) == len(settled)


# ---------------------------------------------------------------------- whole operators


def _operator(kind: str, rows: list[dict[str, Any]], state: Path) -> Any:
    arguments: dict[str, Any] = {"task_id": "decide", "state_path": str(state), "concurrency": 4, "retries": 1}
    arguments["only_from"] = ["Open"]
    if kind == "operator-changes":
        return PersonaBulkUpdateCasesOperator(**arguments, changes=rows)
    return SqlToPersonaCasesOperator(
        **arguments,
        sql="SELECT id, outcome FROM decisions WHERE outcome = :outcome",
        parameters={"outcome": "Declined"},
        sql_conn_id="warehouse",
        mapping={"case_id": "id", "status": "outcome"},
    )


@pytest.mark.parametrize("kind", ["operator-changes", "operator-sql"])
def test_an_operator_finds_its_folder_and_goes_on_with_its_plan(
    persona_connection: SimulatorServer, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warehouse is empty: an operator that planned anew would not find its table."""
    persona = persona_connection
    empty = {"conn_type": "sqlite", "host": str(tmp_path / "empty.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(empty))
    landed = Landed(kind, tmp_path / "run")
    rows, settled = list(landed.plan.rows()), set(ranges(landed.known["settled"]))
    landed.send_again(persona)
    sent = len(persona.requests())
    ti = SimpleNamespace(dag_id="decisions", run_id="manual__2026-01-05T08:00:00+00:00", task_id="decide")
    ti.map_index, ti.try_number, ti.max_tries = -1, 1, 1
    report = _operator(kind, landed.json("rows.json"), landed.folder / "state").execute({"ti": ti})
    assert (report["plan_hash"], report["resumed"]) == (landed.known["hash"], len(settled))
    assert report["counts"]["updated"] + report["counts"]["unchanged"] == len(rows) == report["rows"]
    assert len(list(landed.folder.rglob("plan.jsonl"))) == 1
    assert effects(persona) == Counter({("set-status-for-a-case", row.object_id): 1 for row in rows})
    touched = {request.case_id for request in for_rows(persona, sent)}
    assert touched == {row.object_id for row in rows if row.number not in settled}
    assert_keys_follow_on(persona, sent, landed, rows)
