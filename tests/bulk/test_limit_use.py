"""The record of the request limit: what a run notes of each window, in bounded room, and what is taken for a record."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue, TypeAdapter

from airflow_provider_persona.api.rate_limit import WindowBudget
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.ledger.checkpoint import Checkpoint
from airflow_provider_persona.bulk.ledger.limit_use import MOST, LimitSample, LimitUse, limit_use_of
from persona_simulator import SimulatorConfig
from tests.bulk.bulk_runs import decisions, plan_of
from tests.virtual_time import VirtualPersona

BEGAN = datetime(2026, 11, 27, 8, tzinfo=UTC)
LIMIT, RESERVE = 60, 0.2


STORED = TypeAdapter(JsonValue)
"""What Airflow's task state checks a value against, where a worker sends it to the API."""


class Kept:
    """Keeps the last checkpoint as Airflow does: as JSON."""

    def __init__(self) -> None:
        self.record: Any = None

    def load(self) -> Checkpoint | None:
        return Checkpoint.from_json(self.record)

    def save(self, checkpoint: Checkpoint) -> None:
        self.record = json.loads(STORED.dump_json(STORED.validate_python(checkpoint.to_json())))


def _noted(count: int, pause: float = 5.0) -> list[LimitSample]:
    """Samples of windows of a minute that are used up in 20 s and then waited out."""
    use = LimitUse(RESERVE)
    for number in range(count):
        seconds = number * pause
        use.note(BEGAN + timedelta(seconds=seconds), number, (300, max(60, 300 - int(seconds % 60 * 12))))
    return limit_use_of(json.loads(json.dumps(use.to_json())))[1]


def test_a_run_notes_how_full_each_window_was_and_never_takes_the_reserve(tmp_path: Path) -> None:
    sim = VirtualPersona(SimulatorConfig(cases=400, limit=LIMIT))
    plan, kept = plan_of(decisions(sim), tmp_path), Kept()

    async def go() -> None:
        async with sim.client(budget=WindowBudget(RESERVE)) as client:
            await apply_plan(plan, client, ApplyOptions(concurrency=8), utc=sim.utc, checkpoints=kept)

    sim.run(go())
    reserve, samples = limit_use_of(kept.record["limit_use"])
    assert reserve == RESERVE
    assert len(samples) > 20
    assert all(one.at < other.at and one.sent <= other.sent for one, other in pairwise(samples))
    assert {sample.limit for sample in samples} == {LIMIT}
    assert min(sample.remaining for sample in samples) == LIMIT * RESERVE
    assert samples[-1].sent == len(sim.requests())


@pytest.mark.parametrize("count", [1, 150, MOST - 1, MOST, 1000, 100_000])
def test_its_room_is_bounded_however_long_a_run_takes(count: int) -> None:
    samples = _noted(count)
    assert min(count, MOST // 2) <= len(samples) < MOST
    assert len(json.dumps(samples)) < 8 * 1024
    pauses = [other.at - one.at for one, other in pairwise(samples)]
    assert all(pause > 0 for pause in pauses)
    if count > 20:
        assert min(sample.remaining for sample in samples) == 60, "the fullest windows stay"
        assert samples[0].at - BEGAN.timestamp() < 0.02 * 5 * count + 10
        assert BEGAN.timestamp() + 5 * count - samples[-1].at < 0.05 * 5 * count + 10


def test_what_is_not_known_is_no_sample() -> None:
    use = LimitUse(RESERVE)
    use.note(BEGAN, 0, None)
    use.note(BEGAN, 0, (0, 0))
    assert use.to_json()["samples"] == []


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {"reserve": "much", "samples": 3},
        {"reserve": True, "samples": [3, None, [], [1, 2, 3], ["1", 2, 3, 4]]},
        {"reserve": 7, "samples": [[1, 2, 0, 0], [1, 2, 3, 4], [-1, 2, 3, 3], [1, True, 3, 3], [1, 2.5, 3, 3]]},
        {"reserve": -0.1, "samples": [[10**12, 2, 3, 3]]},
        {"reserve": 1, "samples": [[10**11, 2, 3, 3]]},
    ],
)
def test_what_is_no_record_is_none(record: object) -> None:
    assert limit_use_of(record) == (None, [])


@pytest.mark.parametrize("sample", [(0, 0, 1, 0), (10**11 - 1, 5, 3, 3)])
def test_the_least_and_the_most_that_a_record_may_hold_is_read(sample: tuple[int, ...]) -> None:
    assert limit_use_of({"reserve": 0, "samples": [list(sample)]}) == (0.0, [LimitSample(*sample)])


def test_a_record_that_somebody_made_long_is_cut() -> None:
    assert len(limit_use_of({"samples": [[1, 1, 1, 1]] * 10_000})[1]) == MOST


def test_a_checkpoint_of_before_is_read_and_has_none() -> None:
    record = Checkpoint("d/r/t/1", "c", "h", "/plan.jsonl", "2026-01-05T08:00:00+00:00", 1).to_json()
    del record["limit_use"]
    found = Checkpoint.from_json(record)
    assert found is not None
    assert limit_use_of(found.limit_use) == (None, [])
