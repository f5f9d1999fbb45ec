"""Calls that go out under a login of their own, which must neither carry the API key nor be held against it."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_persona.api.errors import PersonaAuthenticationError, PersonaNotFoundError
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.bulk.errors import BulkError
from airflow_provider_persona.bulk.subjects.operation import OperationRows
from airflow_provider_persona.client import AsyncPersonaClient, PersonaClient
from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer

PASS = {"Persona-Relay-Secret": "secret-of-relay_sim000001", "Authorization": "PrivateToken token=Zm9v"}
RELAY = {"claim-type": "age", "encryption-key-pem": None}


@pytest.fixture
def persona():
    with SimulatorServer(SimulatorConfig(cases=1)) as server:
        yield server


def _settings(persona):
    return PersonaSettings(api_key=SANDBOX_KEY, host=persona.url, reserve=0)


def _blocking(persona, calls):
    with PersonaClient(_settings(persona)) as client:
        return [client.call(name, **arguments).json() for name, arguments in calls]


def _asynchronous(persona, calls):
    async def made():
        async with AsyncPersonaClient(_settings(persona), connections=1) as client:
            return [(await client.call(name, **arguments)).json() for name, arguments in calls]

    return asyncio.run(made())


@pytest.mark.parametrize("driver", [_blocking, _asynchronous])
def test_a_claim_carries_the_privacy_pass_and_the_secret_of_its_relay(persona, driver):
    claim = {"path": {"relay-token": "relay_sim000001"}, "headers": PASS}
    calls = [("create-a-relay", {"body": RELAY}), ("generate-a-relay-claim", claim), ("list-all-cases", {})]
    assert driver(persona, calls)[1]["token-consumed"]
    assert [request.key for request in persona.requests()] == ["full", "privacy-pass", "full"]


@pytest.mark.parametrize("secret", ["other", "secret-of-relay_sim000002"])
def test_a_wrong_secret_finds_no_relay(persona, secret):
    claim = {"path": {"relay-token": "relay_sim000001"}, "headers": {**PASS, "Persona-Relay-Secret": secret}}
    with pytest.raises(PersonaNotFoundError):
        _blocking(persona, [("create-a-relay", {"body": RELAY}), ("generate-a-relay-claim", claim)])


def test_a_refused_privacy_pass_is_not_held_against_the_key(persona):
    request = operation("generate-a-relay-claim").bind({"relay-token": "relay_sim000001"}, headers=PASS)
    # The catalogue lets no such login pass; Persona refuses one that was used before in the same words.
    request.own_headers["Authorization"] = "PrivateToken token="
    with PersonaClient(_settings(persona)) as client:
        with pytest.raises(PersonaAuthenticationError, match="Privacy Pass token required") as told:
            client.send(request)
        assert "API key" not in str(told.value)
        assert client.call("list-all-cases").status == 200


def test_rows_cannot_give_the_headers_of_a_claim():
    with pytest.raises(BulkError, match="generate-a-relay-claim needs Persona-Relay-Secret, Authorization in its head"):
        OperationRows("generate-a-relay-claim", path={"relay-token": "token"})
