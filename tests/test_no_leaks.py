"""Canaries: a key, a name and a birth date are planted, and looked for wherever they must not stand."""

from __future__ import annotations

import json
import logging
import sqlite3
from datetime import UTC, datetime

import pytest

from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.cases import PersonaUpdateCaseOperator
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator
from airflow_provider_persona.version_compat import DAG, task
from persona_simulator import ApiKey, SimulatorConfig, SimulatorServer

# Put together here, because Airflow keeps the source of this file in its database.
KEY = "persona_sandbox_" + "CANARYKEY0123456789"
NAME = "Canaria " + "Vogel" + "sang"  # in parts: Airflow keeps the source of Dags, and other tests search for it
BIRTHDATE = "1971-" + "02-03"
REVIEWER = "perla.vogelhaus@" + "example.com"


@pytest.fixture
def persona(monkeypatch):
    with SimulatorServer(
        SimulatorConfig(cases=40, limit=100_000, keys=(ApiKey(KEY),), reviewers=(REVIEWER,))
    ) as server:
        connection = {"conn_type": "persona", "host": server.url, "password": KEY}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
        yield server


def _files(tmp_path):
    # Values that are still needed (one row failed) stand in a file of their own, readable by its owner only.
    return [path for path in (tmp_path / "state").rglob("*") if path.is_file() and path.name != "values.jsonl"]


@pytest.mark.parametrize("fault", [None, "http_503", "malformed", "truncated", "reset_after"])
def test_no_canary_in_logs_xcom_plan_ledger_or_rendered_fields(
    run_dag, warehouse, persona, tmp_path, caplog, capfd, fault
):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("airflow_provider_persona").setLevel(logging.DEBUG)
    cases = [case_id for case_id, status in persona.statuses().items() if status == "Open"][:6]
    rows = [(case_id, "Declined", json.dumps({"decision-note": f"{NAME} {BIRTHDATE}"}), REVIEWER) for case_id in cases]
    rows += [(NAME, "Declined", None, None), ("case_unknown", "Declined", json.dumps({"n": NAME}), f"{NAME}@x.y")]
    warehouse("decisions", "case_id, status, fields, assignee", rows)
    if fault:
        persona.script_fault(fault, operation="update-a-case", times=2)
    with DAG("leaks", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        SqlToPersonaCasesOperator(
            task_id="cases",
            sql="SELECT * FROM decisions WHERE status != 'x'",
            sql_conn_id="warehouse",
            max_failures=0.9,
        )
    run = run_dag(dag)

    assert str(run.state) == "success"
    report = run.get_task_instance("cases").xcom_pull(task_ids="cases")
    assert report["counts"]["updated"] == 6
    places = {path.name: path.read_text() for path in _files(tmp_path)}
    assert set(places) >= {"ledger-00001.jsonl", "plan.jsonl"}
    places |= {"log": caplog.text, "output": "".join(capfd.readouterr()), "XCom": json.dumps(report)}
    places["database"] = _metadata()
    canaries = (KEY, NAME, BIRTHDATE, REVIEWER)
    assert [(place, canary) for place, text in places.items() for canary in canaries if canary in text] == []


def test_no_key_in_the_log_of_a_failure(run_dag, persona, caplog, capfd, monkeypatch):
    caplog.set_level(logging.DEBUG)
    wrong = {"conn_type": "persona", "host": persona.url, "password": f"{KEY}WRONG"}
    monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(wrong))
    with DAG("leaks", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, **_macros()) as dag:
        PersonaUpdateCaseOperator(
            task_id="case",
            case_id="case_sim000001",
            fields={"decision-note": "{{ params.name }} {{ name() }}"},
            assignee="{{ reviewer() }}",
            params={"name": "somebody"},
        )
    assert str(run_dag(dag).state) == "failed"
    told = caplog.text + "".join(capfd.readouterr()) + _metadata()
    assert [canary for canary in (KEY, NAME, REVIEWER) if canary in told] == []


def test_rendered_fields_of_the_operators_are_not_kept(run_dag, persona, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__PERSONA__STATE_PATH", str(tmp_path / "state"))
    first, second = [case_id for case_id, status in persona.statuses().items() if status == "Open"][:2]
    with DAG("leaks", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, **_macros()) as dag:

        @task
        def note() -> str:
            return "a note"

        told = note()
        fields = {"decision-note": told, "name-first": "{{ dag.dag_id }} {{ name() }}"}
        PersonaUpdateCaseOperator(task_id="case", case_id=first, fields=fields, assignee="{{ reviewer() }}")
        named = {"name-first": "{{ name() }}", "decision-note": told}
        changes = [{"case_id": second, "status": "Declined", "fields": named}]
        PersonaBulkUpdateCasesOperator(task_id="cases", changes=changes)

    run = run_dag(dag)

    assert str(run.state) == "success"
    assert dag.get_task("case").upstream_task_ids == {"note"}
    assert dag.get_task("cases").upstream_task_ids == {"note"}
    written = {case["id"]: case["attributes"]["fields"] for case in _cases(persona)}
    assert written[first]["decision-note"] == written[second]["decision-note"] == "a note"
    assert written[first]["name-first"] == f"leaks {NAME}"
    stored = _metadata()
    assert [canary for canary in (NAME, REVIEWER) if canary in stored] == []


def _macros():
    """Macros that give the canaries, which then stand in no source and no serialized Dag."""
    return {"user_defined_macros": {"name": lambda: NAME, "reviewer": lambda: REVIEWER}}


def _cases(persona):
    import requests

    headers = {"Authorization": f"Bearer {KEY}"}
    return requests.get(f"{persona.url}/api/v1/cases?page[size]=100", headers=headers, timeout=5).json()["data"]


def _metadata():
    """Return all text in Airflow's metadata database: XCom, rendered fields, Dag runs."""
    import os

    from airflow.configuration import conf

    path = conf.get("database", "sql_alchemy_conn").removeprefix("sqlite:///")
    assert os.path.exists(path)  # noqa: PTH110
    with sqlite3.connect(path) as db:
        return "\n".join(db.iterdump())
