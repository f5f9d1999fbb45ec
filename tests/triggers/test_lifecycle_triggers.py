"""The trigger on things with a life-cycle by itself: when it looks, what it yields, what it keeps to itself."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest

from airflow_provider_persona.api.errors import (
    PersonaAuthenticationError,
    PersonaError,
    PersonaNotFoundError,
    PersonaRateLimitError,
    PersonaSettingsError,
)
from airflow_provider_persona.api.lifecycle import LIFECYCLES
from airflow_provider_persona.hooks.persona import PersonaHook
from airflow_provider_persona.tasks.wait_trigger import WaitEnded
from airflow_provider_persona.triggers.lifecycle import PersonaLifecycleTrigger
from tests.sensors.lives import BY_NAME, LIVES, change


def _trigger(resource="report", resource_id="rep_1", *statuses, **changes):
    waiting = {"persona_conn_id": "persona_default", "poll_interval": 0.05, **changes}
    return PersonaLifecycleTrigger(resource, resource_id, *statuses, **waiting)


def _events(trigger):
    async def run():
        return [event.payload async for event in trigger.run()]

    return asyncio.run(run())


def _error(trigger):
    (event,) = _events(trigger)
    assert json.loads(json.dumps(event)) == event
    with pytest.raises(PersonaError) as caught:
        WaitEnded.from_event(event)
    return caught.value


@pytest.mark.parametrize(
    "trigger",
    [
        _trigger("inquiry", "inq_1"),
        _trigger("inquiry", "inq_1", ["approved"], []),
        _trigger(first_poll_after=20.0, give_up_at=1.5, silent_fail=True),
    ],
)
def test_it_survives_serialization(trigger):
    path, arguments = trigger.serialize()
    assert path == "airflow_provider_persona.triggers.lifecycle.PersonaLifecycleTrigger"
    again = PersonaLifecycleTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.resource)
class TestEveryResource:
    def test_the_event_tells_the_state_and_nothing_else(self, persona_connection, life):
        thing_id = life.begin(persona_connection)
        change(persona_connection, thing_id, life.good, {**life.end, "name": "Canaria Vogelsang"})
        (event,) = _events(_trigger(life.resource, thing_id, life.targets))
        assert event.pop("facts", {}).keys() <= set(LIFECYCLES[life.resource].facts)
        assert event == {"ended": "reached", "status": life.good}

    def test_a_bad_end_is_no_error(self, persona_connection, life):
        thing_id = life.begin(persona_connection)
        change(persona_connection, thing_id, life.bad)
        (event,) = _events(_trigger(life.resource, thing_id, life.targets, life.failures))
        assert (event["ended"], event["status"]) == ("failed", life.bad)

    def test_an_unknown_status_is_waited_out(self, persona_connection, life):
        thing_id = life.begin(persona_connection)
        change(persona_connection, thing_id, "brand_new")
        trigger = _trigger(life.resource, thing_id, life.targets, give_up_at=time.time())
        assert _events(trigger) == [{"ended": "timeout", "seen": f"{life.resource} {thing_id} has status brand_new"}]
        assert len(persona_connection.requests(operation=LIFECYCLES[life.resource].operation_id)) == 1

    def test_an_unknown_id_is_told_at_the_first_look(self, persona_connection, life):
        error = _error(_trigger(life.resource, "x_unknown", life.targets))
        assert isinstance(error, PersonaNotFoundError)
        assert (error.status, error.retryable) == (404, False)
        assert len(persona_connection.requests()) == 1

    def test_it_asks_for_the_state_alone(self, persona_connection, life):
        thing_id = life.begin(persona_connection)
        lifecycle = LIFECYCLES[life.resource]
        with PersonaHook() as hook:
            answer = hook.client.send(lifecycle.request(thing_id)).json()
        asked = {"status", *lifecycle.facts, *filter(None, [lifecycle.ended_at])}
        if life.resource != "list":  # nothing personal, so that its kinds are not enumerated
            assert set(answer["data"]["attributes"]) == asked
        assert not answer.get("included")


def test_the_first_look_is_late(persona_connection):
    started = time.monotonic()
    _error(_trigger("report", "rep_unknown", first_poll_after=0.5))
    assert time.monotonic() - started >= 0.5


def test_the_last_look_is_at_the_end_of_the_time_however_late_the_first_was_to_be(persona_connection):
    started = time.monotonic()
    thing_id = BY_NAME["report"].begin(persona_connection)
    trigger = _trigger("report", thing_id, give_up_at=time.time() + 0.3, first_poll_after=60.0)
    assert [event["ended"] for event in _events(trigger)] == ["timeout"]
    assert 0.2 < time.monotonic() - started < 5
    assert len(persona_connection.requests(operation="retrieve-a-report")) == 1


def test_a_wrong_key_comes_back_typed(persona, monkeypatch):
    connection = {"conn_type": "persona", "host": persona.url, "password": "persona_sandbox_wrong"}
    monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
    error = _error(_trigger())
    assert isinstance(error, PersonaAuthenticationError)
    assert not error.retryable
    assert "persona_sandbox" not in str(error)


@pytest.mark.parametrize(
    ("trigger", "named"),
    [
        (_trigger("report", "../cases"), "report-id"),
        (_trigger("webhook", "wbh_1"), "webhook"),
        (_trigger("transaction", "txn_1"), "name those"),
        (_trigger("report", "rep_1", ["Ready"]), "did you mean"),
        (_trigger(persona_conn_id="persona_nowhere"), "persona_nowhere"),
    ],
)
def test_what_cannot_be_waited_for_is_an_error_and_no_crash(airflow_db, persona_connection, trigger, named):
    error = _error(trigger)
    assert isinstance(error, PersonaSettingsError)
    assert named in str(error)
    assert not error.retryable


def test_a_look_that_fails_for_a_moment_ends_nothing_where_that_is_wished(persona_connection):
    thing_id = BY_NAME["report"].begin(persona_connection)
    change(persona_connection, thing_id, "ready")
    persona_connection.configure(limit=0, window_seconds=0.2)
    error = _error(_trigger("report", thing_id))
    assert isinstance(error, PersonaRateLimitError)
    assert error.retryable
    threading.Timer(0.3, persona_connection.configure, kwargs={"limit": 1000}).start()
    (event,) = _events(_trigger("report", thing_id, silent_fail=True))
    assert event["ended"] == "reached"
