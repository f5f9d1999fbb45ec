"""One suite over every kind of object: what the engine promises holds for each, because it is written once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import outcomes, plan_in

from airflow_provider_persona.api.inquiry_change import ACTIONS
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.errors import BulkError, PlanError, ThresholdError
from airflow_provider_persona.bulk.job import BulkJob, run
from airflow_provider_persona.bulk.ledger.ledger import read_results
from airflow_provider_persona.bulk.ledger.outcomes import RowResult
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.plan.compare import CompareMode
from airflow_provider_persona.bulk.plan.draft import Draft, PlanOptions, complete, resume_or_draft
from airflow_provider_persona.bulk.plan.file import Plan
from airflow_provider_persona.bulk.plan.guards import Guards
from airflow_provider_persona.bulk.plan.revert import RowsToRevert
from airflow_provider_persona.bulk.plan.thresholds import Thresholds
from airflow_provider_persona.bulk.source.columns import ObjectRows
from airflow_provider_persona.bulk.source.rows import InvalidRow, MappedRows
from airflow_provider_persona.bulk.subjects.kinds import KINDS as SUBJECTS
from airflow_provider_persona.bulk.subjects.subject import _SAMPLES as SAMPLES, ObjectUpdate
from airflow_provider_persona.tasks.bulk_arguments import COLUMNS_OF
from airflow_provider_persona.tasks.row_sources import GivenSource
from persona_simulator.journal import Effect
from tests.bulk.kinds import CANARY, KINDS, Kind
from tests.virtual_time import VirtualPersona

CREATED = "2026-01-05T08:00:00+00:00"

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
kinds_with_status = pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.subject.has_status], ids=lambda kind: kind.name
)


def job_of(
    kind: Kind,
    rows: list[dict[str, Any]],
    compare: CompareMode = CompareMode.NEVER,
    *,
    guards: Guards | None = None,
    thresholds: Thresholds | None = None,
    **options: Any,
) -> BulkJob:
    planning = PlanOptions(compare, thresholds or Thresholds(), record_states=compare is not CompareMode.NEVER)
    mapped = MappedRows(GivenSource(rows), ObjectRows(kind.subject))
    return BulkJob(mapped, kind.subject, guards or Guards(), planning, ApplyOptions(**options))


def carried_out(persona: VirtualPersona, job: BulkJob, folder: Path, *, is_retry: bool = False) -> Report:
    async def main() -> Report:
        begun = resume_or_draft(job.rows.read, folder, job.header(str(folder), None, CREATED), is_retry=is_retry)
        try:
            async with persona.client() as client:
                return await run(job, begun, client)
        finally:
            if isinstance(begun, Draft):
                begun.close()

    return persona.run(main())


def planned(persona: VirtualPersona, job: BulkJob, folder: Path) -> Plan:
    async def main() -> Plan:
        draft = resume_or_draft(job.rows.read, folder, job.header(str(folder), None, CREATED))
        assert isinstance(draft, Draft)
        async with persona.client() as client:
            return await complete(draft, client, job.planning)

    return persona.run(main())


def applied(persona: VirtualPersona, plan: Plan, **options: Any) -> Report:
    async def main() -> Report:
        async with persona.client() as client:
            return await apply_plan(plan, client, ApplyOptions(**options))

    return persona.run(main())


def results_in(folder: Path) -> dict[str | None, RowResult]:
    return {result.object_id: result for result in read_results(folder / "1", plan_in(folder).header.hash)}


def effects(persona: VirtualPersona) -> list[Effect]:
    """What was done over the API."""
    return [effect for effect in persona.journal() if effect.actor not in ("human", "background")]


def writes(persona: VirtualPersona) -> int:
    return len(effects(persona))


def test_the_suite_covers_every_kind() -> None:
    assert {kind.name for kind in KINDS} == set(SUBJECTS)
    assert {name: set(columns) for name, columns in COLUMNS_OF.items()} == {
        name: set(subject.column_names) for name, subject in SUBJECTS.items()
    }


@each_kind
def test_no_call_about_an_object_takes_an_answer_about_another_one(kind: Kind) -> None:
    """The client refuses such an answer; this shows that it knows whom each call is about."""
    subject = kind.subject
    assert subject.read_request("obj_1", ["status"]).about == "obj_1"
    examples = [part.valid_with or {name: SAMPLES[part.type]} for name, part in subject.parts.items()]
    if subject.name == "inquiry":
        examples += [{"status": status} for status in ACTIONS]
    for parts in examples:
        for step in subject.change(**parts).steps():
            assert step.request("obj_1", with_time=True).about == "obj_1"


@each_kind
def test_rows_are_written_verified_and_found_right_the_second_time(
    persona: VirtualPersona, tmp_path: Path, kind: Kind
) -> None:
    ids = kind.ids(persona, 3)
    report = carried_out(
        persona, job_of(kind, kind.rows([*ids, f"{kind.prefix}_missing"]), verify=True), tmp_path / "a"
    )
    assert outcomes(report) == {"updated": 3, "failed": 1}
    assert (report.verified, report.differences) == (3, 0)
    written = writes(persona)
    for compare in (CompareMode.LIST, CompareMode.GET):
        again = carried_out(persona, job_of(kind, kind.rows(ids), compare), tmp_path / compare)
        assert outcomes(again) == {"unchanged": 3}, compare
        assert writes(persona) == written


@each_kind
def test_a_dry_run_writes_nothing(persona: VirtualPersona, tmp_path: Path, kind: Kind) -> None:
    report = carried_out(persona, job_of(kind, kind.rows(kind.ids(persona, 2)), dry_run=True), tmp_path)
    assert outcomes(report) == {"planned": 2}
    assert writes(persona) == 0


@each_kind
def test_the_ledger_tells_each_row_and_a_retry_does_nothing(
    persona: VirtualPersona, tmp_path: Path, kind: Kind
) -> None:
    ids = kind.ids(persona, 2)
    job = job_of(kind, kind.rows(ids))
    carried_out(persona, job, tmp_path)
    results = results_in(tmp_path)
    assert set(results) == set(ids)
    for object_id in ids:
        assert results[object_id].request_ids
        assert results[object_id].to_status == kind.wish.get("status")
    again = carried_out(persona, job, tmp_path, is_retry=True)
    assert (again.resumed, again.requests) == (2, 0)


@each_kind
def test_personal_data_is_in_no_file_but_the_values(persona: VirtualPersona, tmp_path: Path, kind: Kind) -> None:
    job = job_of(kind, kind.rows(kind.ids(persona, 2)), CompareMode.GET, verify=True)
    plan = planned(persona, job, tmp_path)
    assert CANARY in (plan.folder / "values.jsonl").read_text()
    applied(persona, plan, verify=True)
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or file.name == "values.jsonl" or CANARY not in file.read_text()


@each_kind
def test_what_changed_after_it_was_planned_is_left_alone(persona: VirtualPersona, tmp_path: Path, kind: Kind) -> None:
    ids = kind.ids(persona, 2)
    plan = planned(persona, job_of(kind, kind.rows(ids), CompareMode.GET), tmp_path)
    kind.change_as_human(persona, ids[0])
    seen = outcomes(applied(persona, plan, heed_drift=True))
    if not kind.tells_when:
        assert seen == {"updated": 2}
        return
    assert seen == {"updated": 1, "skipped_guard": 1}
    assert results_in(tmp_path)[ids[0]].reason.startswith("drift: it was changed at")


@each_kind
def test_a_plan_that_exceeds_a_threshold_writes_nothing(persona: VirtualPersona, tmp_path: Path, kind: Kind) -> None:
    with pytest.raises(ThresholdError, match="2 rows would be changed, max_changes is 1"):
        carried_out(persona, job_of(kind, kind.rows(kind.ids(persona, 2)), thresholds=Thresholds(1)), tmp_path)
    assert writes(persona) == 0


@kinds_with_status
def test_a_guard_leaves_alone_what_has_another_status(persona: VirtualPersona, tmp_path: Path, kind: Kind) -> None:
    ids = kind.ids(persona, 1)
    report = carried_out(persona, job_of(kind, kind.rows(ids), guards=Guards.of("elsewhere")), tmp_path)
    assert outcomes(report) == {"skipped_guard": 1}
    expecting = [{**row, "expected_status": "elsewhere"} for row in kind.rows(ids)]
    report = carried_out(persona, job_of(kind, expecting), tmp_path / "expected")
    assert outcomes(report) == {"skipped_guard": 1}
    assert (writes(persona), kind.status_of(persona, ids[0])) == (0, kind.before)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.subject.has_status], ids=lambda kind: kind.name)
def test_a_guard_on_a_status_that_is_none_is_refused(persona: VirtualPersona, tmp_path: Path, kind: Kind) -> None:
    rows = kind.rows(["x_1"])
    with pytest.raises(BulkError, match="only_from and never_from guard nothing"):
        job_of(kind, rows, guards=Guards.of("Open"))
    with pytest.raises(BulkError, match="have no status, so expected_status guards nothing"):
        carried_out(persona, job_of(kind, [{**rows[0], "expected_status": "Open"}]), tmp_path)


@each_kind
def test_a_plan_says_what_cannot_be_taken_back(persona: VirtualPersona, tmp_path: Path, kind: Kind) -> None:
    plan = planned(persona, job_of(kind, kind.rows(kind.ids(persona, 2)), CompareMode.GET), tmp_path)
    assert plan.header.irreversible == ({kind.irreversible: 2} if kind.irreversible else {})


@each_kind
def test_a_change_is_taken_back_or_the_reason_is_given(persona: VirtualPersona, tmp_path: Path, kind: Kind) -> None:
    ids = kind.ids(persona, 2)
    carried_out(persona, job_of(kind, kind.rows(ids), CompareMode.GET), tmp_path)
    back = RowsToRevert(plan_in(tmp_path))
    if not kind.subject.has_status:
        with pytest.raises(PlanError, match=kind.reversal):
            next(back.read())
        return
    rows = list(back.read())
    if kind.reversal:
        assert rows == [InvalidRow(object_id, kind.reversal) for object_id in ids]
        return
    assert all(isinstance(row, ObjectUpdate) for row in rows)
    job = BulkJob(back, kind.subject)
    assert outcomes(carried_out(persona, job, tmp_path / "back")) == {"updated": 2}
    assert [kind.status_of(persona, object_id) for object_id in ids] == [kind.before] * 2


def test_a_kind_without_a_list_is_not_compared_by_one() -> None:
    kind = KINDS[0]
    subject = dataclasses.replace(kind.subject, list_operation=None)
    rows = MappedRows(GivenSource([]), ObjectRows(subject))
    with pytest.raises(BulkError, match="Persona has no list of cases, so compare is get or never, not list"):
        BulkJob(rows, subject, planning=PlanOptions(CompareMode.LIST))
