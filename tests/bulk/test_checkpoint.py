"""Checkpoints: what they say survives the way to Airflow's task state and back, and their size is bounded."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import threading
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from bulk_runs import decisions, plan_of

from airflow_provider_persona.api.rate_limit import WindowBudget
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.ledger.checkpoint import LARGEST_MAP, Checkpoint, CheckpointKeeper
from airflow_provider_persona.bulk.ledger.ledger import AttemptEnd, read_ledger
from airflow_provider_persona.client import AsyncPersonaClient
from persona_simulator import SANDBOX_KEY, SimulatorServer

BASE = Checkpoint("d/r/t/1", "content", "plan", "/plan.jsonl", "2026-01-05T08:00:00+00:00", 1_000_000)


def stretches(settled: list[bool]) -> list[list[int]]:
    found: list[list[int]] = []
    for row, is_settled in enumerate(settled):
        if is_settled and found and found[-1][1] == row - 1:
            found[-1][1] = row
        elif is_settled:
            found.append([row, row])
    return found


def there_and_back(checkpoint: Checkpoint) -> Checkpoint:
    found = Checkpoint.from_json(json.loads(json.dumps(checkpoint.to_json())))
    assert found is not None
    return found


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_stretches_and_generations_come_back_as_they_were(share: float) -> None:
    chance = random.Random(7)
    settled = stretches([False, *(chance.random() < share for _ in range(3000))])
    generations = {str(row): chance.randint(1, 9) for row in chance.sample(range(1, 3000), 200)}
    checkpoint = replace(BASE, settled=settled, generations=generations, counts={"updated": 9}, concurrency=24)
    found = there_and_back(checkpoint)
    assert found.settled == settled
    assert found.generations == {row: generations[row] for row in sorted(generations, key=int)}
    assert (found.counts, found.concurrency) == ({"updated": 9}, 24)


@pytest.mark.parametrize(("generation", "kept"), [(0, {}), (255, {"7": 255}), (256, {"7": 255}), (4000, {"7": 255})])
def test_a_generation_that_no_row_gets_to_is_kept_as_the_highest_of_a_byte(
    generation: int, kept: dict[str, int]
) -> None:
    assert there_and_back(replace(BASE, generations={"7": generation})).generations == kept


def test_every_second_row_failing_takes_little_room() -> None:
    settled = [[row, row] for row in range(1, 1_000_000, 2)]
    generations = {str(row): 1 for row in range(2, 1_000_000, 2)}
    text = json.dumps(replace(BASE, settled=settled, generations=generations).to_json())
    assert len(text) < 8 * 1024


def test_no_pattern_of_failures_makes_it_larger_than_its_bound() -> None:
    chance = random.Random(7)
    settled = stretches([False, *(chance.random() < 0.5 for _ in range(1_000_000))])
    checkpoint = replace(BASE, settled=settled, counts={"updated": 500_000}, concurrency=24)
    record = checkpoint.to_json()
    assert len(json.dumps(record)) < LARGEST_MAP
    found = there_and_back(checkpoint)
    # It covers no row, so any row may have been under way.
    assert (found.settled, found.counts, found.concurrency) == ([], {}, 1_000_000)


@pytest.mark.parametrize("odd", [None, [], {}, {"format": 99}, {"format": 2}, {"format": 2, "settled": "?"}])
def test_what_is_no_checkpoint_is_none(odd: object) -> None:
    assert Checkpoint.from_json(odd) is None


def test_the_first_format_is_read() -> None:
    record = {**BASE.to_json(), "format": 1, "settled": [[1, 3]], "generations": {"4": 2}}
    found = Checkpoint.from_json(record)
    assert found is not None
    assert (found.settled, found.generations) == ([[1, 3]], {"4": 2})


@pytest.mark.parametrize("given", [1, 2])
@pytest.mark.parametrize(
    ("name", "odd"),
    [
        *(("run", odd) for odd in (None, 5, "", "d/r/t/x", "d/r/t/-1", "d/r/t/" + "9" * 5000)),
        *(("counts", odd) for odd in (None, [], {"nope": 1}, {"updated": "x"}, {"updated": -1}, {"updated": None})),
        *(("settled", odd) for odd in (None, 5, [None], [[3, 1]], [["1", "2"]], [[1, 10**12]], [[-5, 3]], "A" * 10**6)),
        *(("generations", odd) for odd in (None, 5, [1], {"x": 1}, {"1": None}, {"-1": 1}, {"9" * 12: 1}, "?")),
        *(("concurrency", odd) for odd in (None, "5", -1, True, 10**12)),
        *(("rows", odd) for odd in (None, "5", -1, 1.5)),
        *((name, odd) for name in ("plan", "progress", "created_at", "end", "content_hash") for odd in (5, ["x"])),
        ("at", "yesterday"),
        ("at", None),
        ("limit_use", []),
        ("unknown", 1),
    ],
)
def test_a_damaged_checkpoint_tells_nothing_and_this_is_said(
    name: str, odd: object, given: int, caplog: pytest.LogCaptureFixture
) -> None:
    record = {**BASE.to_json(), "settled": [[1, 3]], "generations": {"4": 2}, "format": given}
    assert Checkpoint.from_json(record) is not None
    assert Checkpoint.from_json(record | {name: odd}) is None
    assert "is damaged and tells nothing" in caplog.text


def test_a_small_map_that_unpacks_to_much_is_bounded() -> None:
    bomb = base64.b64encode(zlib.compress(b"\1" * 300_000_000, 9)).decode()
    assert Checkpoint.from_json({**BASE.to_json(), "settled": bomb}) is None


def test_a_save_that_was_cut_off_does_not_replace_the_one_after_it() -> None:
    """A cancellation ends the wait for a save, and not the thread that makes it."""
    saved: list[Checkpoint] = []

    class Slow:
        def load(self) -> None:
            return None

        def save(self, checkpoint: Checkpoint) -> None:
            time.sleep(0.2 if checkpoint is first else 0)
            saved.append(checkpoint)

    async def is_newest() -> None:
        return None

    async def go() -> None:
        cut_off = asyncio.create_task(keeper.save())
        await asyncio.sleep(0.05)
        cut_off.cancel()
        await keeper.save()

    first, second = replace(BASE, counts={"updated": 1}), replace(BASE, counts={"updated": 2})
    snapshots = iter([first, second])
    keeper = CheckpointKeeper(Slow(), lambda: next(snapshots), is_newest, covers_rows=False)
    asyncio.run(go())
    assert saved == [first, second]


def test_that_the_first_plan_was_of_other_rows_survives_the_loss_of_the_second() -> None:
    assert there_and_back(replace(BASE, is_of_other_rows=True)).to_carry(BASE.content_hash)["is_of_other_rows"]
    assert "is_of_other_rows" not in BASE.to_json()


@pytest.mark.parametrize(("covers_rows", "saves"), [(True, [1, 5]), (False, [])])
def test_rows_that_are_settled_together_share_a_save(covers_rows: bool, saves: list[int]) -> None:
    """The first row is saved alone, and those that come meanwhile in one go: Airflow's API answers each save."""
    noted, saved = 0, []

    class Store:
        def load(self) -> None:
            return None

        def save(self, checkpoint: Checkpoint) -> None:
            saved.append(checkpoint.counts["updated"])

    async def is_newest() -> None:
        return None

    async def settle() -> None:
        nonlocal noted
        noted += 1
        await keeper.settled()

    async def go() -> None:
        await asyncio.gather(*(settle() for _ in range(5)))

    snapshot = lambda: replace(BASE, counts={"updated": noted})  # noqa: E731
    keeper = CheckpointKeeper(Store(), snapshot, is_newest, covers_rows)
    asyncio.run(go())
    assert saved == saves


def test_a_task_that_must_stop_does_not_wait_for_a_checkpoint_that_hangs(
    served_persona: SimulatorServer, tmp_path: Path
) -> None:
    """What ends it is the stop, and not that the checkpoint could not be kept in time."""
    must_stop, ended = threading.Event(), threading.Event()

    class Hanging:
        def load(self) -> None:
            return None

        def save(self, checkpoint: Checkpoint) -> None:
            if must_stop.is_set():
                ended.wait(60)

    async def go() -> None:
        settings = PersonaSettings.checked(api_key=SANDBOX_KEY, host=served_persona.url, reserve=0.0)
        async with AsyncPersonaClient(settings, budget=WindowBudget(0.0)) as client:
            task = asyncio.create_task(apply_plan(plan, client, ApplyOptions(), checkpoints=Hanging()))
            while not served_persona.journal():  # noqa: ASYNC110 - the server has a thread of its own
                await asyncio.sleep(0.01)
            must_stop.set()
            task.cancel()
            try:
                await task
            finally:
                ended.set()

    rows = decisions(served_persona, 200)
    plan = plan_of(rows, tmp_path)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(go())
    assert read_ledger(plan.folder, plan.header.hash).end is AttemptEnd.STOPPED
    assert 0 < len(served_persona.journal()) < 200
