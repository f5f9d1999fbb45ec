"""Errors are typed, traceable and tell no secrets."""

from __future__ import annotations

import json
import pickle

import pytest

from airflow_provider_persona.api import errors
from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaError,
    PersonaServerError,
    PersonaSettingsError,
    PersonaValidationError,
    error_for,
    error_from_event,
)
from airflow_provider_persona.api.messages import Request, Response

CANARY = "Aino Abara born 1990-01-01"

ALL_ERRORS = sorted(
    (cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, PersonaError)),
    key=lambda cls: cls.__name__,
)


def answered(status, problem=None, **headers):
    content = json.dumps({"errors": [problem or {"title": "Some title"}]}).encode()
    return Response(status, {"Request-Id": "req_1", **headers}, content)


def asked(operation_id, **parts):
    return Request(operation_id, "POST", "/api/v1/cases", **parts)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (0, "PersonaServerError"),
        (302, "PersonaAnswerError"),
        (400, "PersonaValidationError"),
        (401, "PersonaAuthenticationError"),
        (403, "PersonaPermissionError"),
        (404, "PersonaNotFoundError"),
        (408, "PersonaServerError"),
        (409, "PersonaConflictError"),
        (418, "PersonaAnswerError"),
        (422, "PersonaValidationError"),
        (429, "PersonaRateLimitError"),
        (500, "PersonaServerError"),
        (599, "PersonaServerError"),
    ],
)
def test_the_status_decides_the_class(status, name):
    error = error_for(answered(status), asked("retrieve-case"))
    assert type(error).__name__ == name
    assert (error.status, error.request_id, error.operation_id) == (status, "req_1", "retrieve-case")
    assert error.retryable is (name in ("PersonaServerError", "PersonaRateLimitError"))
    assert str(error).startswith(f"Persona answered {status} (Some title) to retrieve-case")
    assert str(error).endswith("[req_1]")


@pytest.mark.parametrize("body", [b"<html>Not found</html>", b"", b'{"message": "no Route"}', b'{"errors": []}'])
def test_a_404_that_is_not_personas_proves_no_absence(body):
    error = error_for(Response(404, {}, body), asked("retrieve-case"))
    assert type(error).__name__ == "PersonaAnswerError"
    assert "not as Persona does; check the connection's host" in str(error)


@pytest.mark.parametrize("status", [403, 429])
def test_a_quota_is_told_apart(status):
    error = error_for(answered(status, {"title": "Quota exceeded", "details": CANARY}), asked("create-a-case"))
    assert type(error).__name__ == "PersonaQuotaError"
    assert error.retryable
    assert "permission" not in str(error)


def test_neither_details_nor_meta_nor_the_body_are_kept():
    problem = {"title": "Unprocessable Entity", "details": CANARY, "meta": {"value": CANARY}}
    problem["source"] = {"pointer": "/data/attributes/fields/name", "value": CANARY}
    error = error_for(answered(422, problem, Secret=CANARY), asked("update-a-case"))
    assert CANARY not in repr(vars(error)) + str(error) + repr(error) + json.dumps(error.to_event())
    assert error.pointer == "/data/attributes/fields/name"
    assert "at /data/attributes/fields/name" in str(error)


@pytest.mark.parametrize(
    ("title", "cleaned"),
    [
        ("a\nb\r\tc\x1b[31m", "a b  c [31m"),
        ("x" * 500, "x" * 119 + "…"),
        ("   ", None),
        ("", None),
        (None, None),
        (7, None),
        (["a"], None),
        ("\u202eevil", "evil"),
    ],
)
def test_a_title_is_one_short_printable_line(title, cleaned):
    error = error_for(answered(422, {"title": title}), asked("update-a-case"))
    assert error.title == cleaned
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("title", "told"),
    [
        ("Email aino@example.com is taken", "Email (an address) is taken"),
        ("Email aino.abara%40example.com is taken", "Email (a value) is taken"),
        ("Phone number +1 (415) 555-0100 is not valid", "Phone number (a number) is not valid"),
        ("Birthdate 1990-01-01 is in the future", "Birthdate (a number) is in the future"),
        ("123-45-6789 has been used", "(a number) has been used"),
        ("Name 'AINO Abara' is not allowed", "Name '(a value)' is not allowed"),
        ("Aino\u200bAbara has a case", "(a value) has a case"),
        ("Reference id ref of mine exists", "Reference id (a value) exists"),
        ("Note " + "long" * 40 + " is too long", "Note (a value)"),
        ("No account has Bo-Ek 7", "No account has (a value)"),
        ("Status Approved is unknown", "Status Approved is unknown"),
        ("Rate limit exceeded", "Rate limit exceeded"),
        ("case_1234567 has no Queue 17", "case_1234567 has no Queue 17"),
    ],
)
def test_a_title_repeats_nothing_of_a_person(title, told):
    attributes = {"name": "Aino Abara", "email": "aino.abara%40example.com", "note": "long" * 99, "age": 5, "no": "na"}
    body = {"data": {"attributes": {"fields": attributes, "list": ["x", None]}}, "meta": {"status": "Approved"}}
    request = asked("update-a-case", query=(("filter[reference-id]", "ref of mine,Bo-Ek 7"),), body=body)
    error = error_for(answered(422, {"title": title}), request)
    assert error.title == told
    assert f"({told})" in str(error)


@pytest.mark.parametrize(
    ("pointer", "told"),
    [
        ("/data/attributes/fields/name-first", "/data/attributes/fields/name-first"),
        ("/meta/object-ids/0", "/meta/object-ids/0"),
        ("/data/attributes/emails/aino@example.com", "/data/attributes/emails/…"),
        ("/data/attributes/Aino Abara\x1b", "/data/attributes/…"),
        ("/data/attributes/ids/4155550100", "/data/attributes/ids/…"),
        ("/data/" + "p" * 10_000, "/data/…"),
        (["/data"], None),
    ],
)
def test_a_pointer_has_names_of_parts_only(pointer, told):
    error = error_for(answered(422, {"title": "Bad", "source": {"pointer": pointer}}), asked("update-a-case"))
    assert error.pointer == told


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>" + CANARY.encode(),
        b"[]",
        b"null",
        b'{"errors": []}',
        b'{"errors": ["x"]}',
        b'{"errors": {"a": 1}}',
        b"\xff",
    ],
)
def test_an_answer_in_another_shape_still_has_its_error(content):
    error = error_for(Response(502, {}, content), asked("retrieve-case"))
    assert isinstance(error, PersonaServerError)
    assert (error.title, error.pointer, error.request_id) == (None, None, None)
    assert str(error) == "Persona answered 502 to retrieve-case"


@pytest.mark.parametrize("cls", ALL_ERRORS, ids=lambda cls: cls.__name__)
def test_every_error_survives_an_event_and_a_pickle(cls):
    error = cls(
        "what happened", status=422, title="t", pointer="/p", request_id="req_1", operation_id="o", retryable=True
    )
    through_event = error_from_event(json.loads(json.dumps(error.to_event())))
    for again in (through_event, pickle.loads(pickle.dumps(error))):
        assert type(again) is cls
        assert str(again) == "what happened"
        assert vars(again) == vars(error)


@pytest.mark.parametrize(
    "details",
    ["API key does not have the permission case.write", "IP address is not permitted access", "It is not enabled"],
)
def test_a_403_that_speaks_of_the_key_is_an_error_of_its_own(details):
    error = error_for(answered(403, {"title": "Forbidden", "details": details}), asked("retrieve-case"))
    assert type(error).__name__ == "PersonaKeyPermissionError"
    assert details not in str(error)


def test_there_are_as_many_errors_as_the_tree_has():
    kinds = PersonaError.__subclasses__()
    assert set(ALL_ERRORS) == {PersonaError, *kinds, *(finer for kind in kinds for finer in kind.__subclasses__())}
    assert len(ALL_ERRORS) == 14


def test_an_event_of_a_newer_version_is_still_an_error():
    error = error_from_event({"type": "PersonaTeapotError", "message": "short and stout", "retryable": True})
    assert type(error) is PersonaError
    assert error.retryable
    assert str(error_from_event({})) == "Persona failed without a message"


def test_a_settings_error_is_a_value_error_too():
    assert issubclass(PersonaSettingsError, ValueError)
    assert not issubclass(PersonaValidationError, ValueError)
    assert PersonaAnswerError("x").retryable is False
