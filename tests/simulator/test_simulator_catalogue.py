"""Every operation of the catalogue, one by one: its least request over the socket, its answer, its refusals.

Where Persona's published specification is at hand, each request and each answer is held against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests

from airflow_provider_persona.api.answers import AnswerKind
from airflow_provider_persona.api.errors import PersonaError
from airflow_provider_persona.api.messages import Request, Response
from airflow_provider_persona.api.operations import BadCallError, Operation, catalogue, operation
from airflow_provider_persona.api.pagination import items_of
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client import PersonaClient
from persona_simulator import READ_ONLY_KEY, SANDBOX_KEY, SimulatorConfig, SimulatorServer
from persona_simulator.resources.table import permission_of
from tests.simulator import published_specification as published
from tests.simulator.catalogue_requests import body_of, headers_of, made_before, path_of, prepare, query_of

CONFIG = SimulatorConfig(cases=10, limit=1_000_000, search_lag_seconds=0, clock_start=1_790_000_000.0)
OPERATIONS = list(catalogue().values())
_ABOUT_A_THING = [each for each in OPERATIONS if each.path_parameters]
FAST = RetryPolicy(delays=(), jitter=0)


def _ids(each: Operation) -> str:
    return each.operation_id


@pytest.fixture(scope="module")
def _simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer(CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def client(_simulator: SimulatorServer) -> Iterator[PersonaClient]:
    with PersonaClient(PersonaSettings(api_key=SANDBOX_KEY, host=_simulator.url, reserve=0), policy=FAST) as client:
        yield client


@pytest.fixture
def simulator(_simulator: SimulatorServer) -> SimulatorServer:
    _simulator.reset()
    return _simulator


def _call(client: PersonaClient, each: Operation, **more: Any) -> Response:
    return client.send(each.bind(path_of(each), query_of(each) | more, body_of(each), headers_of(each)))


def _ready(client: PersonaClient, simulator: SimulatorServer, each: Operation) -> None:
    for name in made_before(each):
        _call(client, operation(name))
    prepare(each, simulator)


@pytest.mark.parametrize("each", OPERATIONS, ids=_ids)
def test_an_operation_is_called_and_its_answer_understood(client, simulator, each) -> None:
    _ready(client, simulator, each)
    before = len(simulator.journal())
    answer = _call(client, each)
    assert answer.status in each.success
    if each.answer is AnswerKind.FILE:
        assert answer.content.startswith((b"%PDF-1.4", b"\x89PNG"))
    elif each.answer is AnswerKind.COLLECTION:
        items = items_of(each.bind(path_of(each), query_of(each), body_of(each), headers_of(each)), answer.json())
        assert all(item["type"] for item in items)
        assert ("links" in answer.json()) == each.paged
    elif each.answer is AnswerKind.OBJECT:
        data = answer.json()["data"]
        assert data["id"]
        assert data["type"]
        assert data["attributes"] is not None
        shown = [place for place in each.secrets if place.startswith("data") and place not in _SHOWN_AT_TIMES]
        assert all(_at(answer.json(), place) for place in shown), each.secrets
    else:
        assert answer.json()
        assert "data" not in answer.json()
    served_as = "create-a-report" if each.operation_id == "business-lookup-report-1" else each.operation_id
    effects = simulator.journal()[before:]
    reads = each.method == "GET" or each.path.endswith("/search")
    plain = each.answer is AnswerKind.PLAIN
    assert bool([effect for effect in effects if effect.operation == served_as]) == (not reads and not plain)


_SHOWN_AT_TIMES = ("data.attributes.confirmation-code",)  # once a code was sent


def _at(payload: Any, place: str) -> Any:
    for key in place.split("."):
        if isinstance(payload, list):
            payload = payload[0]
        payload = payload[key]
    return payload


_LIVE = [each for each in OPERATIONS if each.withdrawn is None]


@pytest.mark.contract
def test_all_live_operations_are_in_the_published_specification() -> None:
    missing = [each.operation_id for each in OPERATIONS if not published.has(each.method, each.path)]
    withdrawn = {each.operation_id for each in OPERATIONS if each.withdrawn} - {"business-lookup-report-1"}
    assert set(missing) == withdrawn
    assert len(_LIVE) == 209


def _problems_of_body(each: Operation, body: Any) -> list[str]:
    request = each.bind(path_of(each), query_of(each), body, headers_of(each))
    return published.problems_of_request(
        each.method, each.path, request.headers(None).get("Content-Type"), request.content()
    )


@pytest.mark.contract
@pytest.mark.parametrize("each", _LIVE, ids=_ids)
def test_request_and_answer_fit_the_published_specification(client, simulator, each) -> None:
    assert _problems_of_body(each, body_of(each)) == []
    assert published.problems_of_query(each.method, each.path, list(each.query)) == []
    _ready(client, simulator, each)
    answer = _call(client, each)
    kind = answer.headers["content-type"]
    assert published.problems_of_answer(each.method, each.path, answer.status, kind, answer.content) == []


@pytest.mark.contract
def test_the_other_grant_of_a_token_fits_the_published_specification_too(client, simulator) -> None:
    each = operation("create-access-token")
    grant = {
        "grant_type": "client_credentials",
        "client_assertion": "e30.e30.c2ln+/=",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    assert _problems_of_body(each, grant) == []
    assert client.send(each.bind(body=grant)).json()["access-token"]
    for name in grant:
        lacking = {key: value for key, value in grant.items() if key != name}
        with pytest.raises(BadCallError, match=name):
            each.bind(body=lacking)


def _raw(simulator: SimulatorServer, request: Request, key: str) -> requests.Response:
    own = request.own_headers or {}
    headers = {"Authorization": f"Bearer {key}", "Persona-Version": "2025-12-08", **own}
    url = simulator.url + request.target
    with requests.Session() as session:
        session.trust_env = False
        return session.request(request.method, url, json=request.body, headers=headers, timeout=5)


_DECLARED_OTHERWISE = {
    ("retrieve-an-api-key", 404),  # not declared, though a key that is not there can hardly be anything else
}


@pytest.mark.contract
@pytest.mark.parametrize("each", _LIVE, ids=_ids)
def test_refusals_fit_the_published_specification(simulator, each) -> None:
    good = each.bind(path_of(each), query_of(each), body_of(each), headers_of(each))
    refused = [_raw(simulator, replace(good, own_headers=None), "persona_sandbox_wrong")]
    if each in _ABOUT_A_THING:
        nothing = each.bind(
            dict.fromkeys(each.path_parameters, "nothing_1"), query_of(each), body_of(each), headers_of(each)
        )
        refused.append(_raw(simulator, nothing, SANDBOX_KEY))
    simulator.configure(limit=0)
    refused.append(_raw(simulator, good, SANDBOX_KEY))
    assert [answer.status_code for answer in refused] == [401, 404, 429][:: 1 if each in _ABOUT_A_THING else 2]
    for answer in refused:
        if (each.operation_id, answer.status_code) in _DECLARED_OTHERWISE:
            continue
        kind = answer.headers["content-type"]
        assert published.problems_of_answer(each.method, each.path, answer.status_code, kind, answer.content) == []


@pytest.mark.parametrize("each", [each for each in OPERATIONS if each.path_parameters], ids=_ids)
def test_a_missing_path_parameter_is_named(each) -> None:
    for name in each.path_parameters:
        lacking = {key: value for key, value in path_of(each).items() if key != name}
        with pytest.raises(BadCallError) as caught:
            each.bind(lacking, query_of(each), body_of(each), headers_of(each))
        assert str(caught.value) == f"{each.operation_id} lacks {name}; its path is {each.path}"


@pytest.mark.parametrize("each", [each for each in OPERATIONS if each.required], ids=_ids)
def test_a_missing_required_key_is_named(each) -> None:
    with pytest.raises(BadCallError) as caught:
        each.bind(path_of(each), query_of(each), None)
    assert str(caught.value) == f"{each.operation_id} needs {', '.join([*each.required, *each.nullable])} in its body"


@pytest.mark.parametrize("each", [each for each in OPERATIONS if each.required_query], ids=_ids)
def test_a_missing_query_parameter_is_named(each) -> None:
    with pytest.raises(BadCallError) as caught:
        each.bind(path_of(each), {}, body_of(each), headers_of(each))
    assert str(caught.value) == f"{each.operation_id} needs {', '.join(each.required_query)} in its query"


@pytest.mark.parametrize("each", _ABOUT_A_THING, ids=_ids)
def test_what_is_not_there_is_not_found(client, simulator, each) -> None:
    request = each.bind(
        dict.fromkeys(each.path_parameters, "nothing_1"), query_of(each), body_of(each), headers_of(each)
    )
    with pytest.raises(PersonaError) as caught:
        client.send(request)
    assert caught.value.status == 404


@pytest.mark.parametrize("each", [each for each in OPERATIONS if each.required], ids=_ids)
def test_the_simulator_misses_required_keys_too(client, simulator, each) -> None:
    _ready(client, simulator, each)
    request = each.bind(path_of(each), query_of(each), body_of(each), headers_of(each))
    request = replace(request, body={"data": {}}, form=False)
    if each.operation_id in ("search-cases", "search-accounts", "search-inquiries"):
        assert client.send(request).status == 200  # it finds everything
        return
    if each.required == ("data.attributes",):
        return  # a change of nothing
    with pytest.raises(PersonaError) as caught:
        client.send(request)
    assert caught.value.status in (400, 422)


_GONE = [each for each in OPERATIONS if each.withdrawn and each.operation_id != "business-lookup-report-1"]


@pytest.mark.parametrize("each", _GONE, ids=_ids)
def test_what_was_withdrawn_may_be_refused(client, simulator, each) -> None:
    simulator.configure(restricted=True)
    with pytest.raises(PersonaError) as caught:
        _call(client, each)
    assert caught.value.status == 403
    assert "is not enabled" in str(caught.value) or "Forbidden" in str(caught.value)


def test_a_key_without_the_permission_is_refused(simulator) -> None:
    refused = []
    settings = PersonaSettings(api_key=READ_ONLY_KEY, host=simulator.url, reserve=0)
    with PersonaClient(settings, policy=FAST) as reader:
        for each in OPERATIONS:
            if permission_of(each) in (None, "case.read"):
                continue
            try:
                _call(reader, each)
            except PersonaError as error:
                if error.status == 403:
                    refused.append(each.operation_id)
    writes = {each.operation_id for each in OPERATIONS if not (permission_of(each) or ".read").endswith(".read")}
    assert set(refused) == writes
