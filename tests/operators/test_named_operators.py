"""Every named operator, once each through Airflow, with its effect looked up in the simulated Persona."""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import logging
import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.api.operations import BadCallError, catalogue, operation
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.hooks.persona import PersonaHook
from airflow_provider_persona.operators import (
    accounts,
    api_keys,
    case_actions,
    importers,
    inquiries,
    lists,
    reports,
    transactions,
    verifications,
    webhooks,
    workflows,
)
from airflow_provider_persona.operators.lists import ListKind
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.tasks.arguments import Text
from airflow_provider_persona.tasks.call_arguments import path
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.private_templates import PrivateTemplate
from airflow_provider_persona.version_compat import DAG, AirflowFailException, task

MODULES = (
    accounts,
    api_keys,
    case_actions,
    importers,
    inquiries,
    lists,
    reports,
    transactions,
    verifications,
    webhooks,
    workflows,
)
NAMED = [
    each
    for module in MODULES
    for name, each in inspect.getmembers(module, inspect.isclass)
    if name.startswith("Persona") and each.__module__ == module.__name__
]
# Put together here, because Airflow keeps the source of this file in its database.
SURNAME = "Vogel" + "sang"  # looked for alone too, since a URL would write the blank before it otherwise
NAME = f"Canaria {SURNAME}"
LINK = {"data": "JVBERg==", "filename": "face.png"}


@dataclass(frozen=True)
class Step:
    """One task: an operator, its arguments, and what is true afterwards of the object whose id it returned.

    :param shows: attributes of that object.
    :param operations: operations that had an effect on it; by default the operator's.
    """

    operator: type[PersonaCallOperator]
    arguments: Mapping[str, Any]
    shows: Mapping[str, Any] = field(default_factory=dict)
    operations: tuple[str, ...] | None = None


def _status(status: str) -> dict[str, str]:
    return {"status": status}


ITEMS: Mapping[str, Any] = {
    "browser-fingerprint": "b-7",
    "country": "DE",
    "device-fingerprint": "d-7",
    "email-address": {"value": "fraud.example", "match-type": "domain"},
    "face": {"face-photo": LINK},
    "field": "f-7",
    "geolocation": {"latitude": 1.5, "longitude": 2.5, "radius-meters": 10},
    "government-id-number": {"id-number": "P7", "id-class": "pp"},
    "ip-address": "192.0.2.9",
    "name": {"name-first": "Mal", "name-last": "Lory"},
    "phone-number": "+15550100",
    "string": "s-7",
}
_LISTS_WITHOUT_CREATE = (ListKind.DEVICE_FINGERPRINT, ListKind.FIELD)
# The simulated Persona begins with one list of most kinds; items go on any list there.
_LIST_OF = {kind: f"lst_{kind.replace('-', '_')}" for kind in ITEMS}
SCENES: Mapping[str, tuple[Step, ...]] = {
    "inquiries": (
        Step(
            inquiries.PersonaCreateInquiryOperator,
            {
                "inquiry_template_id": "itmpl_kyc",
                "account_id": "act_sim000001",
                "reference_id": "r-1",
                "fields": {"name-first": "A"},
                "note": "n",
                "tags": ["t"],
                "expires_after": "{{ 3600 }}",
                "attributes": {"redirect-uri": "https://a.example"},
                "meta": {"auto-create-inquiry-session": True},
            },
            {"reference-id": "r-1", "note": "n", "tags": ["t"], "fields.name-first.value": "A", **_status("created")},
        ),
        Step(
            inquiries.PersonaUpdateInquiryOperator,
            {"inquiry_id": "inq_sim000001", "note": "called", "tags": ["x"], "fields": {"name-first": "B"}},
            {"note": "called", "tags": ["x"], "fields.name-first.value": "B"},
        ),
        Step(
            inquiries.PersonaApproveInquiryOperator,
            {"inquiry_id": "inq_sim000002", "comment": "fine"},
            {"reviewer-comment": "fine", **_status("approved")},
        ),
        Step(inquiries.PersonaDeclineInquiryOperator, {"inquiry_id": "inq_sim000007"}, _status("declined")),
        Step(inquiries.PersonaMarkInquiryForReviewOperator, {"inquiry_id": "inq_sim000006"}, _status("needs_review")),
        Step(inquiries.PersonaExpireInquiryOperator, {"inquiry_id": "inq_sim000003"}, _status("expired")),
        Step(
            inquiries.PersonaExpireInquiryOperator,
            {"inquiry_id": "inq_sim000005"},
            operations=("expire-an-inquiry", "resume-an-inquiry"),
        ),
        Step(
            inquiries.PersonaResumeInquiryOperator,
            {"inquiry_id": "inq_sim000005"},
            _status("pending"),
            operations=("expire-an-inquiry", "resume-an-inquiry"),
        ),
        Step(
            inquiries.PersonaCreateInquiryLinkOperator,
            {"inquiry_id": "inq_sim000008", "deliver": lambda link: link["one-time-link"]},
        ),
        Step(
            inquiries.PersonaRedactInquiryOperator,
            {"inquiry_id": "inq_sim000011", "confirm": True},
            {"reference-id": None},
        ),
    ),
    "accounts": (
        Step(
            accounts.PersonaCreateAccountOperator,
            {"reference_id": "r-1", "fields": {"name-first": "A"}, "tags": ["t"], "attributes": {"country-code": "DE"}},
            {"reference-id": "r-1", "tags": ["t"], "fields.name-first.value": "A"},
        ),
        Step(
            accounts.PersonaUpdateAccountOperator,
            {"account_id": "act_sim000001", "fields": {"name-first": "B"}, "reference_id": "r-2"},
            {"reference-id": "r-2", "fields.name-first.value": "B"},
        ),
        Step(
            accounts.PersonaConsolidateAccountsOperator,
            {"account_id": "act_sim000002", "source_account_ids": ["act_sim000003"]},
        ),
        Step(
            accounts.PersonaTagAccountOperator,
            {"account_id": "act_sim000004", "add_tags": ["a", "b"]},
            {"tags": ["a", "b"]},
            ("accounts-add-tag", "accounts-add-tag"),
        ),
        Step(
            accounts.PersonaTagAccountOperator,
            {"account_id": "act_sim000005", "tags": ["c", "d"]},
            {"tags": ["c", "d"]},
            ("accounts-set-all-tags",),
        ),
        Step(
            accounts.PersonaRedactAccountOperator,
            {"account_id": "act_sim000006", "confirm": True},
            {"reference-id": None},
        ),
    ),
    "reports": (
        Step(
            reports.PersonaCreateReportOperator,
            {
                "report_type": "report/watchlist",
                "query": {"name-first": "A", "name-last": "B"},
                "account_id": "act_sim000001",
                "report_template_id": "rptp_x",
                "reference_id": "r-1",
                "meta": {"auto-create-account": False},
            },
            {"name-first": "A"},  # not its status: on a slow machine it is ready before it is looked at
        ),
        Step(reports.PersonaRerunReportOperator, {"report_id": "rep_sim000001"}),
        Step(
            reports.PersonaDismissReportMatchesOperator,
            {"report_id": "rep_sim000003", "reason": "other"},
            {"has-match": False},
        ),
        Step(
            reports.PersonaPauseReportMonitoringOperator,
            {"report_id": "rep_sim000004"},
            {"is-recurring": False},
        ),
        Step(
            reports.PersonaResumeReportMonitoringOperator,
            {"report_id": "rep_sim000005"},
            {"is-recurring": True},
        ),
    ),
    "verifications": (
        Step(
            verifications.PersonaGetVerificationOperator,
            {"verification_id": "ver_selfie"},
            operations=(),
        ),
        Step(
            verifications.PersonaRedactVerificationOperator,
            {"verification_id": "ver_document", "confirm": True},
        ),
    ),
    "transactions": (
        Step(
            transactions.PersonaCreateTransactionOperator,
            {"transaction_type_id": "txntp_payment", "reference_id": "r-1", "fields": {"amount": 7}, "tags": ["t"]},
            {"reference-id": "r-1", "tags": ["t"], "fields.amount.value": 7},
        ),
        Step(
            transactions.PersonaUpdateTransactionOperator,
            {
                "transaction_id": "txn_sim000001",
                "status": "blocked",
                "fields": {"amount": 8},
                "reference_id": "r-9",
                "tags": ["x"],
            },
            {"reference-id": "r-9", "tags": ["x"], "fields.amount.value": 8, **_status("blocked")},
        ),
        Step(
            transactions.PersonaLabelTransactionOperator,
            {"transaction_id": "txn_sim000002", "transaction_label": "fraud", "score": "{{ 0.5 }}"},
        ),
        Step(
            transactions.PersonaTagTransactionOperator,
            {"transaction_id": "txn_sim000003", "tags": ["a"]},
            {"tags": ["a"]},
            ("transactions-set-tags",),
        ),
    ),
    "lists": (
        *(
            Step(
                lists.PersonaCreateListOperator,
                {"kind": kind, "name": f"of {kind}", **({"allow_fuzzy_name_first": True} if kind == "name" else {})},
                {"name": f"of {kind}", **_status("active")},
                (str(lists._CALLS[kind].create),),
            )
            for kind in ListKind
            if kind not in _LISTS_WITHOUT_CREATE
        ),
        Step(lists.PersonaArchiveListOperator, {"list_id": "lst_country"}, _status("archived")),
    ),
    "items": tuple(
        Step(
            lists.PersonaArchiveListItemOperator,
            {"kind": kind, "list_item_id": item_id},
            _status("archived"),
            (lists._CALLS[ListKind(kind)].archive,),
        )
        for kind, item_id in {
            "browser-fingerprint": "libf_browser_fingerprint",
            "country": "lic_country",
            "device-fingerprint": "lidf_device_fingerprint",
            "email-address": "liea_email_address",
            "face": "lif_face",
            "field": "liif_field",
            "geolocation": "ligl_geolocation",
            "government-id-number": "ligin_government_id_number",
            "ip-address": "liip_ip_address",
            "name": "lin_name",
            "phone-number": "lipn_phone_number",
            "string": "lis_string",
        }.items()
    ),
    "importers": (
        Step(
            importers.PersonaImportAccountsOperator,
            {"rows": [{"reference_id": "r-1", "name_first": "A"}, {"reference_id": "r-2", "tags": ["x", "y"]}]},
        ),
        Step(
            importers.PersonaImportListItemsOperator,
            {"kind": "name", "list_id": "lst_name", "rows": [{"name_first": "A", "name_last": "B"}]},
            operations=("import-name-lists",),
        ),
    ),
    "workflows": (
        Step(
            workflows.PersonaTriggerWorkflowOperator,
            {
                "workflow_id": "wfl_onboarding",
                "fields": {},
                "wait_for_completion": True,
                "poke_interval": 0.01,
                "wait_timeout": 20,
            },
            _status("completed"),
        ),
    ),
    "api_keys": (
        Step(
            api_keys.PersonaCreateApiKeyOperator,
            {
                "name": "k",
                "permissions": ["case.read"],
                "note": "n",
                "attributes": {"api-version": "2025-12-08"},
                "deliver": lambda key: key["value"],
            },
            {"name": "k", "permissions": ["case.read"], "note": "n", "api-version": "2025-12-08"},
        ),
    ),
    "webhooks": (
        Step(
            webhooks.PersonaCreateWebhookOperator,
            {
                "name": "w",
                "url": "https://a.example",
                "enabled_events": ["case.created"],
                "attributes": {"description": "d"},
                "secret_variable": "hook_of_scenes",
            },
            {"name": "w", "url": "https://a.example", "enabled-events": ["case.created"], "description": "d"},
        ),
        Step(
            webhooks.PersonaRotateWebhookSecretOperator,
            {"webhook_id": "wbh_sim000001", "expires_in": 60, "deliver": lambda hook: hook["secrets"]},
        ),
    ),
}
"""Resource -> the operators on it. Those whose effect is no attribute of an object have tests of their own below."""
APART = {
    api_keys.PersonaExpireApiKeyOperator,
    inquiries.PersonaPrintInquiryOperator,
    lists.PersonaAddListItemOperator,
    reports.PersonaPrintReportOperator,
    verifications.PersonaPrintVerificationOperator,
    *(each for each in NAMED if each.__module__ == case_actions.__name__),
}


def _dag(**arguments: Any) -> DAG:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return DAG("named", schedule=None, start_date=start, catchup=False, **arguments)


@pytest.fixture
def run(run_dag, persona_connection) -> Callable[..., Any]:
    """Run steps as tasks of one Dag; returns what each task returned."""

    def run_steps(*steps: Step) -> list[Any]:
        with _dag() as dag:
            tasks = [
                step.operator(task_id=f"step_{number}", retries=0, **step.arguments)
                for number, step in enumerate(steps)
            ]
            for task_before, task_after in pairwise(tasks):  # Airflow 2 takes tasks without an order in any
                task_before >> task_after
        run = run_dag(dag)
        instances = [run.get_task_instance(f"step_{number}") for number in range(len(steps))]
        states = {step.operator.__name__: str(i.state) for step, i in zip(steps, instances, strict=True)}
        assert set(states.values()) == {"success"}, states
        return [instance.xcom_pull(task_ids=instance.task_id) for instance in instances]

    return run_steps


def _shown(attributes: Mapping[str, Any], name: str) -> Any:
    found: Any = attributes
    for key in name.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


@pytest.mark.parametrize("scene", SCENES)
def test_each_operator_has_its_effect_and_returns_no_more_than_an_id(run, persona_connection, scene):
    steps = SCENES[scene]
    returned = run(*steps)
    journal = persona_connection.journal()
    for step, result in zip(steps, returned, strict=True):
        object_id = result["id"] if isinstance(result, dict) else result
        wanted = step.operations if step.operations is not None else (step.operator.operation_id,)
        made = tuple(e.operation for e in journal if e.object_id == object_id and e.actor != "background")
        assert made == wanted, step.operator.__name__
        now = persona_connection.object(object_id)
        shown = {name: _shown({**now["attributes"], "status": now["status"]}, name) for name in step.shows}
        assert shown == step.shows, step.operator.__name__


def test_every_named_operator_is_executed_by_a_test_of_this_file():
    in_scenes = {step.operator for steps in SCENES.values() for step in steps}
    assert in_scenes | APART == set(NAMED)
    assert in_scenes & APART == set()


def test_reading_a_verification_returns_its_status(run):
    step = Step(verifications.PersonaGetVerificationOperator, {"verification_id": "ver_selfie"})
    assert run(step) == [{"id": "ver_selfie", "type": "verification/selfie", "status": "passed"}]


def test_everything_that_can_be_done_to_a_case(run, persona_connection):
    persona_connection.add_objects("inq_attach", "inq_detach")
    known = [case["case_id"] for case in persona_connection.cases()][:6]
    assign, tag, add, remove, redact, retag = known
    case_actions_of = case_actions
    created, *_ = run(
        Step(
            case_actions_of.PersonaCreateCaseOperator,
            {
                "case_template_id": next(iter(persona_connection.state()["statuses"])),
                "object_ids": ["inq_attach"],
                "sla_expires_in": "{{ 3600 }}",
            },
        ),
        Step(case_actions_of.PersonaAssignCaseOperator, {"case_id": assign, "assignee": "ana.reviewer@example.com"}),
        Step(case_actions_of.PersonaTagCaseOperator, {"case_id": tag, "add_tags": ["x", "y"], "remove_tags": ["z"]}),
        Step(case_actions_of.PersonaTagCaseOperator, {"case_id": retag, "tags": ["only"]}),
        Step(case_actions_of.PersonaAddCaseObjectsOperator, {"case_id": add, "object_ids": ["inq_attach"]}),
        Step(case_actions_of.PersonaRemoveCaseObjectsOperator, {"case_id": remove, "object_ids": ["inq_detach"]}),
        Step(case_actions_of.PersonaRedactCaseOperator, {"case_id": redact, "confirm": True}),
    )
    cases = {case["case_id"]: case for case in persona_connection.cases()}
    assert created in cases
    assert cases[assign]["assignee"] == "ana.reviewer@example.com"
    assert {"x", "y"} <= set(cases[tag]["tags"])
    assert cases[retag]["tags"] == ["only"]
    assert cases[redact]["fields"] == {}
    done = {(effect.operation, effect.object_id) for effect in persona_connection.journal()}
    assert done == {
        ("create-a-case", created),
        ("assign-a-case", assign),
        ("add-tag", tag),
        ("remove-tag", tag),
        ("set-tags", retag),
        ("add-persona-objects", add),
        ("remove-persona-objects", remove),
        ("redact-a-case", redact),
    }


@pytest.mark.parametrize(
    ("operator", "argument", "object_id"),
    [
        (inquiries.PersonaPrintInquiryOperator, "inquiry_id", "inq_sim000001"),
        (reports.PersonaPrintReportOperator, "report_id", "rep_sim000001"),
        (verifications.PersonaPrintVerificationOperator, "verification_id", "ver_selfie"),
    ],
)
def test_prints_go_into_a_folder_under_the_objects_id(run, tmp_path, operator, argument, object_id):
    (printed,) = run(Step(operator, {argument: object_id, "output_path": f"{tmp_path}/{{{{ dag.dag_id }}}}/"}))
    target = tmp_path / "named" / f"{object_id}.pdf"
    assert printed == {"uri": str(target), "size": target.stat().st_size, "content_type": "application/pdf"}
    assert target.read_bytes().startswith(b"%PDF")


def _lists_for_items(run) -> dict[str, str]:
    """One list for each kind: that of the simulated Persona, or a new one."""
    made = ["face", "string"]
    ids = run(*(Step(lists.PersonaCreateListOperator, {"kind": kind, "name": kind}) for kind in made))
    return {**_LIST_OF, **dict(zip(made, ids, strict=True))}


def test_items_of_every_kind_go_on_a_list(run, persona_connection):
    list_of = _lists_for_items(run)
    # Lists of these two kinds are made in the dashboard, of which the simulated Persona has none.
    kinds = [kind for kind in ITEMS if kind not in ("device-fingerprint", "field")]
    steps = [
        Step(lists.PersonaAddListItemOperator, {"kind": kind, "list_id": list_of[kind], "item": ITEMS[kind]})
        for kind in kinds
    ]
    for kind, item_id in zip(kinds, run(*steps), strict=True):
        item = persona_connection.object(item_id)
        assert item["type"] == f"list-item/{kind}"
        value = ITEMS[kind]
        wanted = dict(value) if isinstance(value, dict) else {lists._CALLS[ListKind(kind)].value: value}
        wanted.pop("face-photo", None)
        assert {name: item["attributes"].get(name) for name in wanted} == wanted


@pytest.mark.parametrize("kind", ["device-fingerprint", "field"])
def test_an_item_of_a_kind_without_lists_is_sent_as_its_operation_wants_it(kind):
    call = lists.PersonaAddListItemOperator(task_id="x", kind=kind, list_id="lst_1", item="v").calls()[0]
    request = catalogue()[call.operation_id].bind(call.path, call.query, call.body)
    value = "field-value" if kind == "field" else "value"
    assert request.path == f"/api/v1/list-item/{kind}s"
    assert request.body == {"data": {"attributes": {value: "v", "list-id": "lst_1"}}}


def test_every_kind_of_list_has_its_operations():
    for kind, calls in lists._CALLS.items():
        for operation_id in filter(None, (calls.create, calls.add, calls.archive)):
            assert f"{kind.split('-')[0]}" in operation_id
            assert operation_id in catalogue()
    assert set(lists._CALLS) == set(ListKind)
    of_lists = {each.operation_id for each in catalogue().values() if each.path.startswith("/list/")}
    of_items = {e.operation_id for e in catalogue().values() if e.path.startswith("/list-item/") and e.method != "GET"}
    named = {name for calls in lists._CALLS.values() for name in (calls.create, calls.add, calls.archive) if name}
    assert named == of_lists | of_items


# ---------------------------------------------------------------------- importers


def test_an_import_of_a_file_and_of_rows_arrives_as_a_file(run, persona_connection, tmp_path):
    file = tmp_path / "accounts.csv"
    file.write_text("reference_id,name_first\nf-1,A\nf-2,B\n")
    from_file, from_rows = run(
        Step(importers.PersonaImportAccountsOperator, {"file": str(file)}),
        Step(importers.PersonaImportAccountsOperator, {"rows": [{"reference_id": "f-3", "name_first": 'B "x", y'}]}),
    )
    persona_connection.advance_clock(60)
    counts = [persona_connection.object(each)["attributes"]["successful-count"] for each in (from_file, from_rows)]
    assert counts == [2, 1]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"file": "/no/such/file.csv"}, "no file"),
        ({"file": "nosuchstore://bucket/file.csv"}, "cannot be used here"),
        ({"rows": []}, "at least one"),
        ({"rows": [{}, {}]}, "at least one"),
        ({"rows": [{"tags": "a"}, {"reference_id": b"x"}]}, r"^row 2: a field is binary, .*column reference_id"),
        ({"rows": [{"reference_id": {"a": 1}}]}, r"^row 1: a cell holds a text, .*column reference_id"),
        ({"rows": [{"reference_id": "\ud800"}]}, r"^row 1: a field is no valid Unicode .column reference_id"),
        ({"rows": [{"reference_id": float("inf")}]}, r"^row 1: a field is not a finite number"),
        ({"rows": [{"tags": ["a", None]}]}, r"^row 1: a cell holds a text"),
        ({"rows": [{"reference": "x"}]}, "reference"),
        ({"rows": [{"reference_id": "x" * 100}], "max_bytes": 50}, "more than 50 bytes"),
    ],
)
def test_what_cannot_be_imported_is_not_sent(persona_connection, arguments, word):
    operator = importers.PersonaImportAccountsOperator(task_id="x", **arguments)
    with pytest.raises(AirflowFailException, match=word):
        operator.execute({"ti": _ti()})
    assert persona_connection.requests() == []


def test_a_folder_in_place_of_a_file_is_named_in_the_error(persona_connection, tmp_path):
    with pytest.raises(StoreError, match=f"the file {tmp_path} cannot be read .IsADirectoryError."):
        importers.PersonaImportAccountsOperator(task_id="x", file=str(tmp_path)).execute({"ti": _ti()})
    assert persona_connection.requests() == []


def test_rows_may_be_the_text_that_a_template_renders_to():
    operator = importers.PersonaImportAccountsOperator(task_id="x", rows="{{ ti.xcom_pull('rows') }}")
    operator.rows = "[{'reference_id': 'f-4', 'tags': ['a', 'b']}]"
    (call,) = operator.calls()
    assert base64.b64decode(call.body["data"]["attributes"]["file"]["data"]) == b'reference_id,tags\r\nf-4,"a,b"\r\n'


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, '""'),
        (float("nan"), '""'),
        (Decimal("NaN"), '""'),
        (Decimal("12.50"), "12.5"),
        (date(1990, 2, 3), "1990-02-03"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (7, "7"),
        (["a", 1], '"a,1"'),
        ("ü", "ü"),
    ],
)
def test_a_cell_is_never_pythons_own_text_of_a_value(value, cell):
    (call,) = importers.PersonaImportAccountsOperator(task_id="x", rows=[{"reference_id": value}]).calls()
    sent = base64.b64decode(call.body["data"]["attributes"]["file"]["data"]).decode()
    assert sent == f"reference_id\r\n{cell}\r\n"


@pytest.mark.parametrize("nothing", ["", "None", " "])
def test_an_output_path_that_renders_to_nothing_is_no_folder_of_the_worker(persona_connection, nothing):
    operator = inquiries.PersonaPrintInquiryOperator(task_id="x", inquiry_id="inq_sim000001", output_path="{{ x }}")
    operator.output_path = nothing
    with pytest.raises(AirflowFailException, match="answers with a file; give output_path"):
        operator.execute(_context())
    assert persona_connection.requests() == []


@pytest.mark.parametrize("kind", [[], {}, 5, "country"])
def test_a_kind_of_which_no_items_are_imported_is_named(kind):
    with pytest.raises(BadCallError, match="Persona imports no other items"):
        importers.PersonaImportListItemsOperator(task_id="x", list_id="lst_1", kind=kind, rows=[{"value": "a"}])


def test_a_set_is_sent_in_the_same_order_by_each_process():
    """Else a retry in another process would have another body, so another key, and do a creation twice."""
    code = (
        "from airflow_provider_persona.operators.importers import _as_csv\n"
        "from airflow_provider_persona.tasks.arguments import as_names\n"
        "tags = {'t1', 't2', 't3', 't4', 't5', 't6'}\n"
        "print(list(tags), _as_csv([{'tags': tags}], ('tags',)), as_names(tags, 'tags'), "
        "as_names(str(tags), 'tags'), sep='|')"
    )
    seeds = ({**os.environ, "PYTHONHASHSEED": str(seed)} for seed in (1, 2))
    said = [subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True) for env in seeds]
    orders, *sent = zip(*(each.stdout.splitlines()[-1].split(b"|") for each in said), strict=True)  # Airflow talks too
    assert len(set(orders)) == 2
    assert [len(set(each)) for each in sent] == [1, 1, 1]


# ---------------------------------------------------------------------- workflows


def test_a_run_that_ends_within_the_time_is_not_given_up_before(persona_connection):
    persona_connection.configure(work_reads=1000, work_seconds=0.3)
    arguments = {"wait_for_completion": True, "wait_timeout": 1, "poke_interval": 60}
    operator = workflows.PersonaTriggerWorkflowOperator(
        task_id="x", workflow_id="wfl_onboarding", fields={}, **arguments
    )
    assert operator.execute(_context()).startswith("wfr_")


def test_an_answer_that_names_no_run_is_an_error_that_says_so():
    operator = workflows.PersonaTriggerWorkflowOperator(
        task_id="x", workflow_id="wfl_onboarding", fields={}, wait_for_completion=True
    )
    answer = Response(201, {}, b'{"data": {"type": "workflow-run"}}')
    with pytest.raises(PersonaAnswerError, match="names no workflow run"):
        operator.result_of(operation("create-a-workflow-run"), answer)


def test_a_workflow_that_ends_badly_fails_the_task(persona_connection):
    operator = workflows.PersonaTriggerWorkflowOperator(
        task_id="x", workflow_id="wfl_onboarding", fields={}, wait_for_completion=True, poke_interval=0.01
    )
    run_id = workflows.PersonaTriggerWorkflowOperator(task_id="x", workflow_id="wfl_onboarding", fields={}).execute(
        {"ti": _ti()}
    )
    persona_connection.change_object(run_id, status="errored")
    with pytest.raises(AirflowFailException, match=f"{run_id} has status errored"):
        operator.execute(_context(try_number=2))  # as a retry would, which finds the same run
    made = [effect.object_id for effect in persona_connection.journal() if effect.operation == "create-a-workflow-run"]
    assert made == [run_id]


def test_a_workflow_that_takes_too_long_fails_for_good_and_says_how_to_go_on(persona_connection):
    persona_connection.configure(work_reads=1000, work_seconds=1000)
    persona_connection.script_fault("http_503", operation="retrieve-a-workflow-run", times=3)  # all attempts of a look
    operator = workflows.PersonaTriggerWorkflowOperator(
        task_id="x",
        workflow_id="wfl_onboarding",
        fields={},
        wait_for_completion=True,
        poke_interval=0.05,
        wait_timeout=0.1,
    )
    operator.hook = lambda: PersonaHook("persona_default", policy=RetryPolicy(delays=(0.0, 0.0), jitter=0.0))
    with pytest.raises(AirflowFailException, match=r"goes on; wait for it with PersonaWorkflowRunSensor") as told:
        operator.execute(_context())
    (run_id,) = {effect.object_id for effect in persona_connection.journal()}
    assert f"workflow_run_id='{run_id}'" in str(told.value)


# ---------------------------------------------------------------------- secrets


@pytest.mark.parametrize("found", ["", "None"])
def test_no_key_is_made_for_a_variable_without_a_name(persona_connection, found):
    operator = api_keys.PersonaCreateApiKeyOperator(task_id="x", name="k", secret_variable="{{ params.variable }}")
    operator.secret_variable = found  # what the template renders to
    with pytest.raises(AirflowFailException, match="nothing was sent"):
        operator.execute(_context())
    assert persona_connection.requests() == []


def _ti(**changes: Any) -> SimpleNamespace:
    known = {"dag_id": "d", "run_id": "r", "task_id": "x", "map_index": -1, "try_number": 1, "max_tries": 0}
    return SimpleNamespace(**{**known, **changes})


def _context(**changes: Any) -> dict[str, Any]:
    return {"ti": _ti(**changes), "dag_run": SimpleNamespace(start_date=datetime.now(UTC))}


def _variable(name: str) -> str:
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session

    with create_session() as session:
        return str(session.query(Variable).filter(Variable.key == name).one().get_val())


def _metadata() -> str:
    """Return all text in Airflow's metadata database but its encrypted Variables: XCom, rendered fields, Dag runs."""
    from airflow.configuration import conf

    path = conf.get("database", "sql_alchemy_conn").removeprefix("sqlite:///")
    with sqlite3.connect(path) as db:
        return "\n".join(line for line in db.iterdump() if not line.startswith('INSERT INTO "variable"'))


def test_a_new_key_works_expires_and_stands_nowhere_but_in_its_variable(
    run_dag, persona_connection, monkeypatch, caplog, capfd
):
    caplog.set_level(logging.DEBUG)
    with _dag() as dag:
        api_keys.PersonaCreateApiKeyOperator(
            task_id="make", name="k", permissions=["case.read"], secret_variable="key_for_{{ dag.dag_id }}"
        )
    run = run_dag(dag)
    secret = _variable("key_for_named")
    told = caplog.text + "".join(capfd.readouterr()) + _metadata()
    key_id = run.get_task_instance("make").xcom_pull(task_ids="make")
    assert key_id in told
    assert secret not in told

    import requests

    headers = {"Authorization": f"Bearer {secret}"}
    cases = f"{persona_connection.url}/api/v1/cases"
    assert requests.get(cases, headers=headers, timeout=5).status_code == 200
    expire = api_keys.PersonaExpireApiKeyOperator(task_id="x", api_key_id=key_id, expires_in=0)
    assert expire.execute({"ti": _ti()}) == key_id
    assert requests.get(cases, headers=headers, timeout=5).status_code == 401


def test_a_rotated_secret_is_the_lasting_one_and_a_failed_delivery_gets_it_again(persona_connection):
    seen: list[Mapping[str, Any]] = []

    def deliver(hook: Mapping[str, Any]) -> None:
        seen.append(dict(hook))
        if len(seen) == 1:
            raise ConnectionError("the vault is away")

    rotate = webhooks.PersonaRotateWebhookSecretOperator(
        task_id="x", webhook_id="wbh_sim000001", expires_in=60, deliver=deliver, retries=1
    )
    with pytest.raises(RuntimeError, match="the secret of wbh_sim000001 could not be delivered"):
        rotate.execute({"ti": _ti(max_tries=1)})
    assert rotate.execute(_context(max_tries=1, try_number=2)) == "wbh_sim000001"
    assert seen[0] == seen[1]
    assert len([each for each in persona_connection.journal() if each.operation == rotate.operation_id]) == 1
    assert seen[0]["id"] == "wbh_sim000001"
    good_for = {each["value"]: each["expires-at"] for each in seen[0]["secrets"]}
    assert len(good_for) == 2
    assert good_for[webhooks.lasting_secret(seen[0])] is None


def test_a_link_is_in_xcom_only_when_it_was_asked_for_by_name(run):
    mailed: list[Mapping[str, Any]] = []
    by_hand, named = run(
        Step(inquiries.PersonaCreateInquiryLinkOperator, {"inquiry_id": "inq_sim000003", "deliver": mailed.append}),
        Step(
            inquiries.PersonaCreateInquiryLinkOperator,
            {"inquiry_id": "inq_sim000008", "expires_in": 60, "result": ["meta.one-time-link"]},
        ),
    )
    assert by_hand == "inq_sim000003"
    assert mailed[0]["one-time-link"].startswith("https://")
    assert named["meta.one-time-link"].startswith("https://")


@pytest.mark.parametrize(
    ("operator", "arguments", "word"),
    [
        (api_keys.PersonaCreateApiKeyOperator, {"name": "k"}, "secret_variable"),
        (api_keys.PersonaCreateApiKeyOperator, {"name": "k", "secret_variable": "v", "deliver": print}, "either"),
        (
            api_keys.PersonaCreateApiKeyOperator,
            {"name": "k", "secret_variable": "v", "result": ["id", "value"]},
            "result",
        ),
        (webhooks.PersonaRotateWebhookSecretOperator, {"webhook_id": "wbh_1"}, "deliver"),
        (inquiries.PersonaCreateInquiryLinkOperator, {"inquiry_id": "inq_1"}, "meta.one-time-link"),
        (inquiries.PersonaRedactInquiryOperator, {"inquiry_id": "inq_1", "confirm": False}, "confirm=True"),
        (accounts.PersonaTagAccountOperator, {"account_id": "act_1"}, "add_tags"),
        (accounts.PersonaTagAccountOperator, {"account_id": "act_1", "tags": [], "add_tags": ["x"]}, "either"),
        (lists.PersonaCreateListOperator, {"kind": "emails", "name": "x"}, "email-address"),
        (lists.PersonaCreateListOperator, {"kind": "field", "name": "x"}, "dashboard"),
        (importers.PersonaImportAccountsOperator, {}, "file or rows"),
        (importers.PersonaImportAccountsOperator, {"file": "x", "rows": []}, "file or rows"),
        (importers.PersonaImportAccountsOperator, {"rows": ["x"]}, "list of mappings"),
        (importers.PersonaImportListItemsOperator, {"kind": "face", "list_id": "l", "rows": []}, "email-address"),
    ],
)
def test_what_makes_no_sense_is_an_error_when_the_dag_is_parsed(operator, arguments, word):
    with pytest.raises(BadCallError, match=word):
        operator(task_id="x", **arguments)


@pytest.mark.parametrize("operator", [each for each in NAMED if "Redact" in each.__name__])
def test_nothing_is_erased_without_a_word(operator):
    (argument,) = (name for name, each in operator.arguments.items() if each.path)
    with pytest.raises(Exception, match="confirm"):
        operator(task_id="x", **{argument: "inq_1"})


@pytest.mark.parametrize("item", ["Mallory", "1.5,2.5"])
def test_an_item_with_several_attributes_is_no_text(persona_connection, item):
    with pytest.raises(BadCallError, match="several attributes"):
        lists.PersonaAddListItemOperator(task_id="x", kind="name", list_id="lst_name", item=item)
    operator = lists.PersonaAddListItemOperator(task_id="x", kind="name", list_id="lst_name", item="{{ params.item }}")
    operator.item = item  # what it renders to
    with pytest.raises(AirflowFailException, match="several attributes") as told:
        operator.execute({"ti": _ti()})
    assert item not in str(told.value)
    assert persona_connection.requests() == []


# ---------------------------------------------------------------------- how they are made


@pytest.mark.parametrize("operator", NAMED, ids=lambda each: each.__name__)
def test_arguments_are_template_fields_documented_and_known_to_the_catalogue(operator):
    accepted = {
        name
        for each in operator.__mro__
        if each.__module__.startswith("airflow_provider_persona")
        for name, parameter in inspect.signature(each.__init__).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    ours = accepted - set(inspect.signature(importlib.import_module("airflow.models").BaseOperator).parameters)
    constant = {"result", "deliver", "kind", "confirm", "max_bytes", "wait_for_completion", "poke_interval"}
    assert ours - set(operator.template_fields) <= constant | {"wait_timeout"}
    assert set(operator.template_fields) <= ours
    documented = inspect.getdoc(operator)
    assert "Example: `" in documented
    shared = {"result", "deliver", "persona_conn_id"}
    assert [name for name in sorted(ours - shared) if f":param {name}:" not in documented] == []
    for name, argument in operator.arguments.items():
        assert isinstance(getattr(operator, name, None), PrivateTemplate) == (argument.template is not None)
    if hasattr(operator, "operation_id"):
        entry = catalogue()[operator.operation_id]
        declared = operator.arguments.values()
        assert {each.path for each in declared if each.path} == set(entry.path_parameters)
        known = {key.removesuffix(".*") for key in entry.body}
        for place in (each.body for each in declared if each.body):
            assert place in known or any(key.startswith(f"{place}.") for key in known), place


def test_none_of_them_hides_what_airflow_has_of_that_name():
    from airflow_provider_persona.version_compat import BaseOperator

    assert [
        (operator.__name__, name)
        for operator in NAMED
        for name in operator.template_fields
        if hasattr(BaseOperator, name)
    ] == []


def test_arguments_in_partial_wait_for_the_tasks_they_come_from(run_dag, persona_connection):
    with _dag() as dag:

        @task
        def comment() -> str:
            return "seen"

        @task
        def chosen() -> list[str]:
            return ["inq_sim000001", "inq_sim000002"]

        inquiries.PersonaApproveInquiryOperator.partial(task_id="approve", comment=comment()).expand(
            inquiry_id=chosen()
        )
    assert dag.get_task("approve").upstream_task_ids == {"comment", "chosen"}
    run = run_dag(dag)
    assert str(run.state) == "success"
    for inquiry_id in ("inq_sim000001", "inq_sim000002"):
        now = persona_connection.object(inquiry_id)
        assert (now["status"], now["attributes"]["reviewer-comment"]) == ("approved", "seen")


def test_personal_data_in_arguments_is_kept_nowhere(run_dag, persona_connection, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with _dag(user_defined_macros={"name": lambda: NAME}) as dag:
        made = accounts.PersonaCreateAccountOperator(
            task_id="account", reference_id="{{ name() }}", fields={"name-first": "{{ name() }}"}
        )
        inquiries.PersonaCreateInquiryOperator(
            task_id="inquiry",
            inquiry_template_id="itmpl_kyc",
            account_id=made.output,
            note="{{ name() }}",
            attributes={"fields": {"name-first": "{{ name() }}"}},
        )
        reports.PersonaCreateReportOperator(
            task_id="report", report_type="report/watchlist", query={"name-first": "{{ name() }}"}
        )
        lists.PersonaAddListItemOperator(task_id="item", kind="string", list_id="lst_none", item="{{ name() }}")
        importers.PersonaImportAccountsOperator(task_id="import", rows=[{"reference_id": "{{ name() }}"}])
    run = run_dag(dag)
    states = {task_id: str(run.get_task_instance(task_id).state) for task_id in dag.task_ids}
    assert states == {**dict.fromkeys(dag.task_ids, "success"), "item": "failed"}
    account = run.get_task_instance("account").xcom_pull(task_ids="account")
    assert NAME in json.dumps(persona_connection.object(account))
    told = caplog.text + "".join(capfd.readouterr()) + _metadata()
    assert account in told
    assert SURNAME not in told


def test_the_bases_are_for_others_too(persona_connection):
    """A named operator of one's own is a few lines."""

    class LockOperator(PersonaCallOperator):
        operation_id = "investigation-lock-a-verification"
        verification_id: Text = path("verification-id", "the verification.")

    assert LockOperator(task_id="x", verification_id="ver_selfie").execute({"ti": _ti()}) == "ver_selfie"
    assert [each.operation for each in persona_connection.journal()] == ["investigation-lock-a-verification"]
