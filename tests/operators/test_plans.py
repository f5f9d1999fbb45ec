"""Plan, apply, revert as tasks of their own: what was planned is what is done, and the journal shows it."""

from __future__ import annotations

import importlib
import json
import uuid
from pathlib import Path

import fsspec
import pytest
from plan_runs import PlanRun, changed, counts_of, execute, new_dag, plan_and_apply, to_status, with_status

from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.plans import (
    PersonaApplyPlanOperator,
    PersonaPlanCaseUpdatesOperator,
    PersonaRevertPlanOperator,
)
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS

pytestmark = pytest.mark.usefixtures("state_path")


@pytest.fixture
def cycle(run_dag, persona_connection):
    """Plan, meddle, apply; see `plan_and_apply`."""

    def run(planning, applying=None, between=None):
        return plan_and_apply(run_dag, planning, applying, between)

    return run


def ledger_lines(report):
    paths = sorted(Path(report["ledger"]).glob("ledger-*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def ledger_reasons(report):
    return {line["object_id"]: line["reason"] for line in ledger_lines(report) if "row" in line}


# ---------------------------------------------------------------------- what is planned is what is done


def test_plan_and_ledger_in_an_object_store_are_read_again(persona, persona_connection):
    stores = importlib.import_module("airflow.sdk.io" if AIRFLOW_V_3_0_PLUS else "airflow.io.store")
    # Airflow 3.2 wants the library of a store that it knows; before, an address in memory is shown with an empty host.
    scheme = "memory" if AIRFLOW_V_3_2_PLUS else "s3"
    stores.attach(scheme, fs=fsspec.filesystem("memory"))
    place = f"{scheme}://bucket/{uuid.uuid4().hex}"
    rows = [
        {"case_id": case, "status": "Declined", "fields": {"decision-note": "n"}}
        for case in with_status(persona, "Open", 9)
    ]
    planned = execute(PersonaPlanCaseUpdatesOperator(task_id="plan", changes=rows, state_path=place))
    applying = {"task_id": "apply", "plan": planned, "state_path": place}
    first = execute(PersonaApplyPlanOperator(sample=3, **applying))
    assert (first["counts"]["updated"], first["counts"]["planned"]) == (3, 6)
    again = execute(PersonaApplyPlanOperator(**applying))  # the ledger tells what is left to do
    assert (again["counts"]["updated"], again["resumed"]) == (9, 3)
    back = execute(PersonaRevertPlanOperator(task_id="back", report=again, state_path=place))
    assert back["rows"] == 9


def test_a_query_is_planned_and_exactly_that_is_applied(cycle, persona, warehouse):
    opened, pending = with_status(persona, "Open", 12), with_status(persona, "Pending", 5)
    right = with_status(persona, "Declined", 4)
    rows = [(case_id, "Declined") for case_id in opened + pending + right]
    rows += [(opened[0], "Declined"), (None, "Declined")]
    warehouse("decisions", "case_id, status", rows)

    run = cycle(
        {
            "sql": "SELECT * FROM decisions WHERE status = :s",
            "sql_conn_id": "warehouse",
            "parameters": {"s": "Declined"},
        }
    )

    assert str(run.run.state) == "success"
    plan = dict(run.plan)
    path = Path(plan.pop("plan"))
    lines = path.read_text().splitlines()
    assert path.name == "plan.jsonl"
    assert plan.pop("hash") == json.loads(lines[0])["hash"]
    assert plan.pop("created_at") == json.loads(lines[0])["created_at"]
    assert plan == {
        "environment": "env_simulator",
        "rows": 22,
        "repeats": 1,
        "outcomes": {"change": 17, "invalid": 1, "unchanged": 4},
        "transitions": {"Open -> Declined": 12, "Pending -> Declined": 5},
        "unknown_statuses": [],
        "irreversible": {},
        "thresholds": {},
        "estimate": {"requests": 34, "seconds": 0.0, "limit": 1_000_000, "reserve": 0.2},
    }
    assert len(lines) == 23
    assert changed(persona) == sorted(opened + pending)
    report = run.returned("apply")
    assert run.counts == {"updated": 17, "unchanged": 4, "invalid": 1}
    assert (report["plan"], report["plan_hash"]) == (str(path), run.plan["hash"])
    assert report["requests"] == 34  # a read and a write for each, as estimated
    assert {line["from"] for line in ledger_lines(report) if line.get("outcome") == "updated"} == {"Open", "Pending"}


def test_planning_writes_nothing_and_says_how_long_applying_takes(run_dag, persona_connection, caplog, capfd):
    persona_connection.configure(limit=50)
    opened = with_status(persona_connection, "Open", 60)
    with new_dag() as dag:
        PersonaPlanCaseUpdatesOperator(task_id="plan", changes=to_status(opened), compare="never", reserve=0.5)
    run = PlanRun(run_dag(dag))
    assert persona_connection.journal() == []
    assert {request.method for request in persona_connection.requests()} == {"GET"}
    assert run.plan["transitions"] == {"? -> Declined": 60}
    estimate = run.plan["estimate"]
    assert (estimate["requests"], estimate["limit"], estimate["reserve"]) == (60, 50, 0.5)
    assert 110 <= estimate["seconds"] <= 120  # 24 now, 25 in the next window, the rest in the one after it


def test_what_finding_the_objects_took_stands_in_the_estimate_and_in_the_log(
    run_dag, persona_connection, caplog, capfd
):
    keys = [f"customer-{case_id.removeprefix('case_')}" for case_id in with_status(persona_connection, "Open", 12)]
    with new_dag() as dag:
        PersonaPlanCaseUpdatesOperator(
            task_id="plan",
            changes=[{"reference_id": key, "status": "Declined"} for key in keys],
            match_by="reference-id",
            compare="never",
        )
    run = PlanRun(run_dag(dag))
    sent = [one for one in persona_connection.requests() if one.operation == "list-all-cases"]
    made = {"by": "reference-id", "values": 12, "priced": 12, "requests": len(sent)}
    assert run.plan["estimate"]["matching"] == made
    assert run.plan["estimate"]["requests"] == 12  # of applying it
    said = f"12 values of reference-id were looked for by {len(sent)} requests; 12 were estimated before"
    assert said in caplog.text + capfd.readouterr().out


def test_rows_at_hand_and_a_rendered_plan_and_custom_fields(run_dag, persona_connection):
    persona = persona_connection
    opened = with_status(persona, "Open", 3)
    with new_dag() as dag:
        changes = to_status(opened, fields={"decision-note": "seen"}, add_tags=["chargeback"])
        PersonaPlanCaseUpdatesOperator(task_id="plan", changes=changes) >> PersonaApplyPlanOperator(
            task_id="apply",
            plan="{{ ti.xcom_pull('plan') }}",  # which renders to text
        )
    run = PlanRun(run_dag(dag))
    assert run.counts == {"updated": 3}
    assert changed(persona) == sorted(opened * 3)
    by_id = {case["case_id"]: case for case in persona.cases()}
    assert [by_id[case_id]["fields"]["decision-note"] for case_id in opened] == ["seen"] * 3
    folder = Path(run.plan["plan"]).parent
    assert "seen" not in (folder / "plan.jsonl").read_text()
    assert not (folder / "values.jsonl").exists()  # nobody needs it any more


def test_guards_of_the_plan_hold_when_it_is_planned(cycle, persona):
    opened, pending, approved = (with_status(persona, status, 4) for status in ("Open", "Pending", "Approved"))
    rows = to_status([*opened, *pending, *approved])
    rows[0]["expected_status"] = "Pending"
    run = cycle({"changes": rows, "never_from": "Approved", "only_from": ["Open", "Approved"]})
    assert run.plan["outcomes"] == {"change": 3, "skipped_guard": 9}
    assert run.counts == {"updated": 3, "skipped_guard": 9}
    assert changed(persona) == sorted(opened[1:])


@pytest.mark.parametrize("guard", [{"only_from": ["Open"]}, {"never_from": ["Approved"]}, {"expected_status": "Open"}])
def test_guards_of_the_plan_hold_when_it_is_applied(cycle, persona, guard):
    """Without a comparison the plan knows no status, so drift cannot be told, and the guards are all there is."""
    opened = with_status(persona, "Open", 4)
    rows = to_status(opened, **({"expected_status": "Open"} if "expected_status" in guard else {}))
    planning = {"changes": rows, "compare": "never", **(guard if "expected_status" not in guard else {})}
    run = cycle(planning, between=lambda _: persona.act_as_human(opened[1], status="Approved"))
    assert run.plan["outcomes"] == {"change": 4}
    assert run.counts == {"updated": 3, "skipped_guard": 1}
    assert persona.statuses()[opened[1]] == "Approved"
    assert changed(persona) == sorted(set(opened) - {opened[1]})


def test_a_case_that_changed_since_it_was_planned_is_left_alone(cycle, persona):
    opened = with_status(persona, "Open", 6)

    def review(_):
        persona.act_as_human(opened[0], status="In Review")
        persona.act_as_human(opened[1], status="Declined")  # as the plan wishes, too
        persona.act_as_human(opened[2], fields={"decision-note": "call her back"})

    run = cycle({"changes": to_status(opened)}, between=review)
    assert str(run.run.state) == "success"
    assert run.counts == {"updated": 3, "skipped_guard": 2, "unchanged": 1}
    reasons = ledger_reasons(run.returned("apply"))
    assert reasons[opened[0]] == "drift: its status is In Review, and was Open when planned"
    assert reasons[opened[2]].startswith("drift: it was changed at ")
    assert changed(persona) == sorted(opened[3:])
    assert persona.statuses()[opened[0]] == "In Review"


def test_drift_is_not_heeded_where_that_is_wished(cycle, persona):
    opened = with_status(persona, "Open", 2)
    run = cycle(
        {"changes": to_status(opened)},
        {"heed_drift": False},
        lambda _: persona.act_as_human(opened[0], status="In Review"),
    )
    assert run.counts == {"updated": 2}


def test_a_plan_is_applied_once_however_often_the_task_runs(run_dag, persona_connection):
    opened = with_status(persona_connection, "Open", 5)
    with new_dag() as dag:
        changes = to_status(opened, fields={"decision-note": "seen"})
        planned = PersonaPlanCaseUpdatesOperator(task_id="plan", changes=changes)
        first = PersonaApplyPlanOperator(task_id="apply", plan=planned.output)
        first >> PersonaApplyPlanOperator(task_id="again", plan=planned.output)
    run = PlanRun(run_dag(dag))
    assert str(run.run.state) == "success"
    assert changed(persona_connection) == sorted(opened * 2)
    again = run.returned("again")
    assert counts_of(again) == {"updated": 5}
    assert (again["resumed"], again["requests"]) == (5, 0)


def test_a_dry_run_of_a_plan_leaves_it_to_be_applied(run_dag, persona_connection):
    opened = with_status(persona_connection, "Open", 4)
    with new_dag() as dag:
        planned = PersonaPlanCaseUpdatesOperator(
            task_id="plan", changes=to_status(opened, fields={"decision-note": "seen"})
        )
        dry = PersonaApplyPlanOperator(task_id="dry", plan=planned.output, dry_run=True)
        dry >> PersonaApplyPlanOperator(task_id="apply", plan=planned.output)
    run = PlanRun(run_dag(dag))
    assert counts_of(run.returned("dry")) == {"planned": 4}
    assert run.counts == {"updated": 4}
    assert changed(persona_connection) == sorted(opened * 2)


def test_a_sample_of_a_plan_is_applied_first_and_the_next_task_does_the_rest(run_dag, persona_connection):
    opened = with_status(persona_connection, "Open", 6)
    with new_dag(params={"sample": 2}) as dag:
        changes = to_status(opened, fields={"decision-note": "seen"})
        planned = PersonaPlanCaseUpdatesOperator(task_id="plan", changes=changes)
        first = PersonaApplyPlanOperator(task_id="first", plan=planned.output, sample="{{ params.sample }}")
        first >> PersonaApplyPlanOperator(task_id="apply", plan=planned.output)
    run = PlanRun(run_dag(dag))
    report = run.returned("first")
    assert counts_of(report) == {"updated": 2, "planned": 4}
    assert (report["sample"], report["verified"], report["not_done"]) == (2, 2, 0)
    assert run.counts == {"updated": 6}
    assert changed(persona_connection) == sorted(opened * 2)


def test_no_rows_are_a_plan_that_does_nothing(cycle, persona):
    run = cycle({"changes": []})
    assert str(run.run.state) == "success"
    assert (run.plan["rows"], run.plan["estimate"]["requests"]) == (0, 0)
    assert run.counts == {}


# ---------------------------------------------------------------------- the way back


def _revert(persona, run_dag, changing, between=None, **reverting):
    """Change, meddle, plan the way back, apply it."""
    from airflow_provider_persona.version_compat import task

    with new_dag() as dag:
        change = PersonaBulkUpdateCasesOperator(task_id="change", **changing)
        revert = PersonaRevertPlanOperator(task_id="plan", report=change.output, **reverting)

        @task
        def meddle():
            if between is not None:
                between()

        change >> meddle() >> revert >> PersonaApplyPlanOperator(task_id="apply", plan=revert.output)
    return PlanRun(run_dag(dag))


def test_a_change_is_taken_back_where_the_case_still_is_as_it_was_left(run_dag, persona_connection):
    persona = persona_connection
    opened, pending, declined = with_status(persona, "Open", 4), with_status(persona, "Pending", 2), []
    declined = with_status(persona, "Declined", 3)
    before = persona.statuses()

    run = _revert(
        persona,
        run_dag,
        {"changes": to_status([*opened, *pending, *declined]), "compare": "get"},
        lambda: persona.act_as_human(opened[0], status="Approved"),
    )

    assert str(run.run.state) == "success"
    # Those that were declined already were not the run's doing; the human's decision stays.
    assert run.plan["rows"] == 6
    assert run.plan["outcomes"] == {"change": 5, "skipped_guard": 1}
    assert run.plan["transitions"] == {"Declined -> Open": 3, "Declined -> Pending": 2}
    assert run.counts == {"updated": 5, "skipped_guard": 1}
    now = persona.statuses()
    assert {case_id for case_id in before if now[case_id] != before[case_id]} == {opened[0]}
    assert now[opened[0]] == "Approved"
    assert changed(persona) == sorted([*opened, *pending, *opened[1:], *pending])


def test_a_case_that_is_decided_after_the_way_back_was_planned_stays(run_dag, persona_connection):
    persona = persona_connection
    opened = with_status(persona, "Open", 3)
    with new_dag() as dag:
        change = PersonaBulkUpdateCasesOperator(task_id="change", changes=to_status(opened), compare="get")
    changed_by = PlanRun(run_dag(dag)).returned("change")
    with new_dag("back") as back:
        revert = PersonaRevertPlanOperator(task_id="plan", report=changed_by)
    planned = PlanRun(run_dag(back)).plan
    persona.act_as_human(opened[2], status="Approved")
    with new_dag("apply") as apply:
        PersonaApplyPlanOperator(task_id="apply", plan=planned)
    run = PlanRun(run_dag(apply))
    assert change.task_id == "change"
    assert revert.task_id == "plan"
    assert run.counts == {"updated": 2, "skipped_guard": 1}
    assert [persona.statuses()[case_id] for case_id in opened] == ["Open", "Open", "Approved"]


def test_what_cannot_be_taken_back_is_in_the_plan_as_invalid_with_the_reason(run_dag, persona_connection):
    persona = persona_connection
    opened = with_status(persona, "Open", 2)
    rows = [{"case_id": opened[0], "status": "Declined"}, {"case_id": opened[1], "add_tags": ["seen"]}]
    run = _revert(persona, run_dag, {"changes": rows, "compare": "never"}, fail_in_vain=False)
    assert run.plan["outcomes"] == {"invalid": 2}
    text = Path(run.plan["plan"]).read_text()
    assert "its status before is not on the ledger: the run did not read it" in text
    assert "its status was not changed, and nothing else can be taken back" in text
    assert len(changed(persona)) == 2


def test_a_reverted_plan_and_a_reverted_revert(cycle, run_dag, persona):
    """A report of `PersonaApplyPlanOperator` can be taken back, and that can be taken back in turn."""
    opened = with_status(persona, "Open", 4)
    report = cycle({"changes": to_status(opened)}).returned("apply")
    for number, status in enumerate(["Open", "Declined"]):
        with new_dag(f"back{number}") as dag:
            revert = PersonaRevertPlanOperator(task_id="plan", report=report, max_changes="4")
            PersonaApplyPlanOperator(task_id="apply", plan=revert.output)
        report = PlanRun(run_dag(dag)).returned("apply")
        assert counts_of(report) == {"updated": 4}
        assert {persona.statuses()[case_id] for case_id in opened} == {status}


def test_fields_and_queues_are_taken_back_where_the_plan_kept_them(cycle, run_dag, persona):
    opened = with_status(persona, "Open", 3)
    before = {case["case_id"]: case for case in persona.cases()}
    rows = to_status(opened, fields={"decision-note": "seen"}, case_queue_id="cqueue_escalations", add_tags=["x"])
    report = cycle({"changes": rows, "keep_before": True}).returned("apply")
    with new_dag("back") as dag:
        revert = PersonaRevertPlanOperator(task_id="plan", report=report)
        PersonaApplyPlanOperator(task_id="apply", plan=revert.output)
    run = PlanRun(run_dag(dag))
    assert run.plan["transitions"] == {"Declined -> Open": 3}
    assert run.counts == {"updated": 3}
    assert {case["case_id"]: case for case in persona.cases()} == before


def test_a_plan_that_was_never_applied_cannot_be_reverted(run_dag, persona_connection, caplog, capfd):
    with new_dag() as dag:
        changes = to_status(with_status(persona_connection, "Open", 2))
        planned = PersonaPlanCaseUpdatesOperator(task_id="plan", changes=changes)
        PersonaRevertPlanOperator(task_id="revert", report=planned.output, retries=2)
    run = PlanRun(run_dag(dag))
    assert (run.state("revert"), run.tries("revert")) == ("failed", 1)
    assert "there is no ledger beside" in caplog.text + "".join(capfd.readouterr())


def test_the_task_that_plans_a_way_back_keeps_to_thresholds(run_dag, persona_connection, caplog, capfd):
    opened = with_status(persona_connection, "Open", 5)
    run = _revert(persona_connection, run_dag, {"changes": to_status(opened), "compare": "get"}, max_changes=4)
    assert run.state("plan") == "failed"
    assert "5 rows would be changed, max_changes is 4" in caplog.text + "".join(capfd.readouterr())
    assert changed(persona_connection) == sorted(opened)
