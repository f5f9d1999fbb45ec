"""The ledger: what became of every row, in append-only segments beside the plan.

It is the audit record, the point to resume from and the dead-letter file in one. A run of a process writes a segment of
its own. A row is on the ledger before its worker takes the next one, so a killed process leaves no more rows in doubt
than it had requests under way.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from airflow_provider_persona.bulk.errors import PlanError
from airflow_provider_persona.bulk.outcomes import NOT_DONE, RowOutcome, RowResult
from airflow_provider_persona.bulk.segments import SegmentedLog, SegmentWriter
from airflow_provider_persona.bulk.store import StorePath, shown

_NAME = "ledger"
_CODES = {outcome: code for code, outcome in enumerate(RowOutcome, 1)}
_OUTCOMES = {code: outcome for outcome, code in _CODES.items()}
_SETTLED_BEFORE = 0xFF
"""Code of a row that a lost ledger had settled: that it was is known, as what is not."""

TAKEN_UP_AGAIN = NOT_DONE | {RowOutcome.PLANNED}
"""Outcomes that a later attempt does not leave at that."""

_SETTLED_CODES = bytes([_SETTLED_BEFORE, *(_CODES[outcome] for outcome in RowOutcome if outcome not in TAKEN_UP_AGAIN)])
_SETTLED = re.compile(b"[%s]+" % _SETTLED_CODES)


class AttemptEnd(StrEnum):
    """How an attempt at a plan ended."""

    COMPLETE = "complete"
    """Every row has an outcome, and no more failed than may."""
    FAILED = "failed"
    """Every row has an outcome, and more failed than may."""
    STOPPED = "stopped"
    """It stopped before its end."""


@dataclass(slots=True)
class LedgerState:
    """What a ledger says, in a few bytes a row.

    :param last_segment: number of the last segment, 0 when there is none.
    :param end: how the last attempt ended, or None when it broke off.
    :param in_doubt: how many rows at most may have been under way when attempts broke off.
    :param in_doubt_since: time of the last line of the earliest attempt among those, or None when there was but one.
    :param last_at: UTC time of the last line, ISO 8601, or None when there is none.
    :param carried: outcomes of rows that a lost ledger had settled.
    """

    last_segment: int = 0
    end: AttemptEnd | None = None
    in_doubt: int = 0
    in_doubt_since: str | None = None
    last_at: str | None = None
    carried: Counter[RowOutcome] = field(default_factory=Counter)
    _attempt: str | None = None
    _outcomes: array[int] = field(default_factory=lambda: array("B"))
    _generations: dict[int, int] = field(default_factory=dict)
    _retryable: set[int] = field(default_factory=set)
    _perhaps_done: set[int] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """Whether the last attempt came to the end of the plan."""
        return self.end in (AttemptEnd.COMPLETE, AttemptEnd.FAILED)

    @property
    def has_begun(self) -> bool:
        """Whether the plan was tried at all."""
        return self.last_segment > 0

    @property
    def is_worth_another_attempt(self) -> bool:
        """Whether going on with the plan may settle more: it broke off, or failed for rows that may yet succeed."""
        return not self.complete or (self.end is AttemptEnd.FAILED and bool(self._retryable))

    def begin_attempt(self, at: str, concurrency: int) -> None:
        """Take in the opening line of a segment."""
        if at != self._attempt and self.last_at is not None and self.in_doubt:
            self.in_doubt_since = min(self.in_doubt_since or self.last_at, self.last_at)
        if at != self._attempt:  # else one more segment of the same attempt
            self._attempt, self.last_at = at, at
        self.end = None
        self.in_doubt = max(self.in_doubt, concurrency)

    def end_attempt(self, end: AttemptEnd) -> None:
        """Take in the closing line of an attempt."""
        self.end = end
        if self.complete:
            self.in_doubt, self.in_doubt_since = 0, None

    def outcome(self, row: int) -> RowOutcome | None:
        """Return what became of a row, or None when nothing is known of it."""
        return _OUTCOMES.get(self._outcomes[row]) if row < len(self._outcomes) else None

    def was_touched(self, row: int) -> bool:
        """Whether a row's object was changed by the run, or may have been by an attempt that broke off."""
        return self.outcome(row) is RowOutcome.UPDATED or row in self._perhaps_done

    def next_generation(self, row: int) -> int:
        """Return the first generation of keys that no kept failure of the row can answer to."""
        return self._generations.get(row, 0)

    @property
    def generations(self) -> Mapping[int, int]:
        """Generation of keys to begin with, of the rows that need another than the first."""
        return self._generations

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

    def record(self, result: RowResult) -> None:
        """Take in a line; a later one of the same row replaces an earlier one."""
        self._make_room(result.row)
        self._outcomes[result.row] = _CODES[result.outcome]
        (self._retryable.add if result.retryable else self._retryable.discard)(result.row)
        (self._perhaps_done.add if result.may_be_own_doing else self._perhaps_done.discard)(result.row)
        if result.outcome in NOT_DONE:
            self._generations[result.row] = result.generation + 1
        self.last_at = result.at

    def carry_over(
        self,
        settled: Sequence[Sequence[int]],
        counts: Mapping[str, int],
        generations: Mapping[str, int],
        concurrency: int,
        at: str,
    ) -> None:
        """Take in what is known of rows whose ledger was lost.

        :param settled: first and last row of every stretch of settled rows.
        :param counts: their outcomes.
        :param generations: generation of keys to begin with, by row number.
        :param concurrency: how many others may have been under way.
        :param at: UTC time at which this was known, ISO 8601.
        """
        self.in_doubt = max(self.in_doubt, concurrency)
        self.in_doubt_since = min(self.in_doubt_since or at, at)
        for first, last in settled:
            self._make_room(last)
            self._outcomes[first : last + 1] = array("B", [_SETTLED_BEFORE]) * (last + 1 - first)
        self.carried = Counter({RowOutcome(name): count for name, count in counts.items()})
        self._generations.update({int(row): generation for row, generation in generations.items()})

    def _make_room(self, row: int) -> None:
        short = row + 1 - len(self._outcomes)
        if short > 0:
            self._outcomes.extend(bytes(short))


def ledger_of(folder: StorePath) -> SegmentedLog:
    """Return the ledger's log in a plan's folder."""
    return SegmentedLog(folder, _NAME)


def read_results(folder: StorePath, plan_hash: str) -> Iterator[RowResult]:
    """Yield the records of a ledger in the order of writing; a later record of a row replaces an earlier one.

    :raises PlanError: when a segment belongs to another plan.
    """
    for line in _read(folder, plan_hash):
        if "row" in line:
            yield RowResult.from_line(line)


def read_ledger(folder: StorePath, plan_hash: str) -> LedgerState:
    """Return what the ledger in `folder` says of the plan.

    :raises PlanError: when a segment belongs to another plan.
    """
    state = LedgerState(last_segment=ledger_of(folder).last)
    for line in _read(folder, plan_hash):
        if "row" in line:
            state.record(RowResult.from_line(line))
        elif "segment" in line:
            state.begin_attempt(line["at"], line["concurrency"])
        elif "carried" in line:
            state.carry_over(**line["carried"])
        elif "end" in line:
            state.end_attempt(AttemptEnd(line["end"]))
    return state


def _read(folder: StorePath, plan_hash: str) -> Iterator[Mapping[str, Any]]:
    for path, line in ledger_of(folder).lines():
        if line.get("plan") != plan_hash:
            raise PlanError(f"{shown(path)} is the ledger of another plan; give each plan its own folder")
        yield line


class LedgerWriter:
    """Writes one attempt's segments.

    :param folder: the plan's folder.
    :param plan_hash: the plan's hash.
    :param first_segment: number of the first segment to write.
    :param concurrency: rows under way at once at most.
    :param at: UTC time of the beginning, ISO 8601.
    """

    def __init__(self, folder: StorePath, plan_hash: str, first_segment: int, concurrency: int, at: str) -> None:
        self._plan_hash = plan_hash
        opening = {"plan": plan_hash, "concurrency": concurrency, "at": at}
        self._segments = SegmentWriter(ledger_of(folder), first_segment, opening)

    async def open(self) -> None:
        """Put down that an attempt begins, so that a folder which cannot be written to fails it before any request.

        :raises StoreError: then.
        """
        await self._segments.open()

    async def record(self, result: RowResult) -> None:
        """Put a row's record down; when this returns, it outlives the process."""
        await self._segments.put(result.to_line(self._plan_hash))

    async def carry_over(self, carried: Mapping[str, Any]) -> None:
        """Put down what is known of rows whose ledger was lost, as `LedgerState.carry_over` takes it."""
        await self._segments.put({"plan": self._plan_hash, "carried": dict(carried)})

    async def close(
        self, end: AttemptEnd, at: str, counts: Mapping[str, int], not_done: Sequence[tuple[int, int]]
    ) -> None:
        """Write how the attempt ended, the counts of all rows, and which rows are left to do.

        :param not_done: first and last row of every stretch of rows that a further attempt takes up.
        """
        line = {"plan": self._plan_hash, "end": end.value, "at": at, "counts": dict(counts)}
        await self._segments.put(line | {"not_done": [list(stretch) for stretch in not_done]})

    def release(self) -> None:
        """Close the file, however the attempt ended."""
        self._segments.release()
