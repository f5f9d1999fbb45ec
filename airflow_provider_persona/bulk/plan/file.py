"""The plan: what a run will do, fixed before it does it, in a file that a person can read and nobody can change unseen.

`plan.jsonl` is a header line and a line a row, with ids, statuses, queues, tags and object ids. What may hold personal
data (custom fields, assignees, bodies of calls) stands in `values.jsonl` beside it, bound to the plan by its hash, and
is deleted when the run has no more use for it. What a revert needs stands in `before.jsonl`, if it is to be kept, bound
in the same way. It may hold personal data too, and stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from airflow_provider_persona.api.messages import canonical_json
from airflow_provider_persona.api.steps import WayBack
from airflow_provider_persona.bulk.errors import PlanError
from airflow_provider_persona.bulk.plan.guards import Guards
from airflow_provider_persona.bulk.plan.limits import why_in_vain
from airflow_provider_persona.bulk.plan.seals import Sealer, sealed_lines
from airflow_provider_persona.bulk.source.rows import ValidRow
from airflow_provider_persona.bulk.subjects import object_subject, operation_subject
from airflow_provider_persona.bulk.subjects.subject import ObjectUpdate, Subject
from airflow_provider_persona.storage.paths import StorePath, is_there, read_lines, remove, shown

FORMAT = 2
PLAN_FILE = "plan.jsonl"
VALUES_FILE = "values.jsonl"
BEFORE_FILE = "before.jsonl"
UNKNOWN_STATUS = "?"
NO_STATUS = "(none)"
_FIRST_KIND = "case"
# Members that came later, with what they stand for in older plans. None of these values may change: they are left out
# of the hash, and a plan that lies on a disk would seem to have been edited.
_YOUNGER: dict[str, Any] = {
    "object_kind": _FIRST_KIND,
    "unknown_labels": [],
    "irreversible": {},
    "before_hash": None,
    "asks_time": False,
    "matching": {},
}


class Planned(StrEnum):
    """What a plan intends for a row."""

    CHANGE = "change"
    """It will be sent."""
    UNCHANGED = "unchanged"
    """The object was already as wanted when it was planned."""
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
    :param operation_id: the operation that every row calls, or None for changes of objects.
    :param only_from: statuses that an object may be changed from, or None for any.
    :param never_from: statuses that an object is never changed from.
    :param rows: rows in the plan, the invalid ones included.
    :param repeats: rows of the source that repeated another exactly and were collapsed into it.
    :param planned: rows by what is intended for them.
    :param transitions: rows to be changed by `from -> to` status; `?` stands for a status that was not read.
    :param content_hash: hash of the rows as they came, whatever was seen of the live objects.
    :param values_hash: SHA-256 over `values.jsonl`, or None when there is none.
    :param unknown_labels: statuses of guards and rows that no object and no template has, as far as that was looked up.
    :param object_kind: name of the kind of object that is changed, when no operation is called.
    :param irreversible: rows to be changed that no call takes back, by the reason.
    :param asks_time: whether its writes ask for the time of the last change, which shows that an answer is an old one.
    :param matching: how the objects of rows were found that name them by another key: `by`, the different `values`,
        the requests that this was `priced` at before it began, and the `requests` that it took. Empty where rows name
        their objects by id.
    :param before_hash: SHA-256 over `before.jsonl`, or None when there is none.
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
    object_kind: str = _FIRST_KIND
    unknown_labels: list[str] = field(default_factory=list)
    irreversible: dict[str, int] = field(default_factory=dict)
    before_hash: str | None = None
    asks_time: bool = False
    matching: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What makes the run's calls the same when they are made again; it outlives a lost plan of the same rows."""
        return f"{self.run}:{self.content_hash}"

    @property
    def guards(self) -> Guards:
        """The guards that were planned with."""
        return Guards(None if self.only_from is None else frozenset(self.only_from), frozenset(self.never_from))

    @property
    def subject(self) -> Subject:
        """What the rows are about."""
        return object_subject(self.object_kind) if self.operation_id is None else operation_subject(self.operation_id)

    def to_json(self) -> dict[str, Any]:
        """Return the header as plain data."""
        record = asdict(self)
        for name, default in _YOUNGER.items():  # plans that were written before there were these keep their hash
            if record[name] == default:
                del record[name]
        return record

    @property
    def on_matching(self) -> str:
        """How the objects of the rows were found and what that took, for people; empty where rows have their ids."""
        if not self.matching:
            return ""
        values, by, requests, priced = (self.matching.get(name) for name in ("values", "by", "requests", "priced"))
        return f"{values} values of {by} were looked for by {requests} requests; {priced} were estimated before"

    @property
    def changes(self) -> int:
        """Rows that will be sent."""
        return self.planned.get(Planned.CHANGE, 0)

    @property
    def in_vain(self) -> str | None:
        """Why nothing can be done for any row, where that looks like a mistake; None when something can."""
        skipped = self.planned.get(Planned.SKIPPED_GUARD, 0)
        return why_in_vain(self.rows, self.invalid, skipped, self.unknown_labels)

    @property
    def invalid(self) -> int:
        """Rows that cannot be a change."""
        return self.planned.get(Planned.INVALID, 0)


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One row of a plan.

    :param number: its number, from 1.
    :param object_id: the object that it is about; None for a row without a usable id.
    :param planned: what is intended for it.
    :param wanted: what the row asks for; None for an invalid row.
    :param reason: why it is invalid or skipped.
    :param from_status: the object's status when it was planned, or None when it was not read.
    :param updated_at: when the object was last changed before it was planned, ISO 8601, or None.
    """

    number: int
    object_id: str | None
    planned: Planned
    wanted: ValidRow | None
    reason: str = ""
    from_status: str | None = None
    updated_at: str | None = None

    @property
    def to_status(self) -> str | None:
        """The wanted status, where the row asks for one."""
        return self.wanted.change.status if isinstance(self.wanted, ObjectUpdate) else None

    @property
    def expected_status(self) -> str | None:
        """Change the object only while its status is this one."""
        return self.wanted.expected_status if isinstance(self.wanted, ObjectUpdate) else None


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that was written, or read and found whole.

    :param folder: where its files stand.
    :param header: its first line.
    :param row_seals: seals of the rows' lines, see `seals_of`.
    :param value_seals: seals of the lines of `values.jsonl`.
    """

    folder: StorePath
    header: PlanHeader
    row_seals: tuple[bytes, ...] = field(repr=False)
    value_seals: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def uri(self) -> str:
        """The address of the plan's file."""
        return shown(self.folder / PLAN_FILE)

    def rows(self) -> Iterator[PlanRow]:
        """Yield the rows in order, read from the files as they are asked for.

        The bytes that are used are the bytes that were hashed: a file may be replaced after its hash was checked.

        :raises PlanError: when the values that they need are gone, or a file was changed since it was checked.
        """
        values, subject = self._values(), self.header.subject
        for record in self.records():
            private = next(values) if record.pop("values", False) else {}
            yield _plan_row(subject, record, private)

    def records(self) -> Iterator[dict[str, Any]]:
        """Return the line of each row in order, parsed, as the file has it without the row's values.

        :raises PlanError: when the file was changed since it was checked; not before the first line is asked for.
        """
        return map(json.loads, sealed_lines(self._lines(), self.row_seals, self.uri))

    def changes(self) -> Iterator[tuple[int, str]]:
        """Yield the number and the `from -> to` of each row that is to be changed, without reading its values.

        :raises PlanError: when the file was changed since it was checked.
        """
        for record in self.records():
            if "planned" not in record:
                before = record["from"] or NO_STATUS if "from" in record else UNKNOWN_STATUS
                yield record["row"], f"{before} -> {record['wish'].get('status', '')}"

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of the rows, without reading the rest of them."""
        for line in self._lines():
            # Not parsed: a closing line needs the numbers of a million rows within a second.
            yield int(line[len(_ROW_START) : line.index(b",", len(_ROW_START))])

    @property
    def has_values(self) -> bool:
        """Whether all that the rows need is there; values are deleted when the run has no more use for them."""
        return self.header.values_hash is None or is_there(self.folder / VALUES_FILE)

    def values_are_gone(self) -> PlanError:
        """Return the error for a plan that cannot be applied any more."""
        path = shown(self.folder / VALUES_FILE)
        return PlanError(f"{path} is gone, so the plan's custom fields, assignees or bodies are unknown; plan anew")

    def forget_values(self) -> None:
        """Delete what may hold personal data; the plan can then no longer be applied."""
        if self.header.values_hash is not None:
            remove(self.folder / VALUES_FILE)

    def ways_back(self) -> Iterator[tuple[int, WayBack]]:
        """Yield what takes the change of each row back, with the row's number, where that was kept and is still there.

        :raises PlanError: when the file was changed after it was planned.
        """
        path = self.folder / BEFORE_FILE
        if self.header.before_hash is None or not is_there(path):
            return
        seals = _checked(path, self.header.before_hash)
        for line in sealed_lines(read_lines(path), seals, shown(path)):
            record = json.loads(line)
            yield record["row"], WayBack(**record["before"])

    def _lines(self) -> Iterator[bytes]:
        lines = read_lines(self.folder / PLAN_FILE)
        next(lines, None)  # the header; a file that was emptied since has none, and the seals tell
        return lines

    def _values(self) -> Iterator[Mapping[str, Any]]:
        if self.header.values_hash is None:
            return
        if not self.has_values:
            raise self.values_are_gone()
        path = self.folder / VALUES_FILE
        for line in sealed_lines(read_lines(path), self.value_seals, shown(path)):
            yield json.loads(line)


def read_plan(folder: StorePath) -> Plan | None:
    """Return the plan in `folder`, or None when there is none.

    :raises PlanError: when it was changed, cut short, or is of a format unknown here.
    """
    path = folder / PLAN_FILE
    if not is_there(path):
        return None
    lines = read_lines(path)
    try:
        first = json.loads(next(lines, b""))
        if first["format"] != FORMAT:
            raise PlanError(f"{shown(path)} has format {first['format']}, and {FORMAT} is known here; plan anew")
        header = PlanHeader(**first)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise PlanError(f"{shown(path)} is no plan, or of a format unknown here; plan anew") from None
    body = Sealer.of(lines)
    if not _has_hash(header, body.hexdigest()):
        raise PlanError(f"{shown(path)} was changed or cut short after it was planned; plan anew")
    values = folder / VALUES_FILE
    has_values = header.values_hash is not None and is_there(values)
    return Plan(folder, header, body.seals(), _checked(values, header.values_hash) if has_values else ())


def _checked(path: StorePath, wanted: str | None) -> tuple[bytes, ...]:
    """Return the seals of a file beside a plan.

    :raises PlanError: when it is not the one that was planned.
    """
    sealer = Sealer.of(read_lines(path))
    if sealer.hexdigest() != wanted:
        raise PlanError(f"{shown(path)} was changed or cut short after it was planned; plan anew")
    return sealer.seals()


def hash_of(header: PlanHeader, body_hash: str) -> str:
    """Return a plan's hash: over its header without it, over its rows and, by their hash in the header, its values."""
    return hashlib.sha256(canonical_json([replace(header, hash="").to_json(), body_hash])).hexdigest()


def _has_hash(header: PlanHeader, body_hash: str) -> bool:
    try:
        return hash_of(header, body_hash) == header.hash
    except ValueError:  # half of a surrogate pair, which JSON can spell and UTF-8 cannot
        return False


_ROW_START = b'{"row":'


def _plan_row(subject: Subject, record: Mapping[str, Any], private: Mapping[str, Any]) -> PlanRow:
    object_id, shown_part = record["object_id"], record.get("wish")
    return PlanRow(
        number=record["row"],
        object_id=object_id,
        planned=Planned(record.get("planned", Planned.CHANGE)),
        wanted=None if shown_part is None else subject.row_from_plan(object_id, shown_part, private),
        reason=record.get("reason", ""),
        from_status=record.get("from"),
        updated_at=record.get("updated_at"),
    )
