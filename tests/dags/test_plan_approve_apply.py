"""The Dag with an approval in it: a person answers through Airflow's own REST API, while the run waits."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS

pytestmark = pytest.mark.skipif(
    not AIRFLOW_V_3_1_PLUS, reason="Airflow has operators that wait for a person from 3.1 on"
)


@pytest.fixture(scope="module")
def rest_api(airflow_db):
    """Airflow's REST API in this process, as an admin."""
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "0123456789abcdef" * 4)
        client = TestClient(create_app(apps="core"), raise_server_exceptions=False)
        token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="compliance", role="admin"))
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@pytest.fixture
def run_and_answer(run_dag, rest_api):
    """Run a Dag and answer what it asks; returns the run and the question.

    Where `meanwhile` is given, it is called once the question is there, before it is answered.
    """

    def answer(dag_id, chosen, meanwhile):
        until = time.monotonic() + 30
        while time.monotonic() < until:
            found = rest_api.get(f"/api/v2/dags/{dag_id}/dagRuns/~/hitlDetails", params={"state": "awaiting_input"})
            for asked in found.json()["hitl_details"]:
                if meanwhile is not None:
                    meanwhile()
                ti = asked["task_instance"]
                place = f"/api/v2/dags/{dag_id}/dagRuns/{ti['dag_run_id']}/taskInstances/{ti['task_id']}/-1/hitlDetails"
                given = rest_api.patch(place, json={"chosen_options": [chosen], "params_input": {}})
                assert given.status_code == 200, given.text
                return asked
            time.sleep(0.1)
        raise AssertionError("nobody was asked")

    def run(dag, chosen, meanwhile=None):
        with ThreadPoolExecutor(1) as person:
            answered = person.submit(answer, dag.dag_id, chosen, meanwhile)
            return run_dag(dag), answered.result()

    return run


@pytest.fixture
def decided(persona_connection, warehouse):
    opened = [case_id for case_id, status in persona_connection.statuses().items() if status == "Open"][:30]
    approved = [case_id for case_id, status in persona_connection.statuses().items() if status == "Approved"][:2]
    rows = [(case_id, "Declined", None) for case_id in opened + approved]
    warehouse("case_decisions", "case_id, new_status, expected_status", rows)
    return opened


def test_what_is_approved_is_applied(run_and_answer, load_dag, persona_connection, decided):
    run, asked = run_and_answer(load_dag("persona_plan_approve_apply"), "Approve")

    assert str(run.state) == "success"
    assert sorted(effect.case_id for effect in persona_connection.journal()) == sorted(decided)
    planned = run.get_task_instance("plan").xcom_pull(task_ids="plan")
    report = run.get_task_instance("apply").xcom_pull(task_ids="apply")
    assert report["plan_hash"] == planned["hash"]
    assert (report["counts"]["updated"], report["counts"]["skipped_guard"]) == (30, 2)
    assert asked["subject"] == "Change 30 cases in Persona?"
    body = asked["body"]
    assert "| change | 30 |\n| skipped_guard | 2 |\n" in body
    assert "| Open -> Declined | 30 |\n" in body
    assert "About 60 requests, 0 s\nat a limit of 1000000 with a reserve of 0.2." in body
    assert f"Environment env_simulator. Plan {planned['plan']}, hash {planned['hash']}." in body
    assert not [case_id for case_id in decided if case_id in body]


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
