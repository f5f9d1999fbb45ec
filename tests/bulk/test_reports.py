"""Reports: matches dismissed all or singly, monitoring, and a run that is never made twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import attempt

from airflow_provider_persona.api.report_change import ReportChange
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.source.columns import ObjectReader
from airflow_provider_persona.bulk.source.rows import InvalidRow
from airflow_provider_persona.bulk.subjects.kinds import REPORT
from airflow_provider_persona.bulk.subjects.subject import ObjectUpdate
from persona_simulator import READ_ONLY_KEY, SANDBOX_KEY, FaultKind
from tests.bulk.kinds import KINDS
from tests.bulk.test_kinds import applied, carried_out, effects, job_of, outcomes, planned, results_in
from tests.bulk.test_two_attempts import begun
from tests.virtual_time import VirtualPersona

KIND = next(kind for kind in KINDS if kind.name == "report")
RUN = "report-action-re-run-report"


def report_of(persona: VirtualPersona, **attributes: Any) -> str:
    persona.add_objects("rep_one")
    persona.change_object("rep_one", status="ready", attributes={"has-match": True, **attributes})
    return "rep_one"


def adverse_media(persona: VirtualPersona) -> str:
    async def main() -> str:
        async with persona.client() as client:
            new = {"type": "report/adverse-media", "attributes": {"query": {"term": "X"}}}
            return str((await client.call("create-a-report", body={"data": new})).json()["data"]["id"])

    object_id = persona.run(main())
    persona.change_object(object_id, status="ready", attributes={"has-match": True})
    return object_id


def calls(persona: VirtualPersona, operation_id: str) -> int:
    return sum(effect.operation == operation_id for effect in effects(persona))


def test_matches_are_dismissed_all_or_singly(persona: VirtualPersona, tmp_path: Path) -> None:
    media = adverse_media(persona)
    rows = [
        {"report_id": report_of(persona), "dismiss_reason": "homonym"},
        {"report_id": media, "dismiss_reason": "homonym", "dismiss_matches": '["ent_1", "ent_2"]'},
    ]
    assert outcomes(carried_out(persona, job_of(KIND, rows), tmp_path)) == {"updated": 2}
    assert calls(persona, "dismiss-matches") == 3
    assert persona.object(media)["attributes"]["has-match"] is False


def test_adverse_media_without_single_matches_fails_that_row_with_personas_title(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    media = adverse_media(persona)
    rows = [{"report_id": object_id, "dismiss_reason": "homonym"} for object_id in (media, report_of(persona))]
    assert outcomes(carried_out(persona, job_of(KIND, rows), tmp_path)) == {"failed": 1, "updated": 1}
    assert (results_in(tmp_path)[media].outcome, results_in(tmp_path)[media].http_status) == (RowOutcome.FAILED, 400)
    assert "Bad Request" in results_in(tmp_path)[media].reason


@pytest.mark.parametrize(("before", "wanted"), [(True, "paused"), (False, "active")])
def test_monitoring_is_paused_and_resumed(persona: VirtualPersona, tmp_path: Path, before: bool, wanted: str) -> None:
    object_id = report_of(persona, **{"is-recurring": before})
    rows = [{"report_id": object_id, "monitoring": wanted}]
    assert outcomes(carried_out(persona, job_of(KIND, rows), tmp_path)) == {"updated": 1}
    assert persona.object(object_id)["attributes"]["is-recurring"] is not before


@pytest.mark.parametrize("fault", [FaultKind.RESET_AFTER, FaultKind.RESET_BEFORE, FaultKind.HANG_AFTER])
def test_a_run_without_an_answer_is_made_once(persona: VirtualPersona, tmp_path: Path, fault: FaultKind) -> None:
    rows = [{"report_id": report_of(persona), "rerun": True}]
    persona.script_fault(fault, operation=RUN)
    assert outcomes(carried_out(persona, job_of(KIND, rows), tmp_path)) == {"updated": 1}
    assert calls(persona, RUN) == 1


@pytest.mark.parametrize("fault", [FaultKind.HTTP_500_AFTER, FaultKind.HTTP_500])
def test_a_run_that_nobody_knows_of_is_not_made_again_by_a_retry(
    persona: VirtualPersona, tmp_path: Path, fault: FaultKind
) -> None:
    rows = [{"report_id": report_of(persona), "rerun": True}]
    persona.script_fault(fault, operation=RUN)
    job = job_of(KIND, rows)
    assert outcomes(carried_out(persona, job, tmp_path)) == {"unresolved": 1}
    made = calls(persona, RUN)
    assert outcomes(carried_out(persona, job, tmp_path, is_retry=True)) == {"unresolved": 1}
    assert calls(persona, RUN) == made
    assert "look before doing it again" in results_in(tmp_path)["rep_one"].reason


def test_personas_word_on_single_matches_without_a_reason_is_not_asked_for() -> None:
    with pytest.raises(ValueError, match="dismiss_matches needs a dismiss_reason"):
        ReportChange(dismiss_matches=("ent_1",))


@pytest.mark.parametrize("none", [None, "", " ", "null", [], (), "[]", "{}", ",", '""', [""], [" "], '[""]', '{""}'])
def test_a_list_of_no_match_dismisses_none_and_not_all(persona: VirtualPersona, tmp_path: Path, none: Any) -> None:
    rows = [{"report_id": report_of(persona), "dismiss_reason": "homonym", "dismiss_matches": none}]
    assert outcomes(carried_out(persona, job_of(KIND, rows), tmp_path)) == {"invalid": 1}
    assert "dismiss_matches" in results_in(tmp_path)["rep_one"].reason
    assert effects(persona) == []


@pytest.mark.parametrize("none", [None, []])
def test_no_matches_are_fine_where_nothing_is_dismissed(persona: VirtualPersona, tmp_path: Path, none: Any) -> None:
    row = {"report_id": report_of(persona), "dismiss_reason": None, "dismiss_matches": none, "add_tags": "seen"}
    assert outcomes(carried_out(persona, job_of(KIND, [row]), tmp_path)) == {"updated": 1}
    assert calls(persona, "dismiss-matches") == 0


@pytest.mark.parametrize("given", [True, 1, "true", " TRUE "])
def test_what_counts_as_true(given: Any) -> None:
    found = ObjectReader(REPORT, {"report_id": "id", "rerun": "again"}).read({"id": "rep_1", "again": given})
    assert isinstance(found, ObjectUpdate)
    assert found.change.model_dump(exclude_unset=True) == {"rerun": True}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        *[(nothing, "it asks for nothing") for nothing in (False, 0, None, "false", "")],
        *[(other, "rerun is neither true nor false") for other in ("yes", 2, 1.5, [])],
    ],
)
def test_what_counts_as_false_or_as_neither(given: Any, reason: str) -> None:
    found = ObjectReader(REPORT, {"report_id": "id", "rerun": "again"}).read({"id": "rep_1", "again": given})
    assert found == InvalidRow("rep_1", reason)


def test_a_review_that_nobody_knows_of_is_unresolved_though_a_tag_was_not_tried(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    rows = [{"report_id": report_of(persona), "review_matches": '{"note": "x"}', "add_tags": "seen"}]
    persona.script_fault(FaultKind.HTTP_500_AFTER, operation="review-matches", times=6)
    assert outcomes(carried_out(persona, job_of(KIND, rows), tmp_path)) == {"unresolved": 1}
    assert calls(persona, "review-matches") > 0


def test_a_tag_that_shows_after_a_lost_answer_leaves_the_run_to_the_next_attempt(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    rows = [{"report_id": report_of(persona), "rerun": True, "add_tags": "seen"}]
    job = job_of(KIND, rows)
    persona.script_fault(FaultKind.RESET_AFTER, operation="reports-add-tag", times=6)
    assert outcomes(carried_out(persona, job, tmp_path)) == {"failed": 1}
    assert "already changed: tags" in str(results_in(tmp_path)["rep_one"].reason)
    assert outcomes(carried_out(persona, job, tmp_path, is_retry=True)) == {"updated": 1}
    assert calls(persona, RUN) == 1


@pytest.mark.parametrize("fault", [FaultKind.HTTP_500, FaultKind.PROXY_503, None], ids=["500", "503", "refused"])
def test_a_run_in_doubt_stays_so_when_a_call_before_it_fails(
    persona: VirtualPersona, tmp_path: Path, fault: FaultKind | None
) -> None:
    """Called failed, the row would be in no doubt any more, and the report would run twice."""
    rows = [{"report_id": report_of(persona), "rerun": True, "add_tags": "seen"}]
    plan = planned(persona, job_of(KIND, rows), tmp_path)
    begun(tmp_path / "1", plan.header.hash, persona.utc().isoformat(), 1)
    if fault is not None:
        persona.script_fault(fault, operation="reports-add-tag", times=6)
    assert outcomes(attempt(persona, plan, key=SANDBOX_KEY if fault else READ_ONLY_KEY)) == {"unresolved": 1}
    assert outcomes(attempt(persona, plan)) == {"unresolved": 1}
    assert calls(persona, RUN) == 0


def test_the_note_of_a_run_outlives_the_machine(
    persona: VirtualPersona, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No look could tell after a loss of power whether it was made."""
    synced: list[int] = []
    sync = os.fsync
    plan = planned(persona, job_of(KIND, [{"report_id": report_of(persona), "rerun": True}]), tmp_path)
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(calls(persona, RUN)), sync(file)))
    applied(persona, plan)
    assert synced == [0, 0, 1]  # the folder of the new ledger, the note before the call, and the closed ledger
