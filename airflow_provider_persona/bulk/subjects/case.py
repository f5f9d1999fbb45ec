"""Cases: their status, queue, SLA, assignee, tags, objects and custom fields."""

from __future__ import annotations

from typing import Any

from airflow_provider_persona.api.case_change import CaseChange, way_back
from airflow_provider_persona.api.models import Case
from airflow_provider_persona.bulk.subjects.subject import (
    MatchFacts,
    MatchKey,
    ObjectState,
    ObjectSubject,
    Part,
    PartType,
    StatusLabels,
)


def _read(resource: Any, operation_id: str) -> ObjectState:
    case = Case.from_resource(resource, operation_id)
    return ObjectState.of(case, case.status)


CASE = ObjectSubject(
    name="case",
    plural="cases",
    resource_type="case",
    id_column="case_id",
    parts={
        "status": Part(PartType.STATUS),
        "assignee": Part(PartType.VALUE, is_private=True),
        "case_queue_id": Part(PartType.VALUE),
        "sla_expires_in": Part(PartType.VALUE),
        "fields": Part(PartType.OBJECT, is_private=True),
        "tags": Part(PartType.NAMES),
        "add_tags": Part(PartType.NAMES),
        "remove_tags": Part(PartType.NAMES),
        "add_objects": Part(PartType.NAMES),
        "remove_objects": Part(PartType.NAMES),
    },
    change=CaseChange,
    list_operation="list-all-cases",
    read_operation="retrieve-case",
    read=_read,
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
    status_labels=StatusLabels("filter[status]", "case-template", "retrieve-a-case-template", "resolutions"),
)
