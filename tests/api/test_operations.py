"""The catalogue, and how a call becomes a request."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib import resources

import pytest

from airflow_provider_persona.api import operations
from airflow_provider_persona.api.answers import AnswerKind
from airflow_provider_persona.api.operations import BadCallError, catalogue, matching, operation
from tests.specification import OPERATIONS

CLAIMING = {"Persona-Relay-Secret": "hush", "Authorization": "PrivateToken token=hush"}


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


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("my passport.pdf", "my%20passport.pdf"),
        ("Führerschein.pdf", "F%C3%BChrerschein.pdf"),
        ("100%.pdf", "100%25.pdf"),
        ("a?b#c&d;e", "a%3Fb%23c%26d%3Be"),
    ],
)
def test_a_files_name_is_percent_encoded(name, segment):
    request = operation("download-a-file").bind({"file-token": "a+b==", "filename": name})
    assert request.path == f"/api/v1/files/a%2Bb%3D%3D/{segment}"


@pytest.mark.parametrize("unsafe", ["a/b", "..", ".", "a\\b", "a\nb", "a\x00", "a\x85b", "\ud800", 7])
def test_a_token_or_name_that_could_leave_its_segment_is_refused_and_not_shown(unsafe):
    with pytest.raises(BadCallError, match="relay-token cannot be put into a path") as told:
        operation("generate-a-relay-claim").bind({"relay-token": unsafe})
    assert repr(unsafe) not in str(told.value)


def test_what_json_lacks_is_sent_as_the_bulk_path_sends_it():
    fields = {"at": datetime(2026, 1, 2, 3, tzinfo=UTC), "on": date(2026, 1, 2), "n": Decimal(7), "x": Decimal("7.5")}
    request = operation("create-an-account").bind(body={"data": {"attributes": {"fields": fields}}})
    assert json.loads(request.content())["data"]["attributes"]["fields"] == {
        "at": "2026-01-02T03:00:00+00:00",
        "on": "2026-01-02",
        "n": 7,
        "x": 7.5,
    }


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("Infinity"),
        b"Vogelsang",
        {"Vogelsang"},
        "\ud800",
        {("a",): 1},
    ],
)
def test_what_cannot_be_sent_is_refused_without_showing_it(value):
    with pytest.raises(BadCallError, match="the body of create-an-account holds a value that cannot be sent") as told:
        operation("create-an-account").bind(body={"data": {"attributes": {"fields": {"x": value}}}})
    assert "Vogelsang" not in str(told.value)
    assert told.value.__cause__ is None


def test_a_query_that_cannot_be_sent_is_refused_before_anything_is_sent():
    with pytest.raises(BadCallError, match="the query of list-all-cases holds a value that cannot be sent") as told:
        operation("list-all-cases").bind(query={"filter[reference-id]": "canary\ud83d"})
    assert "canary" not in str(told.value)


def test_a_body_goes_form_encoded_where_persona_wants_it():
    request = operation("create-authorization").bind(
        body={"scope": "inquiry.read:inq_1 case.read:case_1", "response-type": "code", "client-id": "org_1"}
    )
    assert request.headers(None)["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.content() == (b"client-id=org_1&response-type=code&scope=inquiry.read%3Ainq_1+case.read%3Acase_1")
    with pytest.raises(BadCallError, match="nothing nested"):
        operation("create-authorization").bind(body={"scope": ["x"], "response-type": "code", "client-id": "o"})


def test_a_key_that_may_be_null_must_be_there_all_the_same():
    relay = operation("create-a-relay")
    with pytest.raises(BadCallError, match="create-a-relay needs encryption-key-pem in its body"):
        relay.bind(body={"claim-type": "age"})
    for spelling in ("encryption-key-pem", "encryption_key_pem", "encryptionKeyPem"):
        for value in (None, "-----BEGIN"):
            assert relay.bind(body={"claim-type": "age", spelling: value}).body[spelling] == value


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


def test_a_path_parameter_that_is_no_text_is_unknown():
    with pytest.raises(BadCallError, match="retrieve-case does not know 5"):
        operation("retrieve-case").bind({"case-id": "case_1", 5: "x"})


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
    ("operation_id", "query", "body"),
    [
        ("set-status-for-a-case", {"fields[case]": "status"}, {"meta": {"status": "Approved"}}),
        ("update-an-account", None, {"data": {"attributes": {"tags": ["a"]}}}),
        ("retrieve-case", {"fields[case]": ["status", "tags"]}, None),
    ],
)
def test_requests_of_one_kind_for_several_objects_are_as_each_by_itself(operation_id, query, body):
    called = operation(operation_id)
    (parameter,) = called.path_parameters
    request_of = called.bind_to(query, body)
    for object_id in ("obj_1", "obj_2"):
        alone = called.bind({parameter: object_id}, query, body)
        assert request_of(object_id) == alone
        assert request_of(object_id).content() == alone.content()
    with pytest.raises(BadCallError, match="cannot be put into a path"):
        request_of("obj_1/../obj_2")


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
    same_call = {"business-lookup-report-1": "create-a-report"}
    assert matching(entry.method, path) == operation(same_call.get(entry.operation_id, entry.operation_id))


def _is_a_key(key):
    return all(re.fullmatch(r"[a-z][a-z0-9_-]*", part) for part in key.removesuffix(".*").split("."))


@pytest.mark.parametrize("entry", catalogue().values(), ids=lambda entry: entry.operation_id)
def test_entries_make_sense(entry):
    assert entry.method in ("GET", "POST", "PATCH", "DELETE")
    assert entry.path.startswith("/")
    assert re.fullmatch(r"[A-Z].*\.", entry.summary), entry.summary
    assert entry.success <= {200, 201, 202}
    assert entry.success
    assert re.fullmatch(r"\d{4}(-\d\d-\d\d)?", entry.since)
    assert all(_is_a_key(key) for key in entry.body + entry.appends + entry.secrets)
    assert set(entry.required_query) <= set(entry.query)
    assert entry.paged <= (entry.answer is AnswerKind.COLLECTION)
    assert entry.repeatable >= (entry.method in ("GET", "DELETE"))
    assert not entry.body or entry.method in ("POST", "PATCH")
    assert entry.withdrawn is None or "403" in entry.withdrawn
    known = {key.removesuffix(".*") for key in entry.body}
    above = {key.rpartition(".")[0] for key in known}
    for wanted in entry.required:
        assert all(key in known | above for key in wanted.split("|")), wanted


def test_every_id_and_every_summary_is_there_once():
    text = resources.files("airflow_provider_persona.api").joinpath("operations.json").read_text("utf-8")
    entries = json.loads(text)
    assert len(entries) == len(catalogue()) == 275
    assert len({entry["summary"] for entry in entries}) == 275
    assert text == "[\n" + ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n]\n"


def test_creating_is_the_only_case_operation_that_must_not_be_repeated():
    cases = [entry for entry in catalogue().values() if entry.resource == "cases"]
    assert [entry.operation_id for entry in cases if not entry.repeatable] == ["create-a-case"]


@pytest.mark.parametrize("word", ["create", "import", "clone", "rotate", "re-run", "redeem", "resume-an", "one-time"])
def test_what_makes_something_new_each_time_is_not_repeatable(word):
    found = [each for each in catalogue().values() if word in each.operation_id and each.method == "POST"]
    assert found
    kept = {each.operation_id for each in found if each.repeatable}
    assert kept <= {"import-inquiry-template-translations"}


@pytest.mark.parametrize(
    "word", ["add-tag", "remove-tag", "set-", "approve", "decline", "archive", "redact", "enable", "pause", "update"]
)
def test_what_leaves_the_same_state_is_repeatable(word):
    found = [each for each in catalogue().values() if word in each.operation_id]
    assert found
    assert all(each.repeatable for each in found), [each.operation_id for each in found if not each.repeatable]


def test_a_change_that_adds_files_is_not_repeatable():
    path = {"document-id": "doc_1"}
    assert operation("update-a-document").bind(path, body={"data": {"attributes": {"kind": "bill"}}}).repeatable
    added = {"data": {"attributes": {"files": [{"data": "AAAA", "filename": "a.pdf"}]}}}
    assert not operation("update-a-document").bind(path, body=added).repeatable


def test_a_printed_page_is_bytes():
    assert operation("print-report-pdf").bind({"report-id": "rep_1"}).binary


@pytest.mark.parametrize("query", [{}, {"filter[key]": None}, {"page[size]": 5}])
def test_a_missing_query_parameter_is_named(query):
    relations = operation("accounts-list-all-relations")
    with pytest.raises(BadCallError, match=r"accounts-list-all-relations needs filter\[key\] in its query"):
        relations.bind({"account-id": "act_1"}, query)
    assert relations.bind({"account-id": "act_1"}, query | {"filter[key]": "owner"}).query[-1] == (
        "filter[key]",
        "owner",
    )


@pytest.mark.parametrize(
    "attributes",
    [{"inquiry-template-id": "itmpl_1"}, {"inquiry_template_id": "itmpl_1"}, {"inquiryTemplateId": "itmpl_1"}],
)
def test_keys_may_be_spelt_in_three_ways(attributes, caplog):
    operation("create-an-inquiry").bind(body={"data": {"attributes": attributes}})
    assert caplog.text == ""


@pytest.fixture
def nothing_warned():
    operations._warn_once.cache_clear()


@pytest.mark.usefixtures("nothing_warned")
@pytest.mark.parametrize(
    ("body", "warning"),
    [
        ({"colour": 1}, "colour."),
        ({"dta": {"attributes": {}}}, "dta; did you mean data?"),
        ({"data": {"attribute": {}}}, "data.attribute; did you mean data.attributes?"),
        ({"data": {"attributes": {"notes": "x"}}}, "data.attributes.notes; did you mean data.attributes.note?"),
        ({"meta": {"status": "x"}}, "meta."),
    ],
)
def test_a_key_that_the_operation_does_not_know_is_sent_and_warned_of_once(body, warning, caplog):
    whole = {"data": {"attributes": {"note": "n"}}} | body if "data" not in body else body
    update = operation("update-an-inquiry")
    for _ in range(3):
        whole.setdefault("data", {}).setdefault("attributes", {})
        assert update.bind({"inquiry-id": "inq_1"}, body=whole).body is whole
    assert caplog.messages == [f"update-an-inquiry knows no body key {warning} It is sent as it is."]


@pytest.mark.usefixtures("nothing_warned")
def test_values_are_not_looked_into(caplog):
    fields = {"anything": {"at": "all"}}
    body = {"data": {"type": "inquiry", "id": "inq_1", "attributes": {"fields": fields, "tags": ["a"]}}}
    operation("update-an-inquiry").bind({"inquiry-id": "inq_1"}, body=body)
    operation("search-cases").bind(body={"query": {"and": []}, "sort": {"x": 1}})
    assert caplog.text == ""


@pytest.mark.usefixtures("nothing_warned")
def test_each_operation_warns_for_itself_and_a_body_where_none_belongs_too(caplog):
    body = {"meta": {"colour": "red"}}
    operation("expire-an-inquiry").bind({"inquiry-id": "inq_1"}, body=body)
    operation("approve-an-inquiry").bind({"inquiry-id": "inq_1"}, body=body)
    assert caplog.messages == [
        "expire-an-inquiry knows no body key meta. It is sent as it is.",
        "approve-an-inquiry knows no body key meta.colour. It is sent as it is.",
    ]


def test_names_can_be_checked_before_there_are_values():
    tag = operation("inquiries-add-tag")
    tag.check(["inquiry-id"], body={"meta": {"tag-name": "{{ params.tag }}"}})
    with pytest.raises(BadCallError, match="lacks inquiry-id"):
        tag.check([], body={"meta": {"tag-name": "x"}})
    with pytest.raises(BadCallError, match="does not know case-id"):
        tag.check(["inquiry-id", "case-id"], body={"meta": {"tag-name": "x"}})
    with pytest.raises(BadCallError, match=r"inquiries-add-tag needs meta.tag-name\|meta.tag-id in its body"):
        tag.check(["inquiry-id"])
    with pytest.raises(BadCallError, match=r"needs filter\[key\] in its query"):
        operation("accounts-list-all-relations").check(["account-id"])
    operation("accounts-list-all-relations").check(["account-id"], ["filter[key]"])


def test_relays_have_a_prefix_of_their_own():
    relay = operation("create-a-relay").bind(body={"claim-type": "age", "encryption-key-pem": None})
    assert relay.path == "/api/privacy/v1/relays"
    challenge = operation("request-a-relay-challenge").bind(body={"claim-type": "age"})
    assert challenge.path == "/api/privacy/v1/relays/challenge"
    privacy_pass = operation("create-a-privacy-pass").bind(body={"blinded-token": "x", "key-id": "x"})
    assert privacy_pass.path == "/api/v1/privacy-passes"


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"Authorization": "PrivateToken token=x"}, "needs Persona-Relay-Secret in its headers"),
        ({**CLAIMING, "Persona-Relay-Secret": None}, "needs Persona-Relay-Secret in its headers"),
        ({**CLAIMING, "X-Other": "x"}, "takes no header x-other"),
        ({**CLAIMING, 5: "x"}, "takes no header 5"),
        ({**CLAIMING, "Authorization": "Bearer hush"}, "needs a header Authorization that begins with 'PrivateToken"),
        ({**CLAIMING, "Authorization": "PrivateToken token="}, "and then the token"),
        ({**CLAIMING, "Persona-Relay-Secret": "hush\r\nX-Other: 1"}, "printable ASCII"),
        ({**CLAIMING, "Persona-Relay-Secret": 7}, "printable ASCII"),
    ],
)
def test_headers_of_a_call_are_checked_and_not_shown(headers, problem):
    with pytest.raises(BadCallError) as told:
        operation("generate-a-relay-claim").bind({"relay-token": "x"}, headers=headers)
    assert problem in str(told.value)
    assert "hush" not in str(told.value)


def test_no_other_operation_takes_headers():
    with pytest.raises(BadCallError, match="retrieve-case takes no header authorization"):
        operation("retrieve-case").bind({"case-id": "case_1"}, headers={"Authorization": "Bearer other"})


def test_headers_are_known_in_any_capitals_and_kept_out_of_the_requests_text():
    given = {name.upper(): value for name, value in CLAIMING.items()}
    request = operation("generate-a-relay-claim").bind({"relay-token": "x"}, headers=given)
    assert request.headers("key") == {**CLAIMING, "Idempotency-Key": "key"}
    assert "hush" not in repr(request)


@pytest.fixture
def published():
    if not OPERATIONS.exists():
        pytest.skip("the list of Persona's published operations is not beside the repository")
    return json.loads(OPERATIONS.read_text("utf-8"))


@pytest.mark.contract
def test_the_catalogue_covers_what_persona_publishes_or_published(published):
    theirs = Counter((entry["method"], entry["path"]) for entry in published)
    assert Counter((entry.method, entry.path) for entry in catalogue().values()) == theirs


@pytest.mark.contract
def test_the_catalogue_agrees_with_what_persona_publishes(published):
    by_id = {entry["operation_id"]: entry for entry in published}
    plain = {entry.operation_id for entry in catalogue().values() if entry.answer is AnswerKind.PLAIN}
    assert set(by_id) == set(catalogue())
    for ours in catalogue().values():
        theirs = by_id[ours.operation_id]
        assert (ours.method, ours.path) == (theirs["method"], theirs["path"]), ours.operation_id
        assert ours.success == set(theirs["success_status"] or [200, 201]), ours.operation_id
        assert set(ours.query) <= set(theirs["query_params"]), ours.operation_id
        assert str(ours.since) in theirs["since"], ours.operation_id
        assert ours.operation_id in plain or str(ours.answer) == theirs["response_kind"], ours.operation_id
        assert bool(ours.withdrawn) != theirs["live_in_spec_2026_08_21"], ours.operation_id
        kinds = theirs["body"]["content_types"] if theirs["body"] else []
        assert ours.multipart == ("multipart/form-data" in kinds), ours.operation_id
        assert ours.form == ("application/x-www-form-urlencoded" in kinds), ours.operation_id
        assert bool(ours.body) == bool(theirs["body"]), ours.operation_id
