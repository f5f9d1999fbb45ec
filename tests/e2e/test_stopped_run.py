"""A bulk run is told to stop in its middle: a person marks it as failed or clears it, or its worker shuts down."""

from __future__ import annotations

import json
import re
import time
import uuid

import pytest
from decisions import assert_changed_once, effects_on, requests_about

pytestmark = pytest.mark.e2e

DAG_ID, TASK_ID = "e2e_killed", "update_cases"
ROWS = 600
STOPPED = re.compile(rf"Stopped at (\d+) of {ROWS} rows; a retry or a clear goes on from here")


@pytest.fixture
def run(airflow, persona, warehouse, cases):
    """A bulk run that is in its middle: its id, what it is to do, and its state path."""
    wanted = dict.fromkeys(cases.take(ROWS), "Declined")
    table = f"stopped_{uuid.uuid4().hex[:8]}"
    warehouse.fill(table, "case_id, new_status", wanted.items())
    persona.configure(latency_ms=300)  # there are always requests under way
    run_id = airflow.trigger(DAG_ID, table=table, state_path=str(airflow.home / table))
    airflow.until(lambda: len(effects_on(persona, wanted)) > ROWS / 4, 90, "the run is in its middle")
    return run_id, wanted, airflow.home / table


def _stopped_at(airflow, run_id):
    """Return how far the run says that it came, once for each time that it says so."""
    logs = [text for path, text in airflow.task_logs(DAG_ID).items() if f"run_id={run_id}" in str(path)]
    return [int(count) for text in logs for count in STOPPED.findall(text)]


def _stopped_cleanly(airflow, run):
    """Return how far the run came before it stopped, as it says and as its ledger has it."""
    run_id, _, state = run
    (done,) = airflow.until(lambda: _stopped_at(airflow, run_id), 60, "the task says how far it came")
    assert done < ROWS
    (ledger,) = state.rglob("ledger-00001.jsonl")
    end = json.loads(airflow.until(lambda: _last_line(ledger), 30, "the ledger is closed"))
    assert end["end"] == "stopped"
    assert end["counts"] == {"updated": done}
    return done


def _last_line(ledger):
    line = ledger.read_text().splitlines()[-1]
    return line if '"end"' in line else None


def _assert_done_once(airflow, persona, run):
    run_id, wanted, _ = run
    airflow.until_success(DAG_ID, run_id, 150)
    assert_changed_once(persona, wanted)
    assert [request.method for request in requests_about(persona, wanted)] == ["POST"] * ROWS
    assert len(_stopped_at(airflow, run_id)) == 1
    report = airflow.result(DAG_ID, run_id, TASK_ID)
    assert report["counts"]["updated"] == report["rows"] == ROWS
    return report


def test_a_run_that_is_marked_as_failed_stops_and_a_clear_finishes_it(airflow, persona, run, record_property):
    run_id, wanted, _ = run
    since = time.monotonic()
    airflow.mark_failed(DAG_ID, run_id, TASK_ID)
    done = _stopped_cleanly(airflow, run)
    record_property("measured", f"stopped at {done} of {ROWS} rows {time.monotonic() - since:.1f} s after the mark")
    assert len(effects_on(persona, wanted)) == done
    time.sleep(2)
    assert len(effects_on(persona, wanted)) == done
    assert airflow.tasks(DAG_ID, run_id)[0]["state"] == "failed"

    persona.configure(latency_ms=20)
    airflow.clear(DAG_ID, run_id, TASK_ID)
    assert _assert_done_once(airflow, persona, run)["resumed"] == done


def test_a_run_of_a_worker_that_shuts_down_stops_and_the_other_worker_goes_on(airflow, persona, run, record_property):
    run_id, _, _ = run
    since = time.monotonic()
    ended = airflow.server_of(airflow.tasks(DAG_ID, run_id)[0]["pid"])
    airflow.shut_down(ended)
    done = _stopped_cleanly(airflow, run)
    record_property("measured", f"{ended} was gone {time.monotonic() - since:.1f} s after its signal, at {done} rows")

    persona.configure(latency_ms=20)
    report = _assert_done_once(airflow, persona, run)
    airflow.start(ended)
    assert report["resumed"] == done
    assert airflow.tasks(DAG_ID, run_id)[0]["try_number"] == 2


def test_a_run_that_is_cleared_while_it_runs_stops_and_begins_again_where_it_was(airflow, persona, run):
    run_id, _, _ = run
    airflow.clear(DAG_ID, run_id, TASK_ID)
    done = _stopped_cleanly(airflow, run)

    persona.configure(latency_ms=20)
    report = _assert_done_once(airflow, persona, run)
    assert report["resumed"] == done


def test_an_export_that_is_marked_as_failed_stops_and_a_clear_goes_on_after_its_parts(airflow, persona):
    """Here the exception comes out of the signal's handler, in whatever the task does just then."""
    folder = airflow.home / f"export_{uuid.uuid4().hex[:8]}"
    before = len(_pages(persona))
    persona.configure(latency_ms=300)
    run_id = airflow.trigger("e2e_export", output_path=str(folder))
    airflow.until(lambda: len(_pages(persona)) > before + 12, 90, "the export is in its middle")
    airflow.mark_failed("e2e_export", run_id, "export")
    airflow.until(lambda: "stopped: Airflow ended the task" in _log(airflow, "e2e_export"), 60, "the task says so")
    asked = len(_pages(persona))
    time.sleep(2)
    assert len(_pages(persona)) == asked
    assert not (folder / "_manifest.json").exists()
    had = len(_exported(folder))

    persona.configure(latency_ms=0)
    airflow.clear("e2e_export", run_id, "export")
    airflow.until_success("e2e_export", run_id, 90)
    cases = persona.statuses()
    assert sorted(_exported(folder)) == sorted(cases)
    assert 0 < had < len(cases)
    assert airflow.result("e2e_export", run_id, "export")["resumed"]


def _pages(persona):
    return persona.requests(operation="list-all-cases")


def _log(airflow, dag_id):
    return "".join(airflow.task_logs(dag_id).values())


def _exported(folder):
    """Return the ids in the parts, of which each line must be whole."""
    return [json.loads(line)["id"] for part in folder.glob("part-*") for line in part.read_text().splitlines()]
