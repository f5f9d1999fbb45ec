"""The button on a task's page leads to its object in Persona's dashboard, also after the task failed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from airflow_provider_persona.get_provider_info import get_provider_info
from airflow_provider_persona.links import PersonaLedgerLink, PersonaObjectLink, PersonaPlanLink, PersonaTabLink
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.cases import PersonaUpdateCaseOperator
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.sensors.cases import PersonaCaseSensor
from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS, DAG
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


def test_a_task_with_a_plan_leads_to_its_tab_and_its_files_also_when_it_fails(run_dag, persona):
    rows = [{"case_id": "case_sim000001", "status": "Approved"}, {"case_id": "case_sim000002", "status": "Aproved"}]
    with DAG("paged", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        plan = PersonaPlanCaseUpdatesOperator(task_id="plan", changes=rows)
        PersonaApplyPlanOperator(task_id="apply", plan=plan.output)
        PersonaBulkUpdateCasesOperator(task_id="both", changes=rows[:1])
        PersonaPlanCaseUpdatesOperator(task_id="too_many", changes=rows, max_changes=0)
    run = run_dag(dag)
    found = {}
    for task in run.get_task_instances():
        links = dag.get_task(task.task_id).operator_extra_links
        pushed = {link.name: task.xcom_pull(task_ids=task.task_id, key=link.xcom_key) for link in links}
        found[task.task_id] = {name: address for name, address in pushed.items() if address}
    assert str(run.get_task_instance("apply").state) == "failed"
    if not AIRFLOW_V_3_1_PLUS:  # there are no pages to lead to
        assert not any(found.values())
        return
    run_id = quote(run.run_id, safe="")

    def leads(task_id, *files):
        tab = {"Persona: all rows": f"/dags/paged/runs/{run_id}/tasks/{task_id}/plugin/persona"}
        return tab | {f"Persona: {file} (CSV)": f"/persona/csv/{file}/paged/{task_id}/-1/{run_id}" for file in files}

    assert {
        task: {name: url.removeprefix("http://localhost:8080") for name, url in links.items()}
        for task, links in found.items()
    } == {
        "plan": leads("plan", "plan"),
        "apply": leads("apply", "plan", "ledger"),
        "both": leads("both", "plan", "ledger"),
        "too_many": leads("too_many"),
    }


def test_an_address_has_whatever_an_id_holds(monkeypatch):
    ti = SimpleNamespace(dag_id="d", run_id="a/b ü)?#", task_id="group.t", map_index=3)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/team/")
    assert PersonaTabLink.address(ti) == (
        "https://airflow.example/team/dags/d/runs/a%2Fb%20%C3%BC%29%3F%23/tasks/group.t/mapped/3/plugin/persona"
    )
    assert PersonaLedgerLink.address(ti) == (
        "https://airflow.example/team/persona/csv/ledger/d/group.t/3/a%2Fb%20%C3%BC%29%3F%23"
    )
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "/")
    assert PersonaPlanLink.address(ti).startswith("/persona/csv/plan/d/")


def test_airflow_is_told_of_every_link():
    ours = (PersonaObjectLink, PersonaTabLink, PersonaPlanLink, PersonaLedgerLink)
    assert get_provider_info()["extra-links"] == [f"airflow_provider_persona.links.{link.__name__}" for link in ours]
