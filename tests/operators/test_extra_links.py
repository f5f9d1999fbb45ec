"""The button on a task's page leads to its object in Persona's dashboard, also after the task failed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_persona.links import PersonaObjectLink
from airflow_provider_persona.operators.cases import PersonaUpdateCaseOperator
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.sensors.cases import PersonaCaseSensor
from airflow_provider_persona.version_compat import DAG
from persona_simulator import SANDBOX_KEY

BOARD = "https://persona.example/dashboard"


@pytest.fixture
def persona(persona, monkeypatch):
    connection = {"conn_type": "persona", "host": persona.url, "password": SANDBOX_KEY}
    connection["extra"] = json.dumps({"dashboard_url": BOARD})
    monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
    return persona


def test_each_task_about_one_object_leads_there_also_when_it_fails(run_dag, persona):
    with DAG("linked", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        PersonaUpdateCaseOperator(task_id="change", case_id="case_sim000001", add_tags=["seen"])
        PersonaCaseSensor(task_id="wait", case_id="case_sim000002", resolved=True, poke_interval=0.1, timeout=0.1)
        PersonaOperator(task_id="missing", operation_id="retrieve-an-inquiry", path={"inquiry-id": "inq_none"})
        PersonaOperator(
            task_id="made",
            operation_id="create-an-account",
            body={"data": {"attributes": {"reference-id": "customer-4711"}}},
        )
        PersonaOperator(task_id="none", operation_id="list-all-rate-limits", result="none")
    run = run_dag(dag)
    links = {}
    for task in run.get_task_instances():
        (link,) = dag.get_task(task.task_id).operator_extra_links
        links[task.task_id] = task.xcom_pull(task_ids=task.task_id, key=link.xcom_key) or ""
    made = run.get_task_instance("made").xcom_pull(task_ids="made")
    assert links == {
        "change": f"{BOARD}/cases/case_sim000001",
        "wait": f"{BOARD}/cases/case_sim000002",
        "missing": f"{BOARD}/inquiries/inq_none",
        "made": f"{BOARD}/accounts/{made}",
        "none": "",
    }
    assert str(run.get_task_instance("missing").state) == "failed"


def test_a_link_that_cannot_be_kept_fails_no_task(persona):
    class Away:
        def xcom_push(self, **_):
            raise OSError("Airflow's API is away")

    PersonaObjectLink.push({"ti": Away()}, BOARD)
    PersonaObjectLink.push({}, BOARD)
