"""Every kind of object under faults, deaths, a second attempt and a human's hand, held against the journal.

`test_accounting.py` and `test_crashes_in_virtual_time.py` do so at length and by chance. Here each kind meets each of
these for certain.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import plan_in
from fates import Fate, until_death
from lengths import IN_CI, SOAK

from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.job import BulkJob, run
from airflow_provider_persona.bulk.ledger.ledger import read_results
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.plan.compare import CompareMode
from airflow_provider_persona.bulk.plan.draft import Draft, resume_or_draft
from airflow_provider_persona.bulk.plan.guards import Guards
from airflow_provider_persona.bulk.source.rows import MappedRows
from airflow_provider_persona.bulk.subjects import operation_subject
from airflow_provider_persona.bulk.subjects.operation import OperationRows
from airflow_provider_persona.tasks.row_sources import GivenSource
from persona_simulator import FaultKind, SimulatorConfig, usual_rates
from tests.bulk.audited import is_foreign
from tests.bulk.keyed import KEYS, keyed_objects, keyed_rows
from tests.bulk.kinds import CALLS, KINDS, CallKind, Kind
from tests.bulk.test_kinds import CREATED, effects, job_of, results_in
from tests.bulk.test_match import job_by
from tests.virtual_time import VirtualPersona

ROWS = 12
DEATHS = 3
RUN = "report-action-re-run-report"
SEEDS = range(8 if SOAK or IN_CI else 4)


def attempt(persona: VirtualPersona, job: BulkJob, folder: Path, fate: Fate, *, is_retry: bool = True) -> Report | None:
    """Plan or resume, and apply, until the end or death."""

    def clock() -> float:
        fate.passes("clock")
        return persona.time.now()

    async def main() -> Report | None:
        with until_death():
            begun = resume_or_draft(job.rows.read, folder, job.header("run", None, CREATED), is_retry=is_retry)
            try:
                async with persona.client(clock=clock) as client:
                    return await run(job, begun, client, utc=persona.utc)
            finally:
                if isinstance(begun, Draft):
                    begun.close()
        return None

    return persona.run(main())


def through_deaths(
    kind: Kind, further: Mapping[str, Any], folder: Path, seed: int, by: str | None = None
) -> tuple[VirtualPersona, Report]:
    """Die a few times under faults, then end in peace; return Persona and the last report.

    :param by: the key by which rows name their objects; None where they do by id.
    """
    chance = random.Random(f"{kind.name} {seed}")
    persona = VirtualPersona(SimulatorConfig(cases=60, limit=1_000_000, latency_ms=15, seed=seed))
    concurrency = chance.choice((1, 4, 12))
    if by is None:
        rows = [{**row, **further} for row in kind.rows(kind.ids(persona, ROWS))]
        job = job_of(kind, rows, concurrency=concurrency)
    else:
        job = job_by(kind, keyed_rows(kind, by, list(keyed_objects(persona, kind, by, ROWS))), by)
        job = replace(job, applying=ApplyOptions(concurrency=concurrency))
    persona.configure(fault_rates=usual_rates(chance.choice((0.0, 0.3))))
    if "rerun" in further:
        persona.script_fault(FaultKind.HTTP_500_AFTER, operation=RUN, times=3, skip=chance.randint(0, 4))
    fates = [Fate("clock", chance.randint(5, 100)) for _ in range(DEATHS)]
    lived = []
    for number, fate in enumerate(fates):
        lived.append(attempt(persona, job, folder, fate, is_retry=number > 0))
        persona.advance_clock(60)  # what a report that ran again does in the background has ended by then
    assert None in lived, "nothing died, so this seed tests nothing"
    persona.configure(fault_rates={})
    report = attempt(persona, job, folder, Fate())
    assert report is not None
    return persona, report


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_row_is_done_and_told_truly_whatever_dies(tmp_path: Path, kind: Kind, seed: int) -> None:
    persona, report = through_deaths(kind, {}, tmp_path, seed)
    assert (report.settled, report.failures, report.is_balanced) == (ROWS, 0, True)
    changes = Counter((effect.object_id, effect.operation) for effect in effects(persona) if effect.changed)
    assert set(changes.values()) == {1}, "a change was made twice"
    assert len({object_id for object_id, _ in changes}) == ROWS
    outcomes = {result.outcome for result in results_in(tmp_path).values()}
    assert outcomes <= {RowOutcome.UPDATED, RowOutcome.UNCHANGED}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("kind", "by"), KEYS, ids=[f"{kind.name}-{by}" for kind, by in KEYS])
def test_rows_by_a_key_are_done_and_told_truly_whatever_dies(tmp_path: Path, kind: Kind, by: str, seed: int) -> None:
    persona, report = through_deaths(kind, {}, tmp_path, seed, by)
    assert (report.settled, report.failures, report.is_balanced) == (report.rows, 0, True)
    assert report.rows == ROWS or by == "report-id"  # fewer cases have a report
    changes = Counter(
        (effect.object_id, effect.operation)
        for effect in effects(persona)
        if effect.changed and not effect.operation.startswith("create")
    )
    assert set(changes.values()) == {1}, "a change was made twice"
    assert len({object_id for object_id, _ in changes}) == report.rows


@pytest.mark.parametrize("seed", SEEDS)
def test_no_report_runs_again_twice_whatever_dies(tmp_path: Path, seed: int) -> None:
    kind = next(kind for kind in KINDS if kind.name == "report")
    persona, report = through_deaths(kind, {"rerun": True}, tmp_path, seed)
    runs = Counter(effect.object_id for effect in effects(persona) if effect.operation == RUN)
    assert max(runs.values()) == 1
    results = results_in(tmp_path)
    for object_id, result in results.items():
        assert result.outcome in (RowOutcome.UPDATED, RowOutcome.UNRESOLVED), result.reason
        if result.outcome is RowOutcome.UPDATED:
            assert runs[object_id or ""] == 1
    assert report.is_balanced


def both(persona: VirtualPersona, job: BulkJob, folder: Path, instant: float) -> tuple[Report, Report]:
    """Let a newer attempt begin while the older one works; return the reports of both."""

    async def work(*, is_retry: bool) -> Report:
        begun = resume_or_draft(job.rows.read, folder, job.header("run", None, CREATED), is_retry=is_retry)
        async with persona.client() as client:
            return await run(job, begun, client, utc=persona.utc)

    async def main() -> tuple[Report, Report]:
        older = asyncio.create_task(work(is_retry=False))
        await asyncio.sleep(instant)
        newer = await work(is_retry=True)
        return await older, newer

    return persona.run(main())


@pytest.mark.parametrize("instant", [0.05, 0.13])
@pytest.mark.parametrize("kind", [*KINDS, *CALLS], ids=lambda kind: kind.name)
def test_a_newer_attempt_fences_the_older_whatever_the_rows_are_about(
    tmp_path: Path, kind: Kind | CallKind, instant: float
) -> None:
    persona = VirtualPersona(SimulatorConfig(cases=300, limit=1_000_000, latency_ms=20))
    if isinstance(kind, Kind):
        job = job_of(kind, kind.rows(kind.ids(persona, 60)), concurrency=6)
    else:
        mapped = MappedRows(GivenSource(kind.rows(persona, 60)), OperationRows(**kind.call))
        job = BulkJob(mapped, operation_subject(kind.last_step), applying=ApplyOptions(concurrency=6))
    older, newer = both(persona, job, tmp_path, instant)
    assert "a newer attempt of this task is at work" in (older.stopped or "")
    assert newer.rows == newer.settled == 60
    assert {result.outcome for result in read_results(tmp_path / "1", plan_in(tmp_path).header.hash)} <= {
        RowOutcome.UPDATED,
        RowOutcome.UNCHANGED,
    }
    done = Counter((effect.object_id, effect.operation) for effect in effects(persona) if effect.changed)
    assert set(done.values()) == {1}
    assert len({object_id for object_id, _ in done}) == 60
    repeated = len(persona.requests(operation=kind.last_step)) - 60
    assert repeated <= 6, "no more than what was under way"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.tells_when], ids=lambda kind: kind.name)
def test_what_a_human_does_before_the_last_look_is_never_overwritten(tmp_path: Path, kind: Kind) -> None:
    """At each instant of a guarded attempt, a human changes the object; what comes after the look is the race left."""
    seen = Counter[str]()
    for instant in range(1, 60, 2):
        persona = VirtualPersona(SimulatorConfig(cases=60, limit=1_000_000, latency_ms=20))
        (object_id,) = kind.ids(persona, 1)
        guards = Guards.of(kind.before) if kind.subject.has_status else None
        job = job_of(kind, kind.rows([object_id]), CompareMode.GET, guards=guards, concurrency=1, heed_drift=True)

        def act(persona: VirtualPersona = persona, object_id: str = object_id) -> None:
            (kind.decide_as_human if kind.decided else kind.change_as_human)(persona, object_id)

        folder = tmp_path / str(instant)
        report = attempt(persona, job, folder, Fate("clock", instant, act), is_retry=False)
        assert report is not None
        journal, requests = persona.journal(), persona.requests()
        human = next((effect for effect in journal if is_foreign(effect) and effect.changed), None)
        first = next((effect for effect in journal if not is_foreign(effect)), None)
        if human is None:
            break  # the attempt was over by then
        outcome = results_in(folder)[object_id].outcome
        seen[outcome] += 1
        if first is None:
            assert outcome in (RowOutcome.SKIPPED_GUARD, RowOutcome.UNCHANGED)
            continue
        number = int((first.request_id or "").removeprefix("req_sim")) - 1
        looks = [one for one in requests[:number] if one.operation == kind.subject.read_operation and one.status == 200]
        is_old = kind.decided is None and human.at < looks[0].at  # it was so when it was planned
        assert is_old or human.index > first.index or human.at > looks[-1].at, f"overwritten at instant {instant}"
    assert seen[RowOutcome.SKIPPED_GUARD], seen
    assert seen[RowOutcome.UPDATED], seen
