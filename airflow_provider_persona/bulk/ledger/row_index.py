"""Where each row of a run stands in plan and ledger, so that people can look at it page by page.

An index takes 20 bytes a row in memory, and reads plan and ledger once, a stretch at a time; what came to the ledger
since is read when it is asked for again. A page of rows is then read from its lines. Values are never read: a page
shows what the ledger holds, and of a plan's line the ids, the statuses and the reason.
"""

from __future__ import annotations

import json
import re
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

from airflow_provider_persona.bulk.errors import PlanError
from airflow_provider_persona.bulk.ledger.ledger import LedgerState, ledger_of, result_of, take_in
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome, RowResult
from airflow_provider_persona.bulk.ledger.reasons import OTHER_REASONS, Labels, common_part
from airflow_provider_persona.bulk.ledger.shown_rows import OPEN, ShownRow, row_of_ledger, row_of_plan
from airflow_provider_persona.bulk.plan.file import PLAN_FILE, UNKNOWN_STATUS, Plan, Planned
from airflow_provider_persona.storage.paths import StorePath, lines_in, open_regular, shown
from airflow_provider_persona.storage.segments import parsed_line

_PLANNED = {state: code for code, state in enumerate(Planned, 1)}
_OUTCOMES = {outcome: code for code, outcome in enumerate(RowOutcome, len(_PLANNED) + 1)}
_STATES = {**{code: state.value for state, code in _PLANNED.items()}, **{c: o.value for o, c in _OUTCOMES.items()}}
_WITHOUT_OUTCOME = bytes(_PLANNED.values())
_PLACE_BITS = 40  # a file of up to a terabyte
_LINES_AT_ONCE = 500
# What `_row_line` of `plan/write.py` writes. An id with an escaped character takes the slow way.
_PLAN_LINE = re.compile(rb'\{"row":(\d+),"object_id":"([^"\\]+)"')
_BEGUN = re.compile(rb'\{"plan":"[0-9a-f]{64}","begun":')
_MOVING = (Planned.CHANGE, RowOutcome.UPDATED, RowOutcome.PLANNED)


_SHORTEST_STRETCH: Final = 10
_MOST_STRETCHES: Final = 240
"""Stretches of time that are counted separately; with more of them the length is doubled."""


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows to show; what is None does not matter.

    :param state: an outcome, an intention of the plan, or `open`.
    :param reason: a text that `RowIndex.reasons` names.
    :param transition: a text that `RowIndex.transitions` names.
    :param object_id: an object's whole id.
    """

    state: str | None = None
    reason: str | None = None
    transition: str | None = None
    object_id: str | None = None


class Pace:
    """Counts what was settled in each stretch of time; a run of days needs no more room than a short one."""

    def __init__(self) -> None:
        self.seconds = _SHORTEST_STRETCH
        """Length of a stretch."""
        self._counts: dict[int, Counter[str]] = {}

    def add(self, at: str, outcome: str) -> None:
        """Take in that a row was settled.

        :param at: UTC time, ISO 8601; a text that is none is left out.
        :param outcome: its outcome.
        """
        try:
            moment = datetime.fromisoformat(at).timestamp()
        except ValueError:
            return
        self._counts.setdefault(int(moment // self.seconds), Counter())[outcome] += 1
        while len(self._counts) > _MOST_STRETCHES:
            self._widen()

    def stretches(self) -> list[tuple[int, dict[str, int]]]:
        """Return the beginning of each stretch in which rows were settled, in Unix seconds, and rows by outcome."""
        return sorted((number * self.seconds, dict(counts)) for number, counts in self._counts.items())

    def _widen(self) -> None:
        wider: dict[int, Counter[str]] = {}
        for number, counts in self._counts.items():
            wider.setdefault(number // 2, Counter()).update(counts)
        self.seconds *= 2
        self._counts = wider


@dataclass(slots=True)
class RowIndex:
    """The rows of a plan, and of its ledger where the plan is being or was applied.

    :param plan: the plan, read and found whole.
    :param with_ledger: whether to show what became of the rows; else what was planned for them.
    """

    plan: Plan
    with_ledger: bool
    damaged: int = 0
    """Lines of the ledger that cannot be read."""
    attempt_began: str | None = None
    """When the last attempt began, ISO 8601."""
    settled_before: int = 0
    """Rows that had an outcome then."""
    pace: Pace = field(default_factory=Pace)
    """When rows were settled."""
    _state: LedgerState = field(default_factory=LedgerState)
    _codes: bytearray = field(default_factory=bytearray)
    _places: array[int] = field(default_factory=lambda: array("q"))
    _keys: array[int] = field(default_factory=lambda: array("q"))
    _reasons: Labels = field(default_factory=lambda: Labels(OTHER_REASONS))
    _transitions: Labels = field(default_factory=Labels)
    _read: dict[int, int] = field(default_factory=dict)  # by number of a segment, 0 for the plan: bytes that were read
    _plan_rows: int = 0
    _fenced: int = 0
    """Last segment of the attempt before: it may be alive, and note the answers to what it had sent."""

    @property
    def end(self) -> str | None:
        """How the last attempt ended, or None while it is at work or when it broke off."""
        return None if self._state.end is None else self._state.end.value

    @property
    def settled(self) -> int:
        """Rows with an outcome."""
        return len(self._codes) - sum(self._codes.count(code) for code in (0, *_WITHOUT_OUTCOME))

    @property
    def share_read(self) -> float:
        """How much of the plan was read, from 0 to 1."""
        return min(1.0, self._plan_rows / self.plan.header.rows) if self.plan.header.rows else 1.0

    def read_on(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> bool:
        """Read what was not read yet, and return whether that is all there is now.

        :param seconds: about how long at most.
        :param clock: monotonic seconds.
        :raises PlanError: when the ledger belongs to another plan.
        :raises OSError: when a file cannot be read; object stores raise what their libraries raise.
        """
        until = clock() + seconds
        if not self._read_file(0, self.plan.folder / PLAN_FILE, self._take_plan_line, until, clock):
            return False
        if not self.with_ledger:
            return True
        log = ledger_of(self.plan.folder)
        last_read = max(self._read, default=0)
        for number in log.numbers():
            if number < last_read and number != self._fenced:
                continue  # nothing comes to a segment any more once there is a newer one
            if not self._read_file(number, log.path_of(number), self._take_ledger_line, until, clock):
                return False
        return True

    def _read_file(
        self, number: int, path: StorePath, take: Callable[[bytes, int], None], until: float, clock: Callable[[], float]
    ) -> bool:
        offset = self._read.get(number, 0)
        if number == 0 and offset and self._plan_rows >= self.plan.header.rows:
            return True  # a plan never grows
        with open_regular(path) as file:
            file.seek(offset)
            while lines := list(islice(lines_in(file), _LINES_AT_ONCE)):
                for line in lines:
                    if not line.endswith(b"\n"):
                        return True  # it is being written, or a kill cut it off
                    take(line, (number << _PLACE_BITS) | offset)
                    offset += len(line)
                    self._read[number] = offset
                if clock() > until:
                    return False
        self._read[number] = offset
        return True

    def _take_plan_line(self, line: bytes, place: int) -> None:
        if place == 0:
            return  # the header
        self._plan_rows += 1
        quick = _PLAN_LINE.match(line) if self.with_ledger else None
        if quick is not None:  # what was planned for a row does not matter once its plan is being applied
            self._put(int(quick[1]), _PLANNED[Planned.CHANGE], place)
            # `hash` holds within one process, and so does the index. What a page shows comes from the line itself.
            self._keys[int(quick[1])] = hash(quick[2].decode())
            return
        row = row_of_plan(json.loads(line))
        self._put(row.number, _PLANNED[Planned(row.state)], place)
        self._keys[row.number] = 0 if row.object_id is None else hash(row.object_id)
        if not self.with_ledger:
            self._label(row)

    def _take_ledger_line(self, line: bytes, place: int) -> None:
        if _BEGUN.match(line):
            return
        parsed = parsed_line(line)
        if parsed is None or parsed.get("plan") != self.plan.header.hash:
            if parsed is not None and "plan" in parsed and "segment" in parsed:
                raise PlanError(f"the ledger in {shown(self.plan.folder)} is of another plan")
            self.damaged += 1
            return
        if "row" not in parsed:
            self._take_other_line(parsed, place >> _PLACE_BITS)
            return
        result = result_of(parsed)
        if result is None:
            self.damaged += 1
        elif not self._comes_too_late(result, place) and self._state.record(result):
            self._put(result.row, _OUTCOMES[result.outcome], place)
            self._label(row_of_ledger(result))
            self.pace.add(result.at, result.outcome.value)

    def _comes_too_late(self, result: RowResult, place: int) -> bool:
        """Whether the newer attempt has the last word on a row, though its line was read first."""
        if result.row >= len(self._places) or self._places[result.row] < place:
            return False
        is_own_doing = self._state.outcome(result.row) is RowOutcome.UNCHANGED and self._state.was_touched(result.row)
        return not (is_own_doing and result.outcome is RowOutcome.UPDATED)

    def _take_other_line(self, line: Mapping[str, Any], segment: int) -> None:
        if segment == self._fenced:
            return  # how the attempt before ended says nothing of the one that is at work
        if not take_in(self._state, line):
            self.damaged += 1
        elif "segment" in line and line["at"] != self.attempt_began:
            self.attempt_began, self.settled_before, self._fenced = line["at"], self.settled, segment - 1

    def _put(self, number: int, code: int, place: int) -> None:
        short = number + 1 - len(self._codes)
        if short > 0:
            short = max(short, self.plan.header.rows + 1 - len(self._codes))  # nearly always all that it will need
            self._codes.extend(bytes(short))
            for labels in (self._reasons, self._transitions):
                labels.make_room(len(self._codes))
            for places in (self._places, self._keys):
                places.frombytes(bytes(8 * short))
        self._codes[number] = code
        self._places[number] = place

    def _label(self, row: ShownRow) -> None:
        self._reasons.put(row.number, common_part(row.state, row.reason, row.object_id) if row.reason else "")
        moves = row.to_status is not None and row.state in _MOVING
        transition = f"{row.from_status or UNKNOWN_STATUS} -> {row.to_status}" if moves else ""
        self._transitions.put(row.number, transition)

    def counts(self) -> dict[str, int]:
        """Return how many rows have which state."""
        found = {name: self._codes.count(code) for code, name in self._names().items()}
        if self.with_ledger:
            found = {OPEN: sum(self._codes.count(code) for code in _WITHOUT_OUTCOME), **found}
        return {name: count for name, count in found.items() if count}

    def reasons(self) -> list[tuple[str, int]]:
        """Return the reasons that rows have, with their state where it is an outcome, and how many have each."""
        return self._reasons.counts()

    def transitions(self) -> list[tuple[str, int]]:
        """Return `from -> to` of the rows that were changed, or are to be, and how many there are."""
        return self._transitions.counts()

    def page(self, wanted: RowFilter, first: int, size: int) -> tuple[int, list[ShownRow]]:
        """Return how many rows pass a filter, and some of them in the order of the plan.

        :param wanted: the filter.
        :param first: how many of them to leave out.
        :param size: how many to return at most.
        :raises OSError: when a file cannot be read.
        """
        numbers = array("q", self._matching(wanted))
        return len(numbers), self._rows(numbers[first : first + size])

    def results(self) -> Iterator[RowResult]:
        """Return an iterator over the record of each row with an outcome, the last one only, in the order of writing.

        It gives what was read until this call, however much `read_on` reads while it is consumed.

        :raises OSError: when a file cannot be read.
        """
        # A copy: a row that a retry settles meanwhile would have its place in a segment that is not among these.
        return self._results(sorted(number for number in self._read if number), array("q", self._places))

    def _results(self, segments: list[int], places: array[int]) -> Iterator[RowResult]:
        log = ledger_of(self.plan.folder)
        for segment in segments:
            offset = 0
            with open_regular(log.path_of(segment)) as file:
                for line in lines_in(file):
                    place, offset = (segment << _PLACE_BITS) | offset, offset + len(line)
                    if _BEGUN.match(line) or (parsed := parsed_line(line)) is None:
                        continue
                    result = result_of(parsed)
                    if result is not None and result.row < len(places) and places[result.row] == place:
                        yield result

    def _names(self) -> dict[int, str]:
        outcomes = set(_OUTCOMES.values())
        return {code: name for code, name in _STATES.items() if (code in outcomes) == self.with_ledger}

    def _matching(self, wanted: RowFilter) -> Iterator[int]:
        """Yield the numbers of the rows that pass a filter. A column is searched as bytes, which is fast."""
        reason = None if wanted.reason is None else self._reasons.code_of(wanted.reason)
        transition = None if wanted.transition is None else self._transitions.code_of(wanted.transition)
        if (wanted.reason is not None and not reason) or (wanted.transition is not None and not transition):
            return
        found: Iterable[int] = _positions(self._codes, self._codes_of(wanted.state))
        if wanted.object_id is not None:
            key = hash(wanted.object_id)
            found = (number for number in found if self._keys[number] == key)
        for number in found:
            if reason is not None and self._reasons.codes[number] != reason:
                continue
            if transition is not None and self._transitions.codes[number] != transition:
                continue
            yield number

    def _codes_of(self, state: str | None) -> bytes:
        if state is None:
            return bytes(range(1, len(_STATES) + 1))
        if state == OPEN:
            return _WITHOUT_OUTCOME if self.with_ledger else b""
        return bytes(code for code, name in self._names().items() if name == state)

    def _rows(self, numbers: Iterable[int]) -> list[ShownRow]:
        """Read the lines of rows; each file is opened once."""
        rows: dict[int, ShownRow] = {}
        by_file: dict[int, list[int]] = {}
        asked = list(numbers)
        for number in asked:
            by_file.setdefault(self._places[number] >> _PLACE_BITS, []).append(number)
        for segment, members in by_file.items():
            log = ledger_of(self.plan.folder)
            path = log.path_of(segment) if segment else self.plan.folder / PLAN_FILE
            with open_regular(path) as file:
                for number in sorted(members, key=lambda one: self._places[one]):
                    file.seek(self._places[number] & ((1 << _PLACE_BITS) - 1))
                    row = self._row(file.readline(), from_ledger=bool(segment))
                    if row is not None and row.number == number:  # else the file was replaced since
                        rows[number] = row
        return [rows[number] for number in asked if number in rows]

    def _row(self, line: bytes, *, from_ledger: bool) -> ShownRow | None:
        parsed = parsed_line(line)
        if parsed is None:
            return None
        if from_ledger:
            result = result_of(parsed)
            return None if result is None else row_of_ledger(result)
        row = row_of_plan(parsed)
        return replace(row, state=OPEN, reason="") if self.with_ledger else row


def _positions(column: bytearray, codes: bytes) -> Iterator[int]:
    if not codes:
        return
    for found in re.finditer(b"[%s]+" % re.escape(codes), column):
        yield from range(found.start(), found.end())
