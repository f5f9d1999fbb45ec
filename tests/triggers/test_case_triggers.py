"""The triggers by themselves: what they serialize, what they yield, and that a wrong event is refused."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaNotFoundError, PersonaServerError
from airflow_provider_persona.tasks.wait_trigger import WaitEnded
from airflow_provider_persona.triggers.cases import PersonaCasesTrigger, PersonaCaseTrigger


def _first_event(trigger):
    async def run():
        async for event in trigger.run():
            return event.payload
        return None

    return asyncio.run(run())


def _case_trigger(case_id, **changes):
    arguments = {"resolved": False, "persona_conn_id": "persona_default", "poll_interval": 0.05, **changes}
    return PersonaCaseTrigger(case_id, ["Approved"], ["Declined"], **arguments)


@pytest.mark.parametrize(
    "trigger",
    [
        _case_trigger("case_1", resolved=True),
        PersonaCasesTrigger(
            {"status": "Open"}, at_most=0, at_least=None, persona_conn_id="persona_default", poll_interval=5
        ),
    ],
)
def test_a_trigger_survives_serialization(trigger):
    path, arguments = trigger.serialize()
    again = type(trigger)(**arguments)
    assert path == f"{type(trigger).__module__}.{type(trigger).__name__}"
    assert again.serialize() == (path, arguments)


def test_reaching_failing_and_counting(persona_connection):
    statuses = persona_connection.statuses()
    approved = next(case_id for case_id, status in statuses.items() if status == "Approved")
    declined = next(case_id for case_id, status in statuses.items() if status == "Declined")
    assert _first_event(_case_trigger(approved)) == {"ended": "reached", "status": "Approved"}
    assert _first_event(_case_trigger(declined)) == {"ended": "failed", "status": "Declined"}
    counting = PersonaCasesTrigger(
        {"status": "Open"}, at_most=None, at_least=2, persona_conn_id="persona_default", poll_interval=0.05
    )
    assert _first_event(counting) == {"ended": "reached", "count": 2}


def test_an_error_crosses_as_data_and_comes_back_typed(persona_connection):
    event = _first_event(_case_trigger("case_unknown"))
    assert event["ended"] == "error"
    with pytest.raises(PersonaNotFoundError) as caught:
        WaitEnded.from_event(event)
    assert caught.value.status == 404
    assert caught.value.request_id


def test_whether_an_error_is_worth_a_retry_crosses_too():
    error = PersonaServerError("Persona answered 503", status=503)
    with pytest.raises(PersonaServerError) as caught:
        WaitEnded.from_event({"ended": "error", "error": error.to_event()})
    assert caught.value.retryable


@pytest.mark.parametrize("event", [None, {}, "reached", {"ended": "perhaps"}, {"ended": "reached", "more": 1}])
def test_an_event_of_somebody_else_is_refused(event):
    with pytest.raises(PersonaAnswerError):
        WaitEnded.from_event(event)
