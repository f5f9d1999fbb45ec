"""What beside cases has a state: accounts, inquiries, reports, lists and the like, and the rules of their changes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from persona_simulator import SimulatorConfig
from tests.simulator.resource_calls import TEMPLATE, attributes, csv, effects, made, meta, status


def test_what_is_made_can_be_read_and_listed_first(call) -> None:
    body = attributes(reference_id="crm-1", fields={"name-first": "Dagny"})
    account_id = made(call, "/accounts", body)
    read = call("GET", f"/accounts/{account_id}").json()["data"]
    assert read["attributes"]["fields"] == {"name-first": {"type": "string", "value": "Dagny"}}
    assert call("GET", "/accounts?page[size]=1").json()["data"] == [read]
    assert call("GET", "/accounts?filter[reference-id]=none,crm-1").json()["data"] == [read]


@pytest.mark.parametrize(
    ("path", "body", "title"),
    [
        ("/accounts", attributes(reference_id="crm-1"), "Conflict"),
        ("/transactions", attributes(reference_id="t-1", transaction_type_id="txntp_payment"), "Record not unique"),
    ],
)
def test_a_reference_id_is_taken_once(call, server, path, body, title) -> None:
    first = made(call, path, body)
    refused = call("POST", path, body)
    assert (refused.status_code, refused.json()["errors"][0]["title"]) == (409, title)
    assert len([each for each in server.journal() if each.changed]) == 1
    other = made(call, path, attributes(transaction_type_id="txntp_payment"))
    taken = call("PATCH", f"{path}/{other}", attributes(reference_id=body["data"]["attributes"]["reference-id"]))
    assert taken.status_code == 409
    assert call("PATCH", f"{path}/{first}", attributes(reference_id="new")).status_code == 200


def test_an_upsert_updates_the_account_that_is_there(call) -> None:
    account_id = made(call, "/accounts", attributes(reference_id="crm-1", fields={"a": 1}))
    body = attributes(reference_id="crm-1", fields={"b": 2}) | meta(upsert_by="reference-id")
    answer = call("POST", "/accounts", body)
    assert (answer.status_code, answer.json()["data"]["id"]) == (200, account_id)
    assert set(answer.json()["data"]["attributes"]["fields"]) == {"a", "b"}


def test_the_same_idempotency_key_makes_one_thing(call, server) -> None:
    answers = [call("POST", "/inquiries", attributes(**TEMPLATE), idempotency_key="k") for _ in range(3)]
    assert len({answer.json()["data"]["id"] for answer in answers}) == 1
    assert effects(server, answers[0].json()["data"]["id"]) == {"create-an-inquiry": 1}
    other = call("POST", "/inquiries", attributes(template_id="tmpl_1"), idempotency_key="k")
    assert other.status_code == 400


def test_a_failure_after_the_effect_leaves_the_thing(call, server) -> None:
    server.script_fault("http_500_after", operation="create-a-transaction")
    body = attributes(transaction_type_id="txntp_payment", reference_id="t-1")
    assert call("POST", "/transactions", body).status_code == 500
    assert len(call("GET", "/transactions?filter[reference-id]=t-1").json()["data"]) == 1
    server.script_fault("http_500", operation="create-a-transaction")
    assert call("POST", "/transactions", attributes(transaction_type_id="txntp_payment")).status_code == 500
    assert len([each for each in server.journal() if each.operation == "create-a-transaction"]) == 1


def test_a_fault_meets_one_object(call, server) -> None:
    server.script_fault("stale_409", case_id="inq_sim000002")
    assert call("POST", "/inquiries/inq_sim000001/add-tag", meta(tag_name="vip")).status_code == 200
    assert call("POST", "/inquiries/inq_sim000002/add-tag", meta(tag_name="vip")).status_code == 409


@pytest.mark.parametrize("path", ["/accounts/act_sim000001", "/inquiries/inq_sim000001", "/reports/rep_sim000001"])
def test_tags(call, server, path) -> None:
    def tags(action: str, **given: Any) -> list[str]:
        found: list[str] = call("POST", f"{path}/{action}", meta(**given)).json()["data"]["attributes"]["tags"]
        return found

    assert tags("add-tag", tag_name="fresh") == ["fresh"]
    assert tags("add-tag", tag_name="fresh") == ["fresh"]
    assert tags("set-tags", tag_name=["a", "b"]) == ["a", "b"]
    assert tags("remove-tag", tag_name="a") == ["b"]
    assert tags("remove-tag", tag_name="never") == ["b"]
    counted = Counter(each.operation.rpartition("-")[0] for each in server.journal() if each.changed)
    assert sum(counted.values()) == 3
    assert call("POST", f"{path}/add-tag", meta(tag_id="tag_none")).status_code == 404


WAYS = {
    "approve": {"created", "pending", "completed", "failed", "needs_review", "approved"},
    "decline": {"created", "pending", "completed", "failed", "needs_review", "declined"},
    "mark-for-review": {"created", "pending", "completed", "failed", "needs_review"},
    "expire": {"created", "pending", "expired"},
    "resume": {"created", "pending", "expired"},
}
ENDS = {"approve": "approved", "decline": "declined", "mark-for-review": "needs_review", "expire": "expired"}
STATES = ("created", "pending", "completed", "failed", "expired", "needs_review", "approved", "declined")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("action", WAYS)
def test_states_of_an_inquiry(call, server, state, action) -> None:
    server.change_object("inq_sim000001", state)
    answer = call("POST", f"/inquiries/inq_sim000001/{action}", meta(comment="seen") if action == "approve" else None)
    if state in WAYS[action]:
        assert answer.status_code == 200
        assert answer.json()["data"]["attributes"]["status"] == ENDS.get(
            action, "pending" if state == "expired" else state
        )
    else:
        assert (answer.status_code, answer.json()["errors"][0]["title"]) == (409, "Conflict")
        assert status(call, "/inquiries/inq_sim000001") == state


def test_a_decision_says_when_and_why_and_makes_an_event(call) -> None:
    decided = call("POST", "/inquiries/inq_sim000001/approve", meta(comment="looks fine")).json()["data"]["attributes"]
    assert decided["reviewer-comment"] == "looks fine"
    assert decided["decisioned-at"]
    events = call("GET", "/events?filter[object-id]=inq_sim000001&filter[name]=inquiry.approved").json()["data"]
    assert [event["attributes"]["payload"]["data"]["attributes"]["status"] for event in events] == ["approved"]


def test_a_resumed_inquiry_has_a_new_session(call) -> None:
    inquiry_id = made(call, "/inquiries", attributes(**TEMPLATE))
    tokens = [call("POST", f"/inquiries/{inquiry_id}/resume").json()["meta"]["session-token"] for _ in range(2)]
    assert len(set(tokens)) == 2
    sessions = call("GET", f"/inquiry-sessions?filter[inquiry-id]={inquiry_id}").json()["data"]
    assert [session["attributes"]["status"] for session in sessions] == ["new", "new"]
    ended = call("POST", "/inquiry-sessions/expire-all", meta(inquiry_ids=[inquiry_id])).json()
    assert {session["attributes"]["status"] for session in ended["data"]} == {"expired"}
    assert "links" not in ended
    assert call("POST", "/inquiry-sessions/expire-all", meta(inquiry_ids=[inquiry_id])).json()["data"] == []


def test_simulated_steps_happen_in_order(call) -> None:
    inquiry_id = made(call, "/inquiries", attributes(**TEMPLATE))
    steps = [{"type": "start_inquiry"}, {"type": "create_failed_verification"}, {"type": "complete_inquiry"}]
    answer = call("POST", f"/inquiries/{inquiry_id}/perform-simulate-actions", meta(simulate_actions=steps)).json()
    assert answer["data"]["attributes"]["status"] == "completed"
    [verification] = answer["data"]["relationships"]["verifications"]["data"]
    assert status(call, f"/verifications/{verification['id']}") == "failed"
    wrong = call("POST", f"/inquiries/{inquiry_id}/perform-simulate-actions", meta(simulate_actions=[{"type": "x"}]))
    assert wrong.status_code == 400


BEGINNINGS = {
    "report": ("/reports", {"data": {"type": "report/watchlist", "attributes": {"query": {"term": "M"}}}}, "ready"),
    "importer": ("/importer/accounts", attributes(file=csv("reference_id", "a")), "ready"),
    "graph-query": ("/graph-queries", attributes(graph_query_template_id="grphqt_1"), "completed"),
}
READ_BACK = {"report": "/reports/", "importer": "/importers/", "graph-query": "/graph-queries/"}


@pytest.mark.parametrize("what", BEGINNINGS)
def test_work_ends_with_the_clock_or_with_reads(call, server, what) -> None:
    path, body, end = BEGINNINGS[what]
    first = made(call, path, body)
    states = [status(call, READ_BACK[what] + first) for _ in range(4)]
    assert states[:2] == [states[0]] * 2 != [end] * 2
    assert states[2:] == [end, end]
    second = made(call, path, body)
    server.advance_clock(5)
    assert status(call, READ_BACK[what] + second) == end
    assert effects(server, second)["work"] == 1


def test_a_workflow_run_ends_with_completed_at(call, server) -> None:
    begun = call("POST", "/workflows/wfl_any/trigger", attributes(fields={"x": 1}))
    assert begun.status_code == 200
    run_id = begun.json()["data"]["id"]
    assert begun.json()["data"]["attributes"]["completed-at"] is None
    server.advance_clock(5)
    ended = call("GET", f"/workflow-runs/{run_id}").json()["data"]
    assert ended["attributes"]["completed-at"]
    assert ended["meta"]["processing-time-seconds"] >= 5
    assert call("POST", "/workflows/nothing_1/trigger", attributes(fields={})).status_code == 404


def test_work_that_a_test_ends_otherwise_stays_so(call, server) -> None:
    path, body, _ = BEGINNINGS["report"]
    report_id = made(call, path, body)
    assert server.change_object(report_id, "errored")
    server.advance_clock(60)
    assert status(call, f"/reports/{report_id}") == "errored"
    assert server.object(report_id)["status"] == "errored"
    names = [event["attributes"]["name"] for event in call("GET", "/events").json()["data"]]
    assert names == ["report/watchlist.errored", "report/watchlist.submitted"]
    with pytest.raises(ValueError, match="there is no 'rep_none'"):
        server.change_object("rep_none", "ready")


@pytest.mark.parametrize(
    ("kind", "given", "answer"),
    [
        ("report/watchlist", {"reason": "other"}, 200),
        ("report/watchlist", {"entity_id": "e", "dismiss_type": "entity"}, 400),
        ("report/adverse-media", {"reason": "other"}, 400),
        ("report/adverse-media", {"reason": "other", "entity_id": "e"}, 400),
        ("report/adverse-media", {"reason": "other", "entity_id": "e", "dismiss_type": "media"}, 200),
        ("report/business-adverse-media", {"reason": "other"}, 400),
    ],
)
def test_a_dismissal_says_why_and_in_adverse_media_what(call, kind, given, answer) -> None:
    report_id = made(call, "/reports", {"data": {"type": kind, "attributes": {"query": {"term": "M"}}}})
    assert call("POST", f"/reports/{report_id}/dismiss", attributes(**given)).status_code == answer


def test_a_report_can_be_printed_when_it_is_ready_and_run_again(call, server) -> None:
    path, body, _ = BEGINNINGS["report"]
    report_id = made(call, path, body)
    assert call("GET", f"/reports/{report_id}/print").status_code == 409
    assert call("POST", f"/reports/{report_id}/run").status_code == 409
    server.advance_clock(5)
    printed = call("GET", f"/reports/{report_id}/print")
    assert (printed.status_code, printed.headers["content-type"]) == (200, "application/pdf")
    assert printed.content.startswith(b"%PDF-")
    assert printed.content.endswith(b"%%EOF\n")
    assert call("POST", f"/reports/{report_id}/run").json()["data"]["attributes"]["status"] == "pending"
    assert len(call("GET", f"/reports/{report_id}/history").json()["data"]) == 2


def test_a_verification_goes_from_beginning_to_end(call, server) -> None:
    body = attributes(verification_template_id="vtmpl_1", email_address="h@people.example")
    path = "/verification/email-addresses"
    first = made(call, path, body | meta(debug_forced_status="failed"))
    assert call("POST", f"{path}/{first}/send-confirmation-code", attributes()).status_code == 200
    wrong = call("POST", f"{path}/{first}/confirm", attributes(confirmation_code="000000"))
    assert wrong.status_code == 422
    assert call("POST", f"{path}/{first}/confirm", attributes(confirmation_code="123456")).status_code == 200
    assert call("POST", f"{path}/{first}/submit").json()["data"]["attributes"]["status"] == "submitted"
    assert call("POST", f"{path}/{first}/submit").status_code == 409
    server.advance_clock(5)
    assert status(call, f"/verifications/{first}") == "failed"
    assert call("GET", f"/verification/selfies/{first}").status_code == 404


def test_redaction_empties_a_thing_for_good_unless_it_is_locked(call, server) -> None:
    redacted = call("DELETE", "/inquiries/inq_sim000001").json()["data"]["attributes"]
    assert redacted["fields"] == {}
    assert redacted["reference-id"] is None
    assert redacted["redacted-at"]
    assert call("DELETE", "/inquiries/inq_sim000001").json()["data"]["attributes"] == redacted
    assert call("POST", "/inquiries/inq_sim000001/approve").status_code == 409
    assert effects(server, "inq_sim000001") == {"redact-an-inquiry": 1}
    call("POST", "/verifications/ver_selfie/investigation-lock")
    assert call("DELETE", "/verifications/ver_selfie").json()["data"]["attributes"]["redacted-at"] is None
    call("POST", "/verifications/ver_selfie/investigation-unlock")
    assert call("DELETE", "/verifications/ver_selfie").json()["data"]["attributes"]["redacted-at"]


def test_an_import_counts_new_repeated_and_wrong_rows(call, server) -> None:
    list_id = made(call, "/list/email-addresses", attributes(name="Bad"))
    rows = csv(
        "value,match_type", "a@b.example,email_address", "c.example,domain", "a@b.example,", ",domain", "x,other"
    )
    importer = made(call, "/importer/list-item/email-addresses", attributes(list_id=list_id, file=rows))
    server.advance_clock(5)
    counts = call("GET", f"/importers/{importer}").json()["data"]["attributes"]
    assert [counts[f"{name}-count"] for name in ("successful", "duplicate", "error")] == [2, 1, 2]
    items = call("GET", f"/lists/{list_id}").json()["data"]["relationships"]["list-items"]["data"]
    kept = [call("GET", f"/list-item/email-addresses/{item['id']}").json()["data"]["attributes"] for item in items]
    assert [(item["value"], item["match-type"]) for item in kept] == [
        ("a@b.example", "email_address"),
        ("c.example", "domain"),
    ]


def test_imported_accounts_are_there_and_known_ones_are_duplicates(call, server) -> None:
    file = csv("reference_id,name_first,tags", 'crm-1,Dagny,"a,b"', "crm-1,Dagny,", ",Nobody,")
    importer = made(call, "/importer/accounts", attributes(file=file))
    assert call("GET", "/accounts?filter[reference-id]=crm-1").json()["data"] == []
    server.advance_clock(5)
    [account] = call("GET", "/accounts?filter[reference-id]=crm-1").json()["data"]
    assert account["attributes"]["tags"] == ["a", "b"]
    counts = call("GET", f"/importers/{importer}").json()["data"]["attributes"]
    assert [counts[f"{name}-count"] for name in ("successful", "duplicate", "error")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("file", "refused"),
    [({"data": "***", "filename": "a.csv"}, 422), ("text", 400), ({"data": "AAAA"}, 400), (csv("wrong", "a"), None)],
)
def test_files_that_cannot_be_imported(call, server, file, refused) -> None:
    answer = call("POST", "/importer/accounts", attributes(file=file))
    if refused:
        assert answer.status_code == refused
        return
    server.advance_clock(5)
    assert status(call, f"/importers/{answer.json()['data']['id']}") == "errored"


def test_a_file_may_be_too_large(simulate) -> None:
    call = simulate(SimulatorConfig(cases=1, largest_file=10))
    assert call("POST", "/importer/accounts", attributes(file=csv("reference_id", "a" * 20))).status_code == 422


def test_an_archived_list_takes_no_items(call) -> None:
    list_id = made(call, "/list/countries", attributes(name="Far"))
    item = attributes(list_id=list_id, country_code="AQ")
    item_id = made(call, "/list-item/countries", item)
    archived = call("DELETE", f"/list-item/countries/{item_id}").json()["data"]["attributes"]
    assert archived["status"] == "archived"
    assert call("DELETE", f"/list-item/countries/{item_id}").json()["data"]["attributes"] == archived
    assert call("DELETE", f"/lists/{list_id}").json()["data"]["attributes"]["status"] == "archived"
    assert call("POST", "/list-item/countries", item).status_code == 409
    assert list_id in {each["id"] for each in call("GET", "/lists?filter[status]=archived").json()["data"]}


def test_a_key_is_shown_once_works_and_ends(call, server) -> None:
    made_key = call("POST", "/api-keys", attributes(name="job", permissions=["account.read"])).json()["data"]
    key_id, secret = made_key["id"], made_key["attributes"]["value"]
    assert "value" not in call("GET", f"/api-keys/{key_id}").json()["data"]["attributes"]
    assert call("GET", "/accounts", key=secret).status_code == 200
    assert call("GET", "/inquiries", key=secret).status_code == 403
    copy = call("POST", f"/api-keys/{key_id}/clone").json()["data"]
    assert copy["attributes"]["value"] != secret
    assert call("POST", f"/api-keys/{key_id}/expire", meta(expires_in_seconds=60)).status_code == 200
    assert call("GET", "/accounts", key=secret).status_code == 200
    server.advance_clock(61)
    assert call("GET", "/accounts", key=secret).status_code == 401
    assert call("GET", "/accounts", key=copy["attributes"]["value"]).status_code == 200
    too_long = call("POST", f"/api-keys/{copy['id']}/expire", meta(expires_in_seconds=40 * 86_400))
    assert too_long.status_code == 422


def test_secrets_of_webhooks(call) -> None:
    body = attributes(name="n", url="https://x.example", enabled_events=["*"])
    created = call("POST", "/webhooks", body).json()["data"]
    hook, first = f"/webhooks/{created['id']}", created["attributes"]["secret"]
    assert call("GET", hook).json()["data"]["attributes"]["secret"] == first
    assert all("secret" not in each["attributes"] for each in call("GET", "/webhooks").json()["data"])
    rotated = call("POST", f"{hook}/rotate-secret", meta(expires_in_seconds=60)).json()["data"]["attributes"]
    assert rotated["secret"] != first
    assert [each["value"] for each in rotated["secrets"]] == [rotated["secret"], first]
    assert call("POST", f"{hook}/enable").json()["data"]["attributes"]["status"] == "enabled"
    assert call("POST", f"{hook}/archive").json()["data"]["attributes"]["status"] == "archived"
    assert call("POST", f"{hook}/enable").status_code == 409
    assert call("POST", "/webhooks", attributes(name="", url="u", enabled_events=[])).status_code == 422


def test_consolidation_goes_on_after_202(call, server) -> None:
    body = meta(source_account_ids=["act_sim000002", "act_sim000003"])
    assert call("POST", "/accounts/act_sim000001/consolidate", body).status_code == 202
    assert effects(server, "act_sim000002") == {"consolidate-into-an-account": 1}
    itself = call("POST", "/accounts/act_sim000001/consolidate", meta(source_account_ids=["act_sim000001"]))
    assert itself.status_code == 422


def test_an_action_of_an_account_starts_a_run(call) -> None:
    body = {"data": {"account-action-id": "accac_1", "parameters": {"x": 1}}}
    run_id = call("POST", "/accounts/act_sim000001/run-action", body).json()["meta"]["workflow-run-id"]
    assert status(call, f"/workflow-runs/{run_id}") == "in_progress"


def test_share_tokens_are_redeemed_once(call, server) -> None:
    token = made(call, "/connect/share-tokens", attributes(connection_id="cxn_partner", source_id="inq_sim000001"))
    assert call("POST", f"/connect/share-tokens/{token}/redeem").status_code == 202
    assert call("POST", f"/connect/share-tokens/{token}/redeem").status_code == 409
    server.advance_clock(5)
    assert status(call, f"/connect/share-tokens/{token}") == "redeemed"
    call("POST", "/connect/connections/cxn_partner/deactivate")
    refused = call("POST", "/connect/share-tokens", attributes(connection_id="cxn_partner", source_id="inq_sim000001"))
    assert refused.status_code == 409


def test_documents_are_handed_in_and_processed(call, server) -> None:
    photo = {"data": "AAAA", "filename": "bill.pdf"}
    document = made(call, "/document/generics", attributes(kind="utility_bill", files=[photo]))
    path = f"/document/generics/{document}"
    changed = call("PATCH", path, attributes(files=[photo])).json()["data"]["attributes"]["files"]
    assert [file["byte-size"] for file in changed] == [3, 3]
    assert call("POST", f"{path}/submit").json()["data"]["attributes"]["status"] == "submitted"
    assert call("PATCH", path, attributes(kind="x")).status_code == 409
    server.advance_clock(5)
    assert status(call, f"/documents/{document}") == "processed"


def test_a_token_may_be_asked_for_in_a_form(call) -> None:
    form = {"grant_type": "client_credentials", "client_assertion": "x.y.z", "scope": "inquiry.read"}
    assert call("POST", "/oauth/token", data=form).status_code == 400
    form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    answer = call("POST", "/oauth/token", data=form)
    assert (answer.status_code, answer.json()["scope"]) == (201, "inquiry.read")
    assert call("POST", "/oauth/token", data={"grant_type": "magic"}).status_code == 400


def test_quotas_of_products(simulate) -> None:
    call = simulate(SimulatorConfig(cases=0, create_quota=1))
    assert call("POST", "/inquiries", attributes(**TEMPLATE)).headers["quota-remaining"] == "0"
    refused = call("POST", "/inquiries", attributes(**TEMPLATE))
    assert (refused.status_code, refused.json()["errors"][0]["title"]) == (429, "Quota exceeded")
    assert call("POST", "/transactions", attributes(transaction_type_id="txntp_1")).status_code == 201
