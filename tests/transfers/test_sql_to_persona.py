"""`SqlToPersonaCasesOperator`: from a warehouse to changed cases, through Airflow."""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator
from airflow_provider_persona.version_compat import DAG
from persona_simulator import SANDBOX_KEY
from tests.airflow_process import run_program

POSTGRES = {"conn_type": "postgres", "host": "127.0.0.1", "port": 5432, "login": "postgres", "schema": "test"}


@pytest.fixture
def transfer(run_dag, persona_connection, warehouse):
    """Run the operator in a Dag; returns the task instance."""

    def run(retries=0, **arguments):
        given = {"sql_conn_id": "warehouse", **arguments}
        with DAG(
            "transfer",
            schedule=None,
            start_date=datetime(2026, 1, 1, tzinfo=UTC),
            catchup=False,
            template_searchpath=[str(Path(__file__).parents[2] / "dags")],
        ) as dag:
            SqlToPersonaCasesOperator(task_id="cases", retries=retries, **given)
        return run_dag(dag).get_task_instance("cases")

    return run


def _open_cases(persona, count):
    return [case_id for case_id, status in persona.statuses().items() if status == "Open"][:count]


def _report(instance, key="return_value"):
    return instance.xcom_pull(task_ids="cases", key=key)


def test_a_file_of_sql_a_mapping_and_parameters(transfer, warehouse, persona):
    decided = _open_cases(persona, 6)
    warehouse("decisions", "persona_id, verdict, score", [(c, "Declined", n) for n, c in enumerate(decided)])
    instance = transfer(
        sql="SELECT * FROM decisions WHERE score >= :least",
        parameters={"least": 2},
        mapping={"case_id": "persona_id", "status": "verdict", "fields": {"risk_score": "score"}},
    )
    assert str(instance.state) == "success"
    effects = persona.journal()
    assert {effect.case_id for effect in effects} == set(decided[2:])
    assert {effect.operation for effect in effects} == {"update-a-case", "set-status-for-a-case"}
    assert _report(instance)["counts"]["updated"] == 4


def test_an_sql_file_is_rendered(transfer, warehouse, persona):
    decided = _open_cases(persona, 2)
    warehouse("case_decisions", "case_id, new_status, expected_status", [(c, "Declined", "Open") for c in decided])
    assert str(transfer(sql="sql/case_decisions.sql").state) == "success"
    assert len(persona.journal()) == 2


def test_a_missing_column_fails_before_the_first_call_naming_those_found(transfer, warehouse, persona, caplog, capfd):
    warehouse("decisions", "id, verdict", [])  # also without a single row
    instance = transfer(sql="SELECT * FROM decisions", retries=2)
    assert (str(instance.state), instance.try_number) == ("failed", 1)
    assert "have no column case_id; their columns are id, verdict" in caplog.text + "".join(capfd.readouterr())
    assert persona.requests() == []


def test_an_empty_result_is_a_success_with_zero_counts(transfer, warehouse, persona, caplog, capfd):
    warehouse("decisions", "case_id, status", [])
    instance = transfer(sql="SELECT * FROM decisions")
    assert str(instance.state) == "success"
    assert set(_report(instance)["counts"].values()) == {0}
    assert "No rows, so nothing to do" in caplog.text + "".join(capfd.readouterr())
    assert persona.requests() == []


def test_nulls_make_a_row_invalid_and_the_rest_goes_on(transfer, warehouse, persona):
    good = _open_cases(persona, 1)[0]
    warehouse(
        "decisions", "case_id, status", [(None, "Declined"), (good, "Declined"), ("case_1", None), ("a b", "Open")]
    )
    report = _report(transfer(sql="SELECT * FROM decisions"))
    assert (report["counts"]["invalid"], report["counts"]["updated"]) == (3, 1)
    assert [effect.case_id for effect in persona.journal()] == [good]


def test_another_environment_than_expected_fails_before_the_first_write(transfer, warehouse, persona, monkeypatch):
    connection = {
        "conn_type": "persona",
        "host": persona.url,
        "password": SANDBOX_KEY,
        "extra": {"expected_environment_id": "env_production"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
    warehouse("decisions", "case_id, status", [(case_id, "Declined") for case_id in _open_cases(persona, 5)])
    instance = transfer(sql="SELECT * FROM decisions", retries=2)
    assert (str(instance.state), instance.try_number) == ("failed", 1)
    assert persona.journal() == []
    assert {request.method for request in persona.requests()} == {"GET"}


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        ({"host": "http://persona.example"}, "https"),
        ({"password": ""}, "no API key"),
        ({"password": None}, "no API key"),
        ({"extra": {"reserve": 1}}, "reserve"),
        ({"extra": {"persona_version": "newest"}}, "version"),
    ],
)
def test_an_unusable_connection_says_what_to_do(
    transfer, warehouse, persona, monkeypatch, caplog, capfd, connection, said
):
    given = {"conn_type": "persona", "host": persona.url, "password": SANDBOX_KEY, **connection}
    monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(given))
    warehouse("decisions", "case_id, status", [("case_sim000001", "Declined")])
    instance = transfer(sql="SELECT * FROM decisions", retries=2)
    told = caplog.text + "".join(capfd.readouterr())
    assert (str(instance.state), instance.try_number) == ("failed", 1)
    assert said in told
    assert SANDBOX_KEY not in told
    assert persona.requests() == []


def test_a_retry_goes_on_where_the_ledger_ends(transfer, warehouse, persona):
    """Persona stops accepting the key in the middle; with the key back, the retry does what was left."""
    decided = _open_cases(persona, 40)
    warehouse("decisions", "case_id, status", [(case_id, "Declined") for case_id in decided])
    persona.script_fault("redirect", operation="set-status-for-a-case", case_id=decided[30])
    instance = transfer(sql="SELECT * FROM decisions", max_failures=0)
    assert str(instance.state) == "failed"
    assert _report(instance, "report")["counts"]["failed"] == 1
    assert len(persona.journal()) == 39


@pytest.fixture
def postgres_table(monkeypatch):
    """A table of its own in PostgreSQL, behind the connection `postgres_warehouse`."""
    psycopg2 = pytest.importorskip("psycopg2")
    try:
        db = psycopg2.connect(host="127.0.0.1", port=5432, user="postgres", dbname="test", connect_timeout=3)
    except psycopg2.OperationalError:
        if os.environ.get("CI") == "true":
            pytest.fail("no PostgreSQL answers on 127.0.0.1:5432")
        pytest.skip("no PostgreSQL answers on 127.0.0.1:5432")
    db.autocommit = True
    name = f"decisions_{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_WAREHOUSE", json.dumps(POSTGRES))
    cursor = db.cursor()
    cursor.execute(f"CREATE TABLE {name} (case_id text, status text, expected_status text, tags jsonb, decided date)")
    yield name, cursor
    cursor.execute(f"DROP TABLE {name}")
    db.close()


def test_postgresql_as_the_warehouse_end_to_end(transfer, persona, postgres_table):
    name, cursor = postgres_table
    decided = _open_cases(persona, 50)
    cursor.executemany(
        f"INSERT INTO {name} VALUES (%s, 'Declined', 'Open', %s, '2026-01-01')",
        [(case_id, json.dumps(["chargeback"])) for case_id in decided],
    )
    instance = transfer(
        sql=f"SELECT case_id, status, expected_status, tags AS add_tags FROM {name} WHERE decided >= %(since)s",
        parameters={"since": "2025-12-31"},
        sql_conn_id="postgres_warehouse",
    )
    assert str(instance.state) == "success"
    assert _report(instance)["counts"]["updated"] == 50
    assert {effect.case_id for effect in persona.journal()} == set(decided)
    assert len(persona.journal()) == 100  # a tag and a status each


def test_a_query_of_many_rows_needs_little_memory_from_query_to_report(persona):
    """Through query, plan, apply (as a dry run) and ledger, in a process of its own."""
    script = Path(__file__).with_name("operator_memory.py")
    done = run_program(script, ["50000", persona.url, SANDBOX_KEY])
    assert done.returncode == 0, done.stderr
    grown = float(done.stdout.splitlines()[-1])
    assert grown < 20
