"""`PersonaHook` and `PersonaAsyncHook` against a simulated Persona."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from airflow.exceptions import AirflowException

from airflow_provider_persona.api.errors import (
    PersonaError,
    PersonaNotFoundError,
    PersonaSettingsError,
    PersonaTransportError,
    PersonaValidationError,
)
from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.api.retry import NO_RETRIES, RetryPolicy
from airflow_provider_persona.hooks.persona import PersonaAsyncHook, PersonaHook
from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer


@pytest.fixture
def hook(connection):
    with PersonaHook(connection(), policy=RetryPolicy(delays=(0.01, 0.02))) as made:
        yield made


def state_of(persona, case_id):
    return next(case for case in persona.cases() if case["case_id"] == case_id)


def test_a_case_is_read_with_no_more_than_was_asked_for(hook, persona, open_case):
    case = hook.get_case(open_case, fields=["status"])
    assert (case.id, case.status, case.attributes.fields) == (open_case, "Open", None)
    whole = hook.get_case(open_case, include=["case-template"])
    assert whole.attributes.fields
    assert "include=case-template" in persona.requests()[-1].query


def test_a_missing_case_is_a_typed_error(hook):
    with pytest.raises(PersonaNotFoundError):
        hook.get_case("case_none")


def test_cases_are_listed_through_all_pages_as_they_are_asked_for(hook, persona):
    cases = hook.list_cases(filters={"status": "Open"}, fields=["status"], page_size=10)
    assert persona.requests() == []
    first = next(cases)
    assert len(persona.requests()) == 1
    found = {first.id, *(case.id for case in cases)}
    assert found == {case for case, status in persona.statuses().items() if status == "Open"}


def test_cases_are_searched(hook, persona):
    found = list(
        hook.search_cases(
            {"attribute": "status", "operator": "eq", "value": "Pending"},
            sort={"attribute": "created_at", "direction": "asc"},
            fields=["status"],
            page_size=3,
        )
    )
    assert {case.status for case in found} == {"Pending"}
    assert len(found) == sum(1 for status in persona.statuses().values() if status == "Pending")


def test_a_case_is_created_once_for_one_identity(hook, persona):
    made = [
        hook.create_case("ctmpl_kyc", fields={"risk_score": 3}, sla_expires_in=3600, identity="run row")
        for _ in range(2)
    ]
    assert made[0].id == made[1].id
    assert [effect.operation for effect in persona.journal()] == ["create-a-case"]


@pytest.mark.parametrize(
    ("act", "part", "wanted"),
    [
        (lambda hook, case: hook.set_case_status(case, "Approved"), "status", "Approved"),
        (lambda hook, case: hook.update_case(case, fields={"risk_score": 7}), "risk_score", 7),
        (lambda hook, case: hook.add_case_tags(case, "vip", "seen"), "tags", ["seen", "vip"]),
        (lambda hook, case: hook.set_case_tags(case, "only"), "tags", ["only"]),
    ],
)
def test_a_case_is_changed(hook, persona, open_case, act, part, wanted):
    act(hook, open_case)
    state = state_of(persona, open_case)
    found = {**state, **state["fields"]}[part]
    assert (sorted(found) if part == "tags" else found) == wanted


def test_tags_are_taken_off(hook, persona, open_case):
    hook.set_case_tags(open_case, "a", "b")
    hook.remove_case_tags(open_case, "a")
    assert state_of(persona, open_case)["tags"] == ["b"]


def test_a_case_is_assigned(hook, persona, open_case):
    email = next(case["assignee"] for case in persona.cases() if case["assignee"])
    hook.assign_case(open_case, email)
    assert state_of(persona, open_case)["assignee"] == email


def test_objects_are_attached_and_detached(hook, persona, open_case):
    persona.add_objects("act_new")
    case = hook.add_case_objects(open_case, "act_new")
    assert "act_new" in [pointer.id for pointer in case.related("accounts")]
    case = hook.remove_case_objects(open_case, "act_new")
    assert "act_new" not in [pointer.id for pointer in case.related("accounts")]


def test_a_case_is_redacted(hook, open_case):
    assert hook.redact_case(open_case).attributes.redacted_at is not None


def test_an_update_with_everything_sets_the_status_last(hook, persona, open_case):
    case = hook.update_case(open_case, status="Approved", fields={"risk_score": 1}, add_tags=("x",))
    assert case.status == "Approved"
    assert [request.operation for request in persona.requests()] == [
        "update-a-case",
        "add-tag",
        "set-status-for-a-case",
    ]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({}, PersonaSettingsError, "asked for no change"),
        ({"staus": "Canary"}, PersonaSettingsError, "this change: staus: Extra inputs are not permitted"),
        ({"tags": ["Canary"], "add_tags": ["Canary"]}, PersonaSettingsError, "this change: tags replaces all tags"),
        ({"status": "Canary"}, PersonaValidationError, "/meta/status"),
    ],
)
def test_an_update_that_cannot_be_is_refused(hook, open_case, change, error, said):
    with pytest.raises(error, match=said) as caught:
        hook.update_case(open_case, **change)
    assert "Canary" not in str(caught.value)


def test_any_operation_can_be_called_and_unknown_ones_cannot(hook, persona):
    assert hook.call("list-all-rate-limits").status == 200
    with pytest.raises(BadCallError, match="did you mean"):
        hook.call("list-cases")
    assert len(persona.requests()) == 1


def test_fifty_calls_read_the_connection_once_and_use_one_socket(hook, persona, open_case, monkeypatch):
    for _ in range(50):
        hook.get_case(open_case, fields=["status"])
        monkeypatch.delenv("AIRFLOW_CONN_PERSONA_TEST", raising=False)
    assert len({request.connection for request in persona.requests()}) == 1


def test_a_redirect_is_refused_and_the_key_stays(hook, persona):
    with SimulatorServer(SimulatorConfig(cases=1)) as elsewhere:
        persona.script_fault("redirect", location=elsewhere.url, times=2)
        with pytest.raises(AirflowException, match="302:"):
            hook.run("/cases")
        session = hook.get_conn()
        answer = session.get(hook.url_from_endpoint("/cases"), timeout=5)
        assert answer.status_code == 302
        answer.close()
        assert elsewhere.requests() == []


def test_the_read_timeout_of_the_extras_is_kept(connection, persona):
    persona.script_fault("hang_before")
    begun = time.monotonic()
    with (
        PersonaHook(connection({"read_timeout": 0.4}), policy=NO_RETRIES) as hook,
        pytest.raises(PersonaTransportError),
    ):
        hook.call("list-all-cases")
    assert 0.35 < time.monotonic() - begun < 30


def test_the_timeout_of_one_run_wins(hook, persona):
    persona.script_fault("hang_before", times=9)
    begun = time.monotonic()
    with pytest.raises(AirflowException, match="no answer"):
        hook.run("/cases", extra_options={"timeout": 0.2})
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("timeout", [(9, 0.2), (None, 0.2), [9.0, 0.2]])
def test_the_timeout_of_one_run_may_be_a_pair_as_requests_takes_it(hook, persona, timeout):
    persona.script_fault("hang_before", times=9)
    with pytest.raises(AirflowException, match="no answer"):
        hook.run("/cases", extra_options={"timeout": timeout})


@pytest.mark.parametrize("timeout", ["soon", -1, True, (1, 2, 3), float("nan"), 1e9])
def test_a_timeout_of_one_run_that_is_none_is_refused(hook, persona, timeout):
    with pytest.raises(AirflowException, match="timeout is a number of seconds"):
        hook.run("/cases", extra_options={"timeout": timeout})
    assert persona.requests() == []


def test_a_single_name_is_one_name_and_not_its_letters(hook, persona, open_case):
    assert hook.get_case(open_case, fields="status", include="case-template").status == "Open"
    assert next(hook.list_cases(fields="status")).status
    assert next(hook.search_cases({"attribute": "status", "operator": "eq", "value": "Open"}, fields="status")).status
    persona.add_objects("act_new")
    made = hook.create_case("ctmpl_kyc", object_ids="act_new")
    assert [pointer.id for pointer in made.related("accounts")] == ["act_new"]


def test_bodies_are_not_logged_when_a_call_fails(hook, persona, open_case, caplog):
    caplog.set_level(logging.DEBUG)
    canary = "Zyanya-Canary"
    hook.method = "PATCH"
    texts = []
    for body in ({"no-such-field": canary}, {"name-first": canary}):
        if "name-first" in body:
            persona.script_fault("http_500", operation="update-a-case", times=9)
        with pytest.raises(AirflowException) as caught:
            hook.run(f"/cases/{open_case}", json={"data": {"attributes": {"fields": body}}})
        texts.append(repr(caught.value) + repr(caught.value.__cause__))
    assert canary not in caplog.text + "".join(texts)
    assert SANDBOX_KEY not in caplog.text + "".join(texts)


def test_unknown_extras_never_become_headers(connection, persona):
    extra = {
        "X-Canary": "canary",
        "timeout": "canary",
        "headers": {"X-Canary": "canary"},
        "X-Number": 7731,
        "check_response": 1,
    }
    with PersonaHook(connection(extra)) as hook:
        hook.run("/cases")
        hook.call("list-all-cases")
        hook.get_conn().get(hook.url_from_endpoint("cases"), timeout=5).close()
    assert len(persona.requests()) == 3
    sent = repr([request.headers for request in persona.requests()]).lower()
    assert "canary" not in sent
    assert "7731" not in sent


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"password": "persona_sandbox_wrong"}, "Persona answered 401"),
        ({"extra": {"expected_environment_id": "env_other"}}, "the API key belongs to environment env_simulator"),
        (
            {"extra": {"verify": "/no/such/folder"}, "host": "https://persona.example"},
            "the connection's extra `verify`",
        ),
    ],
)
def test_what_is_wrong_with_a_connection_names_it(connection, parts, said):
    conn_id = connection(**parts)
    with PersonaHook(conn_id) as hook, pytest.raises(PersonaError) as raised:
        hook.call("list-all-cases")
    assert str(raised.value).startswith(f"connection {conn_id}: {said}")
    with PersonaHook(conn_id) as hook:
        assert f"connection {conn_id}" not in hook.test_connection()[1]


# ------------------------------------------------------------------ test_connection


def test_a_good_connection_tells_environment_kind_of_key_and_what_is_left(connection, persona):
    good, message = PersonaHook(connection()).test_connection()
    assert good
    assert "environment env_simulator with a sandbox key" in message
    assert "of 1000000 requests left" in message
    assert SANDBOX_KEY not in message


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"password": "persona_sandbox_wrong"}, "check the API key"),
        ({"password": None}, "no API key"),
        ({"host": "http://127.0.0.1:9"}, "no answer"),
        ({"host": "https://persona.invalid"}, "no answer"),
        ({"host": "http://example.com"}, "plain http"),
        ({"extra": {"expected_environment_id": "env_other"}}, "expects env_other"),
    ],
)
def test_a_bad_connection_says_why_and_never_shows_the_key(connection, parts, said):
    begun = time.monotonic()
    good, message = PersonaHook(connection(**parts)).test_connection()
    assert not good
    assert said in message
    assert "persona_sandbox" not in message
    assert time.monotonic() - begun < 10


def test_a_host_that_hangs_is_given_up_in_less_than_ten_seconds(connection, persona):
    persona.script_fault("hang_before")
    begun = time.monotonic()
    good, message = PersonaHook(connection({"read_timeout": 3600})).test_connection()
    assert not good
    assert "no answer" in message
    assert time.monotonic() - begun < 10


def test_a_connection_that_does_not_exist_says_so():
    from airflow.exceptions import AirflowNotFoundException

    with pytest.raises(AirflowNotFoundException):
        PersonaHook("persona_missing").test_connection()


# ------------------------------------------------------------------ asynchronous


def test_the_asynchronous_hook_reads_its_connection_inside_a_running_loop(connection, persona, open_case):
    hook = PersonaAsyncHook(connection({"persona_version": "2023-01-05"}))

    async def run():
        async with await hook.get_client() as client:
            return await client.call("retrieve-case", path={"case-id": open_case})

    assert asyncio.run(run()).json()["data"]["id"] == open_case
    (request,) = persona.requests()
    assert dict(request.headers)["persona-version"] == "2023-01-05"


def test_the_asynchronous_hook_names_a_connection_that_cannot_be_used(connection):
    with pytest.raises(PersonaSettingsError, match=r"connection persona_test: .*no API key"):
        asyncio.run(PersonaAsyncHook(connection(password="")).get_settings())


def test_the_hook_gives_a_task_an_asynchronous_client_before_its_loop(connection, persona):
    client = PersonaHook(connection(), reserve=0.5).async_client(connections=2)

    async def run():
        async with client:
            return await client.call("list-all-cases")

    assert asyncio.run(run()).status == 200
    assert client.budget.reserve == 0.5
