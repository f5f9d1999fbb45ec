"""`Document`: one strange member of an answer costs that member, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_persona.api.document import MISSING, Document, Resource, moment
from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.messages import Response

CASE = {
    "id": "case_1",
    "type": "case",
    "attributes": {
        "status": "Open",
        "created-at": "2026-01-01T12:00:00.000Z",
        "name": None,
        "fields": {"risk": {"value": 3, "score": 1}, "risk.score": 7, "a": {"b": 1}},
    },
    "relationships": {
        "accounts": {"data": [{"type": "account", "id": "act_1"}, None, {"id": 7}, {"id": {"x": 1}}, {"id": "act_2"}]},
        "case-queue": {"data": None},
        "inquiries": None,
        "reports": {"links": {}},
    },
}
ODD = [None, 1, "text", [], {}, {"data": None}, {"data": 1}, {"data": "x"}]


def test_a_single_object():
    resource = Document({"data": CASE}).resource
    assert (resource.id, resource.type, resource.text("status")) == ("case_1", "case", "Open")
    assert resource.time("created-at") == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert [pointer.id for pointer in resource.related("accounts")] == ["act_1", "7", "act_2"]
    assert resource.related("accounts")[0].type == "account"
    assert resource.related("case-queue") == []
    assert [resource.related(name) for name in ("inquiries", "reports", "none")] == [None, None, None]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("name", None),
        ("unknown", MISSING),
        ("status.deeper", MISSING),
        ("fields.risk.value", 3),
        ("fields.risk.score", 7),  # a custom field with a dot in its name comes first
        ("fields.a.b", 1),
        ("fields.none.at.all", MISSING),
    ],
)
def test_an_attribute_by_its_dotted_path(path, found):
    assert Resource(CASE).attribute(path, MISSING) == found


@pytest.mark.parametrize("body", ODD)
def test_a_body_without_objects_has_none(body):
    document = Document(body)
    assert (document.resource, document.entries, list(document.resources), document.next_link) == (None, None, [], None)


def test_strange_entries_of_a_list_are_left_out_and_the_others_stay():
    document = Document({"data": [None, CASE, 1, {"id": None}, []], "links": {"next": "/api/v1/cases?x"}})
    assert [resource.id for resource in document.resources] == ["case_1", None]
    assert len(document.entries) == 5
    assert document.next_link == "/api/v1/cases?x"


@pytest.mark.parametrize("odd", [None, 1, "text", [], [1], {"data": [None]}])
def test_null_and_odd_members_hold_nothing(odd):
    resource = Resource({"id": odd, "type": odd, "attributes": odd, "relationships": odd})
    assert (resource.attribute("status"), resource.text("status"), resource.time("status")) == (None, None, None)
    assert resource.related("accounts") is None
    assert resource.id == {1: "1", "text": "text"}.get(odd if isinstance(odd, int | str) else None)
    assert resource.type == (odd if isinstance(odd, str) else None)


@pytest.mark.parametrize("links", [None, [], "x", {"next": None}, {"next": ""}])
def test_no_next_link(links):
    assert Document({"data": [], "links": links}).next_link is None


# The first and the last year that Python has: a few minutes before or after them, it has none.
EDGES = ["0001-01-01T00:00:00Z", "0001-12-31T23:59:59Z", "9999-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]


@pytest.mark.parametrize(
    "value", [None, 5, "", "yesterday", "0001-01-01T00:00:00+23:59", "2026-13-01T00:00:00Z", *EDGES]
)
def test_what_is_no_time_is_none(value):
    assert moment(value) is None


def test_times_are_in_utc():
    expected = datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert moment("2026-01-01T12:00:00+02:00") == moment("2026-01-01T10:00:00") == expected
    assert moment("2026-01-01T12:00:00+02:00").tzinfo is UTC


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff", b"[" * 200_000 + b"]" * 200_000, b"[" * 500 + b"]" * 500])
def test_an_answer_that_is_no_json_is_an_answer_error(content):
    with pytest.raises(PersonaAnswerError, match="the answer to retrieve-case cannot be read as JSON") as caught:
        Document.read(Response(200, {"request-id": "req_1"}, content), "retrieve-case")
    assert caught.value.request_id == "req_1"


def test_personal_data_is_in_no_repr():
    secret = {"data": [{"id": "case_1", "attributes": {"name": "Canaria"}}]}
    document = Document.read(Response(200, {}, json.dumps(secret).encode()), "list-all-cases")
    assert "Canaria" not in repr(document) + repr(next(document.resources))
