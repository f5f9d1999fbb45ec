"""Both clients in fair weather: what they send, what they keep to themselves, and pages."""

from __future__ import annotations

import logging
import socket
import traceback

import pytest

from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaError, PersonaSettingsError
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.retry import NO_RETRIES
from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer
from tests.client.raw_server import answer

SET_STATUS = "set-status-for-a-case"


def test_every_request_names_version_inflection_and_key(persona, connect, approval):
    face = connect(persona.url, version="2023-01-05")
    face.call("list-all-cases")
    face.call(SET_STATUS, **approval)
    for request in persona.requests():
        headers = dict(request.headers)
        assert headers["persona-version"] == "2023-01-05"
        assert headers["key-inflection"] == "kebab"
        assert headers["user-agent"] == "airflow-provider-persona"
        assert request.key == "full"
    read, write = persona.requests()
    assert read.idempotency_key is None
    assert len(write.idempotency_key) == 40
    assert dict(write.headers)["content-type"] == "application/json"
    assert "content-type" not in dict(read.headers)


def test_many_calls_use_one_connection(persona, connect):
    face = connect(persona.url)
    for _ in range(50):
        face.call("list-all-cases", query={"page[size]": 1})
    assert len({request.connection for request in persona.requests()}) == 1
    assert face.client.usage.requests == 50


def test_an_attempt_that_makes_no_connection_is_no_request(connect):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        face = connect(f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(PersonaError):
            face.call("list-all-cases")
    assert face.client.usage.requests == 0


def test_the_same_identity_gives_the_same_key_and_one_effect(persona, connect, approval):
    face = connect(persona.url)
    for _ in range(2):
        face.call(SET_STATUS, **approval, identity="run row")
    first, second = persona.requests()
    assert first.idempotency_key == second.idempotency_key
    assert second.replayed
    assert len(persona.journal()) == 1


def test_without_an_identity_every_call_is_a_new_one(persona, connect, approval):
    face = connect(persona.url)
    for _ in range(2):
        face.call(SET_STATUS, **approval)
    assert len({request.idempotency_key for request in persona.requests()}) == 2


def test_pages_bring_every_case_once(connect):
    request = operation("list-all-cases").bind(query={"page[size]": 30, "fields[case]": "status"})
    with SimulatorServer(SimulatorConfig(cases=100)) as persona:
        pages = connect(persona.url).pages(request)
        assert [len(page) for page in pages] == [30, 30, 30, 10]
        assert {case["id"] for page in pages for case in page} == set(persona.statuses())
        assert all("fields%5Bcase%5D=status" in request.query for request in persona.requests())


def test_pages_of_a_search_keep_its_body(persona, connect):
    body = {"query": {"attribute": "status", "operator": "eq", "value": "Open"}}
    request = operation("search-cases").bind(query={"page[size]": 10}, body=body)
    found = [case["id"] for page in connect(persona.url).pages(request) for case in page]
    assert sorted(found) == sorted(case for case, status in persona.statuses().items() if status == "Open")
    assert len({request.body_bytes for request in persona.requests()}) == 1
    assert len(persona.requests()) > 1


def test_pages_of_what_is_no_list_are_refused(persona, connect, open_case):
    request = operation("retrieve-case").bind({"case-id": open_case})
    with pytest.raises(PersonaAnswerError, match="holds no list"):
        connect(persona.url).pages(request)


def test_odd_query_values_arrive_as_they_are(persona, connect):
    from urllib.parse import parse_qsl

    value = "a+b c&d=e%/ü?#"
    connect(persona.url).call("list-all-cases", query={"filter[reference-id]": value})
    assert dict(parse_qsl(persona.requests()[0].query))["filter[reference-id]"] == value


def test_another_environment_is_refused_before_the_first_write(persona, connect, approval):
    face = connect(persona.url, expected_environment_id="env_other")
    for _ in range(2):
        with pytest.raises(PersonaSettingsError, match=r"belongs to environment env_simulator.*expects env_other"):
            face.call(SET_STATUS, **approval)
    assert {request.operation for request in persona.requests()} == {"list-all-rate-limits"}
    assert persona.journal() == []


def test_after_an_answer_from_another_environment_the_next_write_asks_first(connect, serve, approval):
    answers = iter(["env_ours", "env_other", "env_other"])

    def handler(_, line):
        line.send(answer({"data": []}, headers=f"Persona-Environment-Id: {next(answers)}\r\n"))

    server = serve(handler)
    face = connect(server.url, expected_environment_id="env_ours", policy=NO_RETRIES)
    said = []
    for _ in range(2):
        with pytest.raises(PersonaSettingsError, match="belongs to environment env_other") as refused:
            face.call("set-status-for-a-case", **approval)
        said.append(str(refused.value))
    assert [request.method for request in server.received] == ["GET", "POST", "GET"]
    assert "nothing more is written to it" in said[0]
    assert "nothing is written to it" in said[1]


def test_the_expected_environment_costs_one_question(persona, connect, approval):
    face = connect(persona.url, expected_environment_id="env_simulator")
    for _ in range(2):
        face.call(SET_STATUS, **approval)
    asked = [request.operation for request in persona.requests()]
    assert asked == ["list-all-rate-limits", SET_STATUS, SET_STATUS]


def test_a_netrc_entry_for_the_host_does_not_replace_the_key(persona, connect, approval, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    face = connect(persona.url)
    face.call("list-all-cases")
    face.call(SET_STATUS, **approval)
    assert [request.key for request in persona.requests()] == ["full", "full"]


def test_neither_key_nor_personal_data_are_logged_or_raised(persona, connect, open_case, caplog):
    caplog.set_level(logging.DEBUG)
    canary = "Zyanya-Canary"
    body = {"data": {"attributes": {"fields": {"name-first": canary, "no-such-field": canary}}}}
    face = connect(persona.url)
    texts = []
    for fault in (None, "http_500", "malformed", "truncated", "reset_after", "redirect"):
        if fault:
            persona.script_fault(fault, operation="update-a-case", times=4)
        try:
            face.call("update-a-case", path={"case-id": open_case}, body=body)
        except PersonaError as error:
            texts.append("".join(traceback.format_exception(error)) + repr(vars(error)))
        persona.clear_faults()
    face.call(
        "update-a-case", path={"case-id": open_case}, body={"data": {"attributes": {"fields": {"name-first": canary}}}}
    )
    face.call("retrieve-case", path={"case-id": open_case})
    assert len(texts) >= 5
    assert caplog.records
    everything = caplog.text + "".join(texts) + repr(face.client.__dict__)
    assert canary not in everything
    assert SANDBOX_KEY not in everything


def test_a_closed_client_can_be_used_again(persona, connect):
    face = connect(persona.url)
    face.call("list-all-cases")
    face.close_client()
    assert face.call("list-all-cases").status == 200
