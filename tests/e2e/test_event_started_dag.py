"""A case's status changes in Persona, and a Dag runs, also for what happened while no triggerer was there."""

from __future__ import annotations

import json

import pytest

DAG_ID = "persona_on_case_status"
RUNS = f"SELECT run_id, state FROM dag_run WHERE dag_id = '{DAG_ID}' ORDER BY id"
RESULTS = f"SELECT value FROM xcom WHERE dag_id = '{DAG_ID}' AND key = 'return_value' ORDER BY timestamp"
CURSORS = "SELECT value FROM asset_state_store"

pytestmark = pytest.mark.e2e


def test_a_status_change_starts_the_dag_also_after_the_triggerer_was_killed(airflow, watched_persona):
    opened = [case_id for case_id, status in watched_persona.statuses().items() if status == "Open"]
    airflow.pause(DAG_ID, is_paused=False)
    airflow.parse(DAG_ID)  # that is when a watcher is begun or ended
    airflow.until(lambda: airflow.query(CURSORS), 120, "the watcher notes where it began")
    assert airflow.query(RUNS) == []

    watched_persona.act_as_human(opened[0], status="Declined")
    airflow.until(lambda: opened[0] in _cases_told_of(airflow), 60, "a run for the change")
    assert _results(airflow) == [{opened[0]: "Declined"}]
    airflow.until(lambda: _told(airflow), 30, "the cursor is kept")

    airflow.kill("triggerer")
    watched_persona.act_as_human(opened[1], status="Approved")
    airflow.start("triggerer")
    airflow.until(lambda: opened[1] in _cases_told_of(airflow), 120, "a run for what happened meanwhile")
    assert _results(airflow) == [{opened[0]: "Declined"}, {opened[1]: "Approved"}]
    airflow.until(lambda: {state for _, state in airflow.query(RUNS)} == {"success"}, 30, "the runs' ends")
    airflow.pause(DAG_ID, is_paused=True)
    airflow.parse(DAG_ID)


def _results(airflow):
    """Return what the runs' tasks returned: the present status of each case that an event told of."""
    return _values(airflow, RESULTS)


def _cases_told_of(airflow):
    return {case_id for result in _results(airflow) for case_id in result}


def _told(airflow):
    """Return the events that the kept cursor has as told of."""
    return {event for value in _values(airflow, CURSORS) for event in value["told"]}


def _values(airflow, sql):
    return [json.loads(value) if isinstance(value, str) else value for (value,) in airflow.query(sql)]
