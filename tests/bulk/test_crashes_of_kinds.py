"""Every kind of object under faults, deaths and resumption, held against the simulator's journal.

The other crash tests do this at length for cases. This one shows that nothing in it was true of cases only.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fates import Fate, until_death

from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.job import BulkJob, begin, run
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.plan.draft import Draft
from persona_simulator import FaultKind, SimulatorConfig, usual_rates
from tests.bulk.keyed import KEYS, keyed_objects, keyed_rows
from tests.bulk.kinds import KINDS, Kind
from tests.bulk.test_kinds import CREATED, effects, job_of, results_in
from tests.bulk.test_match import job_by
from tests.virtual_time import VirtualPersona

ROWS = 12
DEATHS = 3
RUN = "report-action-re-run-report"
SEEDS = range(8)


def attempt(persona: VirtualPersona, job: BulkJob, folder: Path, fate: Fate, *, is_retry: bool = True) -> Report | None:
    """Plan or resume, and apply, until the end or death."""

    def clock() -> float:
        fate.passes("clock")
        return persona.time.now()

    async def main() -> Report | None:
        with until_death():
            begun = begin(job, folder, job.header("run", None, CREATED), is_retry=is_retry)
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
