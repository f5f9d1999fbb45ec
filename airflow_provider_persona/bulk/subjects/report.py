"""Reports: dismissing and reviewing their matches, monitoring, running them again, tags."""

from __future__ import annotations

from typing import Any

from airflow_provider_persona.api.models import Report
from airflow_provider_persona.api.report_change import ReportChange
from airflow_provider_persona.bulk.subjects.subject import (
    MatchFacts,
    MatchKey,
    ObjectState,
    ObjectSubject,
    Part,
    PartType,
)


def _read(resource: Any, operation_id: str) -> ObjectState:
    report = Report.from_resource(resource, operation_id)
    return ObjectState(report.id, resource=report)  # a report does not say when it was changed


REPORT = ObjectSubject(
    name="report",
    plural="reports",
    resource_type="report",
    id_column="report_id",
    parts={
        "dismiss_reason": Part(PartType.VALUE, is_private=True, no_way_back="no call takes back a dismissal"),
        "dismiss_matches": Part(PartType.NAMES, valid_with={"dismiss_matches": ("x",), "dismiss_reason": "x"}),
        "dismiss_type": Part(PartType.VALUE, valid_with={"dismiss_type": "media"}),
        "review_matches": Part(PartType.OBJECT, is_private=True, no_way_back="no call takes back a review of matches"),
        "monitoring": Part(PartType.VALUE, valid_with={"monitoring": "paused"}),
        "rerun": Part(PartType.FLAG, no_way_back="a report that ran again has run"),
        "tags": Part(PartType.NAMES),
        "add_tags": Part(PartType.NAMES),
        "remove_tags": Part(PartType.NAMES),
    },
    change=ReportChange,
    list_operation="list-all-reports",
    read_operation="retrieve-a-report",
    read=_read,
    match=MatchFacts({"reference-id": MatchKey(), "account-id": MatchKey("account")}, "report-template"),
)
