"""The main Dag, started by its schedule, and shards that share the request limit, each on whatever worker is free."""

from __future__ import annotations

from itertools import chain

import pytest
from decisions import assert_changed_once, busiest_window, effects_on, requests_about

pytestmark = pytest.mark.e2e

SHARDS, ROWS = 4, 500
LIMIT, WINDOW = 300, 5.0


def test_the_main_dag_does_what_the_warehouse_has_decided(airflow, persona, warehouse, cases):
    wanted = {case: "Declined" if n % 3 else "Approved" for n, case in enumerate(cases.take(300))}
    overtaken, contradicted = cases.take(10), cases.take(1)[0]
    for case in overtaken:
        persona.act_as_human(case, status="Approved")
    rows = [(case, status, None) for case, status in wanted.items()]
    flawed = [(contradicted, "Approved", None), (contradicted, "Declined", None), (None, "Declined", None)]
    decided = [(case, "Declined", None) for case in overtaken]
    warehouse.fill("case_decisions", "case_id, new_status, expected_status", rows + rows[:5] + flawed + decided)
    before = len(persona.journal())

    airflow.pause("persona_bulk_update", is_paused=False)
    run_id = airflow.until(lambda: _scheduled_run(airflow), 60, "the schedule starts a run")
    airflow.until_success("persona_bulk_update", run_id, 90)
    assert airflow.result("persona_bulk_update", run_id, "update_cases")["counts"]["planned"] == 300
    assert len(persona.journal()) == before, "by its schedule the example is a dry run"
    run_id = airflow.trigger("persona_bulk_update", dry_run=False)
    airflow.until_success("persona_bulk_update", run_id, 90)
    airflow.pause("persona_bulk_update", is_paused=True)

    report = airflow.result("persona_bulk_update", run_id, "update_cases")
    counts = {outcome: count for outcome, count in report["counts"].items() if count}
    assert counts == {"updated": 300, "skipped_guard": 10, "invalid": 3}
    assert report["repeats"] == 5
    assert_changed_once(persona, wanted)
    assert {effect.case_id for effect in persona.journal(since=before)} == set(wanted)


def test_four_shards_of_500_rows_share_one_limit(airflow, persona, warehouse, cases, record_property):
    shards = [cases.take(ROWS) for _ in range(SHARDS)]
    rows = [(case, "Declined", shard) for shard, taken in enumerate(shards) for case in taken]
    warehouse.fill("case_decisions", "case_id, new_status, shard", rows)
    persona.configure(limit=LIMIT, window_seconds=WINDOW)

    run_id = airflow.trigger("persona_mapped_shards", dry_run=False)
    airflow.until_success("persona_mapped_shards", run_id, 180)

    wanted = dict.fromkeys(chain(*shards), "Declined")
    assert_changed_once(persona, wanted)
    requests = requests_about(persona, wanted)
    end_of_first_window = requests[0].at + WINDOW
    assert [request for request in requests if request.status == 429 and request.at > end_of_first_window] == []
    reports = [airflow.result("persona_mapped_shards", run_id, "update_shard", shard) for shard in range(SHARDS)]
    assert [report["counts"]["updated"] for report in reports] == [ROWS] * SHARDS
    spans = [[effect.at for effect in effects_on(persona, shard)] for shard in shards]
    assert max(map(min, spans)) < min(map(max, spans)), "the shards did not run at the same time"
    took = requests[-1].at - requests[0].at
    best = SHARDS * ROWS / LIMIT * WINDOW
    refused = sum(request.status == 429 for request in requests)
    fullest = busiest_window(requests, WINDOW)
    measured = f"{took:.1f} s, {best:.1f} s if nothing were left to others; {refused} refused; {fullest} in a window"
    record_property("measured", measured)
    assert took < 2 * best


def _scheduled_run(airflow):
    runs = airflow.rest("GET", "api/v2/dags/persona_bulk_update/dagRuns")["dag_runs"]
    return runs[0]["dag_run_id"] if runs else None
