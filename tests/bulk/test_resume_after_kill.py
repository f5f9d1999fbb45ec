"""A process that is killed at any instant, and the next attempt: each case changed once, none lost, little repeated."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
    segment_names,
)
from object_shelf import shelf_path

from airflow_provider_persona.bulk.ledger.ledger import read_ledger
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.plan.file import Plan
from airflow_provider_persona.bulk.plan.guards import Guards
from persona_simulator import SimulatorConfig, SimulatorServer
from tests.airflow_process import AirflowProcess, wait_for_what_was_sent
from tests.virtual_time import VirtualPersona

PROGRAM = Path(__file__).with_name("killed_run.py")
CONCURRENCY = 24


def kill_at(sim: SimulatorServer, address: str, effects: int, linger: float = 0.0) -> None:
    """Apply the plan in a process of its own and SIGKILL it once so many cases were changed, and a moment later."""
    with AirflowProcess(PROGRAM, [sim.url, address]) as process:
        while sim.state()["effects"] < effects:
            assert process.is_running, f"it ended before it could be killed: {process.stderr}"
            time.sleep(0.002)
        time.sleep(linger)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    wait_for_what_was_sent(sim)


@pytest.fixture
def busy() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatorConfig(cases=300, limit=1_000_000, latency_ms=15)) as sim:
        yield sim


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_sigkill_every_case_is_changed_once_and_little_is_repeated(
    busy: SimulatorServer, tmp_path: Path, seed: int
) -> None:
    instants = random.Random(seed)
    rows = decisions(busy)
    plan = plan_of(rows, tmp_path)
    kill_at(busy, str(tmp_path), instants.randint(1, 250), instants.uniform(0, 0.02))
    settled = read_ledger(tmp_path, plan.header.hash).counts().total()
    assert 0 <= busy.state()["effects"] - settled <= CONCURRENCY
    report = attempt(busy, plan)
    assert (report.resumed, report.counts) == (settled, {RowOutcome.UPDATED: 300})
    assert_each_changed_once(busy, rows)
    assert len(busy.journal()) == 300
    assert len(busy.requests(operation=SET_STATUS)) - 300 <= CONCURRENCY + 1
    assert sorted(last_results(plan)) == list(range(1, 301))
    assert segment_names(tmp_path) == ["ledger-00001.jsonl", "ledger-00002.jsonl"]


def test_killed_again_and_again_it_still_ends_with_one_effect_each(busy: SimulatorServer, tmp_path: Path) -> None:
    rows = decisions(busy)
    plan = plan_of(rows, tmp_path)
    for effects in (40, 150):
        kill_at(busy, str(tmp_path), effects)
    assert attempt(busy, plan).counts == {RowOutcome.UPDATED: 300}
    assert_each_changed_once(busy, rows)
    assert len(busy.requests(operation=SET_STATUS)) - 300 <= 2 * (CONCURRENCY + 1)
    opened = [json.loads((tmp_path / name).read_bytes().splitlines()[0]) for name in segment_names(tmp_path)]
    assert [line["segment"] for line in opened] == [1, 2, 3]


def test_guarded_rows_that_were_done_when_the_process_died_say_so(busy: SimulatorServer, tmp_path: Path) -> None:
    rows = decisions(busy)
    plan = plan_of(rows, tmp_path, guards=Guards(never_from=frozenset({"nothing"})))
    kill_at(busy, str(tmp_path), 60)
    in_doubt = set(changes(busy)) - {result.object_id for result in last_results(plan).values()}
    report = attempt(busy, plan)
    assert report.is_balanced
    assert report.counts[RowOutcome.UNCHANGED] == len(in_doubt) > 0
    doubtful = [result for result in last_results(plan).values() if result.outcome is RowOutcome.UNCHANGED]
    assert {result.object_id for result in doubtful} == in_doubt
    assert {result.reason for result in doubtful} == {
        "already so after an interruption; it may have been this run's own doing"
    }
    assert_each_changed_once(busy, rows)


def test_a_resume_after_the_keys_have_been_forgotten_reads_what_was_in_doubt_first(
    busy: SimulatorServer, tmp_path: Path
) -> None:
    rows = decisions(busy)
    plan = plan_of(rows, tmp_path)
    kill_at(busy, str(tmp_path), 60)
    in_doubt = set(changes(busy)) - {result.object_id for result in last_results(plan).values()}
    state = read_ledger(tmp_path, plan.header.hash)
    under_way = [row for row in range(1, 301) if row in state.begun]  # some of them were not sent yet
    assert 0 < len(in_doubt) <= len(under_way) <= CONCURRENCY
    busy.configure(idempotency_ttl_seconds=0.0)
    report = attempt(busy, plan, utc=lambda: datetime.now(UTC) + timedelta(hours=2))
    assert report.counts[RowOutcome.UNCHANGED] == len(in_doubt)
    assert len(busy.requests(operation=RETRIEVE)) == len(under_way)
    assert len(busy.journal()) == 300
    assert_each_changed_once(busy, rows)


def test_rows_that_had_failed_before_do_not_hide_those_in_doubt(persona: VirtualPersona, tmp_path: Path) -> None:
    """Thirty failures stand before the rows that a killed attempt had under way: these must still be looked at."""
    rows = decisions(persona, 50)
    plan = plan_of(rows, tmp_path)
    persona.script_fault("redirect", operation=SET_STATUS, times=30)
    attempt(persona, plan, concurrency=1)
    ledger = tmp_path / "ledger-00001.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    begun = [line for line in lines[81:] if b'"begun"' in line]
    ledger.write_bytes(b"".join(lines[:81] + begun))  # as if killed with the last ten rows done but not noted
    assert len(begun) == 10
    persona.configure(idempotency_ttl_seconds=0.0)
    before = len(persona.journal())
    report = attempt(persona, plan, utc=lambda: persona.utc() + timedelta(hours=2))
    assert report.counts == {RowOutcome.UPDATED: 40, RowOutcome.UNCHANGED: 10}
    assert len(persona.journal()) == before + 30
    assert_each_changed_once(persona, rows)


def test_failed_rows_are_taken_up_again_under_new_keys(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = decisions(persona, 20)
    typo, *right = rows
    plan = plan_of([typo | {"status": "Aproved"}, *right], tmp_path)
    persona.script_fault("http_500", case_id=right[0]["case_id"], operation=SET_STATUS, times=6)
    first = attempt(persona, plan)
    assert first.counts == {RowOutcome.UPDATED: 18, RowOutcome.FAILED: 2}
    again = attempt(persona, plan)
    assert again.counts == {RowOutcome.UPDATED: 19, RowOutcome.FAILED: 1}
    assert (again.requests, again.resumed) == (2, 18)
    keys = [request.idempotency_key for request in persona.requests(case_id=typo["case_id"])]
    assert len(keys) == len(set(keys)) == 2
    assert [last_results(plan)[number].generation for number in (1, 2, 3)] == [1, 6, 0]
    assert changes(persona) == Counter(row["case_id"] for row in right)


def test_a_run_in_an_object_store_survives_sigkill_too(busy: SimulatorServer, tmp_path: Path) -> None:
    folder = shelf_path(f"shelf://{tmp_path}/state")
    rows = decisions(busy)
    plan: Plan = plan_of(rows, folder)
    kill_at(busy, str(folder), 120, 0.01)
    settled = read_ledger(folder, plan.header.hash).counts().total()
    assert 0 < busy.state()["effects"] - CONCURRENCY <= settled < 300
    assert attempt(busy, plan).counts == {RowOutcome.UPDATED: 300}
    assert_each_changed_once(busy, rows)
    assert len(busy.requests(operation=SET_STATUS)) - 300 <= CONCURRENCY + 1
    assert segment_names(folder) == ["ledger-00001.jsonl", "ledger-00002.jsonl"]
