"""A sample of a plan is applied first: spread over its transitions, looked at again, and never sent a second time."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from bulk_runs import attempt, changes, decisions, last_results, outcomes, plan_in, plan_of
from fates import Fate, KeptCheckpoints, until_death

from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.apply.writers import sampled_rows
from airflow_provider_persona.bulk.errors import BulkError, RunFailedError
from airflow_provider_persona.bulk.job import BulkJob, judge, run
from airflow_provider_persona.bulk.ledger.ledger import AttemptEnd, read_ledger
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.ledger.writer import unsynced_rows
from airflow_provider_persona.bulk.plan.compare import CompareMode
from airflow_provider_persona.bulk.plan.draft import resume_or_draft
from airflow_provider_persona.bulk.source.rows import MappedRows
from airflow_provider_persona.bulk.subjects import operation_subject
from airflow_provider_persona.bulk.subjects.operation import OperationRows
from airflow_provider_persona.tasks.row_sources import GivenSource
from persona_simulator import FaultKind, SimulatorConfig
from tests.bulk.kinds import KINDS, Kind
from tests.bulk.test_kinds import CREATED, applied, carried_out, effects, job_of, planned, writes
from tests.virtual_time import VirtualPersona

CASE = KINDS[0]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def sampling(job: BulkJob, sample: int | None) -> BulkJob:
    return replace(job, applying=replace(job.applying, sample=sample))


# ---------------------------------------------------------------------- which rows


def test_a_sample_is_spread_over_the_transitions(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = [
        {"case_id": case_id, "status": "Declined" if number % 2 else "Approved"}
        for number, (case_id, status) in enumerate(persona.statuses().items())
        if status in ("Open", "Pending", "In Review")
    ]
    plan = planned(persona, job_of(CASE, rows, CompareMode.LIST), tmp_path)
    by_number = dict(plan.changes())
    assert Counter(by_number.values()) == plan.header.transitions
    sampled = sampled_rows(plan, 12)
    assert Counter(by_number[number] for number in sampled) == dict.fromkeys(plan.header.transitions, 2)
    assert len(plan.header.transitions) == 6
    for size in range(1, 60):
        assert sampled_rows(plan, size) < sampled_rows(plan, size + 1)
        assert len(sampled_rows(plan, size)) == size
    assert sampled_rows(plan, 10_000) == by_number.keys()


def test_another_plan_of_the_same_rows_has_another_sample(persona: VirtualPersona, tmp_path: Path) -> None:
    """Else the rows that chance leaves out would be left out of each run."""
    first, second = (plan_of(decisions(persona, 60), tmp_path / run, run=run) for run in ("run/1", "run/2"))
    assert sampled_rows(first, 6) == sampled_rows(first, 6)
    assert sampled_rows(first, 6) != sampled_rows(second, 6)


def test_rows_without_a_live_status_and_rows_to_be_left_alone(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = decisions(persona, 6)
    plan = plan_of([*rows, {"case_id": None, "status": "x"}], tmp_path)
    assert {transition.partition(" -> ")[0] for _, transition in plan.changes()} == {"?"}
    assert sampled_rows(plan, 100) == {1, 2, 3, 4, 5, 6}


# ---------------------------------------------------------------------- what comes of it


@each_kind
def test_a_sample_is_applied_and_verified_and_the_next_run_does_the_rest(
    persona: VirtualPersona, tmp_path: Path, kind: Kind
) -> None:
    ids = kind.ids(persona, 9)
    plan = planned(persona, job_of(kind, kind.rows([*ids, ""]), CompareMode.GET), tmp_path)
    first = applied(persona, plan, sample=3)
    assert outcomes(first) == {"updated": 3, "planned": 6, "invalid": 1}
    assert (first.verified, first.differences, first.sample, first.is_balanced) == (3, 0, 3, True)
    judge(first, ApplyOptions(sample=3))
    sampled = {plan_row.object_id for plan_row in plan.rows() if plan_row.number in sampled_rows(plan, 3)}
    assert {effect.object_id for effect in effects(persona) if effect.changed} == sampled
    assert read_ledger(plan.folder, plan.header.hash).end is AttemptEnd.SAMPLED
    told, seen = last_results(plan), {row.number: row.from_status for row in plan.rows()}
    left = {row: result for row, result in told.items() if result.outcome is RowOutcome.PLANNED}
    assert {result.reason for result in left.values()} == {"not in the sample"}
    assert {row: result.from_status for row, result in left.items()} == {row: seen[row] for row in left}

    bigger = applied(persona, plan, sample=5)
    assert outcomes(bigger) == {"updated": 5, "planned": 4, "invalid": 1}
    assert bigger.resumed == 4
    again = applied(persona, plan, sample=5)
    assert (outcomes(again), again.resumed) == (outcomes(bigger), 6)

    rest = applied(persona, plan, heed_drift=True)
    assert outcomes(rest) == {"updated": 9, "invalid": 1}
    assert (rest.resumed, rest.sample) == (6, None)
    done = Counter((effect.object_id, effect.operation) for effect in effects(persona) if effect.changed)
    assert set(done.values()) == {1}
    assert {object_id for object_id, _ in done} == set(ids)
    assert not (plan.folder / "values.jsonl").exists()


@each_kind
def test_a_run_in_one_step_goes_on_after_its_sample_when_it_is_cleared(
    persona: VirtualPersona, tmp_path: Path, kind: Kind
) -> None:
    job = job_of(kind, kind.rows(kind.ids(persona, 6)))
    assert outcomes(carried_out(persona, sampling(job, 2), tmp_path)) == {"updated": 2, "planned": 4}
    rest = carried_out(persona, job, tmp_path)  # a clear, and no retry
    assert (outcomes(rest), rest.resumed) == ({"updated": 6}, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    done = Counter((effect.object_id, effect.operation) for effect in effects(persona) if effect.changed)
    assert set(done.values()) == {1}


def test_calls_of_any_operation_can_be_sampled_too(persona: VirtualPersona, tmp_path: Path) -> None:
    accounts = [f"act_sample{number}" for number in range(8)]
    persona.add_objects(*accounts)
    mapping = OperationRows("accounts-add-tag", {"account-id": "id"}, {}, {"meta.tag-name": "gold"})
    rows = MappedRows(GivenSource([{"id": each} for each in accounts]), mapping)
    job = BulkJob(rows, operation_subject("accounts-add-tag"))
    assert outcomes(carried_out(persona, sampling(job, 3), tmp_path)) == {"updated": 3, "planned": 5}
    assert writes(persona) == 3
    assert outcomes(carried_out(persona, job, tmp_path)) == {"updated": 8}
    assert Counter(effect.object_id for effect in effects(persona)) == Counter(accounts)


def test_a_dry_run_has_no_sample(persona: VirtualPersona, tmp_path: Path) -> None:
    job = job_of(CASE, CASE.rows(CASE.ids(persona, 4)), dry_run=True, sample=2)
    report = carried_out(persona, job, tmp_path)
    assert (outcomes(report), report.sample, writes(persona)) == ({"planned": 4}, None, 0)
    assert {result.reason for result in last_results(plan_in(tmp_path)).values()} == {""}


def test_a_power_cut_may_hide_any_row_of_a_plan_in_a_sample_and_only_the_first_ones_without() -> None:
    assert ApplyOptions(sample=5).unsynced_rows(1_000_000) == 1_000_000
    assert ApplyOptions(concurrency=4).unsynced_rows(1_000_000) == unsynced_rows(4)
    assert ApplyOptions(sample=5, dry_run=True).unsynced_rows(1_000_000) == 0  # it begins none


@pytest.mark.parametrize("sample", [0, -1, 2.5, True, "ten"])
def test_what_is_no_number_of_rows_is_no_sample(sample: Any) -> None:
    with pytest.raises(BulkError, match="sample is a number of rows, 1 or more, not"):
        ApplyOptions(sample=sample)


def test_failures_are_a_share_of_the_sample_and_not_of_all_rows(persona: VirtualPersona, tmp_path: Path) -> None:
    """Two of four fail: a tenth of the forty rows, and half of those that were tried."""
    rows = [*CASE.rows(CASE.ids(persona, 40))]
    plan = plan_of(rows, tmp_path)
    for number in sorted(sampled_rows(plan, 4))[:2]:
        persona.script_fault(FaultKind.HTTP_500, case_id=rows[number - 1]["case_id"], times=100)
    options = ApplyOptions(sample=4, max_failures=0.1)
    report = attempt(persona, plan, sample=4, max_failures=options.max_failures)
    assert outcomes(report) == {"updated": 2, "unresolved": 2, "planned": 36}
    with pytest.raises(RunFailedError, match="2 of 4 rows failed, and only 10 % of them may"):
        judge(report, options)
    assert plan.has_values  # which the next attempt needs
    persona.clear_faults()
    assert outcomes(attempt(persona, plan)) == {"updated": 40}


# ---------------------------------------------------------------------- interruption


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_sent_twice_or_beyond_the_sample_whatever_dies(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    persona = VirtualPersona(SimulatorConfig(cases=100, limit=1_000_000, latency_ms=15, seed=seed))
    rows = decisions(persona, 40)
    plan = plan_of(rows, tmp_path)

    def dying(fate: Fate, **options: Any) -> Report | None:
        def clock() -> float:
            fate.passes("clock")
            return persona.time.now()

        async def main() -> Report | None:
            with until_death():
                async with persona.client(clock=clock) as client:
                    return await apply_plan(plan, client, ApplyOptions(concurrency=4, **options), utc=persona.utc)
            return None

        return persona.run(main())

    lived = [dying(Fate("clock", chance.randint(8, 40)), sample=10) for _ in range(3)]
    assert None in lived, "nothing died, so this seed tests nothing"
    report = dying(Fate(), sample=10)
    assert report is not None
    assert report.counts.total() == 40
    assert sum(changes(persona).values()) == 10
    assert set(changes(persona)) == {rows[number - 1]["case_id"] for number in sampled_rows(plan, 10)}
    dying(Fate("clock", chance.randint(20, 60)))
    report = dying(Fate())
    assert report is not None
    assert (report.settled, report.failures) == (40, 0)
    assert changes(persona) == Counter(row["case_id"] for row in rows)


@pytest.mark.parametrize("dies_at", [None, *range(12, 30, 2)])
def test_a_lost_folder_does_not_make_the_sample_go_out_again(
    persona: VirtualPersona, tmp_path: Path, dies_at: int | None
) -> None:
    """As on Airflow 3.3, where the task's state outlives the worker's disk, also one that died amid the sample."""
    kept = KeptCheckpoints()
    ids = CASE.ids(persona, 20)
    job = job_of(CASE, CASE.rows(ids), concurrency=2)

    def go(job: BulkJob, fate: Fate) -> Report | None:
        def clock() -> float:
            fate.passes("clock")
            return persona.time.now()

        async def main() -> Report | None:
            carried = kept.load()
            begun = resume_or_draft(job.rows.read, tmp_path, job.header("run", None, CREATED), checkpoint=carried)
            with until_death():
                async with persona.client(clock=clock) as client:
                    return await run(job, begun, client, checkpoints=kept, carried=carried, utc=persona.utc)
            return None

        return persona.run(main())

    sampled = go(sampling(job, 3), Fate("clock" if dies_at else "", dies_at or 0))
    assert sampled is None if dies_at else outcomes(sampled) == {"updated": 3, "planned": 17}
    rmtree(tmp_path / "1")
    persona.advance_clock(2 * 3600)  # no key is remembered any more
    report = go(job, Fate())
    assert report is not None
    assert (report.settled, report.failures) == (20, 0)
    done = Counter((effect.object_id, effect.operation) for effect in effects(persona))
    assert set(done.values()) == {1}
    assert {object_id for object_id, _ in done} == set(ids)
    assert {result.outcome.value for result in last_results(plan_in(tmp_path)).values()} <= {"updated", "unchanged"}
