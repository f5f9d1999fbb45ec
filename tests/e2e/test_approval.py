"""A plan that a person approves through Airflow's REST API is applied, and one that a person refuses is not."""

from __future__ import annotations

import pytest
from decisions import assert_changed_once, effects_on

pytestmark = pytest.mark.e2e

DAG_ID = "e2e_approval"


def test_what_was_approved_is_applied_and_what_was_refused_is_not(airflow, persona, warehouse, cases):
    wanted = dict.fromkeys(cases.take(40), "Declined")
    decided_meanwhile = cases.take(1)[0]
    warehouse.fill("disputes", "case_id", [(case,) for case in (*wanted, decided_meanwhile)])

    refused, approved = airflow.trigger(DAG_ID), airflow.trigger(DAG_ID)
    for run_id in (refused, approved):
        airflow.until(lambda run_id=run_id: _state(airflow, run_id, "approve") == "awaiting_input", 90, "the question")
    plan = airflow.result(DAG_ID, approved, "plan")
    assert plan["hash"] in airflow.rest("GET", _question(approved))["body"]
    assert effects_on(persona, wanted) == []

    persona.act_as_human(decided_meanwhile, status="Approved")
    airflow.rest("PATCH", _question(refused), {"chosen_options": ["Reject"]})
    airflow.until_success(DAG_ID, refused, 60)
    assert _state(airflow, refused, "apply") == "skipped"
    assert effects_on(persona, wanted) == []

    airflow.rest("PATCH", _question(approved), {"chosen_options": ["Approve"], "params_input": {"reason": "as agreed"}})
    airflow.until_success(DAG_ID, approved, 60)
    assert_changed_once(persona, wanted)
    assert persona.statuses()[decided_meanwhile] == "Approved"
    report = airflow.result(DAG_ID, approved, "apply")
    assert {outcome: count for outcome, count in report["counts"].items() if count} == {
        "updated": 40,
        "skipped_guard": 1,
    }
    assert report["plan_hash"] == plan["hash"]
    assert report["approval"]["reason"] == "as agreed"


def _question(run_id):
    return f"api/v2/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"


def _state(airflow, run_id, task_id):
    return next(task["state"] for task in airflow.tasks(DAG_ID, run_id) if task["task_id"] == task_id)
