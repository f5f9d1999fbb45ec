"""Inquiries: the actions that decide, review, expire or resume them, and their fields, note and tags."""

from __future__ import annotations

from typing import Any

from airflow_provider_persona.api.inquiry_change import ACTIONS, InquiryChange
from airflow_provider_persona.api.models import Inquiry
from airflow_provider_persona.bulk.subjects.subject import (
    MatchFacts,
    MatchKey,
    ObjectState,
    ObjectSubject,
    Part,
    PartType,
    StatusLabels,
)

_STATUSES = frozenset({*ACTIONS, "created", "completed", "failed"})


def _read(resource: Any, operation_id: str) -> ObjectState:
    inquiry = Inquiry.from_resource(resource, operation_id)
    return ObjectState.of(inquiry, inquiry.status)


def _no_way_back(before: str | None, after: str) -> str:
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


INQUIRY = ObjectSubject(
    name="inquiry",
    plural="inquiries",
    resource_type="inquiry",
    id_column="inquiry_id",
    parts={
        "status": Part(PartType.STATUS, valid_with={"status": "approved"}),
        "comment": Part(PartType.VALUE, is_private=True),
        "note": Part(PartType.VALUE, is_private=True),
        "fields": Part(PartType.OBJECT, is_private=True),
        "tags": Part(PartType.NAMES),
        "add_tags": Part(PartType.NAMES),
        "remove_tags": Part(PartType.NAMES),
    },
    change=InquiryChange,
    list_operation="list-all-inquiries",
    read_operation="retrieve-an-inquiry",
    read=_read,
    match=MatchFacts(
        {"reference-id": MatchKey("reference-id"), "account-id": MatchKey("account", takes_several=True)},
        "inquiry-template",
    ),
    no_way_back=_no_way_back,
    status_labels=StatusLabels("filter[status]", known=_STATUSES),
)
