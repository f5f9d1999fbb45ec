"""How things beside cases are listed, searched, shown, and told of in events."""

from __future__ import annotations

import pytest

from persona_simulator import SimulatorConfig
from tests.simulator.resource_calls import TEMPLATE, attributes, made, meta


def test_relations_come_in_pages_and_need_their_key(call) -> None:
    path = "/accounts/act_sim000001"
    for number in range(2, 5):
        body = meta(relation_schema_key="owner", target_object_id=f"act_sim{number:06d}")
        assert call("POST", f"{path}/add-relation", body).status_code == 200
    first = call("GET", f"{path}/relations?filter[key]=owner&page[size]=2").json()
    assert [each["id"] for each in first["data"]] == ["act_sim000004", "act_sim000003"]
    rest = call("GET", first["links"]["next"]).json()
    assert [each["id"] for each in rest["data"]] == ["act_sim000002"]
    assert rest["links"]["next"] is None
    assert call("GET", f"{path}/relations").status_code == 400
    call("POST", f"{path}/remove-relation", meta(relation_schema_key="owner", target_object_id="act_sim000002"))
    assert len(call("GET", f"{path}/relations?filter[key]=owner").json()["data"]) == 2


@pytest.mark.parametrize("path", ["/accounts", "/inquiries", "/transactions", "/reports", "/events"])
def test_pages_meet_every_thing_once(call, path) -> None:
    for _ in range(3):
        call("POST", "/accounts", attributes())
    everything = [each["id"] for each in call("GET", f"{path}?page[size]=100").json()["data"]]
    seen, link, last = [], f"{path}?page[size]=3", None
    while link:
        page = call("GET", link).json()
        seen += [each["id"] for each in page["data"]]
        last, link = page, page["links"]["next"]
    assert seen == everything
    if len(seen) > 3:
        back = call("GET", last["links"]["prev"]).json()
        assert [each["id"] for each in back["data"]] == seen[-len(last["data"]) - 3 : -len(last["data"])]
    assert call("GET", f"{path}?page[after]=none_1").status_code == 400


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("filter[status]=needs_review,expired", {"inq_sim000002", "inq_sim000007"}),
        ("filter[inquiry-id]=inq_sim000003,inq_sim000004", {"inq_sim000003", "inq_sim000004"}),
        ("filter[reference-id]=customer-sim000005", {"inq_sim000005"}),
        ("filter[created-at-end]=2020-01-01", set()),
        ("filter[account-id]=act_none", set()),
    ],
)
def test_filters_of_inquiries(simulate, query, found) -> None:
    call = simulate(SimulatorConfig(cases=0, inquiries=10))
    assert {each["id"] for each in call("GET", f"/inquiries?{query}").json()["data"]} == found


@pytest.mark.parametrize("wrong", ["filter[colour]=red", "filter[created-at-start]=yesterday", "include=x"])
def test_filters_and_inclusions_that_are_not_there(call, wrong) -> None:
    path = "/inquiries/inq_sim000001" if wrong.startswith("include") else "/inquiries"
    assert call("GET", f"{path}?{wrong}").status_code == 400


def test_inquiries_of_a_time(call, server) -> None:
    made(call, "/inquiries", attributes(**TEMPLATE))
    server.advance_clock(3600)
    late = made(call, "/inquiries", attributes(**TEMPLATE))
    since = call("GET", f"/inquiries/{late}").json()["data"]["attributes"]["created-at"]
    assert [each["id"] for each in call("GET", f"/inquiries?filter[created-at-start]={since}").json()["data"]] == [late]


def test_a_transaction_is_found_by_an_identifier(call) -> None:
    made(call, "/transactions", attributes(transaction_type_id="txntp_payment", fields={"iban": "FI21"}))
    found = call("GET", "/transactions?filter[identifier][key]=iban&filter[identifier][value]=FI21").json()["data"]
    assert [each["attributes"]["fields"]["iban"]["value"] for each in found] == ["FI21"]


def test_search_finds_by_expression_and_keeps_its_size_in_links(simulate) -> None:
    call = simulate(SimulatorConfig(cases=0, inquiries=20, search_lag_seconds=0))
    query = {
        "query": {"or": [{"attribute": "status", "operator": "eq", "value": each} for each in ("created", "pending")]}
    }
    first = call("POST", "/inquiries/search?page[size]=5", query).json()
    rest = call("POST", first["links"]["next"], query).json()
    states = {each["attributes"]["status"] for each in first["data"] + rest["data"]}
    assert (len(first["data"]), len(rest["data"]), states) == (5, 3, {"created", "pending"})
    assert (
        call("POST", "/inquiries/search", {"query": {"attribute": "colour", "operator": "eq", "value": 1}}).status_code
        == 400
    )
    by_field = {"query": {"attribute": "fields.name-first", "operator": "eq", "value": "Hana"}}
    assert call("POST", "/accounts/search", by_field).json()["data"]


def test_search_lags_behind(call) -> None:
    account_id = made(call, "/accounts", attributes(reference_id="crm-1"))
    query = {"query": {"attribute": "reference_id", "operator": "eq", "value": "crm-1"}}
    assert call("POST", "/accounts/search", query).json()["data"] == []
    call.server.advance_clock(60)
    assert [each["id"] for each in call("POST", "/accounts/search", query).json()["data"]] == [account_id]


def test_sparse_answers_and_spellings(call) -> None:
    sparse = call("GET", "/inquiries/inq_sim000001?fields[inquiry]=status,fields.name-first").json()["data"]
    assert set(sparse["attributes"]) == {"status", "fields"}
    assert set(sparse["attributes"]["fields"]) == {"name-first"}
    family = call("GET", "/verifications/ver_selfie?fields[verification]=status").json()["data"]
    assert set(family["attributes"]) == {"status"}
    camel = call("GET", "/inquiries/inq_sim000001", headers={"Key-Inflection": "camel"}).json()["data"]["attributes"]
    assert "referenceId" in camel
    assert "name-first" in camel["fields"]
    body = {"data": {"attributes": {"inquiryTemplateId": "itmpl_kyc", "reference_id": "r-1"}}}
    assert call("POST", "/inquiries", body).json()["data"]["attributes"]["reference-id"] == "r-1"


def test_inclusions(call) -> None:
    account_id = made(call, "/accounts", attributes(reference_id="crm-1"))
    inquiry_id = made(call, "/inquiries", attributes(**TEMPLATE, account_id=account_id))
    answer = call("GET", f"/inquiries/{inquiry_id}?include=account,inquiry-template").json()
    assert {each["id"] for each in answer["included"]} == {account_id, "itmpl_kyc"}
    assert "included" not in call("GET", f"/inquiries/{inquiry_id}").json()


def test_events_tell_what_happened_to_cases_as_they_were(call, server, open_case) -> None:
    call.set_status(open_case, "Pending")
    call.set_status(open_case, "Approved")
    call.set_status(open_case, "Approved")
    call("POST", f"/cases/{open_case}/add-tag", meta(tag_name="odd"))
    server.act_as_human(open_case, status="Declined")
    events = call("GET", f"/events?filter[object-id]={open_case}").json()["data"]
    told = [
        (each["attributes"]["name"], each["attributes"]["payload"]["data"]["attributes"]["status"]) for each in events
    ]
    assert told == [
        ("case.status-updated", "Declined"),
        ("case.updated-tags", "Approved"),
        ("case.status-updated", "Approved"),
        ("case.status-updated", "Pending"),
    ]
    assert call("GET", f"/events/{events[0]['id']}").json()["data"] == events[0]
    by_name = call("GET", "/events?filter[name]=case.updated-tags,case.created").json()["data"]
    assert [each["id"] for each in by_name] == [events[1]["id"]]
    by_id = call("GET", f"/events?filter[id]={events[3]['id']}").json()["data"]
    assert by_id == [events[3]]
    assert call("GET", "/events/evt_sim99999999").status_code == 404


def test_events_are_called_after_what_happened(call, server) -> None:
    call("PATCH", "/transactions/txn_sim000001", attributes(status="settled"))
    call("PATCH", "/transactions/txn_sim000001", attributes(fields={"amount": 7}))
    call("POST", "/inquiries/inq_sim000003/mark-for-review")
    server.change_object("inq_sim000003", "pending")
    server.change_object("inq_sim000003", "completed")
    server.change_object("act_sim000001", "Blocked")
    names = [each["attributes"]["name"] for each in call("GET", "/events").json()["data"]]
    assert names[::-1] == [
        "transaction.status-updated",
        "transaction.updated-fields",
        "inquiry.marked-for-review",
        "inquiry.started",
        "inquiry.completed",
        "account.status-updated",
    ]


def test_what_is_attached_to_a_case_is_a_thing_of_its_own(call, server, open_case) -> None:
    account = call("GET", f"/cases/{open_case}").json()["data"]["relationships"]["accounts"]["data"][0]["id"]
    assert call("GET", f"/accounts/{account}").json()["data"]["id"] == account
    call("PATCH", f"/accounts/{account}", attributes(reference_id="changed"))
    included = call("GET", f"/cases/{open_case}?include=accounts").json()["included"]
    assert included[0]["attributes"]["reference-id"] == "changed"
    new = made(call, "/accounts", attributes())
    answer = call("POST", f"/cases/{open_case}/add-objects", meta(object_ids=[new]))
    assert new in {each["id"] for each in answer.json()["data"]["relationships"]["accounts"]["data"]}


def test_logged_calls_can_be_read_by_request_id(call) -> None:
    answer = call("POST", "/inquiries/inq_sim000001/approve")
    log = call("GET", f"/api-logs/{answer.headers['request-id']}").json()["data"]["attributes"]
    assert (log["request"]["method"], log["response"]["status"]) == ("POST", 200)
    assert call("GET", "/api-logs/req_none").status_code == 404
