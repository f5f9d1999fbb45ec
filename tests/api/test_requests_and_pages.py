"""Idempotency keys, pagination, and messages as values."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.idempotency import idempotency_key
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


def test_a_relative_link_is_followed_and_what_it_leaves_out_is_asked_for_again():
    following = next_page(LIST, page("/api/v1/cases?page%5Bafter%5D=case_2"))
    assert following is not None
    assert following.path == "/api/v1/cases"
    assert dict(following.query) == {
        "page[after]": "case_2", "filter[status]": "Open", "fields[case]": "status", "page[size]": "2"
    }  # fmt: skip


def test_what_the_link_says_wins_over_what_was_asked_for():
    following = next_page(LIST, page("/api/v1/cases?page%5Bafter%5D=case_2&filter%5Bstatus%5D=Closed&page%5Bsize%5D=1"))
    assert following is not None
    assert sorted(name for name, _ in following.query) == [
        "fields[case]",
        "filter[status]",
        "page[after]",
        "page[size]",
    ]
    assert ("filter[status]", "Closed") in following.query


def test_a_second_page_does_not_carry_the_first_cursor_on():
    first = next_page(LIST, page("/api/v1/cases?page%5Bafter%5D=case_2"))
    second = next_page(first, page("/api/v1/cases?page%5Bafter%5D=case_4"))
    assert [pair for pair in second.query if pair[0].startswith("page[a")] == [("page[after]", "case_4")]


@pytest.mark.parametrize("link", [None, ""])
@pytest.mark.parametrize("links", [True, False])
def test_the_last_page_has_no_next(link, links):
    assert next_page(LIST, page(link) if links else {"data": []}) is None


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/api/v1/cases?page%5Bafter%5D=case_2",
        "https://api.withpersona.com/api/v1/cases?page%5Bafter%5D=case_2",
        "//evil.example/api/v1/cases?page%5Bafter%5D=case_2",
        "/api/v1/accounts?page%5Bafter%5D=act_2",
        "/api/v1/cases/../accounts?page%5Bafter%5D=act_2",
        "?page%5Bafter%5D=case_2",
        "javascript:alert(1)",
        17,
    ],
)
def test_a_link_to_another_host_or_path_is_refused(link):
    with pytest.raises(PersonaAnswerError, match="leads to another host or path") as caught:
        next_page(LIST, page(link))
    assert "evil" not in str(caught.value)


def test_a_link_back_to_the_same_page_is_refused():
    first = next_page(LIST, page("/api/v1/cases?page%5Bafter%5D=case_2"))
    with pytest.raises(PersonaAnswerError, match="back to the same page"):
        next_page(first, page("/api/v1/cases?page%5Bafter%5D=case_2"))


def test_a_link_back_to_an_earlier_page_is_refused():
    seen = set()
    request = LIST
    for cursor in ("case_2", "case_4"):
        request = next_page(request, page(f"/api/v1/cases?page%5Bafter%5D={cursor}"), seen)
    with pytest.raises(PersonaAnswerError, match="leads back to an earlier page"):
        next_page(request, page("/api/v1/cases?page%5Bafter%5D=case_2"), seen)
    first = "/api/v1/cases?" + urlencode(LIST.query)
    with pytest.raises(PersonaAnswerError, match="leads back to an earlier page"):
        next_page(request, page(first), seen)
    assert next_page(request, page("/api/v1/cases?page%5Bafter%5D=case_6"), seen) is not None


def test_a_search_is_sent_again_with_its_body():
    body = {"query": {"attribute": "status", "operator": "eq", "value": "Open"}}
    search = operation("search-cases").bind(query={"page[size]": 2}, body=body)
    following = next_page(search, page("/api/v1/cases/search?page%5Bafter%5D=case_2"))
    assert following is not None
    assert (following.method, following.body) == ("POST", body)


@pytest.mark.parametrize("odd", [None, [], {}, {"data": None}, {"data": {"id": "x"}}, {"data": ["x"]}])
def test_an_answer_that_is_no_list_is_refused(odd):
    with pytest.raises(PersonaAnswerError, match="list-all-cases holds no list of objects"):
        items_of(LIST, odd)
