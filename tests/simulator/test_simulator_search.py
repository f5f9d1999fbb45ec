"""The search: its language, its refusals, its pages and its lag."""

from __future__ import annotations

from typing import Any

import pytest

OPEN = {"attribute": "status", "operator": "eq", "value": "Open"}
KYC = {"attribute": "template", "operator": "eq", "value": "ctmpl_kyc"}


@pytest.fixture
def search(call):
    def ask(query: Any = None, path: str = "/cases/search", **rest: Any) -> Any:
        return call("POST", path, {**({"query": query} if query is not None else {}), **rest})

    return ask


def _found(answer: Any) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {case["id"] for case in answer.json()["data"]}


def _where(server: Any, test: Any) -> set[str]:
    return {case["case_id"] for case in server.cases() if test(case)}


@pytest.mark.parametrize(
    ("query", "test"),
    [
        (None, lambda case: True),
        (OPEN, lambda case: case["status"] == "Open"),
        ({"not": OPEN}, lambda case: case["status"] != "Open"),
        (
            {"and": [KYC, {"or": [OPEN, {**OPEN, "value": "Pending"}]}]},
            lambda case: case["status"] in ("Open", "Pending"),
        ),
        (
            {"attribute": "state", "operator": "eq", "value": "end"},
            lambda case: case["status"] in ("Approved", "Declined", "resolved", "closed"),
        ),
        (
            {"attribute": "fields.risk_score", "operator": "gte", "value": 50},
            lambda case: case["fields"].get("risk_score", -1) >= 50,
        ),
        (
            {"attribute": "fields.risk_score", "operator": "lt", "value": 50},
            lambda case: case["fields"].get("risk_score", 99) < 50,
        ),
        (
            {"attribute": "fields.manual-review", "operator": "eq", "value": True},
            lambda case: case["fields"].get("manual-review") is True,
        ),
        (
            {"attribute": "assignee", "operator": "eq", "value": "user_sim01"},
            lambda case: case["assignee"] == "ana.reviewer@example.com",
        ),
        ({"attribute": "fields.risk_score", "operator": "eq", "value": "50"}, lambda case: False),
    ],
)
def test_clauses(search, server, query, test) -> None:
    assert _found(search(query, page={"size": 100})) == _where(server, test)


def test_times_compare_as_times(search, call) -> None:
    created = call.attributes("case_sim000030")["created-at"]
    older = search({"attribute": "created_at", "operator": "lt", "value": created}, page={"size": 100})
    newer = search({"attribute": "created_at", "operator": "gte", "value": created}, page={"size": 100})
    assert (len(_found(older)), len(_found(newer))) == (29, 31)
    assert len(_found(search({"attribute": "created_at", "operator": "gte", "value": "2025-01-01"}))) == 10


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_pages_keep_the_order_and_meet_every_case_once(search, server, direction) -> None:
    body = {"query": KYC, "sort": {"attribute": "fields.risk_score", "direction": direction}}
    answer = search(**body, page={"size": 7})
    met = [case["id"] for case in answer.json()["data"]]
    while (link := answer.json()["links"]["next"]) is not None:
        assert link.startswith("/api/v1/cases/search?page%5Bafter%5D=")
        before, answer = answer, search(path=link, **body)
        met += [case["id"] for case in answer.json()["data"]]
        back = search(path=answer.json()["links"]["prev"], **body)
        assert back.json()["data"] == before.json()["data"]
    scores = {case["case_id"]: case["fields"].get("risk_score") for case in server.cases()}
    ordered = [scores[case_id] for case_id in met]
    assert ordered == sorted(ordered, reverse=direction == "desc")
    assert len(met) == len(set(met)) == 48


@pytest.mark.parametrize(
    "query",
    [
        {"and": [OPEN] * 21},
        {"and": [{"or": [{"not": OPEN}]}]},
        {"and": OPEN},
        {"and": [OPEN], "or": [OPEN]},
        {**OPEN, "operator": "contains"},
        {**OPEN, "attribute": "creator"},
        {**OPEN, "attribute": "fields.name-first"},
        {**OPEN, "value": None},
        {"attribute": "status", "operator": "eq"},
        {"attribute": "created_at", "operator": "gt", "value": "yesterday"},
        [OPEN],
    ],
)
def test_what_the_language_does_not_know_is_refused(search, query) -> None:
    answer = search(query)
    assert (answer.status_code, answer.json()["errors"][0]["title"]) == (400, "Bad Request")


def test_bad_sorts_and_pages_are_refused(search) -> None:
    assert search(sort={"attribute": "status", "direction": "up"}).status_code == 400
    assert search(sort={"direction": "asc"}).status_code == 400
    assert search(page={"size": 101}).status_code == 400
    assert search(path="/cases/search?page[after]=case_none").status_code == 400


def test_the_index_runs_a_minute_behind(search, server, call, open_case) -> None:
    server.freeze_clock()
    approved = {**OPEN, "value": "Approved"}
    assert open_case not in _found(search(approved, page={"size": 100}))
    call.set_status(open_case, "Approved")
    created = call("POST", "/cases", {"data": {"attributes": {"case-template-id": "ctmpl_kyc"}}}).json()["data"]["id"]
    server.advance_clock(59)
    assert open_case in _found(search(OPEN, page={"size": 100}))
    assert created not in _found(search(page={"size": 1}))
    server.advance_clock(2)
    assert open_case in _found(search(approved, page={"size": 100}))
    assert created in _found(search(page={"size": 1}))


def test_the_lag_can_be_none(search, server, call, open_case) -> None:
    server.configure(search_lag_seconds=0)
    call.set_status(open_case, "Approved")
    assert open_case in _found(search({**OPEN, "value": "Approved"}, page={"size": 100}))
