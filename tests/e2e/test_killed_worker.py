"""A worker is gone in the middle of a bulk run, with its task; Airflow notices, and the other worker goes on."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest
from airflow_servers import WORKERS
from decisions import assert_changed_once, effects_on, requests_about

pytestmark = pytest.mark.e2e

DAG_ID = "e2e_killed"
ROWS = 600
MAY_BE_REPEATED = 25


@pytest.mark.parametrize("is_disk_lost", [False, True], ids=["shared_folder", "disk_lost"])
def test_the_other_worker_goes_on(airflow, persona, warehouse, cases, is_disk_lost, record_property):
    wanted = dict.fromkeys(cases.take(ROWS), "Declined")
    table = f"killed_{int(is_disk_lost)}"
    warehouse.fill(table, "case_id, new_status", wanted.items())
    state = airflow.home / table
    persona.configure(latency_ms=300)  # there are always requests under way

    run_id = airflow.trigger(DAG_ID, table=table, state_path=str(state))
    airflow.until(lambda: len(effects_on(persona, wanted)) > ROWS / 4, 90, "the run is in its middle")
    killed = airflow.server_of(airflow.tasks(DAG_ID, run_id)[0]["pid"])
    airflow.kill(killed)
    done = len(effects_on(persona, wanted))
    assert done < ROWS
    persona.configure(latency_ms=20)
    if is_disk_lost:
        shutil.rmtree(state)
    airflow.until_success(DAG_ID, run_id, 150)
    airflow.start(killed)

    assert killed in WORKERS
    assert airflow.tasks(DAG_ID, run_id)[0]["try_number"] == 2
    assert_changed_once(persona, wanted)
    methods = Counter(request.method for request in requests_about(persona, wanted))
    repeated, looks = methods["POST"] - ROWS, methods["GET"]
    told = f"{killed} killed after {done} of {ROWS} rows; {repeated} requests repeated, {looks} looks"
    record_property("measured", told)
    assert repeated <= MAY_BE_REPEATED
    # Where nothing tells that the rows under way were begun, Persona's repeated answers may be old ones.
    assert looks <= (repeated if is_disk_lost else 0)
    report = airflow.result(DAG_ID, run_id, "update_cases")
    assert report["counts"]["updated"] == report["rows"] == ROWS
    assert report["resumed"] >= ROWS / 4 - MAY_BE_REPEATED
