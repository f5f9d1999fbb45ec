"""What an attempt may take for granted about each row, from what earlier attempts left on the ledger."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bulk_runs import plan_of

from airflow_provider_persona.api.retry import KEY_GOOD_FOR
from airflow_provider_persona.bulk.apply.earlier_attempts import EarlierAttempts
from airflow_provider_persona.bulk.apply.row_work import RowContext
from airflow_provider_persona.bulk.ledger.ledger import AttemptEnd, LedgerState
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome, RowResult
from airflow_provider_persona.bulk.ledger.verify import verify
from tests.virtual_time import VirtualPersona

BEGUN = datetime(2026, 1, 5, 8, tzinfo=UTC)
SOON, LATE = BEGUN + timedelta(seconds=60), BEGUN + timedelta(seconds=KEY_GOOD_FOR + 60)
AT = BEGUN.isoformat()


def result(row: int, outcome: RowOutcome, at: str = AT) -> RowResult:
    return RowResult(row, f"case_{row}", outcome, at=at)


def contexts(state: LedgerState, folder: Path, *, now: datetime = SOON, rows: int = 6) -> dict[int, RowContext]:
    """What an attempt is told of each row that is left."""
    plan = plan_of([{"case_id": f"case_{n}", "status": "Open"} for n in range(rows)], folder)
    earlier = EarlierAttempts(state, is_incomplete=False, utc=lambda: now)
    return {row.number: context for row, context in earlier.rows_left(plan)}


def broken_off(concurrency: int = 2, *, notes_begun: bool = False) -> LedgerState:
    """An attempt that settled row 1 and then broke off."""
    state = LedgerState()
    state.begin_attempt(AT, concurrency, notes_begun=notes_begun)
    state.record(result(1, RowOutcome.UPDATED))
    return state


def dry_run(state: LedgerState, rows: range) -> None:
    at = (BEGUN + timedelta(seconds=10)).isoformat()
    state.begin_attempt(at, 2, notes_begun=True)
    for row in rows:
        state.record(result(row, RowOutcome.PLANNED, at))
    state.end_attempt(AttemptEnd.COMPLETE)


def test_a_plan_that_nobody_tried_has_no_doubts(tmp_path: Path) -> None:
    assert contexts(LedgerState(), tmp_path) == dict.fromkeys(range(1, 7), RowContext())


@pytest.mark.parametrize("dry", [False, True], ids=["", "after a dry run"])
def test_no_more_rows_are_in_doubt_than_were_under_way(tmp_path: Path, dry: bool) -> None:
    state = broken_off()
    if dry:
        dry_run(state, range(2, 7))
    found = contexts(state, tmp_path)
    assert [row for row, context in found.items() if context.in_doubt] == [2, 3]
    assert sorted(found) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("dry", [False, True], ids=["", "after a dry run"])
@pytest.mark.parametrize("now", [SOON, LATE], ids=["soon", "late"])
def test_a_row_that_was_begun_is_in_doubt_and_looked_at_once_its_key_is_old(
    tmp_path: Path, now: datetime, dry: bool
) -> None:
    state = broken_off(notes_begun=True)
    state.begin_row(3, AT)
    if dry:
        dry_run(state, range(2, 7))
    age = (now - BEGUN).total_seconds()
    begun = RowContext(0, in_doubt=True, look_first=now is LATE, begun_at=AT, key_age=age)
    assert contexts(state, tmp_path, now=now) == dict.fromkeys([2, 4, 5, 6], RowContext()) | {3: begun}


def test_after_a_torn_line_the_notes_of_as_many_rows_as_were_under_way_may_be_lost(tmp_path: Path) -> None:
    state = broken_off(notes_begun=True)
    state.begin_row(2, AT)
    state.lose_tail()
    found = contexts(state, tmp_path, now=LATE)
    assert [row for row, context in found.items() if context.in_doubt] == [2, 3, 4]
    assert found[2].begun_at == AT
    assert found[3] == found[4] == RowContext(in_doubt=True, look_first=True)
    assert "whether it wrote is unknown" in found[3].doubt
    assert found[5].doubt == ""


def test_only_reasons_tell_of_rows_that_a_power_cut_may_hide(tmp_path: Path) -> None:
    state = LedgerState()
    state.begin_attempt(AT, 2, notes_begun=True, unsynced=3)
    state.record(result(1, RowOutcome.FAILED))
    state.begin_row(2, AT)
    state.break_off()
    found = contexts(state, tmp_path, now=LATE)
    assert found[1] == RowContext(1, may_be_lost=True)  # the attempt may have tried it once more
    assert not found[2].may_be_lost
    assert found[2].begun_at == AT
    assert found[3] == found[4] == found[5] == RowContext(may_be_lost=True)
    assert found[6] == RowContext()
    assert "whether it wrote is unknown" in found[3].doubt


@pytest.mark.parametrize("dry", [False, True], ids=["", "after a dry run"])
def test_a_row_that_is_unresolved_is_looked_at_first_and_one_that_failed_takes_the_next_key(
    tmp_path: Path, dry: bool
) -> None:
    state = broken_off(notes_begun=True)
    state.record(result(2, RowOutcome.UNRESOLVED))
    state.record(result(3, RowOutcome.FAILED))
    state.end_attempt(AttemptEnd.FAILED)
    if dry:
        dry_run(state, range(2, 7))
    found = contexts(state, tmp_path)
    assert found[2] == RowContext(1, in_doubt=True, look_first=True)
    assert found[3] == RowContext(1)


def test_a_ledger_that_does_not_tell_all_lets_no_row_be_sent_without_a_look(tmp_path: Path) -> None:
    plan = plan_of([{"case_id": "case_1", "status": "Open"}], tmp_path)
    earlier = EarlierAttempts(LedgerState(), is_incomplete=True, utc=lambda: SOON)
    assert [context for _, context in earlier.rows_left(plan)] == [RowContext(0, in_doubt=True, look_first=True)]


def test_an_attempt_that_passes_over_many_rows_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    state = LedgerState()
    for row in range(1, 2500):
        state.record(result(row, RowOutcome.UPDATED))
    plan = plan_of([{"case_id": f"case_{n}", "status": "Open"} for n in range(2500)], tmp_path)
    asked: list[int] = []
    earlier = EarlierAttempts(state, utc=lambda: SOON, check_stop=lambda: asked.append(1))
    assert [row.number for row, _ in earlier.rows_left(plan)] == [2500]
    assert len(asked) == 2
    told: list[int] = []
    client = VirtualPersona().client()
    client.heed(asyncio.CancelledError)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(verify(plan, lambda row: bool(told.append(row)), client))
    assert max(told) < 1000


def test_a_row_that_failed_and_was_begun_again_keeps_its_next_key(tmp_path: Path) -> None:
    state = broken_off(notes_begun=True)
    state.record(result(2, RowOutcome.FAILED))
    state.begin_row(2, AT)
    assert contexts(state, tmp_path)[2] == RowContext(1, in_doubt=True, begun_at=AT, key_age=60.0)


@pytest.mark.parametrize("concurrency", [0, 1])
def test_a_row_that_failed_is_in_doubt_where_one_row_may_have_been_under_way(tmp_path: Path, concurrency: int) -> None:
    """An attempt may have tried it once more, and have been cut off before it noted that."""
    state = broken_off(concurrency)
    state.record(result(2, RowOutcome.FAILED))
    found = contexts(state, tmp_path, now=LATE)[2]
    assert found == RowContext(1, in_doubt=concurrency > 0, look_first=concurrency > 0)
