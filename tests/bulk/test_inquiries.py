"""Inquiries: a wished status becomes the action that leads there, and what Persona refuses costs one row."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_persona.api.inquiry_change import ACTIONS, InquiryChange
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.plan.compare import CompareMode
from airflow_provider_persona.bulk.plan.guards import Guards
from airflow_provider_persona.bulk.plan.revert import RowsToRevert
from airflow_provider_persona.bulk.source.rows import InvalidRow
from airflow_provider_persona.bulk.subjects.kinds import INQUIRY
from airflow_provider_persona.bulk.subjects.subject import ObjectUpdate
from tests.bulk.kinds import KINDS
from tests.bulk.test_kinds import carried_out, effects, job_of, outcomes, plan_in, planned, results_in
from tests.virtual_time import VirtualPersona

KIND = next(kind for kind in KINDS if kind.name == "inquiry")


def inquiry(persona: VirtualPersona, name: str, status: str) -> str:
    object_id = f"inq_{name}"
    persona.add_objects(object_id)
    persona.change_object(object_id, status=status)
    return object_id


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("completed", "approved"),
        ("needs_review", "declined"),
        ("completed", "needs_review"),
        ("pending", "expired"),
        ("expired", "pending"),
    ],
)
def test_a_wished_status_becomes_the_action_that_leads_there(
    persona: VirtualPersona, tmp_path: Path, before: str, wanted: str
) -> None:
    object_id = inquiry(persona, "one", before)
    report = carried_out(persona, job_of(KIND, [{"inquiry_id": object_id, "status": wanted}]), tmp_path)
    assert outcomes(report) == {"updated": 1}
    assert persona.object(object_id)["status"] == wanted
    # Resuming opens a session too, so there may be two effects of the one call.
    assert {effect.operation for effect in effects(persona)} == {ACTIONS[wanted]}


def test_an_action_that_the_state_forbids_fails_that_row_with_personas_title(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    forbidden = inquiry(persona, "decided", "declined")
    expired = inquiry(persona, "expired", "expired")
    allowed = inquiry(persona, "open", "completed")
    rows = [{"inquiry_id": object_id, "status": "approved"} for object_id in (forbidden, expired, allowed)]
    assert outcomes(carried_out(persona, job_of(KIND, rows), tmp_path)) == {"updated": 1, "failed": 2}
    for object_id, status in ((forbidden, "declined"), (expired, "expired")):
        result = results_in(tmp_path)[object_id]
        assert (result.outcome, result.http_status) == (RowOutcome.FAILED, 409)
        assert "Conflict" in result.reason
        assert persona.object(object_id)["status"] == status  # nothing was resumed on the way


def test_an_inquiry_that_did_not_expire_is_not_taken_for_resumed(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = [{"inquiry_id": inquiry(persona, "new", "created"), "status": "pending"}]
    assert outcomes(carried_out(persona, job_of(KIND, rows), tmp_path)) == {"failed": 1}
    assert "its answer does not show the wanted status" in results_in(tmp_path)["inq_new"].reason


def test_a_status_that_no_action_leads_to_is_an_invalid_row(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = [{"inquiry_id": "inq_1", "status": "completed"}]
    assert outcomes(carried_out(persona, job_of(KIND, rows), tmp_path)) == {"invalid": 1}
    assert (
        "no action leads there; there is one for approved, declined, needs_review"
        in results_in(tmp_path)["inq_1"].reason
    )


def test_the_comment_reaches_the_audit_trail(persona: VirtualPersona, tmp_path: Path) -> None:
    object_id = inquiry(persona, "one", "completed")
    rows = [{"inquiry_id": object_id, "status": "declined", "comment": "sanctioned"}]
    carried_out(persona, job_of(KIND, rows), tmp_path)
    assert persona.object(object_id)["attributes"]["reviewer-comment"] == "sanctioned"


@pytest.mark.parametrize("status", ["expired", "pending", "needs_review"])
def test_a_comment_where_persona_takes_none_is_refused(status: str) -> None:
    with pytest.raises(ValueError, match="a comment goes with approved or declined"):
        InquiryChange(status=status, comment="why")


def test_a_comment_alone_asks_for_nothing() -> None:
    assert InquiryChange(comment="why").is_empty


def test_expiry_and_resumption_are_taken_back_and_nothing_else(persona: VirtualPersona, tmp_path: Path) -> None:
    wishes = {
        inquiry(persona, "a", "pending"): "expired",
        inquiry(persona, "b", "expired"): "pending",
        inquiry(persona, "c", "created"): "expired",
        inquiry(persona, "d", "completed"): "needs_review",
    }
    rows = [{"inquiry_id": object_id, "status": status} for object_id, status in wishes.items()]
    carried_out(persona, job_of(KIND, rows, CompareMode.LIST), tmp_path)
    plan = plan_in(tmp_path)
    assert plan.header.irreversible == {
        "no action but a decision takes an inquiry out of needs_review": 1,
        "no action leads back to created": 1,
    }
    back = {row.object_id: row for row in RowsToRevert(plan).read()}
    assert isinstance(back["inq_a"], ObjectUpdate)
    assert (back["inq_a"].change.status, back["inq_b"].change.status) == ("pending", "expired")
    assert back["inq_c"] == InvalidRow("inq_c", "it went from created to expired, and no action leads back to created")
    assert isinstance(back["inq_d"], InvalidRow)


@pytest.mark.parametrize("before", [None, "pending", "expired", "created", "completed"])
@pytest.mark.parametrize("after", ["approved", "declined", "needs_review", "pending", "expired"])
def test_only_what_expired_or_was_resumed_is_taken_back(before: str | None, after: str) -> None:
    told = INQUIRY.no_way_back(before, after)
    if after in ("approved", "declined"):
        assert told == f"{after} is a decision, and no action takes a decision back"
    elif after == "needs_review":
        assert told == "no action but a decision takes an inquiry out of needs_review"
    else:
        assert told == (f"no action leads back to {before}" if before in ("created", "completed") else "")


def test_a_forbidden_transition_stops_a_plan_of_inquiries(persona: VirtualPersona, tmp_path: Path) -> None:
    from airflow_provider_persona.bulk.errors import ThresholdError
    from airflow_provider_persona.bulk.plan.thresholds import Thresholds

    object_id = inquiry(persona, "one", "needs_review")
    thresholds = Thresholds(forbid_transitions=frozenset({("needs_review", "approved")}))
    job = job_of(KIND, [{"inquiry_id": object_id, "status": "approved"}], CompareMode.GET, thresholds=thresholds)
    with pytest.raises(ThresholdError, match="1 rows would go needs_review -> approved"):
        planned(persona, job, tmp_path)


def test_the_kind_reads_no_more_than_it_needs() -> None:
    assert INQUIRY.attributes_of(["status", "comment"]) == ["status", "updated-at"]
    assert INQUIRY.attributes_of(["note", "tags"]) == ["fields", "note", "status", "tags", "updated-at"]


@pytest.mark.parametrize(("guard", "unknown"), [("approved", []), ("Approved", ["Approved"])])
def test_a_guard_on_a_misspelt_status_is_told(
    persona: VirtualPersona, tmp_path: Path, guard: str, unknown: list[str]
) -> None:
    object_id = inquiry(persona, "one", "completed")
    rows = [{"inquiry_id": object_id, "status": "declined"}]
    plan = planned(persona, job_of(KIND, rows, CompareMode.GET, guards=Guards.of(None, guard)), tmp_path)
    assert plan.header.unknown_labels == unknown
