"""A run page by page: every row is found where it stands, whatever was damaged, and many rows need little memory."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from bulk_runs import CREATED, last_results, plan_of
from landed_folder import LANDED
from object_shelf import shelf_path

from airflow_provider_persona.bulk.errors import PlanError
from airflow_provider_persona.bulk.ledger.ledger import AttemptEnd, read_ledger
from airflow_provider_persona.bulk.ledger.outcomes import OWN_DOING, RowOutcome, RowResult
from airflow_provider_persona.bulk.ledger.row_index import Pace, RowFilter, RowIndex
from airflow_provider_persona.bulk.ledger.shown_rows import rows_of_plan
from airflow_provider_persona.bulk.ledger.writer import LedgerWriter
from airflow_provider_persona.bulk.plan.file import Plan, PlanHeader, hash_of, read_plan
from airflow_provider_persona.bulk.plan.seals import Sealer
from airflow_provider_persona.storage.paths import StorePath, prepare_folder
from airflow_provider_persona.storage.whole_files import write_whole

EVERYTHING = 1e9


def landed(name: str, folder: StorePath | None = None) -> Plan:
    found = read_plan(folder or LANDED / name)
    assert found is not None
    return found


def index_of(plan: Plan, *, with_ledger: bool = True) -> RowIndex:
    index = RowIndex(plan, with_ledger)
    assert index.read_on(EVERYTHING)
    return index


@pytest.fixture(params=["complete", "stopped", "killed-plain", "killed-guarded", "killed-create", "revertible"])
def plan(request: pytest.FixtureRequest) -> Plan:
    return landed(request.param)


def test_it_counts_what_the_ledger_counts(plan: Plan) -> None:
    index, state = index_of(plan), read_ledger(plan.folder, plan.header.hash)
    expected = {outcome.value: count for outcome, count in state.counts().items()}
    left = plan.header.rows - sum(expected.values())
    assert index.counts() == ({"open": left} if left else {}) | expected
    assert index.settled == sum(expected.values())
    assert index.end == (None if state.end is None else state.end.value)


def test_each_row_is_on_one_page_with_its_last_record(plan: Plan) -> None:
    index, last = index_of(plan), last_results(plan)
    total, rows = index.page(RowFilter(), 0, 10_000)
    assert total == len(rows) == plan.header.rows
    assert [row.number for row in rows] == list(plan.numbers())
    assert {row.number: row.result for row in rows if row.result} == last
    paged = [row for first in range(0, total, 7) for row in index.page(RowFilter(), first, 7)[1]]
    assert paged == rows
    assert sorted(index.results(), key=lambda result: result.row) == [last[number] for number in sorted(last)]


def test_filters_find_the_rows_that_they_name() -> None:
    plan = landed("complete")
    index, every = index_of(plan), index_of(plan).page(RowFilter(), 0, 100)[1]
    for state, count in index.counts().items():
        total, rows = index.page(RowFilter(state=state), 0, 100)
        assert total == count
        assert rows == [row for row in every if row.state == state]
    for reason, count in index.reasons():
        assert index.page(RowFilter(reason=reason), 0, 100)[0] == count
    for transition, count in index.transitions():
        found = index.page(RowFilter(transition=transition), 0, 100)[1]
        assert [f"{row.from_status} -> {row.to_status}" for row in found] == [transition] * count
    wanted = every[3].object_id
    assert [row.object_id for row in index.page(RowFilter(object_id=wanted), 0, 100)[1]] == [wanted]
    for nothing in (RowFilter(state="nonsense"), RowFilter(reason="?"), RowFilter(transition="?"), RowFilter("open")):
        assert index.page(nothing, 0, 100) == (0, [])


@pytest.mark.parametrize("with_ledger", [True, False])
def test_a_row_is_found_by_the_id_of_its_object(tmp_path: Path, with_ledger: bool) -> None:
    rows = [{"case_id": case_id, "status": "Open"} for case_id in ("case_1", None, "case_3", "case_4")]
    index = index_of(plan_of(rows, tmp_path), with_ledger=with_ledger)
    for number in (1, 3, 4):
        total, found = index.page(RowFilter(object_id=f"case_{number}"), 0, 100)
        assert (total, [row.number for row in found]) == (1, [number])
    assert index.page(RowFilter(object_id="case_2"), 0, 100) == (0, [])


def test_rows_of_each_outcome_and_open_ones_are_shown_and_found(tmp_path: Path) -> None:
    plan, each = long_run(tmp_path, 9), list(RowOutcome)
    (tmp_path / "ledger-00001.jsonl").unlink()

    async def note() -> None:
        ledger = LedgerWriter(tmp_path, plan.header.hash, 1, 24, CREATED)
        await ledger.open()
        await ledger.begin(9, CREATED)
        for row, outcome in enumerate(each, 1):
            await ledger.record(RowResult(row, f"case_{row}", outcome, "Open", "Approved", at=CREATED))
        ledger.release()

    asyncio.run(note())
    index = index_of(plan)
    total, rows = index.page(RowFilter(), 0, 100)
    states = [*each, "open", "open"]
    assert (total, [(row.number, row.state) for row in rows]) == (9, list(enumerate(states, 1)))
    for state in states:
        found = index.page(RowFilter(state=state), 0, 100)[1]
        assert [row.number for row in found] == [number for number, one in enumerate(states, 1) if one == state]
    assert index.counts() == Counter(states)
    assert (index.settled, index.transitions()) == (7, [("Open -> Approved", 2)])  # updated, and left by a sample


def test_a_plan_shows_what_was_intended_and_no_value() -> None:
    plan = landed("killed-guarded")
    assert plan.header.values_hash is not None
    index = index_of(plan, with_ledger=False)
    assert index.counts() == plan.header.planned
    assert dict(index.transitions()) == plan.header.transitions
    assert list(rows_of_plan(plan)) == index.page(RowFilter(), 0, 1000)[1]


@pytest.mark.parametrize("repeats", [0, 1, 2, 7])
def test_a_plan_with_collapsed_repeats_has_numbers_beyond_its_count_of_rows(tmp_path: Path, repeats: int) -> None:
    rows = [{"case_id": "case_1", "status": "Open"}] * (1 + repeats) + [{"case_id": "case_2", "status": "Open"}]
    index = index_of(plan_of(rows, tmp_path))
    total, shown = index.page(RowFilter(), 0, 100)
    assert (total, [(row.number, row.object_id) for row in shown]) == (2, [(1, "case_1"), (2 + repeats, "case_2")])


@pytest.mark.parametrize("name", ["complete", "stopped"])
def test_a_plan_shows_each_row_as_it_was_planned(name: str) -> None:
    plan = landed(name)
    shown = index_of(plan, with_ledger=False).page(RowFilter(), 0, 1000)[1]
    told = [(row.number, row.object_id, row.state, row.from_status, row.to_status, row.reason) for row in shown]
    assert told == [
        (row.number, row.object_id, row.planned.value, row.from_status, row.to_status, row.reason)
        for row in plan.rows()
    ]


def test_what_comes_to_the_ledger_is_read_on_and_half_a_line_waits(tmp_path: Path) -> None:
    for name in ("plan.jsonl", "ledger-00001.jsonl"):
        (tmp_path / name).write_bytes((LANDED / "complete" / name).read_bytes())
    ledger = tmp_path / "ledger-00001.jsonl"
    whole = ledger.read_bytes()
    lines = whole.splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    index = index_of(landed("", tmp_path))
    assert (index.settled, index.damaged, index.end) == (2, 0, None)
    ledger.write_bytes(whole)
    assert index.read_on(EVERYTHING)
    assert index.counts() == index_of(landed("complete")).counts()
    assert index.end == "complete"


def test_damaged_lines_are_counted_and_the_other_rows_are_shown(tmp_path: Path) -> None:
    for name in ("plan.jsonl", "ledger-00001.jsonl"):
        (tmp_path / name).write_bytes((LANDED / "complete" / name).read_bytes())
    ledger = tmp_path / "ledger-00001.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    lines[1:4] = [lines[1][:40] + b"\n", b'{"plan":[]}\n', lines[3].replace(b'"row":', b'"row":-')]
    lines.insert(5, b"\xff\x00\n")
    (tmp_path / "ledger-00001.jsonl").write_bytes(b"".join(line for line in lines if b'{"plan":[]}' not in line))
    index = index_of(landed("", tmp_path))
    assert index.damaged == 3
    assert index.counts()["open"] == 3
    assert index.page(RowFilter(), 0, 100)[0] == 13


def test_a_record_of_a_row_that_the_plan_has_not_harms_no_other(tmp_path: Path) -> None:
    """Also where it comes between the call for the records and their reading."""
    plan, ledger = long_run(tmp_path, 9), tmp_path / "ledger-00001.jsonl"
    index = index_of(plan)
    records = index.results()
    with ledger.open("a") as file:
        file.write(ledger.read_text().splitlines()[-1].replace('"row": 9', '"row": 10') + "\n")
    assert [record.row for record in records] == list(range(1, 10))
    for found in (index, index_of(plan)):
        assert found.read_on(EVERYTHING)
        assert [row.number for row in found.page(RowFilter(), 0, 9)[1]] == list(range(1, 10))


def test_the_ledger_of_another_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.jsonl").write_bytes((LANDED / "complete" / "plan.jsonl").read_bytes())
    (tmp_path / "ledger-00001.jsonl").write_bytes((LANDED / "stopped" / "ledger-00001.jsonl").read_bytes())
    with pytest.raises(PlanError, match="another plan"):
        index_of(landed("", tmp_path))


def test_object_stores_are_read_as_folders_are(tmp_path: Path) -> None:
    folder: StorePath = shelf_path(f"shelf://{tmp_path}/run")
    prepare_folder(folder)
    for path in (LANDED / "stopped").glob("*.jsonl"):
        write_whole(folder / path.name, path.read_bytes().splitlines())
    index = index_of(landed("", folder))
    assert index.page(RowFilter(), 0, 100) == index_of(landed("stopped")).page(RowFilter(), 0, 100)


def long_run(folder: Path, rows: int) -> Plan:
    """A plan of so many rows and its ledger; every hundredth row has failed."""
    sealer = Sealer()
    for number in range(1, rows + 1):
        sealer.add(_plan_line(number))
    header = PlanHeader(
        "dag/run/task@0/1", "rows", None, CREATED, rows=rows, planned={"change": rows}, content_hash="content"
    )
    header = replace(header, hash=hash_of(header, sealer.hexdigest()))
    with (folder / "plan.jsonl").open("wb") as file:
        file.write(json.dumps(header.to_json()).encode() + b"\n")
        file.writelines(_plan_line(number) + b"\n" for number in range(1, rows + 1))
    with (folder / "ledger-00001.jsonl").open("w") as ledger:
        opening = {"segment": 1, "plan": header.hash, "concurrency": 3, "at": CREATED, "notes_begun": True}
        ledger.write(json.dumps(opening) + "\n")
        line = json.dumps(
            {"plan": header.hash, "row": 0, "object_id": "ID", "from": "Open", "to": "Approved", "outcome": "updated"}
            | {"reason": "", "http_status": 200, "request_ids": ["req_0000000013"], "generation": 0, "attempts": 1}
            | {"retryable": False, "at": "2026-01-05T08:05:00.002+00:00"}
        )
        failed = line.replace('"updated"', '"failed"').replace('"reason": ""', '"reason": "Persona answered 422"')
        for number in range(1, rows + 1):
            filled = (line if number % 100 else failed).replace('"row": 0', f'"row": {number}')
            ledger.write(filled.replace('"ID"', f'"case_{number}"') + "\n")
    return landed("", folder)


def _plan_line(number: int) -> bytes:
    return b'{"row":%d,"object_id":"case_%d","from":"Open","wish":{"status":"Approved"}}' % (number, number)


def test_memory_grows_by_a_few_bytes_a_row_and_a_page_reads_its_own_lines(tmp_path: Path) -> None:
    rows = 8_000
    plan = long_run(tmp_path, rows)
    tracemalloc.start()
    try:
        index = index_of(plan)
        kept, highest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 40 * rows
    assert highest < 40 * rows + 1_500_000  # 500 lines at once, whatever the size of the files
    total, page = index.page(RowFilter(state="failed"), rows // 100 - 50, 50)
    assert total == rows // 100
    assert [row.number for row in page] == list(range(rows - 49 * 100, rows + 1, 100))
    assert index.reasons() == [("failed: Persona answered 422", rows // 100)]
    five_past = int(datetime(2026, 1, 5, 8, 5, tzinfo=UTC).timestamp())
    assert index.pace.stretches() == [(five_past, {"updated": rows - rows // 100, "failed": rows // 100})]


@pytest.mark.parametrize(("stretches", "seconds"), [(240, 10), (241, 20)])
def test_stretches_are_doubled_only_when_there_are_too_many(stretches: int, seconds: int) -> None:
    pace, began = Pace(), datetime.fromisoformat(CREATED)
    for number in range(stretches):
        pace.add((began + timedelta(seconds=10 * number)).isoformat(), "updated")
    assert pace.seconds == seconds
    assert sum(counts["updated"] for _, counts in pace.stretches()) == stretches


def test_the_pace_of_a_long_run_needs_no_more_room_than_that_of_a_short_one() -> None:
    pace, began = Pace(), datetime(2026, 1, 5, 8, tzinfo=UTC)
    for minute in range(3 * 24 * 60):
        pace.add((began + timedelta(minutes=minute)).isoformat(), "updated" if minute % 10 else "failed")
    pace.add("when?", "updated")
    stretches = pace.stretches()
    assert 60 <= len(stretches) <= 240
    assert sum((Counter(counts) for _, counts in stretches), Counter()) == Counter(updated=3888, failed=432)
    assert {later - earlier for (earlier, _), (later, _) in pairwise(stretches)} == {pace.seconds}


def test_a_long_file_is_read_in_stretches_that_end_in_time(tmp_path: Path) -> None:
    index = RowIndex(long_run(tmp_path, 3000), with_ledger=True)
    shares = []
    while not index.read_on(0, clock=_ticking()):
        shares.append((index.share_read, index.settled))
        index.page(RowFilter(), 0, 50)
    assert len(shares) > 8
    assert shares == sorted(shares)
    assert index.counts() == {"updated": 2970, "failed": 30}


def _ticking() -> Callable[[], float]:
    now = iter(range(10**9))
    return lambda: float(next(now))


def test_what_a_fenced_attempt_notes_late_is_read_and_takes_back_nothing(tmp_path: Path) -> None:
    """The older attempt sends nothing more, and notes the answers to what it had sent; the ledger is read in order."""
    (tmp_path / "plan.jsonl").write_bytes((LANDED / "complete" / "plan.jsonl").read_bytes())
    plan = landed("", tmp_path)

    def result(row: int, outcome: RowOutcome, reason: str = "") -> RowResult:
        return RowResult(row, f"case_{row}", outcome, reason=reason, at=CREATED)

    async def go() -> RowIndex:
        older = LedgerWriter(tmp_path, plan.header.hash, 1, 24, CREATED)
        await older.open()
        index = index_of(plan)
        newer = LedgerWriter(tmp_path, plan.header.hash, 2, 24, "2026-01-05T08:01:00+00:00")
        await newer.open()
        await newer.record(result(1, RowOutcome.UNCHANGED, OWN_DOING))
        await newer.record(result(2, RowOutcome.UPDATED))
        assert index.read_on(EVERYTHING)
        await older.record(result(1, RowOutcome.UPDATED))
        await older.record(result(2, RowOutcome.FAILED, "no answer"))
        await older.record(result(3, RowOutcome.UPDATED))
        await older.close(AttemptEnd.STOPPED, CREATED, {}, [])
        assert index.read_on(EVERYTHING)
        older.release()
        newer.release()
        return index

    index = asyncio.run(go())
    for one in (index, index_of(plan)):
        assert one.counts() == {"open": plan.header.rows - 3, "updated": 3}
        assert (one.end, one.damaged) == (None, 0)
        assert {result.row for result in one.results()} == {1, 2, 3}
