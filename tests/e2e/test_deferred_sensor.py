"""A sensor that gives its worker back and is woken by the triggerer."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.e2e

INQUIRY = "inq_sim000001"


def test_a_deferred_sensor_ends_when_the_inquiry_is_completed(airflow, persona):
    persona.change_object(INQUIRY, "pending")
    run_id = airflow.trigger("e2e_waiting", inquiry_id=INQUIRY)
    airflow.until(lambda: _task(airflow, run_id)["state"] == "deferred", 60, "the sensor is deferred")
    assert _task(airflow, run_id)["trigger"]["classpath"].endswith("PersonaLifecycleTrigger")

    persona.change_object(INQUIRY, "completed")
    airflow.until_success("e2e_waiting", run_id, 120)
    assert airflow.result("e2e_waiting", run_id, "completed") == {"id": INQUIRY, "status": "completed"}
    looked = [request for request in persona.requests() if request.case_id == INQUIRY]
    assert len(looked) == 2, "once by the task, once by the triggerer"


def _task(airflow, run_id):
    return airflow.tasks("e2e_waiting", run_id)[0]
