"""Which answers of success prove nothing: those without their object, about another one, or with errors in them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from retry_cases import POLICY, ok

from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.retry import Attempt, Done, SendAgain, decide


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors": [{"title": "Something"}]}',
        b'{"data": {"type": "case", "id": "case_other", "attributes": {}}}',
        b"[" * 200_000,
    ],
    ids=["errors and no data", "another object", "nested too deeply"],
)
@pytest.mark.parametrize("operation_id", ["retrieve-case", "set-status-for-a-case", "update-a-case"])
def test_a_success_that_proves_nothing_is_none(operation_id, body):
    sent = {"meta": {"status": "x"}} if "status" in operation_id else {"data": {"attributes": {}}}
    request = operation(operation_id).bind({"case-id": "case_1"}, None, None if "retrieve" in operation_id else sent)
    decision = decide(request, ok(200, body), Attempt(key_born=0.0), 10.0, POLICY)
    assert isinstance(decision, SendAgain)


PROVES_NOTHING = [
    {},
    {"data": None},
    {"data": "case_1"},
    {"data": {}},
    {"data": {"type": "case"}},
    {"data": {"type": "case", "id": None}},
    {"data": {"type": "case", "id": ""}},
    {"data": {"type": "case", "id": ["case_1"]}},
    {"data": {"type": "case", "id": "case_1"}, "errors": [{"title": "Something"}]},
    {"errors": []},
    {"meta": {"id": "case_1"}},
]
OF_ONE = ["retrieve-case", "set-status-for-a-case", "update-a-case", "redact-a-case", "add-tag", "approve-an-inquiry"]
NEW = ["create-a-case", "create-an-account", "clone-a-webhook", "create-a-workflow-run"]


def bound(operation_id):
    entry = operation(operation_id)
    kinds = {"inquiry-id": "inq_1", "webhook-id": "wbh_1", "workflow-id": "wfl_1"}
    path = {name: kinds.get(name, "case_1") for name in entry.path_parameters}
    attributes = {"case-template-id": "ctmpl_1", "fields": {}}
    body = {"data": {"attributes": attributes}, "meta": {"status": "x", "tag-name": "x"}}
    return entry.bind(path, None, None if entry.method == "GET" else body)


@pytest.mark.parametrize("body", PROVES_NOTHING, ids=json.dumps)
@pytest.mark.parametrize("operation_id", OF_ONE + NEW)
def test_an_answer_without_its_object_proves_nothing(operation_id, body):
    assert answered_with(operation_id, body) in ("again", "unknown")


def answered_with(operation_id, body):
    decision = decide(bound(operation_id), ok(200, json.dumps(body).encode()), Attempt(key_born=0.0), 10.0, POLICY)
    return "taken" if isinstance(decision, Done) else "again" if isinstance(decision, SendAgain) else "unknown"


@pytest.mark.parametrize(
    "data",
    [
        [{"type": "case", "id": "case_1"}],
        {"type": "case", "id": "CASE_1"},
        {"type": "case", "id": "case_11"},
        {"type": "case", "id": "case_1 "},
        {"type": "case", "id": 1},
        {"type": "inquiry", "id": "inq_other"},
        {"type": "workflow-run", "id": "wfr_1"},
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("operation_id", OF_ONE)
def test_an_answer_about_another_object_proves_nothing(operation_id, data):
    assert answered_with(operation_id, {"data": data}) in ("again", "unknown")


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {"type": "case", "id": "case_1"}}, {"errors": [1]}])
@pytest.mark.parametrize("operation_id", ["list-all-cases", "search-cases", "expire-inquiry-sessions"])
def test_an_answer_without_a_list_is_no_empty_list(operation_id, body):
    request = operation(operation_id).bind(body={"query": {}, "meta": {"inquiry-ids": ["inq_1"]}})
    decision = decide(request, ok(200, json.dumps(body).encode()), Attempt(key_born=0.0), 10.0, POLICY)
    assert isinstance(decision, SendAgain)


@pytest.mark.parametrize(
    ("operation_id", "data"),
    [
        ("retrieve-case", {"type": "case", "id": "case_1"}),
        ("redact-a-case", {"id": "case_1"}),
        ("create-a-case", {"type": "case", "id": "case_new"}),
        ("create-a-workflow-run", {"type": "workflow-run", "id": "wfr_1"}),
        ("clone-a-webhook", {"type": "webhook", "id": "wbh_2"}),
    ],
)
def test_the_object_asked_for_and_new_objects_are_taken(operation_id, data):
    assert answered_with(operation_id, {"data": data, "errors": []}) == "taken"


@pytest.mark.parametrize("is_file", [True, False])
def test_a_part_of_an_answer_is_none(is_file):
    request = replace(bound("retrieve-case"), binary=is_file)
    decision = decide(request, ok(206, b'{"data": {"id": "case_1"}}'), Attempt(key_born=0.0), 10.0, POLICY)
    assert isinstance(decision, SendAgain)
