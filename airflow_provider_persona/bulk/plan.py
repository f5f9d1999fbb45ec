"""The plan: what a run will do, fixed before it does it, in a file that a person can read and nobody can change unseen.

`plan.jsonl` is a header line and a line a row, with ids, statuses, queues, tags and object ids. What may hold personal
data (custom fields, assignees, bodies of calls) stands in `values.jsonl` beside it, bound to the plan by its hash, and
is deleted when the run has no more use for it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from itertools import chain
from typing import IO, Any

from airflow_provider_persona.api.case_change import CaseChange
from airflow_provider_persona.api.messages import canonical_json
from airflow_provider_persona.bulk.calls import CallWish
from airflow_provider_persona.bulk.errors import PlanError
from airflow_provider_persona.bulk.guards import Guards
from airflow_provider_persona.bulk.rows import InvalidRow, Wish
from airflow_provider_persona.bulk.spool import Spool, SpooledRow
from airflow_provider_persona.bulk.store import StorePath, read_lines, shown, write_whole

FORMAT = 2
PLAN_FILE = "plan.jsonl"
VALUES_FILE = "values.jsonl"
UNKNOWN_STATUS = "?"
NO_STATUS = "(none)"
UNCHANGED_WHEN_PLANNED = "already so when it was planned"


class Planned(StrEnum):
    """What a plan intends for a row."""

    CHANGE = "change"
    """It will be sent."""
    UNCHANGED = "unchanged"
    """The case was already as wanted when it was planned."""
    SKIPPED_GUARD = "skipped_guard"
    """A guard forbade it when it was planned."""
    INVALID = "invalid"
    """The row cannot be a change."""


@dataclass(frozen=True, slots=True)
class PlanHeader:
    """The first line of a plan.

    :param hash: SHA-256 over this header without it, over every row, and over the values.
    :param run: identity of the run that planned, part of every idempotency key.
    :param source: fingerprint of where the rows came from (query, parameters, mapping).
    :param environment: id of Persona's environment that it is for, when the connection expects one.
    :param created_at: UTC time, ISO 8601.
    :param operation_id: the operation that every row calls, or None for changes of cases.
    :param only_from: statuses that a case may be changed from, or None for any.
    :param never_from: statuses that a case is never changed from.
    :param rows: rows in the plan, the invalid ones included.
    :param repeats: rows of the source that repeated another exactly and were collapsed into it.
    :param planned: rows by what is intended for them.
    :param transitions: rows to be changed by `from -> to` status; `?` stands for a status that was not read.
    :param content_hash: hash of the rows as they came, whatever was seen of the live cases.
    :param values_hash: SHA-256 over `values.jsonl`, or None when there is none.
    """

    run: str
    source: str
    environment: str | None
    created_at: str
    operation_id: str | None = None
    only_from: list[str] | None = None
    never_from: list[str] = field(default_factory=list)
    rows: int = 0
    repeats: int = 0
    planned: dict[str, int] = field(default_factory=dict)
    transitions: dict[str, int] = field(default_factory=dict)
    content_hash: str = ""
    values_hash: str | None = None
    hash: str = ""
    format: int = FORMAT

    @property
    def identity(self) -> str:
        """What makes the run's calls the same when they are made again; it outlives a lost plan of the same rows."""
        return f"{self.run}:{self.content_hash}"

    @property
    def guards(self) -> Guards:
        """The guards that were planned with."""
        return Guards(None if self.only_from is None else frozenset(self.only_from), frozenset(self.never_from))

    def to_plan(self, planned: Planned) -> int:
        """Return for how many rows that is intended."""
        return self.planned.get(planned.value, 0)


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One row of a plan.

    :param number: its number, from 1.
    :param object_id: the case, or what else it is about; None for a row without a usable id.
    :param planned: what is intended for it.
    :param wish: what should be true of the case, or what to call; None for an invalid row.
    :param reason: why it is invalid or skipped.
    :param from_status: the case's status when it was planned, or None when it was not read.
    :param updated_at: when the case was last changed before it was planned, as Persona writes it, or None.
    """

    number: int
    object_id: str | None
    planned: Planned
    wish: Wish | CallWish | None
    reason: str = ""
    from_status: str | None = None
    updated_at: str | None = None

    @property
    def change(self) -> CaseChange | None:
        """What should be true of the case, where the row is about one."""
        return self.wish.change if isinstance(self.wish, Wish) else None

    @property
    def expected_status(self) -> str | None:
        """Change it only while its status is this one."""
        return self.wish.expected_status if isinstance(self.wish, Wish) else None


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that was written, or read and found whole.

    :param folder: where its files stand.
    :param header: its first line.
    """

    folder: StorePath
    header: PlanHeader

    @property
    def uri(self) -> str:
        """The address of the plan's file."""
        return shown(self.folder / PLAN_FILE)

    def rows(self) -> Iterator[PlanRow]:
        """Yield the rows in order, read from the files as they are asked for.

        :raises PlanError: when the values that they need are gone.
        """
        values = self._values()
        for line in self._lines():
            record = json.loads(line)
            private = next(values) if record.pop("values", False) else {}
            yield _plan_row(self.header.operation_id, record, private)

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of the rows, without reading the rest of them."""
        for line in self._lines():
            yield int(line[len(_ROW_START) : line.index(b",", len(_ROW_START))])

    @property
    def has_values(self) -> bool:
        """Whether all that the rows need is there; values are deleted when the run has no more use for them."""
        return self.header.values_hash is None or (self.folder / VALUES_FILE).exists()

    def values_are_gone(self) -> PlanError:
        """Return the error for a plan that cannot be applied any more."""
        path = shown(self.folder / VALUES_FILE)
        return PlanError(f"{path} is gone, so the plan's custom fields, assignees or bodies are unknown; plan anew")

    def forget_values(self) -> None:
        """Delete what may hold personal data; the plan can then no longer be applied."""
        path = self.folder / VALUES_FILE
        if self.header.values_hash is not None and path.exists():
            path.unlink()

    def _lines(self) -> Iterator[bytes]:
        lines = read_lines(self.folder / PLAN_FILE)
        next(lines)
        return lines

    def _values(self) -> Iterator[Mapping[str, Any]]:
        if self.header.values_hash is None:
            return
        if not self.has_values:
            raise self.values_are_gone()
        for line in read_lines(self.folder / VALUES_FILE):
            yield json.loads(line)


def write_plan(rows: Iterable[Wish | CallWish | InvalidRow], folder: StorePath, header: PlanHeader) -> Plan:
    """Write the plan for `rows` into `folder`, without looking at the live cases.

    :param rows: read once, in constant memory.
    :param folder: an existing folder.
    :param header: who plans what; its counts and hashes are filled in.
    """
    with Spool() as spool:
        spool.fill(rows)
        return write_spooled(spool, folder, header)


def write_spooled(
    spool: Spool, folder: StorePath, header: PlanHeader, check: Callable[[PlanHeader], None] = lambda _: None
) -> Plan:
    """Write the plan for spooled rows, and for what was seen of their cases; it is there whole or not at all.

    :param spool: the rows.
    :param folder: an existing folder.
    :param header: who plans what; its counts and hashes are filled in.
    :param check: called with the filled header before anything is written; what it raises, this raises.
    """
    tally = _Tally()
    # Files without a name: whatever happens, nothing of the rows is left behind.
    with tempfile.TemporaryFile() as body_file, tempfile.TemporaryFile() as value_file:
        for row in spool.rows():
            planned, reason = intended(row, header.guards)
            line = _row_line(row, planned, reason)
            tally.add(row, planned, line)
            body_file.write(line + b"\n")
            if row.values is not None and row.problem is None:
                value_file.write(row.values.encode() + b"\n")
        filled = tally.fill(replace(header, repeats=spool.repeats, content_hash=spool.content_hash()))
        check(filled)
        if filled.values_hash is not None:
            write_whole(folder / VALUES_FILE, _lines_of(value_file))
        write_whole(folder / PLAN_FILE, chain([canonical_json(asdict(filled))], _lines_of(body_file)))
    return Plan(folder, filled)


def _lines_of(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    return (line.rstrip(b"\n") for line in file)


def read_plan(folder: StorePath) -> Plan | None:
    """Return the plan in `folder`, or None when there is none.

    :raises PlanError: when it was changed, cut short, or is of a format unknown here.
    """
    path = folder / PLAN_FILE
    if not path.exists():
        return None
    lines = read_lines(path)
    try:
        first = json.loads(next(lines, b""))
        if first["format"] != FORMAT:
            raise PlanError(f"{shown(path)} has format {first['format']}, and {FORMAT} is known here; plan anew")
        header = PlanHeader(**first)
    except (ValueError, TypeError, KeyError):
        raise PlanError(f"{shown(path)} is no plan, or of a format unknown here; plan anew") from None
    body = hashlib.sha256()
    for line in lines:
        body.update(line + b"\n")
    if _hash(header, body.hexdigest()) != header.hash:
        raise PlanError(f"{shown(path)} was changed or cut short after it was planned; plan anew")
    if header.values_hash is not None and (folder / VALUES_FILE).exists():
        values = hashlib.sha256()
        for line in read_lines(folder / VALUES_FILE):
            values.update(line + b"\n")
        if values.hexdigest() != header.values_hash:
            raise PlanError(f"{shown(folder / VALUES_FILE)} was changed or cut short after it was planned; plan anew")
    return Plan(folder, header)


def intended(row: SpooledRow, guards: Guards) -> tuple[Planned, str]:
    """Return what to intend for a row, and why where that is not plain."""
    if row.problem is not None:
        return Planned.INVALID, row.problem
    if row.seen is None:
        return Planned.CHANGE, ""
    if row.seen.is_so:
        return Planned.UNCHANGED, UNCHANGED_WHEN_PLANNED
    if row.seen.status is None:
        return Planned.CHANGE, ""  # perhaps no such case: what Persona says to the write will tell why
    expected = json.loads(row.wish).get("expected_status")
    objection = guards.objection(row.seen.status, expected)
    return (Planned.CHANGE, "") if objection is None else (Planned.SKIPPED_GUARD, objection)


class _Tally:
    """Counts and hashes of a plan's rows, taken in one pass."""

    def __init__(self) -> None:
        self._planned: Counter[str] = Counter()
        self._transitions: Counter[str] = Counter()
        self._body = hashlib.sha256()
        self._values = hashlib.sha256()
        self._has_values = False

    def add(self, row: SpooledRow, planned: Planned, line: bytes) -> None:
        self._planned[planned.value] += 1
        self._body.update(line + b"\n")
        if row.values is not None and row.problem is None:
            self._has_values = True
            self._values.update(row.values.encode() + b"\n")
        if planned is Planned.CHANGE and (transition := transition_of(row)) is not None:
            self._transitions[transition] += 1

    def fill(self, header: PlanHeader) -> PlanHeader:
        filled = replace(
            header,
            rows=self._planned.total(),
            planned=dict(sorted(self._planned.items())),
            transitions=dict(sorted(self._transitions.items())),
            values_hash=self._values.hexdigest() if self._has_values else None,
        )
        return replace(filled, hash=_hash(filled, self._body.hexdigest()))


def transition_of(row: SpooledRow) -> str | None:
    """Return the `from -> to` of a row that wishes for a status, else None."""
    wanted = json.loads(row.wish).get("status")
    if wanted is None:
        return None
    before = UNKNOWN_STATUS if row.seen is None else row.seen.status or NO_STATUS
    return f"{before} -> {wanted}"


def _hash(header: PlanHeader, body_hash: str) -> str:
    return hashlib.sha256(canonical_json([asdict(replace(header, hash="")), body_hash])).hexdigest()


_ROW_START = b'{"row":'


def _row_line(row: SpooledRow, planned: Planned, reason: str) -> bytes:
    """Return a row's line; its number stands first, see `Plan.numbers`."""
    record: dict[str, Any] = {"row": row.number, "object_id": row.object_id}
    if planned is not Planned.CHANGE:
        record["planned"] = planned.value
    if reason:
        record["reason"] = reason
    if row.seen is not None:
        record |= {"from": row.seen.status, "updated_at": row.seen.updated_at}
    if row.values is not None and row.problem is None:
        record["values"] = True
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    if row.problem is None:
        text = f'{text[:-1]},"wish":{row.wish}}}'
    return text.encode()


def _plan_row(operation_id: str | None, record: Mapping[str, Any], private: Mapping[str, Any]) -> PlanRow:
    object_id, shown_part = record["object_id"], record.get("wish")
    wish: Wish | CallWish | None = None
    if shown_part is not None and operation_id is not None:
        wish = CallWish.from_written(operation_id, shown_part, private)
    elif shown_part is not None:
        wish = Wish.from_written(object_id, shown_part, private)
    return PlanRow(
        number=record["row"],
        object_id=object_id,
        planned=Planned(record.get("planned", Planned.CHANGE)),
        wish=wish,
        reason=record.get("reason", ""),
        from_status=record.get("from"),
        updated_at=record.get("updated_at"),
    )
