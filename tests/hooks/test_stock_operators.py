"""The stock operators and sensors of the http provider with a Persona connection, and what stands in for them."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import parse_qsl

import pytest
from airflow.exceptions import AirflowException
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor

from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.hooks.by_path import api_path
from airflow_provider_persona.hooks.persona import PersonaHook
from airflow_provider_persona.sensors.http import PersonaHttpSensor

CONTEXT: Any = {}


def operator(conn_id, endpoint, **options):
    return HttpOperator(task_id="call", http_conn_id=conn_id, endpoint=endpoint, **options)


def test_a_get_is_authenticated_and_answers_text(connection, persona):
    text = operator(connection(), "cases", method="GET", data={"page[size]": 3}).execute(CONTEXT)
    assert len(json.loads(text)["data"]) == 3
    (request,) = persona.requests()
    assert (request.path, request.key) == ("/api/v1/cases", "full")
    assert dict(request.headers)["persona-version"] == "2025-12-08"


@pytest.mark.parametrize("as_text", [True, False])
def test_a_post_sends_json_and_an_idempotency_key(connection, persona, open_case, as_text):
    body = {"meta": {"status": "Approved"}}
    task = operator(connection(), f"/api/v1/cases/{open_case}/set-status", data=json.dumps(body) if as_text else body)
    assert json.loads(task.execute(CONTEXT))["data"]["attributes"]["status"] == "Approved"
    (request,) = persona.requests()
    assert request.idempotency_key
    assert dict(request.headers)["content-type"] == "application/json"
    assert persona.statuses()[open_case] == "Approved"


def test_a_503_is_repeated_and_done_once(connection, persona, open_case):
    persona.script_fault("http_503", operation="set-status-for-a-case")
    data = {"meta": {"status": "Approved"}}
    operator(connection(), f"cases/{open_case}/set-status", data=data).execute(CONTEXT)
    assert len({request.idempotency_key for request in persona.requests()}) == 2
    assert len(persona.journal()) == 1


def test_a_creation_that_met_a_503_is_not_repeated(connection, persona):
    persona.script_fault("http_503_after", operation="create-a-case")
    data = {"data": {"attributes": {"case-template-id": "ctmpl_kyc"}}}
    with pytest.raises(AirflowException, match=r"503:whether Persona did create-a-case is unknown"):
        operator(connection(), "cases", data=data).execute(CONTEXT)
    assert len(persona.requests()) == 1


def test_a_file_that_may_have_been_added_is_not_added_again(connection, persona, open_case):
    persona.script_fault("http_500_after", operation="update-a-case")
    body = {"data": {"attributes": {"attachments": [{"filename": "note.pdf", "data": "JVBERi0="}]}}}
    with pytest.raises(AirflowException, match="update-a-case is unknown"):
        operator(connection(), f"cases/{open_case}", method="PATCH", data=json.dumps(body)).execute(CONTEXT)
    assert len(persona.requests(operation="update-a-case")) == 1


@pytest.mark.parametrize(("endpoint", "status"), [("cases/case_none", "404"), ("unheard/of", "404")])
def test_a_refusal_fails_beginning_with_its_status(connection, endpoint, status):
    with pytest.raises(AirflowException, match=rf"^{status}:Persona answered {status}"):
        operator(connection(), endpoint, method="GET").execute(CONTEXT)


def test_check_response_false_hands_the_refusal_over(connection):
    task = operator(
        connection(), "cases/case_none", method="GET", extra_options={"check_response": False},
        response_check=lambda response: response.status_code == 404,
        response_filter=lambda response: response.status_code,
    )  # fmt: skip
    assert task.execute(CONTEXT) == 404


def test_a_response_check_that_says_no_fails(connection):
    task = operator(connection(), "cases", method="GET", response_check=lambda response: False)
    with pytest.raises(AirflowException, match="Response check returned False"):
        task.execute(CONTEXT)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://evil.example/api/v1/cases",
        "//evil.example/cases",
        "../../cases",
        "/api/v1/../../x",
        "%2e%2E/x",
        "http://127.0.0.1:1/cases",
        "http://127.0.0.1:99999/cases",
        "http://[evil",
    ],
)
def test_an_endpoint_elsewhere_is_refused_before_anything_is_sent(connection, persona, endpoint):
    with pytest.raises((AirflowException, ValueError), match="endpoint"):
        operator(connection(), endpoint, method="GET").execute(CONTEXT)
    assert persona.requests() == []


@pytest.mark.parametrize("host", ["https://api.withpersona.com", "HTTPS://API.withpersona.com:443"])
def test_an_endpoint_may_name_the_connections_host_in_any_spelling(host):
    assert api_path(f"{host}/api/v1/cases?x=1", "https://api.withpersona.com").geturl() == "/api/v1/cases?x=1"


def test_an_endpoint_may_have_the_prefix_of_relays(connection, persona):
    answer = PersonaHook(connection(), method="POST").run(
        "/api/privacy/v1/relays/challenge", data='{"claim-type": "age"}'
    )
    assert answer.json()["challenge"]
    assert [request.operation for request in persona.requests()] == ["request-a-relay-challenge"]


def test_a_call_by_path_that_needs_its_own_login_is_refused(connection, persona):
    with pytest.raises(AirflowException, match="generate-a-relay-claim needs headers"):
        PersonaHook(connection(), method="POST").run("/api/privacy/v1/relays/relay_1/generate-claim")
    assert persona.requests() == []


@pytest.mark.parametrize("data", ["not json", "[1]", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(connection, persona, data):
    with pytest.raises(AirflowException, match="Persona takes JSON objects"):
        PersonaHook(connection(), method="POST").run("cases", data=data)
    assert persona.requests() == []


@pytest.mark.parametrize(
    "data", ['{"data": {"amount": NaN}}', {"data": {"canary"}}, {"data": "canary\ud800"}, "[" * 99_999]
)
def test_a_body_that_cannot_be_sent_is_refused_without_showing_it(connection, persona, data):
    with pytest.raises(AirflowException, match=r"finite numbers|Persona takes JSON objects") as caught:
        PersonaHook(connection(), method="POST").run("cases", data=data)
    assert "canary" not in str(caught.value)
    assert persona.requests() == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "endpoint", ["accounts/by-name/alice%20doe", "files/alice-token/alice.pdf/?access_token=alice"]
)
def test_a_path_that_is_no_id_is_in_no_error_and_no_log(connection, persona, caplog, method, endpoint):
    caplog.set_level(logging.DEBUG)
    persona.script_fault("http_500", times=2)
    hook = PersonaHook(connection(), method=method, policy=RetryPolicy(delays=(0.01,)))
    with pytest.raises(AirflowException) as caught:
        hook.run(endpoint)
    assert "alice" not in caplog.text + str(caught.value)
    assert "is unknown" not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Trace": "canary\r\nX-Other: 1"},
        {"X-Trace": "canary\u20ac"},
        {"X-Trace": " canary"},
        {"X-Trace": "canary\x00"},
        {"canary\n": 1},
        {"canary: x": 1},
        {"": "canary"},
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_without_showing_it(connection, persona, headers):
    with pytest.raises(AirflowException, match="a header cannot be sent") as caught:
        PersonaHook(connection()).run("/cases", headers=headers)
    assert "canary" not in str(caught.value)
    assert persona.requests() == []


def test_headers_of_a_call_are_sent_but_cannot_authenticate(connection, persona):
    headers = {"Authorization": "Bearer other", "X-Number": 7}
    operator(connection(), "cases", method="GET", headers=headers).execute(CONTEXT)
    (request,) = persona.requests()
    assert request.key == "full"
    assert dict(request.headers)["x-number"] == "7"


def test_an_endpoint_may_hold_a_query(connection, persona):
    response = PersonaHook(connection()).run("cases?page[size]=2", data={"fields[case]": "status"})
    assert len(response.json()["data"]) == 2
    assert response.json()["data"][0]["attributes"].keys() == {"status"}
    assert (response.reason, response.status_code, response.ok) == ("OK", 200, True)


def test_the_values_of_a_query_are_written_as_persona_takes_them(connection, persona):
    data = {"fields[case]": ["status", "name"], "new-flag": True, "page[after]": None}
    PersonaHook(connection()).run("cases", data=data, extra_options={"check_response": False})
    assert dict(parse_qsl(persona.requests()[0].query)) == {"fields[case]": "status,name", "new-flag": "true"}


def test_the_stock_sensor_sends_no_key(connection, persona):
    """A limit of the http provider: its sensor builds an `HttpHook` whatever the connection's type."""
    sensor = HttpSensor(
        task_id="wait", http_conn_id=connection(), endpoint="api/v1/cases", response_error_codes_allowlist=["401"]
    )
    assert sensor.poke(CONTEXT) is False
    assert [request.key for request in persona.requests()] == ["missing"]


def test_our_sensor_looks_with_the_key_and_keeps_its_connection(connection, persona, open_case):
    sensor = PersonaHttpSensor(
        task_id="wait", http_conn_id=connection(), endpoint=f"cases/{open_case}",
        response_check=lambda response: response.json()["data"]["attributes"]["status"] == "Approved",
    )  # fmt: skip
    assert sensor.poke(CONTEXT) is False
    persona.act_as_human(open_case, "Approved")
    assert sensor.poke(CONTEXT) is True
    assert {request.key for request in persona.requests()} == {"full"}
    assert len({request.connection for request in persona.requests()}) == 1
    sensor.hook.close()


def test_our_sensor_takes_404_as_not_yet_and_other_refusals_as_failures(connection, persona):
    waiting = PersonaHttpSensor(task_id="wait", http_conn_id=connection(), endpoint="cases/case_none")
    assert waiting.poke(CONTEXT) is False
    refused = PersonaHttpSensor(task_id="wait", http_conn_id=connection(password="persona_sandbox_x"), endpoint="cases")
    with pytest.raises(AirflowException, match=r"^401:"):
        refused.poke(CONTEXT)


def test_our_sensor_without_a_check_is_content_with_an_answer(connection):
    assert PersonaHttpSensor(task_id="wait", http_conn_id=connection(), endpoint="cases").poke(CONTEXT) is True


def test_our_sensor_cannot_be_deferred():
    with pytest.raises(ValueError, match=r"wait: PersonaHttpSensor cannot be deferred"):
        PersonaHttpSensor(task_id="wait", endpoint="cases", deferrable=True)
