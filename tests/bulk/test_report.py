"""What a person reads of a run, and what goes to other tasks: counts and addresses, never a row."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from bulk_runs import decisions, plan_of

from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.ledger.report import Approval, Progress, Report
from persona_simulator import SimulatorConfig
from tests.virtual_time import VirtualPersona

REPORT = Report(
    counts=Counter({RowOutcome.FAILED: 2, RowOutcome.UPDATED: 97, RowOutcome.INVALID: 1}),
    rows=100,
    repeats=3,
    plan_hash="abc",
    plan="/state/plan.jsonl",
    ledger="/state",
    requests=104,
    retries=5,
    throttled=1,
    waited=12.3456,
    seconds=20.0456,
    resumed=40,
    environment="env_1",
)


def test_the_report_says_it_in_one_line() -> None:
    assert str(REPORT) == (
        "100 rows (3 repeated rows collapsed): 97 updated, 1 invalid, 2 failed, 40 of them settled before; "
        "104 requests (5 repeated, 1 refused for the limit), waited 12.3 s for the limit, 20.0 s in all"
    )
    assert str(Report(Counter(), 0, 0, "", "", "")).startswith("0 rows: nothing to do; 0 requests")


def test_xcom_gets_every_outcome_and_plain_data() -> None:
    assert json.loads(json.dumps(REPORT.to_xcom())) == {
        "counts": {
            "updated": 97,
            "unchanged": 0,
            "skipped_guard": 0,
            "invalid": 1,
            "failed": 2,
            "unresolved": 0,
            "planned": 0,
        },
        "rows": 100,
        "repeats": 3,
        "plan_hash": "abc",
        "plan": "/state/plan.jsonl",
        "ledger": "/state",
        "requests": 104,
        "retries": 5,
        "throttled": 1,
        "waited_seconds": 12.346,
        "seconds": 20.046,
        "resumed": 40,
        "not_done": 2,
        "verified": None,
        "differences": None,
        "environment": "env_1",
        "unknown_statuses": [],
        "sample": None,
        "failures": [],
        "approval": None,
    }


@pytest.mark.parametrize(
    ("given", "approval"),
    [
        (None, None),
        ("ana", None),
        ({}, Approval(None, None, None)),
        ({"by": 5, "at": " ", "reason": ["x"]}, Approval(None, None, None)),
        ({"by": " ana ", "at": "today", "reason": " ticket 7 "}, Approval("ana", "today", "ticket 7")),
        ({"by": "x" * 201, "at": "x" * 41, "reason": "x" * 1001}, Approval("x" * 200, "x" * 40, "x" * 1000)),
    ],
)
def test_an_approval_is_read_from_plain_data_and_long_texts_are_cut(given: object, approval: Approval | None) -> None:
    assert Approval.of(given) == approval
    if approval is not None:
        assert Approval.of(approval.to_json()) == approval


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(0, 10), "0 of 10 rows (0 %), 0.0/s"),
        (Progress(0, 0), "0 of 0 rows (all), 0.0/s"),
        (Progress(1, 2, waits_for=0.2), "1 of 2 rows (50 %), 0.0/s, waiting 1 s for the next window"),
        (
            Progress(50, 200, {RowOutcome.UPDATED: 49, RowOutcome.FAILED: 1, RowOutcome.INVALID: 0}, 5.04, 30.2, 29.8),
            "50 of 200 rows (25 %), 5.0/s, 49 updated, 1 failed, waiting 30 s for the next window, about 30 s left",
        ),
    ],
)
def test_progress_says_what_is_known(progress: Progress, text: str) -> None:
    assert str(progress) == text


def test_a_run_tells_its_progress_and_that_it_waits(tmp_path: Path) -> None:
    sim = VirtualPersona(SimulatorConfig(cases=50, limit=30, window_seconds=2))
    plan = plan_of(decisions(sim), tmp_path)
    told: list[Progress] = []

    async def go() -> Report:
        async with sim.client() as client:
            return await apply_plan(plan, client, ApplyOptions(progress_every=0.2), on_progress=told.append)

    report = sim.run(go())
    assert told
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)
    waiting = [progress for progress in told if progress.waits_for is not None]
    assert waiting
    assert all(0 <= (progress.waits_for or 0) <= 3 for progress in waiting)
    assert 0 < waiting[0].done < 50
    assert waiting[0].counts == {RowOutcome.UPDATED: waiting[0].done}
    assert report.waited > 1
