"""The kinds of objects, as data: one `ObjectSubject` for each. A new kind is a new entry of `KINDS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from airflow_provider_persona.api.account_change import AccountChange
from airflow_provider_persona.api.case_change import CaseChange, way_back
from airflow_provider_persona.api.inquiry_change import ACTIONS, InquiryChange
from airflow_provider_persona.api.models import Account, Case, Inquiry, Report, Transaction
from airflow_provider_persona.api.report_change import ReportChange
from airflow_provider_persona.api.transaction_change import TransactionChange
from airflow_provider_persona.bulk.subjects.subject import (
    MatchFacts,
    MatchKey,
    ObjectSubject,
    Part,
    PartType,
    StatusLabels,
)

_FIELDS: Final = Part(PartType.OBJECT, is_private=True)
_TAGS: Final = dict.fromkeys(("tags", "add_tags", "remove_tags"), Part(PartType.NAMES))

CASE: Final = ObjectSubject(
    name="case",
    plural="cases",
    parts={
        "status": Part(PartType.STATUS),
        "assignee": Part(PartType.VALUE, is_private=True),
        "case_queue_id": Part(PartType.VALUE),
        "sla_expires_in": Part(PartType.VALUE),
        "fields": _FIELDS,
        **_TAGS,
        "add_objects": Part(PartType.NAMES),
        "remove_objects": Part(PartType.NAMES),
    },
    change=CaseChange,
    list_operation="list-all-cases",
    read_operation="retrieve-case",
    from_resource=Case.from_resource,
    match=MatchFacts(
        {
            "reference-id": MatchKey(),  # of the case's account; a case itself shows none
            "account-id": MatchKey("accounts"),
            "inquiry-id": MatchKey("inquiries"),
            "report-id": MatchKey("reports"),
        },
        "case-template",
    ),
    way_back=way_back,
    status_labels=StatusLabels("case-template", "retrieve-a-case-template", "resolutions"),
)

ACCOUNT: Final = ObjectSubject(
    name="account",
    plural="accounts",
    parts={"fields": _FIELDS, **_TAGS},
    change=AccountChange,
    list_operation="list-all-accounts",
    read_operation="retrieve-an-account",
    from_resource=Account.from_resource,
    match=MatchFacts({"reference-id": MatchKey("reference-id", takes_several=True)}, "account-type", "account-status"),
)


def _no_way_back_of_inquiry(before: str | None, after: str) -> str:
    """Return why no action takes an inquiry back from `after` to `before`; empty where one does.

    Persona marks nothing for review that was decided, and resumes nothing but what has expired.
    """
    if after in ("approved", "declined"):
        return f"{after} is a decision, and no action takes a decision back"
    if after == "needs_review":
        return "no action but a decision takes an inquiry out of needs_review"
    if before in (None, "pending", "expired"):
        return ""
    return f"no action leads back to {before}"


INQUIRY: Final = ObjectSubject(
    name="inquiry",
    plural="inquiries",
    parts={
        "status": Part(PartType.STATUS, valid_with={"status": "approved"}),
        "comment": Part(PartType.VALUE, is_private=True),
        "note": Part(PartType.VALUE, is_private=True),
        "fields": _FIELDS,
        **_TAGS,
    },
    change=InquiryChange,
    list_operation="list-all-inquiries",
    read_operation="retrieve-an-inquiry",
    from_resource=Inquiry.from_resource,
    match=MatchFacts(
        {"reference-id": MatchKey("reference-id"), "account-id": MatchKey("account", takes_several=True)},
        "inquiry-template",
    ),
    no_way_back=_no_way_back_of_inquiry,
    status_labels=StatusLabels(known=frozenset({*ACTIONS, "created", "completed", "failed"})),
)

TRANSACTION: Final = ObjectSubject(
    name="transaction",
    plural="transactions",
    parts={"fields": _FIELDS, "label": Part(PartType.VALUE), **_TAGS},
    change=TransactionChange,
    list_operation="list-all-transactions",
    read_operation="retrieve-a-transaction",
    from_resource=Transaction.from_resource,
    match=MatchFacts({"reference-id": MatchKey("reference-id")}, "transaction-type"),
)

REPORT: Final = ObjectSubject(
    name="report",
    plural="reports",
    parts={
        "dismiss_reason": Part(PartType.VALUE, is_private=True, no_way_back="no call takes back a dismissal"),
        "dismiss_matches": Part(
            PartType.NAMES, valid_with={"dismiss_matches": ("x",), "dismiss_reason": "x"}, is_all_without=True
        ),
        "dismiss_type": Part(PartType.VALUE, valid_with={"dismiss_type": "media"}),
        "review_matches": Part(PartType.OBJECT, is_private=True, no_way_back="no call takes back a review of matches"),
        "monitoring": Part(PartType.VALUE, valid_with={"monitoring": "paused"}),
        "rerun": Part(PartType.FLAG, no_way_back="a report that ran again has run"),
        **_TAGS,
    },
    change=ReportChange,
    list_operation="list-all-reports",
    read_operation="retrieve-a-report",
    from_resource=Report.from_resource,
    match=MatchFacts({"reference-id": MatchKey(), "account-id": MatchKey("account")}, "report-template"),
)

KINDS: Final[Mapping[str, ObjectSubject]] = {kind.name: kind for kind in (CASE, ACCOUNT, INQUIRY, TRANSACTION, REPORT)}
