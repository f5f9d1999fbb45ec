"""`PersonaBulkUpdateCasesOperator`: rows at hand, through Airflow and against a simulated Persona."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from plan_runs import counts_of, with_status

from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.version_compat import DAG, task
from persona_simulator import READ_ONLY_KEY


@pytest.fixture
def bulk(run_dag, persona_connection, state_path):
    """Run the operator in a Dag; returns the task instance."""

    def run(retries=0, **arguments):
        with DAG("bulk", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
            PersonaBulkUpdateCasesOperator(task_id="cases", retries=retries, **arguments)
        return run_dag(dag).get_task_instance("cases")

    return run


def _report(instance, key="return_value"):
    return instance.xcom_pull(task_ids="cases", key=key)


def test_rows_of_another_task_are_taken_from_xcom(run_dag, persona_connection, state_path):
    decided = with_status(persona_connection, "Open", 3)
    with DAG("bulk", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:

        @task
        def decide():
            return [{"case_id": case_id, "status": "Declined"} for case_id in decided]

        PersonaBulkUpdateCasesOperator(task_id="cases", changes=decide())
    run = run_dag(dag)
    assert str(run.state) == "success"
    assert sorted(effect.case_id for effect in persona_connection.journal()) == sorted(decided)


def test_an_unknown_status_fails_its_row_with_title_and_pointer_and_then_the_task(bulk, persona):
    good, bad = with_status(persona, "Open", 2)
    instance = bulk(changes=[{"case_id": good, "status": "Declined"}, {"case_id": bad, "status": "Aproved"}], retries=2)
    assert (str(instance.state), instance.try_number) == ("failed", 1)  # a retry would meet the same 422
    report = _report(instance, "report")
    assert counts_of(report) == {"updated": 1, "failed": 1}
    ledger = "".join(path.read_text() for path in Path(report["ledger"]).glob("ledger-*"))
    assert "Unprocessable Entity" in ledger
    assert "/meta/status" in ledger
    assert persona.statuses()[good] == "Declined"


def test_failures_within_the_limit_leave_the_task_a_success(bulk, persona):
    good, bad = with_status(persona, "Open", 2)
    instance = bulk(
        changes=[{"case_id": good, "status": "Declined"}, {"case_id": bad, "status": "Aproved"}], max_failures="0.5"
    )
    assert str(instance.state) == "success"
    assert counts_of(_report(instance)) == {"updated": 1, "failed": 1}


def test_contradicting_rows_are_invalid_and_never_sent(bulk, persona):
    case_id = with_status(persona, "Open", 1)[0]
    instance = bulk(changes=[{"case_id": case_id, "status": "Declined"}, {"case_id": case_id, "status": "Approved"}])
    assert str(instance.state) == "failed"  # nothing could be done for any row
    assert counts_of(_report(instance, "report")) == {"invalid": 2}
    assert persona.journal() == []


def test_a_human_decision_is_not_overwritten(bulk, persona):
    opened, decided = with_status(persona, "Open", 1)[0], with_status(persona, "Approved", 1)[0]
    instance = bulk(changes=[{"case_id": c, "status": "Declined"} for c in (opened, decided)], only_from=["Open"])
    assert counts_of(_report(instance)) == {"updated": 1, "skipped_guard": 1}
    assert persona.statuses()[decided] == "Approved"


def test_no_rows_are_a_success_that_says_so(bulk, caplog):
    instance = bulk(changes=[])
    assert str(instance.state) == "success"
    assert counts_of(_report(instance)) == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"changes": "case_1"}, "changes is a list"),
        ({"changes": [{"id": "case_1", "status": "Open"}]}, "their columns are id, status"),
        ({"changes": [], "mapping": {"stat": "x"}}, None),
        ({"changes": [{"case_id": "case_1", "status": "Open"}], "mapping": {"stat": "x"}}, "mapping knows no stat"),
        ({"changes": [], "compare": "sometimes"}, "compare is"),
        ({"changes": [], "max_failures": "many"}, "max_failures is"),
        ({"changes": [], "dry_run": "perhaps"}, "dry_run is"),
        ({"changes": [], "persona_conn_id": "not_there"}, "not_there"),
        ({"changes": [], "reserve": 1.0}, "reserve"),
    ],
)
def test_bad_arguments_fail_before_the_first_call_and_say_what_to_do(
    persona_connection, state_path, run_dag, capfd, caplog, arguments, said
):
    with DAG("bulk", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        PersonaBulkUpdateCasesOperator(task_id="cases", **arguments)
    instance = run_dag(dag).get_task_instance("cases")
    told = caplog.text + "".join(capfd.readouterr())
    if said is None:
        assert str(instance.state) == "success"
    else:
        assert str(instance.state) == "failed"
        assert said in told
    assert persona_connection.requests() == []


def test_a_key_without_permission_stops_at_once_and_nothing_is_lost(bulk, persona, monkeypatch):
    connection = {"conn_type": "persona", "host": persona.url, "password": READ_ONLY_KEY}
    monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
    rows = [{"case_id": case_id, "status": "Declined"} for case_id in with_status(persona, "Open", 60)]
    instance = bulk(changes=rows, retries=2)
    assert (str(instance.state), instance.try_number) == ("failed", 1)
    assert len(persona.requests()) <= 24
    assert persona.journal() == []


def test_an_unwritable_state_path_fails_before_the_first_call(bulk, persona, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    case_id = with_status(persona, "Open", 1)[0]
    instance = bulk(changes=[{"case_id": case_id, "status": "Declined"}], state_path=str(blocked / "below"))
    assert str(instance.state) == "failed"
    assert persona.requests() == []
