"""What of a named operator's call, and of a path's values, is an error when the Dag is parsed; and what may wait."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.operators import (
    accounts,
    case_actions,
    importers,
    inquiries,
    lists,
    reports,
    transactions,
)
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.version_compat import DAG, AirflowFailException, task


def _dag() -> DAG:
    return DAG("checked", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False)


@pytest.mark.parametrize(
    ("operator", "arguments", "words"),
    [
        (inquiries.PersonaCreateInquiryOperator, {}, ["create-an-inquiry", "inquiry-template-id"]),
        (inquiries.PersonaUpdateInquiryOperator, {"inquiry_id": "inq_1"}, ["update-an-inquiry", "data.attributes"]),
        (inquiries.PersonaApproveInquiryOperator, {"inquiry_id": None}, ["approve-an-inquiry", "inquiry-id"]),
        (inquiries.PersonaApproveInquiryOperator, {"inquiry_id": ""}, ["approve-an-inquiry", "inquiry-id"]),
        (inquiries.PersonaApproveInquiryOperator, {"inquiry_id": "a/b"}, ["inquiry-id", "a/b"]),
        (inquiries.PersonaApproveInquiryOperator, {"inquiry_id": 7}, ["inquiry-id", "int"]),
        (inquiries.PersonaPrintInquiryOperator, {"inquiry_id": "inq_1", "output_path": None}, ["output_path"]),
        (accounts.PersonaUpdateAccountOperator, {"account_id": "act_1"}, ["update-an-account", "data.attributes"]),
        (
            accounts.PersonaConsolidateAccountsOperator,
            {"account_id": "act_1", "source_account_ids": None},
            ["consolidate-into-an-account", "meta.source-account-ids"],
        ),
        (
            accounts.PersonaTagAccountOperator,
            {"account_id": None, "tags": ["x"]},
            ["accounts-set-all-tags", "account-id"],
        ),
        (accounts.PersonaTagAccountOperator, {"account_id": "", "add_tags": ["x"]}, ["accounts-", "account-id"]),
        (accounts.PersonaTagAccountOperator, {"account_id": "act_1", "add_tags": "vip"}, ["add_tags", "list"]),
        (transactions.PersonaUpdateTransactionOperator, {"transaction_id": "txn_1"}, ["update-a-transaction", "data"]),
        (
            reports.PersonaDismissReportMatchesOperator,
            {"report_id": "rep_1", "reason": None},
            ["dismiss-matches", "data.attributes.reason"],
        ),
        (case_actions.PersonaCreateCaseOperator, {"case_template_id": None}, ["create-a-case", "case-template-id"]),
        (
            case_actions.PersonaCreateCaseOperator,
            {"case_template_id": "ctmpl_1", "sla_expires_in": "soon"},
            ["sla_expires_in", "number"],
        ),
        (case_actions.PersonaCreateCaseOperator, {"case_template_id": "ctmpl_1", "fields": "x"}, ["fields", "mapping"]),
        (
            lists.PersonaAddListItemOperator,
            {"kind": "string", "list_id": None, "item": "x"},
            ["create-a-string-list-item", "data.attributes.list-id"],
        ),
        (
            lists.PersonaAddListItemOperator,
            {"kind": "email-address", "list_id": "lst_1", "item": {"match-type": "domain"}},
            ["create-an-email-address-list-item", "data.attributes.value"],
        ),
        (
            importers.PersonaImportListItemsOperator,
            {"kind": "name", "list_id": None, "file": "/nowhere/names.csv"},
            ["import-name-lists", "data.attributes.list-id"],
        ),
        (PersonaOperator, {"operation_id": "retrieve-case", "path": {"case-id": None}}, ["retrieve-case", "case-id"]),
        (PersonaOperator, {"operation_id": "retrieve-case", "path": {"case-id": ""}}, ["retrieve-case", "case-id"]),
        (PersonaOperator, {"operation_id": "retrieve-case", "path": {"case-id": "a/b"}}, ["case-id", "a/b"]),
        (PersonaOperator, {"operation_id": "retrieve-case", "path": {"case-id": ["a"]}}, ["case-id", "list"]),
        (PersonaOperator, {"operation_id": "retrieve-case", "path": "case_1"}, ["path", "mapping"]),
    ],
)
def test_what_cannot_be_right_is_an_error_when_the_dag_is_parsed(operator, arguments, words):
    with pytest.raises(BadCallError) as told, _dag():
        operator(task_id="call", **arguments)
    assert [word for word in words if word not in str(told.value)] == []


def test_what_comes_from_elsewhere_and_what_is_in_a_file_waits():
    with _dag() as dag:

        @task
        def made():
            return "x"

        update, attach = inquiries.PersonaUpdateInquiryOperator, case_actions.PersonaAddCaseObjectsOperator
        add = lists.PersonaAddListItemOperator
        update(task_id="a", inquiry_id=made(), fields=made())
        update(task_id="b", inquiry_id="{{ params.id }}", fields="{{ params.fields }}", tags=[made(), "y"])
        attach(task_id="c", case_id="case_1", object_ids=["inq_1", "{% if ds %}inq_2{% endif %}"])
        add(task_id="d", kind="name", list_id="lst_1", item="{{ params.item }}")
        add(task_id="e", kind="string", list_id=made(), item=made())
        accounts.PersonaTagAccountOperator(task_id="f", account_id=made(), add_tags="{{ params.tags }}")
        inquiries.PersonaCreateInquiryOperator(task_id="g", attributes="{{ params.attributes }}", note="n")
        inquiries.PersonaCreateInquiryLinkOperator(
            task_id="h", inquiry_id="{{ params.id }}", expires_in="{{ params.seconds }}", deliver=print
        )
        importers.PersonaImportAccountsOperator(task_id="i", file="/nowhere/accounts.csv")
    assert dag.get_task("a").upstream_task_ids == {"made", "made__1"}


def test_a_mapped_operator_is_looked_at_when_it_runs_and_fails_for_good(run_dag, persona_connection):
    with _dag() as dag:
        inquiries.PersonaApproveInquiryOperator.partial(task_id="approve", retries=2).expand(
            inquiry_id=["inq_sim000001", "a/b", None]
        )
    run = run_dag(dag)
    instances = [run.get_task_instance("approve", map_index=index) for index in range(3)]
    assert [(str(each.state), each.try_number) for each in instances] == [("success", 1), ("failed", 1), ("failed", 1)]
    assert [each.operation for each in persona_connection.requests()] == ["approve-an-inquiry"]


def test_what_a_template_turns_out_to_lack_fails_for_good(persona_connection):
    operator = inquiries.PersonaApproveInquiryOperator(task_id="call", inquiry_id="{{ params.id }}")
    operator.inquiry_id = "inq_1/../inq_2"
    with pytest.raises(AirflowFailException, match="inquiry-id"):
        operator.execute({})
    assert persona_connection.requests() == []


@pytest.mark.parametrize("odd", [None, 5, [], {}])
def test_an_operation_that_is_no_text_is_told_so(odd):
    with pytest.raises(BadCallError, match="operation_id is a text"):
        PersonaOperator(task_id="call", operation_id=odd)


@pytest.mark.parametrize("nothing", [None, "", "None", " "])
def test_a_match_that_turns_out_to_be_none_does_not_dismiss_all(persona_connection, nothing):
    operator = reports.PersonaDismissReportMatchesOperator(
        task_id="call", report_id="rep_1", reason="homonym", entity_id="{{ params.match }}", dismiss_type="entity"
    )
    operator.entity_id = nothing
    with pytest.raises(AirflowFailException, match="dismiss_type goes with entity_id, which is not given"):
        operator.execute({})
    assert persona_connection.requests() == []
