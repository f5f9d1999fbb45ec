"""What a person reads of a wait: what is there, what is waited for, how long yet; and never a filter's value."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from airflow_provider_persona.sensors.cases import PersonaCaseSensor, PersonaCasesSensor
from airflow_provider_persona.triggers.cases import PersonaCasesTrigger
from airflow_provider_persona.version_compat import AirflowSensorTimeout

PRIVATE = "Vogel" + "sang"
FILTERS = {"status": "Open", "reference-id": PRIVATE}


def _case(persona, status="Open"):
    return next(case_id for case_id, now in persona.statuses().items() if now == status)


def test_each_look_in_a_worker_is_a_line(persona_connection, told):
    case_id = _case(persona_connection)
    sensor = PersonaCaseSensor(
        task_id="wait", case_id=case_id, target_statuses=["Approved"], poke_interval=0.05, timeout=600
    )

    def decide_after_two_looks():
        while len(persona_connection.requests(operation="retrieve-case")) < 2:
            time.sleep(0.02)
        persona_connection.act_as_human(case_id, status="Approved")

    human = threading.Thread(target=decide_after_two_looks)
    human.start()
    sensor.execute({})
    human.join()
    first, *_, last = (line for line in told() if case_id in line)
    assert first == f"{case_id} has status Open. Waiting for Approved, 10 min left"
    assert last == f"{case_id} has status Approved. The wait is over: reached"


def test_the_timeout_says_what_was_seen_last(persona_connection):
    case_id = _case(persona_connection)
    sensor = PersonaCaseSensor(
        task_id="wait", case_id=case_id, target_statuses=["Approved"], poke_interval=0.05, timeout=0.05
    )
    with pytest.raises(AirflowSensorTimeout, match=rf"timeout.*{case_id} has status Open.*Approved"):
        sensor.execute({})


def test_a_count_names_the_filters_and_not_what_they_look_for(persona_connection, told):
    sensor = PersonaCasesSensor(task_id="wait", filters=FILTERS, at_least=3, poke_interval=0.05, timeout=0.1)
    with pytest.raises(AirflowSensorTimeout) as raised:
        sensor.execute({})
    log = "\n".join(told())
    assert "0 cases by reference-id, status" in str(raised.value)
    assert "at least 3" in str(raised.value)
    assert PRIVATE not in log + str(raised.value)


def test_the_triggerer_tells_the_same(persona_connection, told):
    trigger = PersonaCasesTrigger(
        FILTERS,
        at_most=None,
        at_least=3,
        persona_conn_id="persona_default",
        poll_interval=0.05,
        give_up_at=time.time() + 0.2,
    )

    async def event():
        return await anext(trigger.run())

    payload = asyncio.run(event()).payload
    log = "\n".join(told())
    assert payload == {"ended": "timeout", "seen": "0 cases by reference-id, status"}
    assert "0 cases by reference-id, status. Waiting for at least 3, " in log
    assert PRIVATE not in log
    sensor = PersonaCasesSensor(task_id="wait", filters=FILTERS, at_least=3, timeout=600)
    with pytest.raises(AirflowSensorTimeout, match=r"10 min.*0 cases by reference-id, status.*at least 3"):
        sensor.execute_complete({}, payload)
