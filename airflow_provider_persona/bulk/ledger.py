"""The ledger: what became of every row, in append-only segments beside the plan.

It is the audit record, the point to resume from and the dead-letter file in one. A run of a process writes a segment of
its own. A row is on the ledger before its worker takes the next one, so a killed process leaves no more rows in doubt
than it had requests under way.

In a local folder each line is appended as it comes. An object store cannot append, so there a segment is written anew,
whole, each time that lines have come in, and a new one is begun when it has grown.
"""

from __future__ import annotations

import asyncio
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import IO, Any

from airflow_provider_persona.api.messages import canonical_json
from airflow_provider_persona.bulk.errors import PlanError
from airflow_provider_persona.bulk.outcomes import NOT_DONE, RowOutcome, RowResult
from airflow_provider_persona.bulk.store import (
    StorePath,
    as_local,
    cannot_write,
    names_in,
    open_private,
    read_lines,
    shown,
    write_whole,
)

_PREFIX, _SUFFIX = "ledger-", ".jsonl"
_LONGEST_SEGMENT = 1000
_CODES = {outcome: code for code, outcome in enumerate(RowOutcome, 1)}
_OUTCOMES = {code: outcome for outcome, code in _CODES.items()}


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
    """

    last_segment: int = 0
    end: AttemptEnd | None = None
    in_doubt: int = 0
    in_doubt_since: str | None = None
    last_at: str | None = None
    _attempt: str | None = None
    _outcomes: array[int] = field(default_factory=lambda: array("B"))
    _generations: array[int] = field(default_factory=lambda: array("H"))
    _retryable: set[int] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """Whether the last attempt came to the end of the plan."""
        return self.end in (AttemptEnd.COMPLETE, AttemptEnd.FAILED)

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

    def next_generation(self, row: int) -> int:
        """Return the first generation of keys that no kept failure of the row can answer to."""
        return self._generations[row] if row < len(self._generations) else 0

    def is_settled(self, row: int) -> bool:
        """Whether nothing is left to do for a row."""
        outcome = self.outcome(row)
        return outcome is not None and outcome not in NOT_DONE and outcome is not RowOutcome.PLANNED

    def counts(self) -> Counter[RowOutcome]:
        """Return how many rows have which outcome."""
        codes = Counter(self._outcomes)
        return Counter({outcome: codes[code] for outcome, code in _CODES.items() if codes[code]})

    def record(self, result: RowResult) -> None:
        """Take in a line; a later one of the same row replaces an earlier one."""
        short = result.row + 1 - len(self._outcomes)
        if short > 0:
            self._outcomes.extend(bytes(short))
            self._generations.extend([0] * short)
        self._outcomes[result.row] = _CODES[result.outcome]
        (self._retryable.add if result.retryable else self._retryable.discard)(result.row)
        if result.outcome in NOT_DONE:
            self._generations[result.row] = min(result.generation + 1, 0xFFFF)
        self.last_at = result.at


def segment_names(folder: StorePath) -> list[str]:
    """Return the names of the ledger's segments in `folder`, in the order in which they were written."""
    return sorted(filter(_number_of, names_in(folder)), key=_number_of)


def _number_of(name: str) -> int:
    """Return the number of a segment, or 0 for another file."""
    number = name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    return int(number) if number.isdecimal() and name == f"{_PREFIX}{number}{_SUFFIX}" else 0


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
    state = LedgerState(last_segment=max(map(_number_of, segment_names(folder)), default=0))
    for line in _read(folder, plan_hash):
        if "row" in line:
            state.record(RowResult.from_line(line))
        elif "segment" in line:
            state.begin_attempt(line["at"], line["concurrency"])
        elif "end" in line:
            state.end_attempt(AttemptEnd(line["end"]))
    return state


def _read(folder: StorePath, plan_hash: str) -> Iterator[Mapping[str, Any]]:
    for name in segment_names(folder):
        for raw in read_lines(folder / name):
            try:
                line = json.loads(raw)
            except ValueError:
                continue  # the line that a killed process was writing: its row is in doubt and is looked at again
            if line.get("plan") != plan_hash:
                raise PlanError(f"{shown(folder / name)} is the ledger of another plan; give each plan its own folder")
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
        self._folder = folder
        self._plan_hash = plan_hash
        self._number = first_segment
        self._opening = {"plan": plan_hash, "concurrency": concurrency, "at": at}
        self._file: IO[bytes] | None = None
        self._lines: list[bytes] = []
        self._taken = self._durable = 0
        self._uploading = asyncio.Lock()

    async def open(self) -> None:
        """Put down that an attempt begins, so that a folder which cannot be written to fails it before any request.

        :raises StoreError: then.
        """
        try:
            self._begin_segment()
            if self._file is None:
                await self._upload()
        except Exception as error:  # fsspec's stores raise what their libraries raise
            raise cannot_write(self._folder, error) from error

    async def record(self, result: RowResult) -> None:
        """Put a row's record down; when this returns, it outlives the process."""
        await self._put(result.to_line(self._plan_hash))

    async def close(self, end: AttemptEnd, at: str, counts: Mapping[str, int]) -> None:
        """Write how the attempt ended and the counts of all rows."""
        await self._put({"plan": self._plan_hash, "end": end.value, "at": at, "counts": dict(counts)})

    def release(self) -> None:
        """Close the file, however the attempt ended."""
        if self._file is not None:
            self._file.close()

    async def _put(self, line: Mapping[str, Any]) -> None:
        raw = json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode()
        if self._file is not None:
            self._file.write(raw + b"\n")
            self._file.flush()
            return
        self._lines.append(raw)
        self._taken += 1
        mine = self._taken
        async with self._uploading:  # whoever comes first writes the lines of all who wait
            if self._durable < mine:
                await self._upload()

    async def _upload(self) -> None:
        lines, taken = list(self._lines), self._taken
        await asyncio.to_thread(write_whole, self._folder / self._name, lines)
        self._durable = taken
        if len(lines) >= _LONGEST_SEGMENT:
            came_since = self._lines[len(lines) :]
            self._number += 1
            self._begin_segment()
            self._lines += came_since

    @property
    def _name(self) -> str:
        return f"{_PREFIX}{self._number:05d}{_SUFFIX}"

    def _begin_segment(self) -> None:
        opening = canonical_json({"segment": self._number, **self._opening})
        local = as_local(self._folder)
        if local is not None:
            self._file = open_private(local / self._name, "ab")
            self._file.write(opening + b"\n")
            self._file.flush()
        else:
            self._lines = [opening]
