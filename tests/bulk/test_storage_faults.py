"""Whatever the storage of a run does at any instant: nothing is lost, done twice or told untruly, and a retry goes on.

The faults are those of `storms.py`: in the folder of a run (plan, values, ledger, checkpoint) on a disk or in an object
store. Each attempt but the last has one; it may end with an error that names the path, the kind and what to do.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from bulk_runs import attempt, case_rows, decisions, plan_of
from lengths import SOAK, STORMS
from object_shelf import Shelf, shelf_path
from storms import IN_A_STORE, ON_DISK, Storm, lose_tail
from strange_persona import BehindFirewall
from trials import End, Trial

from airflow_provider_persona.api.messages import Outcome
from airflow_provider_persona.bulk.plan.file import PlanHeader
from airflow_provider_persona.bulk.plan.spool import Spool
from airflow_provider_persona.bulk.plan.write import write_spooled
from airflow_provider_persona.client.transport import Sending
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.storage.segments import SegmentedLog, SegmentWriter
from tests.storage.full_disk import files_of_at_most

_SAYS_ALL = re.compile(
    r"/.+ cannot be (written to|read) \((\w+: .+|\w+Error)\); check .+, then retry$"
    r"|is there already: another attempt|a newer attempt|another attempt's plan"
)


def _storm_over(trial: Trial, storm: Storm) -> AbstractContextManager[Storm]:
    return storm.over_a_store() if trial.store else storm.over_a_disk()


def _weather(trial: Trial, struck: Counter[str]) -> None:
    """Make an attempt in a storm."""
    storm = Storm.of(trial.chance, IN_A_STORE if trial.store else ON_DISK, trial.folder)
    after = trial.chance.choice((1e6, trial.chance.uniform(0, 0.2)))
    error: StoreError | None = None
    try:
        trial.ended(End.STOPPED, after, _storm_over(trial, storm))
    except StoreError as raised:
        error = raised
    if error is not None:
        assert storm.struck, error
        assert error.retryable
        assert _SAYS_ALL.search(str(error)), error
        struck["an attempt that ended"] += 1
    struck[storm.fault] += storm.struck > 0


def _lost_tail(trial: Trial, struck: Counter[str]) -> None:
    """Make an attempt that is killed by a loss of power."""
    before = trial.deaths[End.KILLED]
    trial.ended(End.KILLED, trial.chance.uniform(0, 0.2))
    was_killed = trial.deaths[End.KILLED] > before
    if was_killed and not trial.is_creating and trial.store == "":
        struck["a lost tail"] += lose_tail(trial.folder, trial.chance)


@pytest.mark.timeout(3600 if SOAK else 600)
@pytest.mark.parametrize("store", ["", "shelf:"], ids=["disk", "object store"])
def test_no_fault_of_storage_loses_a_row_or_does_one_twice_or_tells_an_untruth(tmp_path: Path, store: str) -> None:
    struck = Counter[str]()
    for seed in range(STORMS):
        trial = Trial(seed, tmp_path / str(seed), store)
        for _ in range(trial.chance.choice((1, 1, 2, 3))):
            (_lost_tail if trial.chance.random() < 0.2 else _weather)(trial, struck)
            trial.meanwhile()
        try:
            report = trial.ended(End.STOPPED, 1e6)
            assert report is not None
            assert report.rows == report.settled
            trial.assert_true(report)
        except Exception as error:
            raise AssertionError(f"seed {seed}, {trial.job.to_line()[:600]}: {error!r}") from error
    expected = set(IN_A_STORE) if store else {*ON_DISK, "a lost tail"}
    if STORMS >= 40:
        assert not expected - set(struck), struck
    assert struck["an attempt that ended"] > STORMS / 10, struck


def test_a_segment_of_an_object_store_that_cannot_be_put_anew_stays_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def write() -> None:
        await writer.open()
        await writer.put({"row": 1})
        with monkeypatch.context() as closed:
            closed.setattr(Shelf, "before", staticmethod(_refuse_puts))
            with pytest.raises(StoreError, match=r"cannot be written to \(PermissionError\); check"):
                await writer.put({"row": 2})
        assert [line for _, line in log.lines()][1:] == [{"row": 1}]
        await writer.put({"row": 3})

    log = SegmentedLog(shelf_path(f"shelf:{tmp_path}"), "ledger")
    writer = SegmentWriter(log, 1, {})
    asyncio.run(write())
    assert [line for _, line in log.lines()][1:] == [{"row": 1}, {"row": 2}, {"row": 3}]


def _refuse_puts(operation: str, _: str) -> None:
    if operation == "put":
        raise PermissionError("Access denied")


def test_a_stale_listing_hides_no_segment_and_none_is_overwritten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = SegmentedLog(shelf_path(f"shelf:{tmp_path}"), "ledger")
    for number in (1, 2, 3):
        asyncio.run(SegmentWriter(log, number, {"attempt": number}).open())
    monkeypatch.setattr(Shelf, "listing", staticmethod(lambda _path, found: found[:0]))
    assert log.last == 3
    assert [line["attempt"] for _, line in log.lines() if line is not None] == [1, 2, 3]
    with pytest.raises(StoreError, match="a newer attempt of this task is at work"):
        asyncio.run(SegmentWriter(log, 3, {"attempt": 4}).open())
    assert [line["attempt"] for _, line in log.lines() if line is not None] == [1, 2, 3]


def test_a_full_disk_under_the_spool_is_said() -> None:
    rows = ({"case_id": f"case_{number}", "status": "Approved", "fields": {"a": "x" * 5000}} for number in range(2000))
    with Spool() as spool, files_of_at_most(100_000), pytest.raises(StoreError, match="a temporary file cannot be"):
        spool.fill(enumerate(case_rows(rows), 1))


@pytest.mark.parametrize("with_values", [True, False])
def test_a_full_disk_under_the_lines_of_a_plan_is_said(tmp_path: Path, with_values: bool) -> None:
    """They wait in buffers of files without a name, which are written when the first of them is read again."""
    more = {"assignee": "x"} if with_values else {}
    header = PlanHeader("run", "source", None, "2026-01-05T08:00:00+00:00")
    with Spool() as spool:
        spool.fill(
            enumerate(case_rows({"case_id": f"case_{number}", "status": "Approved", **more} for number in range(9)), 1)
        )
        with files_of_at_most(10), pytest.raises(StoreError, match="a temporary file cannot be written"):
            write_spooled(spool, tmp_path, header)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("gone", ["the folder", "the ledger", "its name"])
@pytest.mark.parametrize("request_number", [30, 120], ids=["in the middle", "while the last rows are under way"])
def test_a_run_without_a_ledger_sends_nothing_more_and_does_not_succeed(
    tmp_path: Path, gone: str, request_number: int
) -> None:
    """A deleted file takes each line that is written to it, and keeps none."""
    sent, folder = Counter[str](), tmp_path / "run"

    def counted(_: Sending, answer: Outcome) -> Outcome:
        sent["requests"] += 1
        if sent["requests"] == request_number:
            _take_away(folder, gone)
        return answer

    persona = BehindFirewall(counted, cases=120)
    plan = plan_of(decisions(persona), folder)
    with pytest.raises(StoreError, match=r"ledger-00001.jsonl, cannot be written to \(FileNotFoundError\)") as error:
        attempt(persona, plan, concurrency=4)
    assert error.value.retryable
    assert sent["requests"] < request_number + 4


def _take_away(folder: Path, gone: str) -> None:
    if gone == "the folder":
        shutil.rmtree(folder)
    elif gone == "the ledger":
        (folder / "ledger-00001.jsonl").unlink()
    else:
        folder.rename(folder.with_name("moved"))
