"""The catalogue, and how a call becomes a request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_persona.api.operations import AnswerKind, BadCallError, catalogue, matching, operation

_PUBLISHED = Path(__file__).parents[3] / "shared" / "api" / "operations.json"


def set_status(an_id, **more):
    return operation("set-status-for-a-case").bind({"case-id": an_id, **more}, body={"meta": {"status": "Open"}})


def test_a_call_becomes_a_request_below_the_api_prefix():
    request = set_status("case_1")
    assert (request.method, request.path) == ("POST", "/api/v1/cases/case_1/set-status")
    assert request.body == {"meta": {"status": "Open"}}
    assert request.repeatable
    assert request.takes_idempotency_key


@pytest.mark.parametrize(
    "unsafe",
    [
        "a/b",
        "/",
        "..",
        ".",
        "...",
        "../x",
        "a b",
        " ",
        "a?x=1",
        "a#b",
        "a%2Fb",
        "%2e%2e",
        "a\\b",
        "a\nb",
        "é",
        "a&b",
        "a;b",
    ],
)
def test_a_value_that_could_leave_its_segment_is_refused(unsafe):
    with pytest.raises(BadCallError, match=r"case-id cannot be put into a path"):
        set_status(unsafe)


@pytest.mark.parametrize("odd", ["case_" + "x" * 300, "CASE.1", "a~b", "0", "a-b_c"])
def test_ids_are_opaque_and_may_grow(odd):
    assert set_status(odd).path == f"/api/v1/cases/{odd}/set-status"


@pytest.mark.parametrize("missing", [{}, {"case-id": ""}, {"case-id": None}])
def test_a_missing_path_parameter_is_named(missing):
    with pytest.raises(BadCallError, match=r"retrieve-case lacks case-id; its path is /cases/\{case-id\}"):
        operation("retrieve-case").bind(missing)


def test_an_unknown_path_parameter_is_named():
    with pytest.raises(BadCallError, match="does not know case_id"):
        set_status("case_1", case_id="case_1")


def test_a_path_value_that_is_no_text_is_refused():
    with pytest.raises(BadCallError, match="cannot be put into a path: 'int'"):
        set_status(7)


@pytest.mark.parametrize(
    ("operation_id", "body", "named"),
    [
        ("set-status-for-a-case", None, "meta.status"),
        ("set-status-for-a-case", {}, "meta.status"),
        ("set-status-for-a-case", {"meta": {"status": None}}, "meta.status"),
        ("set-status-for-a-case", {"meta": "status"}, "meta.status"),
        ("set-status-for-a-case", {"data": {"attributes": {"status": "Open"}}}, "meta.status"),
        ("add-tag", {"meta": {}}, "meta.tag-name|meta.tag-id"),
        ("create-a-case", {"data": {"attributes": {}}}, "data.attributes.case-template-id"),
        ("search-cases", {}, "query"),
        ("assign-a-case", {"meta": {}}, "meta.user-email-address"),
        ("add-persona-objects", {"meta": {}}, "meta.object-ids"),
    ],
)
def test_a_missing_body_key_is_named(operation_id, body, named):
    wanted = operation(operation_id)
    path = dict.fromkeys(wanted.path_parameters, "x_1")
    with pytest.raises(BadCallError) as caught:
        wanted.bind(path, body=body)
    assert str(caught.value) == f"{operation_id} needs {named} in its body"


@pytest.mark.parametrize("meta", [{"tag-name": "a"}, {"tag-id": "tag_1"}])
def test_one_of_several_body_keys_will_do(meta):
    assert operation("add-tag").bind({"case-id": "case_1"}, body={"meta": meta}).body == {"meta": meta}


def test_query_values_become_text_in_the_order_given():
    request = operation("list-all-cases").bind(
        query={"page[size]": 100, "fields[case]": ["status", "name"], "include": None, "odd": True, "tuple": ("a", 1)}
    )
    assert request.query == (("page[size]", "100"), ("fields[case]", "status,name"), ("odd", "true"), ("tuple", "a,1"))


def test_an_update_that_attaches_files_is_not_repeatable():
    update = operation("update-a-case")
    path = {"case-id": "case_1"}
    assert update.bind(path, body={"data": {"attributes": {"fields": {"a": 1}}}}).repeatable
    file = {"filename": "a.pdf", "data": "eA=="}
    assert not update.bind(path, body={"data": {"attributes": {"attachments": [file]}}}).repeatable


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("set-status", "set-status-for-a-case"), ("retrieve-a-case", "retrieve-case"), ("list-cases", "list-all-cases")],
)
def test_an_unknown_operation_suggests_near_ids(wrong, near):
    with pytest.raises(BadCallError, match=f"no operation '{wrong}'.*did you mean.*{near}"):
        operation(wrong)


def test_an_operation_like_no_other_suggests_nothing():
    with pytest.raises(BadCallError) as caught:
        operation("zzzzzz")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/cases", "list-all-cases"),
        ("GET", "/cases/", "list-all-cases"),
        ("POST", "/cases", "create-a-case"),
        ("POST", "/cases/search", "search-cases"),
        ("GET", "/cases/case_1", "retrieve-case"),
        ("PATCH", "/cases/case_1", "update-a-case"),
        ("DELETE", "/cases/case_1", "redact-a-case"),
        ("POST", "/cases/case_1/set-status", "set-status-for-a-case"),
        ("GET", "/rate-limits", "list-all-rate-limits"),
        ("GET", "/cases/search", None),
        ("PUT", "/cases/case_1", None),
        ("POST", "/cases/case_1/explode", None),
        ("GET", "/unheard-of", None),
        ("GET", "/", None),
    ],
)
def test_an_operation_is_told_from_method_and_path(method, path, found):
    operation_found = matching(method, path)
    assert (operation_found.operation_id if operation_found else None) == found


@pytest.mark.parametrize("entry", catalogue().values(), ids=lambda entry: entry.operation_id)
def test_every_operation_of_the_catalogue_can_be_found_by_its_own_path(entry):
    path = entry.path
    for name in entry.path_parameters:
        path = path.replace(f"{{{name}}}", "x_1")
    assert matching(entry.method, path) == entry


def test_creating_is_the_only_case_operation_that_must_not_be_repeated():
    assert [entry.operation_id for entry in catalogue().values() if not entry.repeatable] == ["create-a-case"]


@pytest.mark.skipif(
    not _PUBLISHED.exists(), reason="the list of Persona's published operations is not beside the repository"
)
def test_the_catalogue_agrees_with_what_persona_publishes():
    published = {entry["operation_id"]: entry for entry in json.loads(_PUBLISHED.read_text("utf-8"))}
    kinds = {"object": AnswerKind.OBJECT, "collection": AnswerKind.COLLECTION}
    for ours in catalogue().values():
        theirs = published[ours.operation_id]
        assert (ours.method, ours.path) == (theirs["method"], theirs["path"]), ours.operation_id
        assert ours.success == set(theirs["success_status"]), ours.operation_id
        assert set(ours.query) <= set(theirs["query_params"]), ours.operation_id
        assert str(ours.since) in theirs["since"], ours.operation_id
        assert ours.answer is kinds.get(theirs["response_kind"], ours.answer), ours.operation_id
        assert ours.withdrawn or theirs["live_in_spec_2026_08_21"], ours.operation_id
