"""Lists, single cases, templates: pages, filters, sparse answers, inclusions."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


def _ids(answer: Any) -> list[str]:
    return [case["id"] for case in answer.json()["data"]]


def test_a_list_is_newest_first_and_ten_long(call) -> None:
    assert _ids(call("GET", "/cases")) == [f"case_sim{number:06d}" for number in range(60, 50, -1)]


@pytest.mark.parametrize("size", [1, 7, 60, 100])
def test_following_next_meets_every_case_once(call, size) -> None:
    link: str | None = f"/cases?page[size]={size}"
    met: list[str] = []
    while link:
        answer = call("GET", link)
        met += _ids(answer)
        link = answer.json()["links"]["next"]
        assert link is None or link.startswith("/api/v1/cases?page%5Bafter%5D=case_")
    assert met == [f"case_sim{number:06d}" for number in range(60, 0, -1)]


def test_prev_leads_back_to_the_same_page(call) -> None:
    first = call("GET", "/cases?page[size]=5")
    second = call("GET", first.json()["links"]["next"])
    third = call("GET", second.json()["links"]["next"])
    assert first.json()["links"]["prev"] is None
    assert _ids(call("GET", third.json()["links"]["prev"])) == _ids(second)
    assert _ids(call("GET", second.json()["links"]["prev"])) == _ids(first)
    assert call("GET", second.json()["links"]["prev"]).json()["links"]["prev"] is None


def test_links_keep_filters_size_and_fields(call) -> None:
    answer = call("GET", "/cases?page[size]=2&filter[status]=Open&fields[case]=status")
    kept = parse_qs(urlsplit(answer.json()["links"]["next"]).query)
    assert kept["page[size]"] == ["2"]
    assert kept["filter[status]"] == ["Open"]
    assert kept["fields[case]"] == ["status"]


def test_a_status_with_a_space_survives_its_link(call, server) -> None:
    expected = [case["case_id"] for case in server.cases() if case["status"] == "In Review"]
    met: list[str] = []
    link: str | None = "/cases?page[size]=1&filter[status]=In%20Review"
    while link:
        answer = call("GET", link)
        met += _ids(answer)
        link = answer.json()["links"]["next"]
    assert met == expected[::-1]
    assert len(met) > 1


@pytest.mark.parametrize("size", ["0", "101", "-1", "many"])
def test_sizes_out_of_range_are_refused(call, size) -> None:
    answer = call("GET", f"/cases?page[size]={size}")
    assert (answer.status_code, answer.json()["errors"][0]["title"]) == (400, "Bad Request")


@pytest.mark.parametrize("query", ["page[after]=case_none", "page[before]=case_none", "filter[resolution]=x"])
def test_cursors_and_filters_that_do_not_exist_are_refused(call, query) -> None:
    assert call("GET", f"/cases?{query}").status_code == 400


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("case-template-id", "ctmpl_monitoring", 12),
        ("case_template_id", "ctmpl_monitoring", 12),
        ("account-id", "act_sim000007", 1),
        ("inquiry-id", "inq_sim000007", 1),
        ("report-id", "rep_sim000005", 1),
        ("reference-id", "customer-sim000007", 1),
        ("account-id", "act_none", 0),
    ],
)
def test_filters(call, name, value, found) -> None:
    assert len(_ids(call("GET", f"/cases?page[size]=100&filter[{name}]={value}"))) == found


def test_a_list_includes_nothing_even_when_asked(call) -> None:
    assert "included" not in call("GET", "/cases?include=accounts").json()


def test_an_empty_list_has_no_links(call) -> None:
    assert call("GET", "/cases?filter[status]=None").json() == {"data": [], "links": {"prev": None, "next": None}}


@pytest.mark.parametrize("asked", ["status,fields.birthdate", "status,fields.risk_score", "status,fields.risk-score"])
def test_sparse_answers_hold_only_what_was_asked(call, asked) -> None:
    for case in (call("GET", f"/cases/case_sim000001?fields[case]={asked}").json()["data"],):
        assert set(case["attributes"]) == {"status", "fields"}
        assert len(case["attributes"]["fields"]) == 1
        assert "case-template" in case["relationships"]


def test_sparse_lists(call) -> None:
    answer = call("GET", "/cases?page[size]=100&fields[case]=status,updated_at")
    assert {frozenset(case["attributes"]) for case in answer.json()["data"]} == {frozenset({"status", "updated-at"})}


def test_included_only_what_was_asked(call) -> None:
    bare = call("GET", "/cases/case_sim000001").json()
    assert bare["included"] == []
    assert call("GET", "/cases/case_sim000001?include=").json()["included"] == []
    full = call("GET", "/cases/case_sim000001?include=accounts,inquiries.account,case-template,case-queue").json()
    assert [each["type"] for each in full["included"]] == ["account", "inquiry", "case-template", "case-queue"]
    thin = call("GET", "/cases/case_sim000001?include=inquiries&fields[inquiry]=status").json()
    assert [each["attributes"] for each in thin["included"]] == [{"status": "completed"}]
    assert call("GET", "/cases/case_sim000001?include=secrets").status_code == 400


def test_older_versions_include_unasked(call) -> None:
    older = {"Persona-Version": "2023-01-05"}
    full = call("GET", "/cases/case_sim000001", headers=older).json()
    assert {each["type"].partition("/")[0] for each in full["included"]} >= {"account", "inquiry"}
    assert call("GET", "/cases/case_sim000001?include=", headers=older).json()["included"] == []


@pytest.mark.parametrize(
    "path", ["/cases/case_none", "/case-templates/ctmpl_none", "/nothing", "/cases/a/b/c", "/cases//"]
)
def test_what_is_not_there_is_not_found(call, path) -> None:
    answer = call("GET", path)
    assert (answer.status_code, answer.json()) == (404, {"errors": [{"title": "Record not found"}]})


def test_a_template_tells_its_end_statuses(call) -> None:
    template = call("GET", "/case-templates/ctmpl_kyc").json()["data"]
    assert template["attributes"]["resolutions"] == ["Approved", "Declined"]
    assert {"risk_score", "name-first"} <= {each["key"] for each in template["attributes"]["field-schemas"]}


def test_people_are_there_for_leak_tests_to_find(call) -> None:
    fields = call.attributes("case_sim000001")["fields"]
    assert all(fields[key] for key in ("name-first", "name-last", "birthdate", "email-address"))
