"""Canaries in everything that a bulk run touches: planted in connection, rows and answers, looked for where data stays.

`test_no_leaks.py` does the same for the operators of single cases and for private templates.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.plans import (
    PersonaApplyPlanOperator,
    PersonaPlanCaseUpdatesOperator,
    PersonaPlanUpdatesOperator,
    PersonaRevertPlanOperator,
)
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator, SqlToPersonaOperator
from airflow_provider_persona.version_compat import DAG, task
from persona_simulator import ApiKey, SimulatorConfig, SimulatorServer

# Put together here, because Airflow keeps the source of this file in its database.
KEY = "persona_sandbox_" + "CANARYBULK9876543210"
NAME = "Serinus " + "Finkenschlag"
BIRTHDATE = "1968-" + "11-30"
REVIEWER = "timo.nistkasten@" + "example.com"
ANSWERED = "Girlitz " + "Gelbkehl"
CANARIES = (KEY, NAME, BIRTHDATE, REVIEWER, ANSWERED)
STATUSES = ("set-status-for-a-case", "update-a-case", "set-case-assignee", "retrieve-case", "list-all-cases")


@pytest.fixture
def persona(monkeypatch):
    """A Persona whose cases hold canaries, behind the connection with the canary key."""
    with SimulatorServer(
        SimulatorConfig(cases=40, limit=100_000, keys=(ApiKey(KEY),), reviewers=(REVIEWER,), accounts=5)
    ) as server:
        connection = {"conn_type": "persona", "host": server.url, "password": KEY}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
        for case in server.cases():
            if "name-first" in case["fields"]:
                server.act_as_human(case["case_id"], fields={"name-first": ANSWERED})
        yield server


@pytest.fixture
def watch(persona, tmp_path, monkeypatch, caplog, capfd):
    """Log everything, keep everything, and return what says in which of all these places a canary stands."""
    monkeypatch.setenv("AIRFLOW__PERSONA__STATE_PATH", str(tmp_path / "state"))
    audit = {"conn_type": "sqlite", "host": str(tmp_path / "audit.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_AUDIT", json.dumps(audit))
    caplog.set_level(logging.DEBUG)
    for name in ("airflow_provider_persona", "aiohttp", "aiohttp.client", "urllib3", "requests", "asyncio"):
        caplog.set_level(logging.DEBUG, name)

    def found():
        places = {"log": caplog.text, "output": "".join(capfd.readouterr()), "database of Airflow": _metadata()}
        for path in sorted((tmp_path / "state").rglob("*")):
            if path.is_file():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
            if path.is_file() and path.name not in ("values.jsonl", "before.jsonl"):
                places[path.name] = places.get(path.name, "") + path.read_text()
        places["ledger's table"] = _dump(tmp_path / "audit.sqlite")
        assert len(places["log"]) > 300
        return [(place, canary) for place, text in places.items() for canary in CANARIES if canary in text]

    return found


def _dump(path):
    with closing(sqlite3.connect(path)) as db:
        return "\n".join(db.iterdump())


def _metadata():
    """All text in Airflow's metadata database: XCom, rendered fields, task state, Dags."""
    from airflow.configuration import conf

    path = conf.get("database", "sql_alchemy_conn").removeprefix("sqlite:///")
    assert Path(path).exists()
    return _dump(path)


def _dag():
    return DAG("canaries", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False)


def _opened(persona, count):
    return [case_id for case_id, status in persona.statuses().items() if status == "Open"][:count]


def _fields():
    return json.dumps({"decision-note": f"{NAME} {BIRTHDATE}", "name-first": NAME})


def _values_files(tmp_path):
    return list((tmp_path / "state").rglob("values.jsonl"))


def _counts(run, task_id):
    ti = run.get_task_instance(task_id)
    report = ti.xcom_pull(task_ids=task_id) or ti.xcom_pull(task_ids=task_id, key="report")
    return {outcome: count for outcome, count in report["counts"].items() if count}


@pytest.mark.parametrize("fault", [None, "http_503", "malformed"])
def test_plan_apply_and_revert_keep_none(run_dag, warehouse, persona, watch, tmp_path, fault):
    rows = [(case_id, "Declined", _fields(), REVIEWER) for case_id in _opened(persona, 6)]
    rows += [(NAME, "Declined", None, None), (rows[0][0], "Approved", json.dumps({"name-first": NAME}), None)]
    warehouse("decisions", "case_id, status, fields, assignee", rows)
    between = []
    if fault:
        for operation in STATUSES:
            persona.script_fault(fault, operation=operation)
    with _dag() as dag:
        planned = PersonaPlanCaseUpdatesOperator(
            task_id="plan", sql="SELECT * FROM decisions", sql_conn_id="warehouse", compare="get", keep_before=True
        )
        applied = PersonaApplyPlanOperator(
            task_id="apply", plan=planned.output, verify=True, ledger_table="ledger", ledger_conn_id="audit"
        )
        reverted = PersonaRevertPlanOperator(task_id="revert", report=applied.output)

        @task
        def look():
            between.extend(path.read_text() for path in _values_files(tmp_path))

        planned >> look() >> applied
        PersonaApplyPlanOperator(task_id="back", plan=reverted.output)

    run = run_dag(dag)

    assert str(run.state) == "success"
    assert [NAME in text and REVIEWER in text for text in between] == [True]  # they were there, in the one place
    assert _counts(run, "apply") == {"updated": 5, "invalid": 3}
    assert _counts(run, "back") == {"updated": 5}
    assert NAME not in json.dumps(persona.cases())  # taken back, from what the plan read and kept in private
    (before,) = (tmp_path / "state").rglob("before.jsonl")
    assert ANSWERED in before.read_text()
    assert watch() == []
    assert _values_files(tmp_path) == []


@pytest.mark.parametrize("fault", [None, "http_503", "malformed"])
def test_keys_by_which_rows_are_matched_are_kept_beside_the_plan_only(
    run_dag, warehouse, persona, watch, tmp_path, fault
):
    """A plan in an object store, by reference ids that are names and addresses; some of them nothing has."""
    (account, other) = ("act_sim000001", "act_sim000002")
    persona.change_object(account, attributes={"reference-id": REVIEWER})
    persona.change_object(other, attributes={"reference-id": ANSWERED})
    rows = [(REVIEWER, "vip"), (ANSWERED, "vip"), (NAME, "vip"), (f"{BIRTHDATE},{NAME}", "vip")]
    warehouse("people", "who, add_tags", rows)
    between = []
    if fault:
        persona.script_fault(fault, operation="list-all-accounts")
    with _dag() as dag:
        planned = PersonaPlanUpdatesOperator(
            task_id="plan",
            object_kind="account",
            sql="SELECT * FROM people",
            sql_conn_id="warehouse",
            mapping={"reference-id": "who"},
            match_by="reference-id",
            state_path=f"file://{tmp_path}/state",
        )
        applied = PersonaApplyPlanOperator(task_id="apply", plan=planned.output, state_path=f"file://{tmp_path}/state")

        @task
        def look():
            between.extend(path.read_text() for path in _values_files(tmp_path))

        planned >> look() >> applied

    run = run_dag(dag)

    assert str(run.state) == "success"
    assert _counts(run, "apply") == {"updated": 2, "invalid": 2}
    assert [(NAME in text, BIRTHDATE in text, REVIEWER in text) for text in between] == [(True, True, False)]
    assert watch() == []
    assert _values_files(tmp_path) == []


@pytest.mark.parametrize("compare", ["list", "never"])
def test_one_step_that_fails_keeps_none(run_dag, warehouse, persona, watch, compare):
    good, bad, other, last = _opened(persona, 4)
    unknown_field = json.dumps({"no-such-field": f"{NAME} {BIRTHDATE}"})
    rows = [
        (good, "Declined", _fields(), REVIEWER),
        (bad, "Declined", unknown_field, None),  # 422
        (other, "Aproved", _fields(), f"{NAME}@x.y"),  # 404
        (last, "Declined", f'{{"name-first": "{NAME}"', None),  # no JSON
        (f"case_{NAME}", "Declined", None, REVIEWER),  # no id
        ("case_nobody", "Declined", _fields(), REVIEWER),
    ]
    warehouse("decisions", "case_id, status, fields, assignee", rows)
    with _dag() as dag:
        SqlToPersonaCasesOperator(
            task_id="update",
            sql="SELECT * FROM decisions",
            sql_conn_id="warehouse",
            compare=compare,
            verify=True,
            retries=1,
            ledger_table="ledger",
            ledger_conn_id="audit",
        )
    run = run_dag(dag)
    assert str(run.state) == "failed"
    assert _counts(run, "update") == {"updated": 1, "failed": 3, "invalid": 2}
    assert watch() == []


def test_a_change_that_a_human_undid_is_reported_without_it(run_dag, warehouse, persona, watch, tmp_path):
    """The second look finds another value in a field: the difference names the case, not the values."""
    import threading
    import time

    first, second = _opened(persona, 2)
    warehouse("decisions", "case_id, fields", [(first, _fields()), (second, _fields())])
    persona.script_fault("latency", operation="update-a-case", case_id=second, seconds=0.7)

    def undo():
        while not [effect for effect in persona.journal() if effect.operation == "update-a-case"]:
            time.sleep(0.01)
        persona.act_as_human(first, fields={"name-first": ANSWERED})

    reviewer = threading.Thread(target=undo)
    reviewer.start()
    with _dag() as dag:
        SqlToPersonaCasesOperator(
            task_id="update", sql="SELECT * FROM decisions", sql_conn_id="warehouse", verify=True, concurrency=1
        )
    run = run_dag(dag)
    reviewer.join()
    assert run.get_task_instance("update").xcom_pull(task_ids="update")["differences"] == 1
    assert watch() == []
    assert list((tmp_path / "state").rglob("differences.jsonl"))


@pytest.mark.parametrize("fault", [None, "http_500_after", "truncated"])
def test_any_other_operation_keeps_none(run_dag, warehouse, persona, watch, tmp_path, fault):
    rows = [(NAME, BIRTHDATE, REVIEWER), (f"{NAME} II", BIRTHDATE, REVIEWER), (f"{NAME} III", BIRTHDATE, None)]
    warehouse("people", "name, born, email", rows)
    if fault:
        persona.script_fault(fault, operation="create-an-account")
    with _dag() as dag:
        SqlToPersonaOperator(
            task_id="create",
            operation_id="create-an-account",
            sql="SELECT * FROM people",
            sql_conn_id="warehouse",
            body={
                "data.attributes.name-first": "name",
                "data.attributes.birthdate": "born",
                "data.attributes.email-address": "email",
                "data.attributes.reference-id": "email",  # the second is refused: 409
            },
            constants={"data.attributes.name-last": "{{ name() }}"},
            concurrency=1,
            ledger_table="ledger",
            ledger_conn_id="audit",
        )
    dag.user_defined_macros = {"name": lambda: NAME}
    run = run_dag(dag)
    assert str(run.state) == "failed"
    counts = _counts(run, "create")
    assert sum(counts.values()) == 3
    assert counts == (
        {"updated": 1, "unresolved": 1, "failed": 1} if fault == "http_500_after" else {"updated": 2, "failed": 1}
    )
    assert watch() == []
    assert _values_files(tmp_path) == []


@pytest.mark.parametrize("wrong", ["key", "host", "limit"])
def test_a_run_that_cannot_begin_or_go_on_keeps_none(run_dag, warehouse, persona, watch, monkeypatch, wrong):
    warehouse("decisions", "case_id, fields", [(case_id, _fields()) for case_id in _opened(persona, 3)])
    connection = {"conn_type": "persona", "host": persona.url, "password": KEY}
    if wrong == "key":
        connection["password"] = f"{KEY}WRONG"
    elif wrong == "host":
        connection["host"] = "http://persona.example"
    else:
        persona.configure(limit=0)
    monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
    with _dag() as dag:
        SqlToPersonaCasesOperator(task_id="update", sql="SELECT * FROM decisions", sql_conn_id="warehouse")
    assert str(run_dag(dag).state) == "failed"
    assert watch() == []


def test_an_exceeded_threshold_keeps_none_and_no_values_either(run_dag, persona, watch, tmp_path):
    rows = [{"case_id": case_id, "fields": {"name-first": NAME}} for case_id in _opened(persona, 3)]
    with _dag() as dag:

        @task
        def forget() -> None:
            """Stand for a task before: rows of its own would be in XCom, by the user's own will."""

        before = forget()
        bulk = PersonaBulkUpdateCasesOperator(task_id="update", changes="{{ rows() }}", max_changes=2)
        before >> bulk
    dag.user_defined_macros = {"rows": lambda: rows}
    dag.render_template_as_native_obj = True
    assert str(run_dag(dag).state) == "failed"
    assert watch() == []
    assert _values_files(tmp_path) == []
