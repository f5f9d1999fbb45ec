"""Idempotency keys, pagination, and messages as values."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.exchange import idempotency_key
from airflow_provider_persona.api.messages import Request, Response, canonical_json
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.pagination import items_of, next_page

MOVE = Request(
    "set-status-for-a-case",
    "POST",
    "/api/v1/cases/case_1/set-status",
    (("fields[case]", "status"),),
    {"meta": {"a": 1, "b": 2}},
)


def test_the_same_intent_has_the_same_key():
    again = replace(MOVE, body={"meta": {"b": 2, "a": 1}})
    assert idempotency_key("run row", MOVE, 0) == idempotency_key("run row", again, 0)


@pytest.mark.parametrize(
    ("identity", "request_made", "generation"),
    [
        ("run row", MOVE, 1),
        ("run row 2", MOVE, 0),
        ("run row", replace(MOVE, path="/api/v1/cases/case_2/set-status"), 0),
        ("run row", replace(MOVE, method="DELETE"), 0),
        ("run row", replace(MOVE, query=()), 0),
        ("run row", replace(MOVE, body={"meta": {"a": 1, "b": 3}}), 0),
        ("run row", replace(MOVE, body=None), 0),
    ],
)
def test_another_intent_has_another_key(identity, request_made, generation):
    assert idempotency_key(identity, request_made, generation) != idempotency_key("run row", MOVE, 0)


def test_a_border_between_parts_cannot_be_moved():
    shifted = replace(MOVE, method="1POST")
    assert idempotency_key("run", shifted, 0) != idempotency_key("run1", MOVE, 0)


def test_a_key_tells_nothing():
    private = replace(MOVE, body={"meta": {"user-email-address": "aino.abara@example.com"}})
    assert re.fullmatch(r"[0-9a-f]{40}", idempotency_key("dag aino.abara case_1", private, 3))


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    assert canonical_json({"b": [1, {"d": 1, "c": "é"}], "a": None}) == '{"a":null,"b":[1,{"c":"é","d":1}]}'.encode()


def test_a_response_looks_headers_up_in_lower_case_and_shows_no_body():
    response = Response(200, {"Request-Id": "req_1", "Persona-Environment-Id": "env_1"}, b'{"name": "Aino"}')
    assert (response.request_id, response.environment_id) == ("req_1", "env_1")
    assert "Aino" not in repr(response)
    assert response.json() is response.json()


def test_a_request_shows_no_body():
    assert "meta" not in repr(MOVE)


# ------------------------------------------------------------------ pages

LIST = operation("list-all-cases").bind(
    query={"filter[status]": "Open", "fields[case]": "status", "page[size]": 2, "page[before]": "case_9"}
)


def page(link, items=()):
    return {"data": list(items), "links": {"next": link}}


def after(cursor, request=LIST, seen=None):
    """Return the request of the page after one that names this cursor."""
    link = f"/api/v1/cases?{urlencode({'page[after]': cursor})}"
    return next_page(request, page(link, [{"id": cursor}]), set() if seen is None else seen)


def test_a_link_to_the_same_objects_under_ever_new_cursors_is_refused():
    seen, request = set(), LIST
    for number in range(4):
        items = [{"id": f"case_{number % 2}"}, {"id": "case_9"}]
        link = f"/api/v1/cases?page%5Bafter%5D=new_{number}"
        if number == 2:
            with pytest.raises(PersonaAnswerError, match="leads back to an earlier page"):
                next_page(request, page(link, reversed(items)), seen)
            return
        request = next_page(request, page(link, items), seen)


def test_an_empty_page_may_have_a_next_page_and_a_second_one_may_not():
    seen = set()
    request = next_page(LIST, page("/api/v1/cases?page%5Bafter%5D=a"), seen)
    with pytest.raises(PersonaAnswerError, match="leads back to an earlier page"):
        next_page(request, page("/api/v1/cases?page%5Bafter%5D=b"), seen)


@pytest.mark.parametrize(
    "link",
    [
        "/api/v1/cases?page%5Bafter%5D=case_2",
        "/api/v1/cases?page%5Bafter%5D=case_2&filter%5Bstatus%5D=Closed&page%5Bsize%5D=1",
        "?page[after]=case_2",
        "https://api.withpersona.com/api/v1/cases?page%5Bafter%5D=case_2",
        "https://evil.example/api/v1/cases?page%5Bafter%5D=case_2",
        "//evil.example/api/v1/cases?page%5Bafter%5D=case_2",
        "/api/v1/cases/../accounts?page%5Bafter%5D=case_2",
    ],
)
def test_only_the_cursor_is_taken_from_a_link(link):
    following = next_page(LIST, page(link), set())
    assert following == replace(LIST, query=following.query)
    assert dict(following.query) == {
        "page[after]": "case_2", "filter[status]": "Open", "fields[case]": "status", "page[size]": "2"
    }  # fmt: skip


def test_a_cursor_arrives_as_it_was_given():
    assert dict(after("a+b/c=?&d é").query)["page[after]"] == "a+b/c=?&d é"


def test_a_second_page_does_not_carry_the_first_cursor_on():
    second = after("case_4", after("case_2"))
    assert [pair for pair in second.query if pair[0].startswith("page[a")] == [("page[after]", "case_4")]


@pytest.mark.parametrize("link", [None, ""])
@pytest.mark.parametrize("links", [True, False])
def test_the_last_page_has_no_next(link, links):
    assert next_page(LIST, page(link) if links else {"data": []}, set()) is None


@pytest.mark.parametrize(
    "link",
    [
        "/api/v1/cases",
        "/api/v1/cases?page%5Bafter%5D=",
        "/api/v1/api-keys?x=evil",
        "javascript:evil",
        "http://[evil",
        17,
    ],
)
def test_a_link_without_a_cursor_is_refused(link):
    with pytest.raises(PersonaAnswerError, match="next link of list-all-cases has no cursor") as caught:
        next_page(LIST, page(link), set())
    assert "evil" not in str(caught.value)


def test_a_link_back_to_an_earlier_page_is_refused():
    seen = set()
    request = LIST
    for cursor in ("case_2", "case_4"):
        request = after(cursor, request, seen)
    for cursor in ("case_2", "case_4"):
        with pytest.raises(PersonaAnswerError, match="leads back to an earlier page"):
            after(cursor, request, seen)
    assert after("case_6", request, seen) is not None


def test_a_search_is_sent_again_with_its_body():
    body = {"query": {"attribute": "status", "operator": "eq", "value": "Open"}}
    search = operation("search-cases").bind(query={"page[size]": 2}, body=body)
    following = next_page(search, page("/api/v1/cases/search?page%5Bafter%5D=case_2"), set())
    assert following is not None
    assert (following.method, following.body) == ("POST", body)


@pytest.mark.parametrize("odd", [None, [], {}, {"data": None}, {"data": {"id": "x"}}, {"data": ["x"]}])
def test_an_answer_that_is_no_list_is_refused(odd):
    with pytest.raises(PersonaAnswerError, match="list-all-cases holds no list of objects"):
        items_of(LIST, odd)
