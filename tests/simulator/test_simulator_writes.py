"""Every call that changes a case: what changes, what does not, what is refused, what the journal says."""

from __future__ import annotations

import base64
from typing import Any

import pytest

NOW = "2026-09-21T14:13:20.000Z"


@pytest.fixture(autouse=True)
def _still(server) -> None:
    server.freeze_clock()
    server.control("POST", "clock", {"jump": 1_790_000_000.0})


def _error(answer: Any) -> tuple[int, str, str | None]:
    error = answer.json()["errors"][0]
    return answer.status_code, error["title"], error.get("source", {}).get("pointer")


def test_an_end_status_resolves_and_any_other_reopens(call, server, open_case) -> None:
    resolved = call.set_status(open_case, "Approved").json()["data"]["attributes"]
    assert (resolved["status"], resolved["resolved-at"], resolved["updated-at"]) == ("Approved", NOW, NOW)
    assert resolved["resolver-id"] == "api_simulator"
    reopened = call.set_status(open_case, "Open").json()["data"]["attributes"]
    assert (reopened["status"], reopened["resolved-at"], reopened["resolver-id"]) == ("Open", None, None)
    moves = [(effect.from_status, effect.to_status, effect.changed) for effect in server.journal()]
    assert moves == [("Open", "Approved", True), ("Approved", "Open", True)]


def test_setting_the_same_status_is_journalled_as_no_change(call, server, open_case) -> None:
    before = call.attributes(open_case)
    assert call.set_status(open_case, "Open").status_code == 200
    assert call.attributes(open_case) == before
    assert [(effect.changed, effect.parts) for effect in server.journal()] == [(False, ())]


@pytest.mark.parametrize("status", ["resolved", "open", "approved", ""])
def test_a_status_of_another_template_or_spelling_is_refused(call, server, open_case, status) -> None:
    assert _error(call.set_status(open_case, status)) == (422, "Unprocessable Entity", "/meta/status")
    assert server.journal() == []


@pytest.mark.parametrize("body", [None, {}, {"meta": {}}, {"meta": {"status": 1}}, {"meta": "Open"}, []])
def test_a_missing_status_is_a_bad_request(call, open_case, body) -> None:
    assert _error(call("POST", f"/cases/{open_case}/set-status", body)) == (400, "Bad Request", None)


def test_only_older_versions_take_a_status_from_attributes(call, open_case) -> None:
    body = {"data": {"attributes": {"status": "Approved"}}}
    path = f"/cases/{open_case}/set-status"
    assert call("POST", path, body).status_code == 400
    assert call("POST", path, body, headers={"Persona-Version": "2023-01-05"}).status_code == 200


def test_a_body_that_is_not_json_is_a_bad_request(call, open_case) -> None:
    answer = call("POST", f"/cases/{open_case}/set-status", data=b"status=Approved")
    assert _error(answer) == (400, "Bad Request", None)


def test_patch_changes_fields_queue_sla_and_adds_attachments(call, server, open_case) -> None:
    file = {"filename": "note.pdf", "data": base64.b64encode(b"%PDF").decode()}
    attributes = {"fields": {"risk_score": 3, "decision-note": "ok"}, "case-queue-id": None, "attachments": [file]}
    body = {"data": {"attributes": attributes}, "meta": {"sla-expires-in-seconds": 60}}
    changed = call("PATCH", f"/cases/{open_case}", body).json()["data"]
    assert changed["attributes"]["fields"]["risk_score"] == 3
    assert changed["attributes"]["fields"]["birthdate"]
    assert changed["attributes"]["sla-expires-at"] == "2026-09-21T14:14:20.000Z"
    assert changed["relationships"]["case-queue"]["data"] is None
    assert [each["byte-size"] for each in changed["attributes"]["attachments"]] == [4]
    again = call("PATCH", f"/cases/{open_case}", {"data": {"attributes": {"attachments": [file]}}})
    assert len(again.json()["data"]["attributes"]["attachments"]) == 2
    cleared = call("PATCH", f"/cases/{open_case}", {"meta": {"sla-expires-in-seconds": None}})
    assert cleared.json()["data"]["attributes"]["sla-expires-at"] is None
    parts = [effect.parts for effect in server.journal()]
    assert parts[0] == ("fields.risk_score", "fields.decision-note", "attachments", "queue", "sla")
    assert parts[1:] == [("attachments",), ("sla",)]


def test_patch_passes_over_a_status_in_silence(call, server, open_case) -> None:
    body = {
        "data": {"attributes": {"status": "Approved", "name": "X", "tags": ["vip"]}},
        "meta": {"status": "Approved"},
    }
    assert call("PATCH", f"/cases/{open_case}", body).json()["data"]["attributes"]["status"] == "Open"
    assert [effect.changed for effect in server.journal()] == [False]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"data": {"attributes": {"fields": {"nope": 1}}}},
            (422, "Unprocessable Entity", "/data/attributes/fields/nope"),
        ),
        (
            {"data": {"attributes": {"fields": {"risk-score": 1}}}},
            (422, "Unprocessable Entity", "/data/attributes/fields/risk-score"),
        ),
        (
            {"data": {"attributes": {"fields": {"risk_score": "high"}}}},
            (422, "Unprocessable Entity", "/data/attributes/fields/risk_score"),
        ),
        (
            {"data": {"attributes": {"fields": {"birthdate": "5 May"}}}},
            (422, "Unprocessable Entity", "/data/attributes/fields/birthdate"),
        ),
        ({"data": {"attributes": {"fields": [1]}}}, (400, "Bad Request", None)),
        ({"data": {"attributes": {"case-queue-id": "cqueue_none"}}}, (404, "Record not found", None)),
        (
            {"data": {"attributes": {"attachments": [{"filename": "a.pdf", "data": "***"}]}}},
            (422, "Unprocessable Entity", "/data/attributes/attachments"),
        ),
        (
            {"data": {"attributes": {"attachments": [{"filename": "a.exe", "data": "AAAA"}]}}},
            (422, "Unprocessable Entity", "/data/attributes/attachments"),
        ),
        ({"data": {"attributes": {"attachments": ["a.pdf"]}}}, (400, "Bad Request", None)),
        (
            {"meta": {"sla-expires-in-seconds": 90 * 86_400 + 1}},
            (422, "Unprocessable Entity", "/meta/sla-expires-in-seconds"),
        ),
        ({"meta": {"sla-expires-in-seconds": "soon"}}, (400, "Bad Request", None)),
    ],
)
def test_patch_refuses_and_then_changes_nothing(call, server, open_case, body, expected) -> None:
    before = call.attributes(open_case)
    assert _error(call("PATCH", f"/cases/{open_case}", body)) == expected
    assert call.attributes(open_case) == before
    assert server.journal() == []


def test_unknown_fields_can_be_passed_over(call, server, open_case) -> None:
    server.configure(unknown_fields="ignore")
    body = {"data": {"attributes": {"fields": {"nope": 1, "risk_score": 2}}}}
    assert call("PATCH", f"/cases/{open_case}", body).json()["data"]["attributes"]["fields"]["risk_score"] == 2


def test_older_versions_take_fields_beside_and_in_any_spelling(call, open_case) -> None:
    body = {"data": {"attributes": {"decisionNote": "beside", "fields": {"riskScore": 9}}}}
    call("PATCH", f"/cases/{open_case}", body, headers={"Persona-Version": "2023-01-05"})
    fields = call.attributes(open_case)["fields"]
    assert (fields["decision-note"], fields["risk_score"]) == ("beside", 9)
    body = {"data": {"attributes": {"decision-note": "ignored"}}}
    call("PATCH", f"/cases/{open_case}", body)
    assert call.attributes(open_case)["fields"]["decision-note"] == "beside"


def test_assign(call, open_case) -> None:
    path = f"/cases/{open_case}/assign"
    done = call("POST", path, {"meta": {"user-email-address": "chika.lead@example.com"}}).json()["data"]["attributes"]
    assert (done["assignee-id"], done["assigned-at"]) == ("chika.lead@example.com", NOW)
    refused = call("POST", path, {"meta": {"user-email-address": "nobody@example.com"}})
    assert _error(refused) == (422, "Unprocessable Entity", "/meta/user-email-address")
    assert _error(call("POST", path, {"meta": {}})) == (400, "Bad Request", None)


def test_objects_are_attached_once_and_detached_quietly(call, server, open_case) -> None:
    server.add_objects("act_new", "txn_new", "doc_new")
    add, remove = f"/cases/{open_case}/add-objects", f"/cases/{open_case}/remove-objects"
    for changed in (True, False):
        answer = call("POST", add, {"meta": {"object-ids": ["act_new", "txn_new", "act_new", "doc_new"]}})
        accounts = answer.json()["data"]["relationships"]["accounts"]["data"]
        assert [each["id"] for each in accounts].count("act_new") == 1
        assert server.journal()[-1].changed is changed
    gone = call("POST", remove, {"meta": {"object-ids": ["act_new", "act_never"]}}).json()["data"]["relationships"]
    assert "act_new" not in [each["id"] for each in gone["accounts"]["data"]]
    assert call("POST", remove, {"meta": {"object-ids": ["act_new"]}}).status_code == 200
    assert server.journal()[-1].changed is False
    assert _error(call("POST", add, {"meta": {"object-ids": ["act_none"]}}))[0] == 404
    assert _error(call("POST", add, {"meta": {"object-ids": "act_new"}}))[0] == 400
    assert _error(call("POST", remove, {}))[0] == 400


def test_tags_by_name_and_id(call, server, open_case) -> None:
    def tags(action: str, meta: dict[str, Any]) -> list[str]:
        answer = call("POST", f"/cases/{open_case}/{action}", {"meta": meta})
        assert answer.status_code == 200, answer.text
        found: list[str] = answer.json()["data"]["attributes"]["tags"]
        return found

    assert tags("set-tags", {"tag-name": ["vip", "new"]}) == ["vip", "new"]
    assert tags("add-tag", {"tag-name": "vip"}) == ["vip", "new"]
    assert tags("add-tag", {"tag-id": "tag_sim0002"}) == ["vip", "new", "batch"]
    assert tags("remove-tag", {"tag-id": "tag_sim0001"}) == ["new", "batch"]
    assert tags("remove-tag", {"tag-name": "never"}) == ["new", "batch"]
    assert tags("set-tags", {"tag-id": ["tag_sim0003"]}) == ["watch"]
    assert tags("set-tags", {"tag-name": []}) == []
    assert [effect.changed for effect in server.journal()] == [True, False, True, True, False, True, True]
    assert call("POST", f"/cases/{open_case}/add-tag", {"meta": {"tag-id": "tag_none"}}).status_code == 404
    assert call("POST", f"/cases/{open_case}/set-tags", {"meta": {"tag-name": "vip"}}).status_code == 400
    assert call("POST", f"/cases/{open_case}/add-tag", {"meta": {}}).status_code == 400


def test_create(call, server) -> None:
    attributes = {
        "case_template_id": "ctmpl_kyc",
        "creatorEmailAddress": "ana.reviewer@example.com",
        "case-queue-id": "cqueue_escalations",
        "fields": {"name-first": "Zoe"},
    }
    meta = {"object-ids": ["act_sim000001"], "slaExpiresInSeconds": 7200}
    answer = call("POST", "/cases", {"data": {"attributes": attributes}, "meta": meta})
    made = answer.json()["data"]
    assert answer.status_code == 201
    assert (made["attributes"]["status"], made["attributes"]["name"]) == ("Open", "KYC-49")
    assert made["attributes"]["creator-id"] == "ana.reviewer@example.com"
    assert made["relationships"]["accounts"]["data"] == [{"type": "account", "id": "act_sim000001"}]
    assert call("GET", "/cases?page[size]=1").json()["data"][0]["id"] == made["id"]
    assert [(effect.operation, effect.from_status) for effect in server.journal()] == [("create-a-case", None)]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, 400),
        ({"case-template-id": "ctmpl_none"}, 404),
        ({"case-template-id": "ctmpl_kyc", "creator-email-address": "nobody@example.com"}, 422),
        ({"case-template-id": "ctmpl_kyc", "fields": {"amount": 1}}, 422),
    ],
)
def test_create_refuses(call, server, attributes, expected) -> None:
    assert call("POST", "/cases", {"data": {"attributes": attributes}}).status_code == expected
    assert server.state()["cases"] == 60


def test_redaction_empties_a_case_for_ever(call, server, open_case) -> None:
    redacted = call("DELETE", f"/cases/{open_case}")
    attributes = redacted.json()["data"]["attributes"]
    assert (redacted.status_code, attributes["fields"], attributes["redacted-at"]) == (200, {}, NOW)
    assert call("DELETE", f"/cases/{open_case}").status_code == 200
    again = call("PATCH", f"/cases/{open_case}", {"data": {"attributes": {"fields": {"name-first": "Zoe"}}}})
    assert _error(again) == (409, "Conflict", None)
    assert [effect.changed for effect in server.journal()] == [True, False]


def test_a_write_to_no_case_is_not_found(call, server) -> None:
    assert _error(call.set_status("case_none", "Open")) == (404, "Record not found", None)
    assert server.journal() == []
