"""The ledger: the outcome of every row, in append-only segments beside the plan.

It is the audit record, the point to resume from and the dead-letter file in one. A run of a process writes a segment of
its own. A row is on the ledger before its worker takes the next one, so a killed process leaves no more rows in doubt
than it had requests under way.
"""

from __future__ import annotations

import logging
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from airflow_provider_persona.bulk.errors import PlanError
from airflow_provider_persona.bulk.ledger.outcomes import NOT_DONE, RowOutcome, RowResult, time_of, whole_number
from airflow_provider_persona.storage.paths import StorePath, shown
from airflow_provider_persona.storage.segments import SegmentedLog

log = logging.getLogger(__name__)

_NAME = "ledger"
# In memory only, so the numbers may change. 0 stands for no outcome, see `_make_room`.
_CODES = {outcome: code for code, outcome in enumerate(RowOutcome, 1)}
_OUTCOMES = {code: outcome for outcome, code in _CODES.items()}
_MOST_ROWS = 100_000_000
_SETTLED_BEFORE = 0xFF
"""Code of a row that a lost ledger had settled; its outcome is not known."""

TAKEN_UP_AGAIN = NOT_DONE | {RowOutcome.PLANNED}
"""Outcomes that a later attempt tries to change."""

_SETTLED_CODES = bytes([_SETTLED_BEFORE, *(_CODES[outcome] for outcome in RowOutcome if outcome not in TAKEN_UP_AGAIN)])
# A set of characters in a pattern: no code may be that of `]`, `^`, `-` or a backslash.
_SETTLED = re.compile(b"[%s]+" % _SETTLED_CODES)


class AttemptEnd(StrEnum):
    """How an attempt at a plan ended."""

    COMPLETE = "complete"
    """Every row has an outcome, and no more failed than may."""
    FAILED = "failed"
    """Every row has an outcome, and more failed than may."""
    STOPPED = "stopped"
    """It stopped before its end."""
    SAMPLED = "sampled"
    """A sample was settled, and the other rows are left to a later attempt."""


@dataclass(slots=True)
class LedgerState:
    """What a ledger says, in a few bytes a row.

    :param last_segment: number of the last segment, 0 when there is none.
    :param end: how the last attempt ended, or None when it broke off.
    :param is_through: whether an attempt came to the end of the plan, and none has begun a row since.
    :param in_doubt: how many rows at most may have been under way when attempts broke off.
    :param unsynced: for how many rows at most a power cut may have taken all lines when attempts broke off.
    :param in_doubt_since: when the earliest attempt that broke off wrote its last line; None where only the last
        attempt did.
    :param last_at: UTC time of the last line, ISO 8601, or None when there is none.
    :param carried: outcomes of rows that a lost ledger had settled.
    :param damaged: lines that cannot be read, beside those that a kill cut off.
    :param begun: when each row was begun that has no outcome since but that of a dry run.
    :param generations: generation of keys to go on with, by row, where that is not 0. Under an earlier key Persona may
        repeat a failure.
    :param is_replanned: whether the plan replaces one that was lost with its ledger.
    :param is_of_other_rows: whether the lost plan was of other rows, so that nothing tells what was written to.
    """

    last_segment: int = 0
    end: AttemptEnd | None = None
    is_through: bool = False
    in_doubt: int = 0
    unsynced: int = 0
    in_doubt_since: str | None = None
    last_at: str | None = None
    carried: Counter[RowOutcome] = field(default_factory=Counter)
    damaged: int = 0
    begun: dict[int, str] = field(default_factory=dict)
    generations: dict[int, int] = field(default_factory=dict)
    is_replanned: bool = False
    is_of_other_rows: bool = False
    _attempt: str | None = None
    _concurrency: int = 0
    _unsynced: int = 0
    _is_dry_run: bool = False
    _outcomes: array[int] = field(default_factory=lambda: array("B"))
    _retryable: set[int] = field(default_factory=set)
    _perhaps_done: set[int] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """Whether the last attempt came to the end of the plan."""
        return self.end in (AttemptEnd.COMPLETE, AttemptEnd.FAILED)

    @property
    def is_worth_another_attempt(self) -> bool:
        """Whether going on with the plan may settle more: it broke off, or failed for rows that may yet succeed."""
        return not self.complete or (self.end is AttemptEnd.FAILED and bool(self._retryable))

    def begin_attempt(self, at: str, concurrency: int, *, notes_begun: bool = False, unsynced: int = 0) -> None:
        """Take in the opening line of a segment.

        :param at: UTC time, ISO 8601.
        :param concurrency: rows under way at once at most.
        :param notes_begun: whether the attempt notes each row before it begins it. Older ledgers do not, so that up to
            `concurrency` rows may have been under way when their attempts broke off.
        :param unsynced: rows of which a power cut takes all lines, at most.
        """
        # Else it is one more segment of the same attempt. A stop in that moment can leave it behind the closing line.
        if at != self._attempt:
            self.break_off()
            if self.last_at is not None and self.in_doubt:
                self.in_doubt_since = min(self.in_doubt_since or self.last_at, self.last_at)
            self._attempt, self.last_at, self._is_dry_run, self.end = at, at, False, None
        self._concurrency, self._unsynced = concurrency, unsynced
        if not notes_begun:
            self.in_doubt = max(self.in_doubt, concurrency)

    def break_off(self) -> None:
        """Take in that no more lines of the last attempt follow.

        Without its closing line it was killed, or its machine lost its power: nothing tells which. A power cut takes
        whole lines, and what is left then ends with a line like any other.
        """
        if self.end is None:
            self.unsynced = max(self.unsynced, self._unsynced)

    def lose_tail(self) -> None:
        """Take in that the last line of a segment was cut off: notes of rows that were begun may be gone with it.

        A kill cuts off one line at most. A machine that lost its power, or a server of files, may lose several.
        """
        self.in_doubt = max(self.in_doubt, self._concurrency)

    def end_attempt(self, end: AttemptEnd) -> None:
        """Take in the closing line of an attempt."""
        self.end = end
        self.is_through = self.is_through or self.complete
        # A dry run writes nothing, so it settles nothing of what an attempt before it left in doubt.
        if self.complete and not self._is_dry_run:
            self.in_doubt, self.in_doubt_since, self.unsynced = 0, None, 0
            self.begun.clear()

    def begin_row(self, row: int, at: str) -> None:
        """Take in that a row is about to be worked on; what it needs may have been sent from then on.

        :param at: UTC time, ISO 8601. The earliest time counts: the row's idempotency key is as old as that.
        """
        self.begun.setdefault(row, at)
        self.last_at, self.is_through = at, False

    @property
    def is_under_way(self) -> bool:
        """Whether the last attempt has not ended and rows of it have no outcome: it may still be alive."""
        return self.end is None and bool(self.begun)

    @property
    def leaves_doubt(self) -> bool:
        """Whether rows may have been written to without an outcome."""
        return self.in_doubt > 0 or bool(self.begun)

    def outcome(self, row: int) -> RowOutcome | None:
        """Return the outcome of a row, or None when it has none."""
        return _OUTCOMES.get(self._outcomes[row]) if row < len(self._outcomes) else None

    def was_touched(self, row: int) -> bool:
        """Whether a row's object was changed by the run, or may have been by an attempt that broke off."""
        return self.outcome(row) is RowOutcome.UPDATED or row in self._perhaps_done

    def is_settled(self, row: int) -> bool:
        """Whether nothing is left to do for a row."""
        return row < len(self._outcomes) and self._outcomes[row] in _SETTLED_CODES

    def counts(self) -> Counter[RowOutcome]:
        """Return how many rows have which outcome."""
        codes = Counter(self._outcomes)
        return Counter({outcome: codes[code] for outcome, code in _CODES.items() if codes[code]}) + self.carried

    def settled_ranges(self) -> list[tuple[int, int]]:
        """Return the first and the last row of every unbroken stretch of settled rows."""
        return [(found.start(), found.end() - 1) for found in _SETTLED.finditer(self._outcomes.tobytes())]

    def not_settled(self, numbers: Iterable[int]) -> list[tuple[int, int]]:
        """Return the first and the last row of every stretch without a settled one.

        :param numbers: numbers of the plan's rows, rising; repeats that were collapsed have none.
        """
        stretches: list[tuple[int, int]] = []
        is_open = False
        for number in numbers:
            if self.is_settled(number):
                is_open = False
            elif is_open:
                stretches[-1] = (stretches[-1][0], number)
            else:
                stretches.append((number, number))
                is_open = True
        return stretches

    def record(self, result: RowResult) -> bool:
        """Take in a line, and return whether it counts: a later one of the same row replaces an earlier one.

        Two exceptions. Two attempts can be at work at once: the newer one finds a row as wanted and cannot tell who
        made it so, the older one knows that it did. And a dry run does nothing, so what failed or is unresolved stays.
        """
        before = self.outcome(result.row)
        if result.outcome is RowOutcome.PLANNED:
            self._is_dry_run = True
            if before in NOT_DONE:
                return False
        else:  # a dry run sends nothing, so it settles nothing of what an attempt before it began
            self.begun.pop(result.row, None)
        if result.may_be_own_doing and before is RowOutcome.UPDATED:
            return False
        self._make_room(result.row)
        self._outcomes[result.row] = _CODES[result.outcome]
        (self._retryable.add if result.retryable else self._retryable.discard)(result.row)
        (self._perhaps_done.add if result.may_be_own_doing else self._perhaps_done.discard)(result.row)
        if result.outcome in NOT_DONE:  # Persona keeps a failure under its key, and would repeat it to the next attempt
            self.generations[result.row] = result.generation + 1
        self.last_at = result.at
        return True

    def carry_over(
        self,
        settled: Sequence[Sequence[int]],
        counts: Mapping[str, int],
        generations: Mapping[str, int],
        concurrency: int,
        at: str,
        *,
        is_of_other_rows: bool = False,
    ) -> None:
        """Take in what is known of the rows of a lost ledger.

        :param settled: first and last row of every stretch of settled rows.
        :param counts: their outcomes.
        :param generations: generation of keys to begin with, by row number.
        :param concurrency: how many others may have been under way.
        :param at: UTC time at which this was known, ISO 8601.
        :param is_of_other_rows: whether its plan was of other rows.
        """
        self.is_replanned, self.is_of_other_rows = True, self.is_of_other_rows or is_of_other_rows
        self.in_doubt = max(self.in_doubt, concurrency)
        self.in_doubt_since = min(self.in_doubt_since or at, at)
        for first, last in settled:
            self._make_room(last)
            self._outcomes[first : last + 1] = array("B", [_SETTLED_BEFORE]) * (last + 1 - first)
        self.carried = Counter({RowOutcome(name): count for name, count in counts.items()})
        self.generations.update({int(row): generation for row, generation in generations.items()})

    def _make_room(self, row: int) -> None:
        short = row + 1 - len(self._outcomes)
        if short > 0:
            self._outcomes.extend(bytes(short))


def ledger_of(folder: StorePath) -> SegmentedLog:
    """Return the ledger's log in a plan's folder."""
    return SegmentedLog(folder, _NAME)


def read_results(folder: StorePath, plan_hash: str) -> Iterator[RowResult]:
    """Yield the records of a ledger that count, in the order of writing (see `LedgerState.record`).

    :raises PlanError: when a segment belongs to another plan.
    """
    state = LedgerState()
    for _, line in _read(folder, plan_hash):
        result = None if line is None else result_of(line)
        if result is not None and state.record(result):
            yield result


def read_ledger(
    folder: StorePath, plan_hash: str, before: int | None = None, check_stop: Callable[[], None] = lambda: None
) -> LedgerState:
    """Return what the ledger in `folder` says of the plan.

    Lines that cannot be read are counted and logged, except the last line of a segment: a kill cuts it off.

    :param before: number of the first segment to leave out, or None to read all.
    :param check_stop: called every ten thousand lines; what it raises, this raises.
    :raises PlanError: when a segment belongs to another plan.
    """
    state = LedgerState(last_segment=ledger_of(folder).last)
    for number, (path, line) in enumerate(_read(folder, plan_hash, before, state.lose_tail), 1):
        if number % 10_000 == 0:
            check_stop()  # a million rows take half a minute, in which the event loop hears of no stop
        if line is None or not take_in(state, line):
            state.damaged += 1
            log.warning("%s has a damaged line; the rows that have no outcome are looked at first", shown(path))
    state.break_off()
    return state


def take_in(state: LedgerState, line: Mapping[str, Any]) -> bool:
    """Take in a line, and return whether it is one."""
    try:
        if "row" in line:
            result = result_of(line)
            if result is not None:
                state.record(result)
            return result is not None
        if "begun" in line:
            state.begin_row(_row_number(line["begun"]), time_of(line["at"]))
        elif "segment" in line:
            rows_at_once, notes_begun = whole_number(line["concurrency"], _MOST_ROWS), bool(line.get("notes_begun"))
            unsynced = whole_number(line.get("unsynced", 0), _MOST_ROWS)
            state.begin_attempt(time_of(line["at"]), rows_at_once, notes_begun=notes_begun, unsynced=unsynced)
        elif "carried" in line:
            state.carry_over(**checked_carried(**line["carried"]))
        else:
            state.end_attempt(AttemptEnd(line["end"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return False  # damaged. All else that is raised here is a fault of ours, and must not pass for damage
    return True


def checked_carried(
    settled: Any,
    counts: Mapping[Any, Any],
    generations: Mapping[Any, Any],
    concurrency: Any,
    at: Any,
    *,
    is_of_other_rows: Any = False,
) -> dict[str, Any]:
    """Return what a line or a checkpoint carries over, after a check of all of it: a damaged one tells nothing."""
    for first, last in settled:
        if _row_number(first) > _row_number(last):
            raise ValueError("no stretch of rows")
    for name, count in counts.items():
        RowOutcome(name), whole_number(count, _MOST_ROWS)
    for row, generation in generations.items():
        _row_number(int(row)), whole_number(generation)
    whole_number(concurrency, _MOST_ROWS), time_of(at)
    known = {"settled": settled, "counts": counts, "generations": generations, "concurrency": concurrency, "at": at}
    return known | ({"is_of_other_rows": True} if is_of_other_rows else {})


def result_of(line: Mapping[str, Any]) -> RowResult | None:
    """Return the record in a line, or None when the line is damaged or no record."""
    try:
        _row_number(line["row"])
        return RowResult.from_line(line)
    except (KeyError, TypeError, ValueError):
        return None


def _row_number(value: Any) -> int:
    """Return a row's number; a damaged one could ask for all the memory there is."""
    if not whole_number(value, _MOST_ROWS):
        raise ValueError("no number of a row")
    return int(value)


def _read(
    folder: StorePath, plan_hash: str, before: int | None = None, on_torn: Callable[[], None] = lambda: None
) -> Iterator[tuple[StorePath, Mapping[str, Any] | None]]:
    foreign: StorePath | None = None
    for path, line in ledger_of(folder).lines(before, on_torn):
        if foreign is not None and foreign != path:
            raise _foreign(foreign)
        is_ours = line is not None and line.get("plan") == plan_hash
        if is_ours:
            foreign = None
        elif line is not None and "plan" in line and "segment" in line:
            foreign = path  # unless a line of this plan follows: then this one is damaged
        yield path, line if is_ours else None
    if foreign is not None:
        raise _foreign(foreign)


def _foreign(path: StorePath) -> PlanError:
    return PlanError(f"{shown(path)} is the ledger of another plan; give each plan its own folder")
