"""What a run tells of itself: the time left is about right from the first answer on, and no line repeats another."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.apply.telling import Telling
from airflow_provider_persona.bulk.ledger.checkpoint import Checkpoint
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.ledger.report import Progress, Report
from persona_simulator import SimulatorConfig
from tests.bulk.bulk_runs import decisions, header_of, plan_of
from tests.virtual_time import VirtualPersona, VirtualTime

WINDOW = 60


class Told:
    """Takes the lines of a run, with the seconds at which they came."""

    def __init__(self, sim: VirtualPersona) -> None:
        self._now = sim.time.now
        self.lines: list[tuple[float, Progress]] = []

    def __call__(self, progress: Progress) -> None:
        self.lines.append((self._now(), progress))


class Kept:
    """Keeps the last checkpoint, as a task's state does."""

    def __init__(self) -> None:
        self.last: Checkpoint | None = None

    def load(self) -> Checkpoint | None:
        return self.last

    def save(self, checkpoint: Checkpoint) -> None:
        self.last = checkpoint


def _run(sim: VirtualPersona, plan: Any, told: Callable[[Progress], None], **more: Any) -> Report:
    options = ApplyOptions(concurrency=8, sample=more.pop("sample", None))

    async def go() -> Report:
        async with sim.client() as client:
            return await apply_plan(plan, client, options, on_progress=told, utc=sim.utc, **more)

    return sim.run(go())


def _run_for(sim: VirtualPersona, plan: Any, seconds: float, **more: Any) -> None:
    async def go() -> None:
        async with sim.client() as client:
            await asyncio.wait_for(
                apply_plan(plan, client, ApplyOptions(concurrency=8), utc=sim.utc, **more), timeout=seconds
            )

    with pytest.raises(TimeoutError):
        sim.run(go())


def _assert_honest(told: Told, ended: float) -> None:
    """Hold what was said to be left against what it took; a window more or less is as good as can be known."""
    assert len(told.lines) > 3
    for at, progress in told.lines:
        assert progress.left is not None, progress
        assert abs(progress.left - (ended - at)) <= WINDOW + 0.1 * (ended - at), (at, ended, str(progress))


@pytest.fixture
def sim() -> VirtualPersona:
    return VirtualPersona(SimulatorConfig(cases=400, limit=50, window_seconds=WINDOW))


def test_the_time_left_is_right_from_the_first_line_on(sim: VirtualPersona, tmp_path: Path) -> None:
    told = Told(sim)
    _run(sim, plan_of(decisions(sim), tmp_path), told)
    assert sim.time.now() > 5 * WINDOW
    _assert_honest(told, sim.time.now())


def test_it_is_right_after_a_resume_into_a_window_that_is_used_up(sim: VirtualPersona, tmp_path: Path) -> None:
    plan, told = plan_of(decisions(sim), tmp_path), Told(sim)
    _run_for(sim, plan, 2.5 * WINDOW)
    _run(sim, plan, told)
    assert told.lines[0][1].done > 50
    _assert_honest(told, sim.time.now())


def test_it_counts_what_others_use_of_each_window(sim: VirtualPersona, tmp_path: Path) -> None:
    plan, told = plan_of(decisions(sim, 200), tmp_path), Told(sim)

    async def others(client: Any) -> None:
        while True:
            for _ in range(25):
                await client.call("list-all-rate-limits")
            await asyncio.sleep(WINDOW)

    async def go() -> None:
        async with sim.client() as client, sim.client() as other:
            busy = asyncio.create_task(others(other))
            await apply_plan(plan, client, ApplyOptions(concurrency=8), on_progress=told, utc=sim.utc)
            busy.cancel()

    sim.run(go())
    ended = sim.time.now()
    late = [(at, progress) for at, progress in told.lines if at > 2.5 * WINDOW]
    assert late
    for at, progress in late:
        assert abs((progress.left or 0) - (ended - at)) <= 1.5 * WINDOW, (at, ended, str(progress))


def test_no_line_repeats_the_one_before_and_later_ones_are_rarer(sim: VirtualPersona, tmp_path: Path) -> None:
    told = Told(sim)
    report = _run(sim, plan_of(decisions(sim), tmp_path), told)
    states = [(progress.done, progress.waits_for is None) for _, progress in told.lines]
    assert all(one != other for one, other in pairwise(states))
    for (at, before), (later, after) in pairwise(told.lines):
        assert later <= 61 or later - at >= 30 or after.done - before.done >= 0.05 * report.rows


def test_a_wait_without_end_says_so_again_after_minutes(tmp_path: Path) -> None:
    sim = VirtualPersona(SimulatorConfig(cases=50, limit=20, window_seconds=800))
    told = Told(sim)
    _run(sim, plan_of(decisions(sim), tmp_path), told)
    assert 2 <= sum(progress.done == told.lines[0][1].done for _, progress in told.lines) <= 5


def test_the_state_says_how_a_run_ended_and_how_many_failed(sim: VirtualPersona, tmp_path: Path) -> None:
    rows = decisions(sim, 60)
    rows[3]["case_id"] = "case_none"
    plan, kept = plan_of(rows, tmp_path), Kept()
    _run_for(sim, plan, 30, checkpoints=kept)
    assert kept.last is not None
    assert kept.last.progress.startswith("Stopped")
    _run(sim, plan, Told(sim), checkpoints=kept)
    # Of its end, and not of its plan: that is how old the idempotency keys of its last rows are taken to be.
    assert abs(sim.utc() - datetime.fromisoformat(kept.last.at)) < timedelta(seconds=2)
    assert kept.last.progress.startswith("Done, and too many rows failed")
    assert "60 of 60 rows, 1 failed" in kept.last.progress


def test_the_state_says_that_only_a_sample_was_meant(sim: VirtualPersona, tmp_path: Path) -> None:
    kept = Kept()
    _run(sim, plan_of(decisions(sim, 60), tmp_path), Told(sim), checkpoints=kept, sample=10)
    assert kept.last is not None
    assert kept.last.progress.startswith("Done with the sample at ")


def test_a_state_that_nobody_closed_says_when_it_was_written(sim: VirtualPersona, tmp_path: Path) -> None:
    states: list[str] = []

    class Kept2(Kept):
        def save(self, checkpoint: Checkpoint) -> None:
            states.append(checkpoint.progress)

    _run(sim, plan_of(decisions(sim, 60), tmp_path), Told(sim), checkpoints=Kept2())
    assert states[0].startswith("Under way at 08:00:0")
    assert states[-1].startswith("Done at ")


def test_after_a_kill_the_next_attempt_says_where_the_last_one_was(
    sim: VirtualPersona, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_of(decisions(sim, 80), tmp_path)
    with caplog.at_level("INFO"):
        _run_for(sim, plan, 30)
    assert "Stopped at" in caplog.text
    assert "was killed" not in caplog.text
    (ledger,) = tmp_path.rglob("ledger-*.jsonl")
    lines = ledger.read_text().splitlines(keepends=True)
    assert '"end"' in lines[-1]
    ledger.write_text("".join(lines[:-1]))  # as a kill leaves it
    with caplog.at_level("INFO"):
        _run(sim, plan, Told(sim))
    assert "was killed, or lost its machine, at 50 of 80 rows" in caplog.text


def test_each_look_is_told_in_the_first_minute_and_then_one_in_half_a_minute_or_after_a_twentieth_of_the_rows() -> None:
    looks = [(10, 1), (20, 1), (50, 2), (60, 3), (61, 4), (89, 4), (90, 4), (95, 8), (96, 9), (395, 9), (396, 9)]
    time, told = VirtualTime(), list[Progress]()
    client = VirtualPersona().client(clock=time.now)
    telling = Telling(client, header_of(rows=100, planned={"change": 100}), ApplyOptions(), told.append)
    found = []
    for at, done in looks:
        time.pass_by(at - time.now())
        telling.tell(Counter({RowOutcome.UPDATED: done}))
        found += [(at, done)] if told else []
        told.clear()
    # The last one says no more than that the attempt is alive.
    assert found == [(10, 1), (50, 2), (60, 3), (90, 4), (96, 9), (396, 9)]


@pytest.mark.parametrize(("changes", "done", "left"), [(10, 10, 0.0), (0, 10, 0.0), (0, 9, None), (10, 9, None)])
def test_no_time_is_left_once_all_rows_are_done_and_before_that_it_is_unknown_without_a_request(
    changes: int, done: int, left: float | None
) -> None:
    header = header_of(rows=10, planned={"change": changes, "unchanged": 10 - changes})
    telling = Telling(VirtualPersona().client(), header, ApplyOptions(), lambda _: None)
    assert telling.progress(Counter({RowOutcome.UNCHANGED: done})).left == left
