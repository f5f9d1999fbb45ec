"""A retry that comes when Persona may have forgotten the first try's answer does nothing twice, and says so."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from airflow_provider_persona.api.errors import PersonaQuotaError, PersonaUnresolvedError
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.retry import KEY_GOOD_FOR
from airflow_provider_persona.client import PersonaClient
from airflow_provider_persona.hooks.persona import PersonaHook
from airflow_provider_persona.operators.api_keys import PersonaCreateApiKeyOperator
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.tasks.identity import FIRST_TRY, TaskIdentity, Tries
from airflow_provider_persona.tasks.sending import send_for_task
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaOperator
from airflow_provider_persona.version_compat import DAG, AirflowFailException
from persona_simulator import SimulatorControl
from tests.operators.test_persona_operator import _ti

START = datetime(2026, 1, 1, tzinfo=UTC)
CREATE = operation("create-an-inquiry").bind(body={"data": {"attributes": {"inquiry-template-id": "itmpl_kyc"}}})
APPROVE = operation("approve-an-inquiry").bind({"inquiry-id": "inq_sim000001"})
FRESH, AGED = KEY_GOOD_FOR - 60, KEY_GOOD_FOR + 1  # a slow machine may take seconds for a call
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


def _advance_to(persona, moment):
    """Let Persona's clock show a time."""
    persona.advance_clock(moment.timestamp() - persona.state()["clock"]["now"])


def _send(
    client: PersonaClient, try_number, seconds, *, slow=0, store=None, run_began=LONG_AGO, request=CREATE, **more
):
    context = {"ti": _ti(try_number=try_number, **{"max_tries": 5, **more})}
    if store is not None:
        context["task_state_store"] = store
    if run_began is not None:
        context["dag_run"] = SimpleNamespace(start_date=run_began)
    now = START + timedelta(seconds=seconds)
    _advance_to(SimulatorControl(client.settings.host), now)
    answer = send_for_task(client, request, context, 5, utc=lambda: now - timedelta(seconds=slow))
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


def test_a_worker_with_a_slow_clock_takes_no_old_key_for_a_fresh_one(client, persona_connection):
    store = TaskState()
    first = _send(client, 1, 0, store=store)
    with pytest.raises(PersonaUnresolvedError, match="create-an-inquiry may have been done by an earlier try"):
        _send(client, 2, AGED, store=store, slow=7200)
    assert _made(persona_connection) == [first]


@pytest.mark.parametrize("state", [lambda: None, TaskState])
@pytest.mark.parametrize(("run_began", "is_sent"), [(60, True), (AGED - FRESH + 1, True), (-1, False), (None, False)])
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


# ---------------------------------------------------------------------- which try this is


@pytest.mark.parametrize(
    ("tries", "is_retry"),
    [
        # (try number, max_tries, retries in the Dag at that time): the tries of one task, one after the other
        ([(1, 3, 3)], False),
        ([(1, 3, 3), (2, 3, 3)], True),
        ([(1, 3, 3), (2, 3, 3), (5, 7, 3)], False),  # cleared at 4
        ([(1, 3, 3), (5, 7, 3), (6, 7, 3)], True),
        ([(1, 3, 3), (2, 3, 5)], True),  # `retries` was raised in the Dag
        ([(1, 5, 5), (2, 5, 2)], True),  # and lowered
        ([(1, 5, 5), (4, 5, 2)], True),  # so that a clear at 3 would give the same numbers
        ([(1, 5, 5), (3, 4, 2)], False),  # lowered, then cleared at 2
        ([(1, 0, 0), (2, 1, 0)], False),  # no retries: every further try is a clear
    ],
)
def test_with_a_note_edits_of_retries_and_clears_are_told_apart(tries, is_retry):
    store = TaskState()
    for try_number, max_tries, retries in tries:
        context = {"ti": _ti(try_number=try_number, max_tries=max_tries), "task_state_store": store}
        seen = Tries.begin(context, retries, START)
    assert seen.is_retry is is_retry
    assert Tries.begin(context, retries, START) == seen  # the same when it is asked again


@pytest.mark.parametrize(
    ("try_number", "max_tries", "retries", "is_retry"),
    [
        (1, 3, 3, False),
        (2, 3, 3, True),
        (5, 7, 3, False),  # cleared at 4
        (6, 7, 3, True),
        (2, 3, 5, True),  # `retries` was raised
        (2, 5, 2, True),  # and lowered
        (3, 5, 2, True),
        (1, 5, 2, False),
        (3, 2, 0, False),
    ],
)
@pytest.mark.parametrize("state", [lambda: None, TaskState])
def test_without_a_note_only_the_number_after_a_clear_is_no_retry(state, try_number, max_tries, retries, is_retry):
    context = {"ti": _ti(try_number=try_number, max_tries=max_tries), "task_state_store": state()}
    assert Tries.begin(context, retries, START).is_retry is is_retry


@pytest.mark.parametrize("foreign", ["text", 7, {"cleared_at": 0, "at": START.isoformat()}, {"max_tries": 3}])
def test_a_note_of_another_shape_tells_nothing(foreign):
    store = TaskState()
    store.set(FIRST_TRY, foreign)
    context = {"ti": _ti(try_number=2, max_tries=3), "task_state_store": store}
    assert Tries.begin(context, 3, START).is_retry


def test_the_identity_of_a_task_names_run_and_mapped_index():
    assert str(TaskIdentity.of(_ti())) == "d/r/call"
    mapped = TaskIdentity.of(_ti(map_index=0))
    assert (mapped.run_parts, mapped.task_parts) == (["d", "r", "call", "0"], ["d", "call", "0"])
    assert TaskIdentity.of(_ti(map_index=None)) == TaskIdentity.of(_ti(map_index=-1))


@pytest.mark.parametrize("kind", ["single", "bulk"])
@pytest.mark.parametrize(("before", "after"), [(3, 3), (3, 5), (5, 2)])
def test_an_edit_of_retries_between_two_tries_makes_nothing_twice(
    run_dag, persona_connection, warehouse, kind, before, after
):
    warehouse("people", "ref", [("a",), ("b",)])
    with DAG(f"edited_{kind}", schedule=None, start_date=START, catchup=False) as dag:

        def lost_after_the_first_try(context, result):
            if context["ti"].try_number == 1:
                dag.get_task("make").retries = after
                raise RuntimeError("the worker is lost after the call, before it could say so")

        common = {
            "task_id": "make",
            "operation_id": "create-an-account",
            "retries": before,
            "retry_delay": timedelta(0),
            "post_execute": lost_after_the_first_try,
        }
        if kind == "single":
            PersonaOperator(body={"data": {"attributes": {"name-first": "x"}}}, **common)
        else:
            body = {"data.attributes.name-first": "ref"}
            SqlToPersonaOperator(sql="SELECT ref FROM people", sql_conn_id="warehouse", body=body, **common)
    instance = run_dag(dag).get_task_instance("make")
    assert (str(instance.state), instance.try_number) == ("success", 2)
    effects = [effect for effect in persona_connection.journal() if effect.changed]
    assert len(effects) == {"single": 1, "bulk": 2}[kind]
