"""Both clients against all that can go wrong on the way: nothing is done twice, and what is unknown says so."""

from __future__ import annotations

import time

import pytest
import requests

from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaAuthenticationError,
    PersonaNotFoundError,
    PersonaPermissionError,
    PersonaRateLimitError,
    PersonaServerError,
    PersonaTransportError,
    PersonaUnresolvedError,
    PersonaValidationError,
)
from airflow_provider_persona.api.retry import NO_RETRIES, RetryPolicy
from persona_simulator import READ_ONLY_KEY, SANDBOX_KEY, FaultKind, SimulatorConfig, SimulatorServer

SET_STATUS = "set-status-for-a-case"
CREATE = {"body": {"data": {"attributes": {"case-template-id": "ctmpl_kyc"}}}}


def keys(persona, operation=SET_STATUS):
    return [request.idempotency_key for request in persona.requests(operation=operation)]


@pytest.mark.parametrize("kind", ["http_500", "http_502", "http_503", "http_504", "stale_409"])
def test_a_failure_kept_under_a_key_is_overcome_by_the_next_key(persona, connect, approval, kind):
    persona.script_fault(kind, operation=SET_STATUS)
    assert connect(persona.url).call(SET_STATUS, **approval).status == 200
    assert len(set(keys(persona))) == 2
    assert [effect.to_status for effect in persona.journal()] == ["Approved"]


@pytest.mark.parametrize("kind", ["http_500_after", "http_503_after"])
def test_a_failure_after_the_effect_is_repeated_where_that_is_harmless(persona, connect, approval, kind):
    persona.script_fault(kind, operation=SET_STATUS)
    connect(persona.url).call(SET_STATUS, **approval)
    assert [effect.changed for effect in persona.journal()] == [True, False]


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "truncated", "malformed"])
def test_a_lost_or_broken_answer_is_asked_for_again_under_the_same_key(persona, connect, approval, kind):
    persona.script_fault(kind, operation=SET_STATUS)
    face = connect(persona.url)
    assert face.call(SET_STATUS, **approval).json()["data"]["attributes"]["status"] == "Approved"
    assert len(keys(persona)) == 2
    assert len(set(keys(persona))) == 1
    assert len(persona.journal()) == 1
    assert face.client.usage.retries == 1


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "truncated", "malformed"])
def test_a_creation_whose_answer_was_lost_happens_once(persona, connect, kind):
    persona.script_fault(kind, operation="create-a-case")
    assert connect(persona.url).call("create-a-case", **CREATE).status == 201
    assert [effect.operation for effect in persona.journal()] == ["create-a-case"]


@pytest.mark.parametrize(
    ("kind", "effects"), [("http_500", 0), ("http_500_after", 1), ("http_503_after", 1), ("proxy_502", 0)]
)
def test_a_creation_that_met_a_server_failure_is_never_repeated(persona, connect, kind, effects):
    persona.script_fault(kind, operation="create-a-case")
    with pytest.raises(PersonaUnresolvedError, match="create-a-case is unknown"):
        connect(persona.url).call("create-a-case", **CREATE)
    assert len(persona.requests(operation="create-a-case")) == 1
    assert len(persona.journal()) == effects


@pytest.mark.parametrize("kind", ["proxy_502", "proxy_503"])
def test_a_proxys_page_is_no_end(persona, connect, approval, kind):
    persona.script_fault(kind, operation=SET_STATUS, times=2)
    assert connect(persona.url).call(SET_STATUS, **approval).status == 200
    assert len(persona.journal()) == 1


@pytest.mark.parametrize(("kind", "error"), [("http_503", PersonaServerError), ("reset_before", PersonaTransportError)])
def test_a_read_gives_up_after_the_attempts_of_the_policy(persona, connect, open_case, kind, error):
    persona.script_fault(kind, times=99)
    face = connect(persona.url)
    with pytest.raises(error):
        face.call("retrieve-case", path={"case-id": open_case})
    assert len(persona.requests()) == face.client.usage.requests == 4


@pytest.mark.parametrize(("kind", "effects"), [("hang_before", 0), ("hang_after", 1)])
def test_a_hang_is_cut_by_the_read_timeout(persona, connect, approval, kind, effects):
    persona.script_fault(kind, operation=SET_STATUS)
    face = connect(persona.url, read_timeout=0.4, connect_timeout=0.2, policy=NO_RETRIES)
    begun = time.monotonic()
    with pytest.raises(PersonaUnresolvedError):
        face.call(SET_STATUS, **approval)
    assert 0.35 < time.monotonic() - begun < 30
    assert len(persona.journal()) == effects


def test_a_slow_answer_within_the_timeout_is_taken(persona, connect, approval):
    persona.script_fault(FaultKind.SLOW, operation=SET_STATUS, seconds=0.5)
    assert connect(persona.url, read_timeout=30, policy=NO_RETRIES).call(SET_STATUS, **approval).status == 200


def test_an_answer_that_dribbles_is_cut_though_every_byte_is_in_time(persona, connect, open_case):
    persona.script_fault(FaultKind.SLOW, seconds=30)
    face = connect(persona.url, read_timeout=0.5, connect_timeout=0.1, policy=NO_RETRIES)
    begun = time.monotonic()
    with pytest.raises(PersonaTransportError):
        face.call("retrieve-case", path={"case-id": open_case})
    assert time.monotonic() - begun < 25


def test_a_hang_is_repeated_under_the_same_key(persona, connect, approval):
    persona.script_fault("hang_after", operation=SET_STATUS)
    connect(persona.url, read_timeout=0.3, connect_timeout=0.2).call(SET_STATUS, **approval)
    assert len(persona.journal()) == 1
    assert len(set(keys(persona))) == 1


@pytest.mark.parametrize(
    ("call", "values", "error"),
    [
        (("retrieve-case", {"path": {"case-id": "case_none"}}), {}, PersonaNotFoundError),
        (("list-all-cases", {}), {"api_key": "persona_sandbox_wrong"}, PersonaAuthenticationError),
        (("create-a-case", CREATE), {"api_key": READ_ONLY_KEY}, PersonaPermissionError),
        (("create-a-case", {"body": {"data": {"attributes": {"case-template-id": "x"}}}}), {}, PersonaValidationError),
    ],
)
def test_what_a_repeat_cannot_help_is_sent_once(persona, connect, call, values, error):
    with pytest.raises((error, PersonaNotFoundError)) as caught:
        connect(persona.url, **values).call(call[0], **call[1])
    assert len(persona.requests()) == 1
    assert caught.value.operation_id == call[0]
    assert persona.journal() == []


def test_a_refused_connection_is_no_unknown_outcome(connect, approval, unused_port):
    face = connect(f"http://127.0.0.1:{unused_port}")
    with pytest.raises(PersonaTransportError, match="tried 4 times"):
        face.call(SET_STATUS, **approval)
    assert (face.client.usage.requests, face.client.usage.retries) == (0, 0)  # nothing was sent, so nothing again


@pytest.fixture
def unused_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_redirect_is_refused_and_the_other_host_never_called(persona, connect, approval):
    with SimulatorServer(SimulatorConfig(cases=1)) as elsewhere:
        persona.script_fault("redirect", location=f"{elsewhere.url}/api/v1/cases", times=2)
        face = connect(persona.url)
        for call in (("list-all-cases", {}), (SET_STATUS, approval)):
            with pytest.raises(PersonaAnswerError, match="answered 302, a redirect") as caught:
                face.call(call[0], **call[1])
            assert elsewhere.url not in str(caught.value)
        assert elsewhere.connections()["seen_by_api"] == 0
        assert elsewhere.requests() == []


def test_a_limit_reached_by_others_is_waited_for_and_costs_no_attempt(connect):
    with SimulatorServer(SimulatorConfig(cases=3, limit=3, window_seconds=0.9)) as persona:
        case_id = next(iter(persona.statuses()))
        for _ in range(3):
            requests.get(
                f"{persona.url}/api/v1/cases", headers={"Authorization": f"Bearer {SANDBOX_KEY}"}, timeout=5
            ).raise_for_status()
        face = connect(persona.url, policy=RetryPolicy(delays=(0.01,), jitter=0))
        begun = time.monotonic()
        assert face.call("retrieve-case", path={"case-id": case_id}).status == 200
        assert 0.3 < time.monotonic() - begun < 30
        assert face.client.usage.throttled == 1
        assert face.client.usage.retries == 0


def test_a_limit_of_zero_fails_at_once(connect):
    with SimulatorServer(SimulatorConfig(cases=1, limit=0)) as persona:
        with pytest.raises(PersonaRateLimitError, match="the limit is zero"):
            connect(persona.url).call("list-all-cases")
        assert len(persona.requests()) == 1


def test_a_quota_is_waited_for(connect):
    config = SimulatorConfig(cases=1, create_quota=1, quota_status=403, window_seconds=0.9)
    with SimulatorServer(config) as persona:
        face = connect(persona.url)
        for _ in range(2):
            face.call("create-a-case", **CREATE)
        assert [effect.operation for effect in persona.journal()] == ["create-a-case"] * 2
        assert face.client.usage.retries == 0
