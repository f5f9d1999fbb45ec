"""The request limit: no 429, whichever way the server rounds; and a wait for a window never lets a guard grow old."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from bulk_runs import SET_STATUS, assert_each_changed_once, attempt, changes, decisions, last_results, plan_of

from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.plan.guards import Guards
from persona_simulator import SimulatorConfig
from persona_simulator.config import ResetRounding
from tests.virtual_time import VirtualPersona


@pytest.mark.parametrize("rounding", list(ResetRounding))
def test_the_limit_is_used_up_and_never_run_into(tmp_path: Path, rounding: ResetRounding) -> None:
    sim = VirtualPersona(SimulatorConfig(cases=110, limit=50, window_seconds=60, reset_rounding=rounding, latency_ms=3))
    rows = decisions(sim)
    report = attempt(sim, plan_of(rows, tmp_path))
    statuses = Counter(request.status for request in sim.requests())
    assert statuses == {200: 110}
    assert_each_changed_once(sim, rows)
    assert report.throttled == 0
    assert report.waited > 60
    assert report.seconds < 125  # three windows of 50, less one kept back each until the rounding is known


def test_a_human_who_decides_while_the_run_waits_for_a_window_is_not_overwritten(tmp_path: Path) -> None:
    sim = VirtualPersona(SimulatorConfig(cases=100, limit=30, window_seconds=3, latency_ms=2))
    opened = [case_id for case_id, status in sim.statuses().items() if status == "Open"][:24]
    rows = [{"case_id": case_id, "status": "Approved", "expected_status": "Open"} for case_id in opened]
    plan = plan_of(rows, tmp_path)
    decided: list[str] = []

    async def decide() -> None:
        await asyncio.sleep(1.0)  # the first window is used up: the run waits, with reads that it cannot follow up
        assert len(sim.requests()) >= 24
        changed = set(changes(sim))
        decided.extend(case_id for case_id in opened if case_id not in changed)
        for case_id in decided:
            sim.act_as_human(case_id, status="Declined")

    async def go() -> Report:
        async with sim.client() as client, asyncio.TaskGroup() as both:
            both.create_task(decide())
            applied = both.create_task(apply_plan(plan, client, ApplyOptions(), utc=sim.utc))
        return applied.result()

    report = sim.run(go())
    read_before = {request.case_id for request in sim.requests(operation="retrieve-case")[:24]}
    assert read_before >= set(decided)
    assert len(decided) > 10
    assert report.is_balanced
    assert report.counts[RowOutcome.SKIPPED_GUARD] == len(decided)
    assert {sim.statuses()[case_id] for case_id in decided} == {"Declined"}
    assert set(changes(sim)) == set(opened) - set(decided)
    results = last_results(plan).values()
    skipped = {result.object_id for result in results if result.outcome == RowOutcome.SKIPPED_GUARD}
    assert skipped == set(decided)


def test_guarded_rows_get_through_a_window_that_is_smaller_than_the_rows_under_way(tmp_path: Path) -> None:
    sim = VirtualPersona(SimulatorConfig(cases=60, limit=14, window_seconds=60, latency_ms=2))
    rows = [row for row in decisions(sim) if row["status"] == "Approved"][:24]
    report = attempt(sim, plan_of(rows, tmp_path, guards=Guards(never_from=frozenset({"Declined", "Approved"}))))
    assert report.counts[RowOutcome.FAILED] == 0
    assert report.counts[RowOutcome.UPDATED] == len(sim.requests(operation=SET_STATUS)) == len(changes(sim))
    assert report.is_balanced
