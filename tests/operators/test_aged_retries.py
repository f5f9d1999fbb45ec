"""A retry that comes when Persona may have forgotten the first try's answer does nothing twice, and says so."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_persona.api.errors import PersonaQuotaError, PersonaUnresolvedError
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.retry import KEY_GOOD_FOR
from airflow_provider_persona.client import PersonaClient
from airflow_provider_persona.hooks.persona import PersonaHook
from airflow_provider_persona.operators.api_keys import PersonaCreateApiKeyOperator
from airflow_provider_persona.operators.identity import FIRST_TRY, send_for_task
from tests.operators.test_persona_operator import _ti

START = datetime(2026, 1, 1, tzinfo=UTC)
CREATE = operation("create-an-inquiry").bind(body={"data": {"attributes": {"inquiry-template-id": "itmpl_kyc"}}})
APPROVE = operation("approve-an-inquiry").bind({"inquiry-id": "inq_sim000001"})
FRESH, AGED = KEY_GOOD_FOR - 1, KEY_GOOD_FOR + 1
LONG_AGO = START - timedelta(days=1)


class TaskState:
    """A task's state, with the face that Airflow's has."""

    def __init__(self):
        self.kept = {}

    def get(self, key, default=None):
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key, value):
        self.kept[key] = json.dumps(value)


@pytest.fixture
def client(persona_connection):
    with PersonaHook() as hook:
        yield hook.client


def _send(client: PersonaClient, try_number, seconds, *, store=None, run_began=LONG_AGO, request=CREATE, **more):
    context = {"ti": _ti(try_number=try_number, **{"max_tries": 5, **more})}
    if store is not None:
        context["task_state_store"] = store
    if run_began is not None:
        context["dag_run"] = SimpleNamespace(start_date=run_began)
    answer = send_for_task(client, request, context, 5, utc=lambda: START + timedelta(seconds=seconds))
    return answer.json()["data"]["id"]


def _made(persona):
    return [effect.object_id for effect in persona.journal() if effect.operation == "create-an-inquiry"]


def test_a_retry_in_time_gets_the_first_answer_however_old_the_run_is(client, persona_connection):
    store = TaskState()
    first = _send(client, 1, 0, store=store)
    assert [_send(client, 2, 60, store=store), _send(client, 6, FRESH, store=store)] == [first, first]
    assert _made(persona_connection) == [first]


def test_a_late_retry_sends_nothing_and_says_what_to_do(client, persona_connection):
    store = TaskState()
    first = _send(client, 1, 0, store=store)
    with pytest.raises(PersonaUnresolvedError, match="create-an-inquiry may have been done by an earlier try") as told:
        _send(client, 2, AGED, store=store, run_began=START + timedelta(seconds=AGED))
    assert not told.value.retryable
    assert "mark this task as success; if it was not, clear it" in str(told.value)
    assert len(persona_connection.requests()) == 1
    assert _made(persona_connection) == [first]


@pytest.mark.parametrize("state", [lambda: None, TaskState])
@pytest.mark.parametrize(("run_began", "is_sent"), [(0, True), (AGED - FRESH + 1, True), (-1, False), (None, False)])
def test_without_a_note_the_run_began_before_the_first_try(client, persona_connection, state, run_began, is_sent):
    store = state()
    began = None if run_began is None else START + timedelta(seconds=run_began)
    if is_sent:
        assert _send(client, 2, KEY_GOOD_FOR, store=store, run_began=began) == _made(persona_connection)[0]
    else:
        with pytest.raises(PersonaUnresolvedError):
            _send(client, 2, KEY_GOOD_FOR, store=store, run_began=began)
        assert persona_connection.requests() == []


@pytest.mark.parametrize("state", [lambda: None, TaskState])
@pytest.mark.parametrize("run_began", [LONG_AGO, None])
def test_a_first_try_is_always_sent_and_so_is_the_first_after_a_clear(client, persona_connection, state, run_began):
    store = state()
    first = _send(client, 1, 0, store=store, run_began=run_began)
    cleared = _send(client, 3, 3 * AGED, store=store, run_began=run_began, max_tries=7)
    assert _made(persona_connection) == [first, cleared]
    with pytest.raises(PersonaUnresolvedError):
        _send(client, 4, 4 * AGED, store=store, run_began=run_began, max_tries=7)
    assert len(_made(persona_connection)) == 2


def test_after_a_clear_the_age_counts_anew(client, persona_connection):
    store = TaskState()
    _send(client, 1, 0, store=store)
    cleared = _send(client, 3, 10 * AGED, store=store, max_tries=7)
    assert _send(client, 4, 10 * AGED + FRESH, store=store, max_tries=7) == cleared


def test_what_may_be_done_twice_is_tried_whenever_and_needs_no_note(client, persona_connection):
    store = TaskState()
    assert _send(client, 5, 9 * AGED, store=store, request=APPROVE) == "inq_sim000001"
    assert store.kept == {}


def test_a_used_up_quota_says_that_nothing_was_done_so_a_retry_may_be_late(client, persona_connection):
    store = TaskState()
    persona_connection.configure(create_quota=0, quota_status=403, window_seconds=10_000)
    with pytest.raises(PersonaQuotaError):
        _send(client, 1, 0, store=store)
    persona_connection.configure(create_quota=5, window_seconds=60)
    made = _send(client, 2, 5 * AGED, store=store)
    assert _send(client, 3, 5 * AGED + FRESH, store=store) == made
    assert _made(persona_connection) == [made]
    with pytest.raises(PersonaUnresolvedError):
        _send(client, 4, 6 * AGED + 1, store=store)


def test_a_key_that_was_never_delivered_is_not_made_again_an_hour_later(persona_connection):
    def execute(try_number, deliver, store):
        context = {"ti": _ti(try_number=try_number, max_tries=5), "task_state_store": store}
        arguments = {"task_id": "call", "name": "k", "retries": 5}
        return PersonaCreateApiKeyOperator(**arguments, deliver=deliver).execute(context)

    def broken(key):
        raise OSError("the vault is away")

    store, taken = TaskState(), []
    with pytest.raises(RuntimeError, match="could not be delivered"):
        execute(1, broken, store)
    noted = store.get(FIRST_TRY)
    store.set(FIRST_TRY, {**noted, "at": (datetime.fromisoformat(noted["at"]) - timedelta(hours=1)).isoformat()})
    persona_connection.advance_clock(3700)
    with pytest.raises(AirflowFailException, match="may have been done by an earlier try"):
        execute(5, taken.append, store)
    assert taken == []
    assert len([each for each in persona_connection.journal() if each.operation == "create-an-api-key"]) == 1
