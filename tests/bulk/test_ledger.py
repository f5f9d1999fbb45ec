"""The ledger's own rules: segments, half a line, foreign plans; in a folder and in an object store."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bulk_runs import (
    CREATED,
    assert_each_changed_once,
    attempt,
    decisions,
    last_results,
    lines_of,
    plan_of,
    segment_names,
)
from object_shelf import Shelf, shelf_path

from airflow_provider_persona.api.rate_limit import WindowBudget
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.errors import PlanError
from airflow_provider_persona.bulk.ledger.ledger import (
    AttemptEnd,
    LedgerState,
    read_ledger,
    read_results,
)
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome, RowResult
from airflow_provider_persona.bulk.ledger.writer import LedgerWriter, unsynced_rows
from airflow_provider_persona.bulk.plan.file import PLAN_FILE, Plan
from airflow_provider_persona.client import AsyncPersonaClient
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.storage.paths import StorePath, as_local, prepare_folder
from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer

FULL = RowResult(
    row=3,
    object_id="case_3",
    outcome=RowOutcome.FAILED,
    from_status="Open",
    to_status="Geprüft",
    reason="Persona answered 422",
    http_status=422,
    request_ids=("req_1", "req_2"),
    generation=2,
    attempts=3,
    retryable=True,
    at=CREATED,
)


def write(
    folder: StorePath, results: list[RowResult], *, end: AttemptEnd | None = AttemptEnd.COMPLETE, first: int = 1
) -> None:
    async def go() -> None:
        ledger = LedgerWriter(folder, "hash", first, 24, CREATED)
        await ledger.open()
        await asyncio.gather(*(ledger.record(result) for result in results))
        if end is not None:
            await ledger.close(end, CREATED, {}, [])
        ledger.release()

    asyncio.run(go())


def updated(row: int) -> RowResult:
    return RowResult(row, f"case_{row}", RowOutcome.UPDATED, at=CREATED)


@pytest.fixture
def shelf(tmp_path: Path) -> StorePath:
    Shelf.puts.clear()
    folder: StorePath = shelf_path(f"shelf://{tmp_path}/state")
    prepare_folder(folder)
    return folder


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path, [FULL])
    assert list(read_results(tmp_path, "hash")) == [FULL]


def test_the_state_keeps_the_last_word_on_each_row_and_the_next_key(tmp_path: Path) -> None:
    write(tmp_path, [updated(1), FULL])
    write(tmp_path, [updated(9)], end=AttemptEnd.STOPPED, first=2)
    state = read_ledger(tmp_path, "hash")
    assert (state.last_segment, state.complete, state.in_doubt, state.last_at) == (2, False, 0, CREATED)
    assert state.counts() == {RowOutcome.UPDATED: 2, RowOutcome.FAILED: 1}
    assert [state.is_settled(row) for row in (1, 2, 3, 9, 99)] == [True, False, False, True, False]
    assert [state.generations.get(row) for row in (1, 3, 99)] == [None, 3, None]
    write(tmp_path, [updated(3)], first=3)
    state = read_ledger(tmp_path, "hash")
    assert state.counts() == {RowOutcome.UPDATED: 3}
    assert (state.complete, state.in_doubt) == (True, 0)


def test_no_ledger_is_an_empty_state(tmp_path: Path) -> None:
    state = read_ledger(tmp_path / "nowhere", "hash")
    assert (state.last_segment, state.complete, state.counts().total()) == (0, False, 0)


@pytest.mark.parametrize("cut", [1, 7, 60, -2])
def test_a_half_written_last_line_is_passed_over(tmp_path: Path, cut: int) -> None:
    write(tmp_path, [updated(1), updated(2)], end=None)
    path = tmp_path / "ledger-00001.jsonl"
    *whole, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole) + last[:cut])
    assert [result.row for result in read_results(tmp_path, "hash")] == [1]
    write(tmp_path, [updated(2)], first=2)
    assert read_ledger(tmp_path, "hash").counts() == {RowOutcome.UPDATED: 2}


def test_a_line_that_is_cut_within_a_letter_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, [FULL], end=None)
    path = tmp_path / "ledger-00001.jsonl"
    raw = path.read_bytes()
    path.write_bytes(raw[: raw.index("ü".encode()) + 1])
    assert list(read_results(tmp_path, "hash")) == []


def test_a_line_of_another_plan_among_those_of_this_one_is_damaged_and_settles_nothing(tmp_path: Path) -> None:
    write(tmp_path, [updated(1), updated(2), updated(3)])
    path = tmp_path / "ledger-00001.jsonl"
    opening, first, second, *rest = path.read_bytes().splitlines(keepends=True)
    foreign = second.replace(b'"plan":"hash"', b'"plan":"other"')
    assert foreign != second
    path.write_bytes(b"".join([opening, first, foreign, *rest]))
    state = read_ledger(tmp_path, "hash")
    assert ([state.is_settled(row) for row in (1, 2, 3)], state.damaged) == ([True, False, True], 1)
    assert [result.row for result in read_results(tmp_path, "hash")] == [1, 3]


def test_the_ledger_of_another_plan_is_refused_before_any_request(persona: SimulatorServer, tmp_path: Path) -> None:
    attempt(persona, plan_of(decisions(persona, 2), tmp_path))
    sent = len(persona.requests())
    (tmp_path / PLAN_FILE).unlink()
    other = plan_of(decisions(persona, 3), tmp_path)
    with pytest.raises(PlanError, match=r"ledger-00001\.jsonl is the ledger of another plan"):
        attempt(persona, other)
    assert len(persona.requests()) == sent


def test_a_new_segment_never_takes_the_place_of_one_that_is_there(persona: SimulatorServer, tmp_path: Path) -> None:
    plan = plan_of(decisions(persona, 4), tmp_path)
    for _ in range(3):
        attempt(persona, plan, dry_run=True)
    (tmp_path / "ledger-00001.jsonl").unlink()
    (tmp_path / "ledger-00003 (copy).jsonl").write_text("not a segment")
    third = (tmp_path / "ledger-00003.jsonl").read_bytes()
    attempt(persona, plan)
    assert segment_names(tmp_path) == ["ledger-00002.jsonl", "ledger-00003.jsonl", "ledger-00004.jsonl"]
    assert (tmp_path / "ledger-00003.jsonl").read_bytes() == third


def test_segments_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write(tmp_path, [updated(3)], first=100_000)
    write(tmp_path, [FULL], first=99_999)
    assert read_ledger(tmp_path, "hash").counts() == {RowOutcome.UPDATED: 1}


def test_what_is_no_local_path_is_never_taken_for_one(tmp_path: Path) -> None:
    from upath import UPath

    assert as_local(tmp_path) == tmp_path
    assert as_local(UPath(f"file://{tmp_path}")) == tmp_path
    assert as_local(UPath(str(tmp_path))) == tmp_path
    assert as_local(UPath("memory://bucket/key")) is None
    assert as_local(shelf_path(f"shelf://{tmp_path}")) is None


def test_in_an_object_store_a_segment_is_written_anew_and_a_new_one_begun_when_it_has_grown(shelf: StorePath) -> None:
    write(shelf, [updated(row) for row in range(1, 2601)])
    assert len(segment_names(shelf)) > 1
    assert read_ledger(shelf, "hash").counts() == {RowOutcome.UPDATED: 2600}
    assert read_ledger(shelf, "hash").complete
    openings = [json.loads((shelf / name).read_bytes().splitlines()[0]) for name in segment_names(shelf)]
    assert [line["segment"] for line in openings] == list(range(1, len(openings) + 1))
    assert all(line["plan"] == "hash" for line in openings)


def test_in_an_object_store_segments_stay_short(shelf: StorePath) -> None:
    async def go() -> None:
        ledger = LedgerWriter(shelf, "hash", 1, 24, CREATED)
        await ledger.open()
        for first in range(1, 2401, 24):
            await asyncio.gather(*(ledger.record(updated(row)) for row in range(first, first + 24)))
        await ledger.close(AttemptEnd.COMPLETE, CREATED, {}, [])

    asyncio.run(go())
    sizes = [len((shelf / name).read_bytes().splitlines()) for name in segment_names(shelf)]
    assert len(sizes) == 3
    assert all(1000 <= size < 1025 for size in sizes[:-1])
    assert sum(sizes) == 2400 + 3 + 1
    assert len(Shelf.puts) < 2400 / 8  # lines that come together are put together


def test_a_record_in_an_object_store_is_durable_when_its_writer_goes_on(shelf: StorePath) -> None:
    async def go() -> None:
        ledger = LedgerWriter(shelf, "hash", 1, 24, CREATED)
        await ledger.open()
        for row in (1, 2, 3):
            await ledger.begin(row, CREATED)
            assert read_ledger(shelf, "hash").begun.get(row) == CREATED
            await ledger.record(updated(row))
            assert read_ledger(shelf, "hash").begun.get(row) is None
            assert [result.row for result in read_results(shelf, "hash")] == list(range(1, row + 1))

    asyncio.run(go())


def _broken_off_in_memory(sim: SimulatorServer, plan: Plan, after: float) -> None:
    settings = PersonaSettings.checked(api_key=SANDBOX_KEY, host=sim.url, reserve=0.0)

    async def go() -> None:
        async with AsyncPersonaClient(settings, budget=WindowBudget(0.0)) as client, asyncio.timeout(after):
            await apply_plan(plan, client, ApplyOptions())

    with pytest.raises(TimeoutError):
        asyncio.run(go())


@pytest.fixture
def memory() -> Iterator[StorePath]:
    import fsspec
    from upath import UPath

    store = fsspec.filesystem("memory")
    folder: StorePath = UPath(f"memory://runs-{os.getpid()}/state")
    yield folder
    store.rm(f"/runs-{os.getpid()}", recursive=True)


def test_a_run_that_breaks_off_over_any_fsspec_store_goes_on_where_it_was(memory: StorePath) -> None:
    with SimulatorServer(SimulatorConfig(cases=300, limit=1_000_000, latency_ms=20)) as sim:
        rows = decisions(sim)
        plan = plan_of(rows, memory)
        _broken_off_in_memory(sim, plan, after=0.2)
        noted = read_ledger(memory, plan.header.hash).counts().total()
        assert 0 < noted < 300
        assert attempt(sim, plan).counts == {RowOutcome.UPDATED: 300}
        assert_each_changed_once(sim, rows)
        assert len(sim.requests()) <= 300 + 25
        assert len(last_results(plan)) == 300


def test_an_object_store_that_refuses_fails_the_run_before_its_first_request(
    persona: SimulatorServer, shelf: StorePath, tmp_path: Path
) -> None:
    plan = plan_of(decisions(persona, 5), shelf)
    (tmp_path / "state" / "closed").write_text("")
    with pytest.raises(StoreError, match=r"cannot be written to \(PermissionError\); check state_path"):
        attempt(persona, plan)
    with pytest.raises(StoreError):
        prepare_folder(shelf)
    assert persona.requests() == []


def test_a_folder_that_refuses_fails_the_run_before_its_first_request(persona: SimulatorServer, tmp_path: Path) -> None:
    plan = plan_of(decisions(persona, 5), tmp_path)
    with pytest.raises(StoreError, match=r"cannot be written to"):
        attempt(persona, replace(plan, folder=tmp_path / "gone"))
    assert persona.requests() == []


def test_a_run_that_meets_no_trouble_leaves_whole_lines_only(persona: SimulatorServer, tmp_path: Path) -> None:
    attempt(persona, plan_of(decisions(persona, 50), tmp_path))
    lines = lines_of(tmp_path / "ledger-00001.jsonl")
    assert sorted(line["row"] for line in lines if "row" in line) == list(range(1, 51))
    assert sorted(line["begun"] for line in lines if "begun" in line) == list(range(1, 51))
    assert len(lines) == 102


def test_doubt_is_as_old_as_the_earliest_attempt_that_broke_off(tmp_path: Path) -> None:
    state = LedgerState()
    state.begin_attempt("2026-01-05T00:00:00.000+00:00", 24)
    state.record(replace(updated(1), at="2026-01-05T00:10:00.000+00:00"))
    state.begin_attempt("2026-01-05T00:50:00.000+00:00", 24)
    state.record(replace(updated(2), at="2026-01-05T00:51:00.000+00:00"))
    state.begin_attempt("2026-01-05T00:50:00.000+00:00", 24)  # another segment of the same attempt
    assert state.in_doubt_since == "2026-01-05T00:10:00.000+00:00"
    state.end_attempt(AttemptEnd.FAILED)
    assert (state.in_doubt, state.in_doubt_since) == (0, None)


def test_an_attempt_that_left_nothing_in_doubt_makes_a_later_doubt_no_older() -> None:
    state = LedgerState()
    state.begin_attempt("2026-01-05T00:00:00.000+00:00", 24, notes_begun=True)
    state.end_attempt(AttemptEnd.STOPPED)
    state.begin_attempt("2026-01-05T00:50:00.000+00:00", 24)
    state.begin_attempt("2026-01-05T00:55:00.000+00:00", 24)
    assert (state.in_doubt, state.in_doubt_since) == (24, "2026-01-05T00:50:00.000+00:00")


def test_an_attempt_that_goes_on_in_another_segment_leaves_nothing_in_doubt_by_that() -> None:
    state = LedgerState()
    state.begin_attempt("2026-01-05T00:00:00.000+00:00", 24)
    state.begin_attempt("2026-01-05T00:00:00.000+00:00", 24)
    assert (state.in_doubt, state.in_doubt_since) == (24, None)


@pytest.mark.parametrize(
    ("ends", "hidden"),
    [
        ([None], 9),
        ([AttemptEnd.STOPPED], 0),
        ([None, AttemptEnd.STOPPED], 9),
        ([None, AttemptEnd.FAILED], 0),
        ([AttemptEnd.STOPPED, None], 9),
    ],
    ids=str,
)
def test_rows_may_be_hidden_after_an_attempt_without_a_closing_line_until_one_comes_to_its_end(
    tmp_path: Path, ends: list[AttemptEnd | None], hidden: int
) -> None:
    async def go(number: int, end: AttemptEnd | None) -> None:
        at = CREATED.replace("08", f"{8 + number:02d}")
        ledger = LedgerWriter(tmp_path, "hash", number, 24, at, unsynced=9)
        await ledger.open()
        await ledger.begin(number, at)
        if end is not None:
            await ledger.close(end, at, {}, [])
        ledger.release()

    for number, end in enumerate(ends, 1):
        asyncio.run(go(number, end))
    assert read_ledger(tmp_path, "hash").unsynced == hidden


def test_no_more_rows_are_begun_than_a_power_cut_may_hide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the file is at each sync, so much of it is there after a power cut."""
    path = tmp_path / "ledger-00001.jsonl"
    synced = [0]
    sync = os.fsync

    def note(file: int) -> None:
        size = path.stat().st_size
        sync(file)
        synced.append(size)

    async def work(rows: Iterator[int], ledger: LedgerWriter) -> None:
        for row in rows:
            await ledger.begin(row, CREATED)
            at_risk.append(path.read_bytes()[synced[-1] :].count(b"\n"))
            await asyncio.sleep(0)
            await ledger.record(updated(row))

    async def go() -> None:
        ledger = LedgerWriter(tmp_path, "hash", 1, 4, CREATED)
        await ledger.open()
        rows = iter(range(1, 1001))
        await asyncio.gather(*(work(rows, ledger) for _ in range(4)))
        ledger.release()

    at_risk: list[int] = []
    monkeypatch.setattr(os, "fsync", note)
    asyncio.run(go())
    assert 200 < max(at_risk) <= unsynced_rows(4)
    assert len(synced) < 12


def test_a_stop_is_heard_while_a_long_ledger_is_read(tmp_path: Path) -> None:
    def check_stop() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise asyncio.CancelledError

    asked: list[int] = []
    write(tmp_path, [updated(row) for row in range(1, 101)])
    path = tmp_path / "ledger-00001.jsonl"
    path.write_bytes(path.read_bytes() * 300)
    with pytest.raises(asyncio.CancelledError):
        read_ledger(tmp_path, "hash", check_stop=check_stop)
    assert read_ledger(tmp_path, "hash").counts() == {RowOutcome.UPDATED: 100}
