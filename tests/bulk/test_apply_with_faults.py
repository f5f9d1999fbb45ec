"""Faults, one by one and by rate: every row ends truly, and no effect happens twice or is lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import (
    RETRIEVE,
    SET_STATUS,
    assert_each_changed_once,
    attempt,
    changes,
    decisions,
    last_results,
    plan_of,
)

from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.bulk.job import ApplyOptions, RunStoppedError, judge
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.plan.file import Plan
from airflow_provider_persona.bulk.plan.guards import Guards
from persona_simulator import FaultKind, SimulatorConfig, SimulatorControl, usual_rates
from tests.virtual_time import VirtualPersona

NEVER_ENDING = 1_000_000


def assert_told_truly(sim: SimulatorControl, plan: Plan) -> None:
    """Hold every line of the ledger against the journal: what it calls done is done, what it calls failed is not."""
    changed, statuses, results = changes(sim), sim.statuses(), last_results(plan)
    assert len(results) == plan.header.rows
    for row in plan.rows():
        result, case_id = results[row.number], str(row.object_id)
        assert row.to_status is not None
        if result.outcome is RowOutcome.UPDATED:
            assert (changed[case_id], statuses[case_id]) == (1, row.to_status), result
        elif result.outcome is RowOutcome.FAILED:
            assert (changed[case_id], statuses[case_id] == row.to_status) == (0, False), result
        else:
            assert result.outcome is RowOutcome.UNRESOLVED, result
            assert changed[case_id] <= 1


def test_a_lost_answer_leads_to_one_effect_under_one_key(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = decisions(persona, 6)
    lost = [
        FaultKind.RESET_AFTER,
        FaultKind.HANG_AFTER,
        FaultKind.TRUNCATED,
        FaultKind.MALFORMED,
        FaultKind.RESET_BEFORE,
    ]
    for kind, row in zip(lost, rows, strict=False):
        persona.script_fault(kind, case_id=row["case_id"])
    plan = plan_of(rows, tmp_path)
    report = attempt(persona, plan, read_timeout=0.4)
    assert report.counts == {RowOutcome.UPDATED: 6}
    assert report.retries == len(lost)
    assert Counter(effect.case_id for effect in persona.journal()) == Counter(row["case_id"] for row in rows)
    for row in rows[:4]:
        first, again = persona.requests(case_id=row["case_id"])
        assert first.idempotency_key == again.idempotency_key
        assert again.replayed
    assert {result.generation for result in last_results(plan).values()} == {0}


@pytest.mark.parametrize(
    ("kind", "looks"), [(FaultKind.HTTP_500, 1), (FaultKind.HTTP_503, 1), (FaultKind.STALE_409, 0)]
)
def test_a_failure_that_is_kept_under_its_key_is_left_behind_with_the_next_key(
    persona: VirtualPersona, tmp_path: Path, kind: FaultKind, looks: int
) -> None:
    rows = decisions(persona, 3)
    persona.script_fault(kind, case_id=rows[1]["case_id"])
    plan = plan_of(rows, tmp_path)
    assert attempt(persona, plan).counts == {RowOutcome.UPDATED: 3}
    first, again = persona.requests(case_id=rows[1]["case_id"], operation=SET_STATUS)
    assert first.idempotency_key != again.idempotency_key
    assert len(persona.requests(operation=RETRIEVE)) == looks
    assert len(persona.journal()) == 3
    assert_each_changed_once(persona, rows)
    assert (last_results(plan)[2].generation, last_results(plan)[2].attempts) == (1, 2)


@pytest.mark.parametrize("kind", [FaultKind.HTTP_500_AFTER, FaultKind.HTTP_504_AFTER])
def test_what_was_done_in_spite_of_a_failure_is_seen_and_not_done_again(
    persona: VirtualPersona, tmp_path: Path, kind: FaultKind
) -> None:
    """Setting a status that is set already changes nothing, but it may set off a workflow once more."""
    rows = decisions(persona, 3)
    persona.script_fault(kind, case_id=rows[1]["case_id"])
    plan = plan_of(rows, tmp_path)
    assert attempt(persona, plan).counts == {RowOutcome.UPDATED: 3}
    assert len(persona.requests(operation=SET_STATUS)) == len(persona.journal()) == 3
    assert_each_changed_once(persona, rows)
    assert (last_results(plan)[2].generation, last_results(plan)[2].attempts) == (0, 1)
    assert last_results(plan)[2].reason == "the answer was lost or a failure; a later read shows the change"


@pytest.mark.parametrize("kind", [FaultKind.PROXY_502, FaultKind.PROXY_503, FaultKind.LATENCY, FaultKind.SLOW])
def test_a_passing_trouble_costs_time_only(persona: VirtualPersona, tmp_path: Path, kind: FaultKind) -> None:
    rows = decisions(persona, 3)
    persona.script_fault(kind, operation=SET_STATUS, times=2, seconds=0.1)
    assert attempt(persona, plan_of(rows, tmp_path)).counts == {RowOutcome.UPDATED: 3}
    assert_each_changed_once(persona, rows)


def test_an_answer_that_shows_nothing_is_followed_by_a_look(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = decisions(persona, 2)
    persona.script_fault(FaultKind.HOLLOW, operation=SET_STATUS, case_id=rows[0]["case_id"], times=99)
    plan = plan_of(rows, tmp_path)
    assert attempt(persona, plan).counts == {RowOutcome.UPDATED: 2}
    assert len({request.idempotency_key for request in persona.requests(case_id=rows[0]["case_id"])} - {None}) == 1
    assert last_results(plan)[1].reason == "the answer was lost or a failure; a later read shows the change"
    assert_each_changed_once(persona, rows)


def test_an_answer_that_shows_nothing_once_is_asked_for_again_under_its_key(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    rows = decisions(persona, 2)
    persona.script_fault(FaultKind.HOLLOW, operation=SET_STATUS, case_id=rows[0]["case_id"])
    plan = plan_of(rows, tmp_path)
    assert attempt(persona, plan).counts == {RowOutcome.UPDATED: 2}
    assert (last_results(plan)[1].generation, last_results(plan)[1].attempts) == (0, 2)
    assert_each_changed_once(persona, rows)


def test_a_part_that_a_look_shows_done_is_told_though_the_row_failed(persona: VirtualPersona, tmp_path: Path) -> None:
    (row,) = [row | {"fields": {"external-integration-id": "decided"}} for row in decisions(persona, 1)]
    persona.script_fault(FaultKind.HOLLOW, operation="update-a-case", times=99)
    plan = plan_of([row], tmp_path)
    attempt(persona, plan)
    result = last_results(plan)[1]
    assert result.outcome is RowOutcome.FAILED
    assert result.reason.endswith("; already changed: fields")


def test_a_removal_that_nobody_can_see_does_not_pass_for_done_because_the_addition_was(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    persona.add_objects("doc_1", "inq_1")
    (case,) = decisions(persona, 1)
    persona.script_fault(FaultKind.HTTP_500, operation="remove-persona-objects", times=NEVER_ENDING)
    mapping = {"add_objects": "added", "remove_objects": "removed"}
    plan = plan_of([{"case_id": case["case_id"], "added": "doc_1", "removed": "inq_1"}], tmp_path, mapping)
    attempt(persona, plan)
    result = last_results(plan)[1]
    assert (result.outcome, result.reason.endswith("; already changed: objects")) == (RowOutcome.UNRESOLVED, True)


def test_a_part_of_two_calls_is_named_once(persona: VirtualPersona, tmp_path: Path) -> None:
    (row,) = [row | {"status": "Nope", "add_tags": "a,b"} for row in decisions(persona, 1)]
    plan = plan_of([row], tmp_path)
    attempt(persona, plan)
    assert last_results(plan)[1].reason.endswith("; already changed: tags")


def test_when_no_attempt_is_left_a_read_tells_what_became_of_the_row(persona: VirtualPersona, tmp_path: Path) -> None:
    done, undone, unknown, fine = rows = decisions(persona, 4)
    persona.script_fault(FaultKind.HTTP_500_AFTER, operation=SET_STATUS, case_id=done["case_id"], times=NEVER_ENDING)
    persona.script_fault(FaultKind.HTTP_500, operation=SET_STATUS, case_id=undone["case_id"], times=NEVER_ENDING)
    persona.script_fault(FaultKind.HTTP_503, case_id=unknown["case_id"], times=NEVER_ENDING)
    plan = plan_of(rows, tmp_path)
    report = attempt(persona, plan)
    results = last_results(plan)
    assert [results[number].outcome for number in (1, 2, 3, 4)] == [
        RowOutcome.UPDATED,
        RowOutcome.FAILED,
        RowOutcome.UNRESOLVED,
        RowOutcome.UPDATED,
    ]
    assert results[1].reason == "the answer was lost or a failure; a later read shows the change"
    assert results[2].reason.startswith("a later read does not show the change: whether Persona did")
    assert (results[3].attempts, results[3].generation) == (1, 0)
    assert report.is_balanced
    assert report.retryable_failures == report.failures == 2
    assert_told_truly(persona, plan)
    persona.clear_faults()
    again = attempt(persona, plan)
    assert again.counts == {RowOutcome.UPDATED: 4}
    assert (again.resumed, again.requests) == (2, 3)  # the unresolved one was read first
    assert_each_changed_once(persona, rows)
    assert last_results(plan)[2].generation == 6
    assert fine["case_id"] in changes(persona)


def test_a_row_of_unknown_outcome_that_was_done_is_not_written_again(persona: VirtualPersona, tmp_path: Path) -> None:
    (row,) = rows = decisions(persona, 1)
    persona.script_fault(FaultKind.HTTP_500_AFTER, operation=SET_STATUS, times=6)
    persona.script_fault(FaultKind.PROXY_503, operation=RETRIEVE, times=12)
    plan = plan_of(rows, tmp_path)
    assert attempt(persona, plan).counts == {RowOutcome.UNRESOLVED: 1}
    written = len(persona.requests(operation=SET_STATUS))
    assert attempt(persona, plan).counts == {RowOutcome.UNCHANGED: 1}
    assert len(persona.requests(operation=SET_STATUS)) == written
    assert last_results(plan)[1].reason == "already so after an interruption; it may have been this run's own doing"
    assert changes(persona) == Counter([row["case_id"]])


def test_a_guarded_row_whose_answer_was_lost_is_not_taken_for_a_humans_decision(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    statuses = persona.statuses()
    rows = [row | {"expected_status": statuses[row["case_id"]]} for row in decisions(persona, 5)]
    persona.script_fault(FaultKind.RESET_AFTER, operation=SET_STATUS, times=5)
    slow = RetryPolicy(delays=(1.1, 0.01), jitter=0.0)  # the guard's read is old by then
    plan = plan_of(rows, tmp_path)
    assert attempt(persona, plan, policy=slow).counts == {RowOutcome.UPDATED: 5}
    assert len(persona.requests(operation=SET_STATUS)) == 5
    assert_each_changed_once(persona, rows)


@pytest.mark.parametrize(
    ("seed", "rate", "options"),
    [
        (1, 0.05, {}),
        (2, 0.03, {"guards": Guards(never_from=frozenset({"nothing"}))}),
        (3, 0.05, {"read_first": True}),
        (4, 0.25, {}),
    ],
)
def test_with_random_faults_every_row_ends_truly(
    tmp_path: Path, seed: int, rate: float, options: dict[str, Any]
) -> None:
    sim = VirtualPersona(SimulatorConfig(cases=300, limit=1_000_000, seed=seed, fault_rates=usual_rates(rate)))
    rows = decisions(sim)
    plan = plan_of(rows, tmp_path, guards=options.get("guards"))
    report = attempt(sim, plan, read_first="read_first" in options)
    assert report.is_balanced
    assert report.stopped is None
    assert report.retries > 5
    assert sum(request.fault is not None for request in sim.requests()) > 5
    assert_told_truly(sim, plan)
    sim.configure(fault_rates={})
    again = attempt(sim, plan)
    assert again.counts[RowOutcome.UPDATED] + again.counts[RowOutcome.UNCHANGED] == 300
    assert_each_changed_once(sim, rows)


def test_a_service_that_goes_down_stops_the_run_and_the_next_attempt_finishes_it(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    rows = decisions(persona)
    plan = plan_of(rows, tmp_path)
    persona.script_fault(FaultKind.PROXY_503, times=NEVER_ENDING, skip=100)
    report = attempt(persona, plan, concurrency=10)
    assert report.stopped is not None
    assert report.stopped.startswith("Persona does not work as it should: lately more than 0.5 retries for every")
    assert not report.stopped_for_good
    done = report.counts[RowOutcome.UPDATED]
    assert done == len(changes(persona)) > 0
    assert 1 <= report.failures <= 30  # those that were under way
    assert report.settled < 300
    with pytest.raises(RunStoppedError, match=f"the run stopped with {300 - done} of 300 rows not done") as error:
        judge(report, ApplyOptions())
    assert error.value.retryable
    persona.clear_faults()
    again = attempt(persona, plan)
    assert (again.resumed, again.counts) == (done, {RowOutcome.UPDATED: 300})
    assert_each_changed_once(persona, rows)


def test_a_service_that_cannot_be_reached_stops_the_run(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = decisions(persona)
    plan = plan_of(rows, tmp_path)
    report = attempt(persona, plan, url="http://127.0.0.1:9", concurrency=4)
    assert "check host, proxy and network" in str(report.stopped)
    assert 1 <= report.counts[RowOutcome.FAILED] < 10
    assert report.counts.total() == report.failures
    assert attempt(persona, plan).counts == {RowOutcome.UPDATED: 300}
    assert_each_changed_once(persona, rows)
