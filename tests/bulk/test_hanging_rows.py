"""A run whose calls hang or are slow: it takes little longer, every row ends truly, and nothing is done twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from bulk_runs import SET_STATUS, assert_each_changed_once, attempt, changes, decisions, last_results, plan_of

from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.ledger.report import Report
from persona_simulator import FaultKind, SimulatorConfig, usual_rates
from tests.virtual_time import VirtualPersona

READ_TIMEOUT = 30.0


@pytest.mark.parametrize("seed", [1, 2, 4, 5])
def test_hangs_among_other_faults_cost_little_time(tmp_path: Path, seed: int) -> None:
    rates = usual_rates(0.03, with_hangs=True)
    sim = VirtualPersona(
        SimulatorConfig(cases=600, limit=60, window_seconds=2, latency_ms=80, seed=seed, fault_rates=rates)
    )
    rows = decisions(sim)
    plan = plan_of(rows, tmp_path)
    report = attempt(sim, plan, read_timeout=READ_TIMEOUT)
    assert report.counts == {RowOutcome.UPDATED: 600}
    assert_each_changed_once(sim, rows)
    kinds = [request.fault for request in sim.requests() if request.fault is not None]
    assert {FaultKind.HANG_BEFORE, FaultKind.HANG_AFTER} & set(kinds)
    assert report.seconds < 18 + READ_TIMEOUT / 2  # the last of ten windows opens after 18 s
    # What is counted is what was sent, and the limit was not run into.
    assert report.requests == len(sim.requests())
    assert report.throttled == sum(request.status == 429 for request in sim.requests())


def test_a_guarded_write_that_was_cut_is_not_sent_again_over_a_humans_decision(tmp_path: Path) -> None:
    """The guard's read is older than a second after the cut, so the case is read again, and the human is seen."""
    sim = VirtualPersona(SimulatorConfig(cases=300, limit=1_000_000, latency_ms=80))
    opened = [case_id for case_id, status in sim.statuses().items() if status == "Open"][:40]
    rows = [{"case_id": case_id, "status": "Approved", "expected_status": "Open"} for case_id in opened]
    plan = plan_of(rows, tmp_path)
    sim.script_fault(FaultKind.HANG_BEFORE, operation=SET_STATUS, case_id=opened[-1])

    async def decide() -> None:
        while not sim.requests(operation=SET_STATUS, case_id=opened[-1]):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.1)
        sim.act_as_human(opened[-1], status="Declined")

    async def go() -> Report:
        async with sim.client() as client, asyncio.TaskGroup() as both:
            both.create_task(decide())
            applied = both.create_task(apply_plan(plan, client, ApplyOptions(), utc=sim.utc))
        return applied.result()

    report = sim.run(go())
    assert report.counts == {RowOutcome.UPDATED: 39, RowOutcome.SKIPPED_GUARD: 1}
    assert sim.statuses()[opened[-1]] == "Declined"
    assert len(sim.requests(operation=SET_STATUS, case_id=opened[-1])) == 1
    assert report.seconds < 10


def test_a_write_that_takes_effect_after_it_was_cut_has_one_effect_that_no_key_repeats(tmp_path: Path) -> None:
    sim = VirtualPersona(SimulatorConfig(cases=300, limit=1_000_000, latency_ms=80))
    rows = decisions(sim, 60)
    plan = plan_of(rows, tmp_path)
    sim.script_fault(FaultKind.LATENCY, operation=SET_STATUS, case_id=rows[-1]["case_id"], seconds=25)
    report = attempt(sim, plan)
    assert report.counts == {RowOutcome.UPDATED: 60}
    assert_each_changed_once(sim, rows)
    assert len(sim.journal()) == 60
    requests = sim.requests(case_id=rows[-1]["case_id"], operation=SET_STATUS)
    assert len({request.idempotency_key for request in requests}) == 1
    assert [request.status for request in requests[1:-1]] == [409] * (len(requests) - 2)
    assert last_results(plan)[60].generation == 0


def test_a_service_that_becomes_slow_is_not_taken_for_one_that_is_down(tmp_path: Path) -> None:
    sim = VirtualPersona(SimulatorConfig(cases=300, limit=1_000_000, latency_ms=80))
    rows = decisions(sim)
    plan = plan_of(rows, tmp_path)
    sim.script_fault(FaultKind.LATENCY, operation=SET_STATUS, times=10_000, skip=150, seconds=12)
    report = attempt(sim, plan, read_timeout=60.0)
    assert report.stopped is None
    assert report.counts == {RowOutcome.UPDATED: 300}
    assert_each_changed_once(sim, rows)
    assert len(sim.journal()) == 300


def test_a_service_that_hangs_stops_the_run_and_its_rows_are_told_truly(tmp_path: Path) -> None:
    sim = VirtualPersona(SimulatorConfig(cases=300, limit=1_000_000, latency_ms=80))
    rows = decisions(sim)
    plan = plan_of(rows, tmp_path)
    sim.script_fault(FaultKind.HANG_AFTER, times=10_000, skip=100)
    report = attempt(sim, plan, read_timeout=60.0)
    assert str(report.stopped).startswith("Persona does not work as it should")
    assert report.counts[RowOutcome.UPDATED] == 100
    assert report.seconds < 5 * 60
    sim.clear_faults()
    assert attempt(sim, plan).counts.total() == 300
    assert set(changes(sim).values()) == {1}
    assert_each_changed_once(sim, rows)


def test_a_row_that_persona_still_works_on_at_the_end_is_unresolved_and_not_failed(tmp_path: Path) -> None:
    sim = VirtualPersona(SimulatorConfig(cases=300, limit=1_000_000, latency_ms=80))
    rows = decisions(sim, 40)
    plan = plan_of(rows, tmp_path)
    sim.script_fault(FaultKind.LATENCY, operation=SET_STATUS, case_id=rows[-1]["case_id"], seconds=400)
    assert attempt(sim, plan).counts == {RowOutcome.UPDATED: 39, RowOutcome.UNRESOLVED: 1}
    assert last_results(plan)[40].reason.startswith("Persona may still be at work on it")
    sim.run(asyncio.sleep(400))
    assert attempt(sim, plan).counts == {RowOutcome.UPDATED: 39, RowOutcome.UNCHANGED: 1}
    assert_each_changed_once(sim, rows)
    assert len(sim.journal()) == 40
