"""The Dag with an approval in it: a person answers through Airflow's own REST API, while the run waits."""

from __future__ import annotations

import pytest

# A run that nobody answers waits for ever, and the event loop of its trigger swallows the exception that the usual
# timeout raises. This one ends the process.
pytestmark = pytest.mark.timeout(120, method="thread")


@pytest.fixture
def decided(persona_connection, warehouse):
    opened = [case_id for case_id, status in persona_connection.statuses().items() if status == "Open"][:30]
    approved = [case_id for case_id, status in persona_connection.statuses().items() if status == "Approved"][:2]
    rows = [(case_id, "Declined", None) for case_id in opened + approved]
    warehouse("case_decisions", "case_id, new_status, expected_status", rows)
    return opened


def test_what_is_approved_is_applied(run_and_answer, load_dag, persona_connection, decided):
    run, asked = run_and_answer(load_dag("persona_plan_approve_apply"), "Approve", reason="ticket 4711")

    assert str(run.state) == "success"
    assert sorted(effect.case_id for effect in persona_connection.journal()) == sorted(decided)
    planned = run.get_task_instance("plan").xcom_pull(task_ids="plan")
    report = run.get_task_instance("apply").xcom_pull(task_ids="apply")
    assert report["plan_hash"] == planned["hash"]
    assert (report["counts"]["updated"], report["counts"]["skipped_guard"]) == (30, 2)
    assert asked["subject"] == "Change 30 cases in Persona?"
    assert planned["hash"] in asked["body"]
    assert (report["approval"]["by"], report["approval"]["reason"]) == ("compliance", "ticket 4711")


def test_what_is_rejected_is_not_applied(run_and_answer, load_dag, persona_connection, decided):
    run, _ = run_and_answer(load_dag("persona_plan_approve_apply"), "Reject")

    assert str(run.state) == "success"
    assert str(run.get_task_instance("apply").state) == "skipped"
    assert persona_connection.journal() == []
    assert {request.method for request in persona_connection.requests()} == {"GET"}


def test_what_changed_while_a_person_thought_is_left_alone(run_and_answer, load_dag, persona_connection, decided):
    run, _ = run_and_answer(
        load_dag("persona_plan_approve_apply"),
        "Approve",
        lambda: persona_connection.act_as_human(decided[0], status="Approved"),
    )

    assert str(run.state) == "success"
    assert persona_connection.statuses()[decided[0]] == "Approved"
    counts = run.get_task_instance("apply").xcom_pull(task_ids="apply")["counts"]
    assert (counts["updated"], counts["skipped_guard"]) == (29, 3)


def test_what_was_applied_is_taken_back_after_an_approval(
    run_and_answer, run_dag, load_dag, persona_connection, decided
):
    made = run_dag(load_dag("persona_bulk_update"), dry_run=False)
    report = made.get_task_instance("update_cases").xcom_pull(task_ids="update_cases")
    named = {"plan": report["plan"], "plan_hash": report["plan_hash"]}

    run, asked = run_and_answer(load_dag("persona_revert_run"), "Approve", reason="ticket 4712", dry_run=False, **named)

    assert str(run.state) == "success"
    assert asked["subject"] == "Change 30 cases in Persona?"
    assert "All rows" in asked["body"]
    assert {persona_connection.statuses()[case_id] for case_id in decided} == {"Open"}
    assert run.get_task_instance("apply").xcom_pull(task_ids="apply")["counts"]["updated"] == 30
