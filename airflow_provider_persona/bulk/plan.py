"""The plan: what a run will do, fixed before it does it, in a file that a person can read and nobody can change unseen.

`plan.jsonl` is a header line and a line a row, with ids, statuses, queues, tags and object ids. What may hold personal
data (custom fields, assignees) stands in `values.jsonl` beside it, bound to the plan by its hash, and is deleted when
the run has no more use for it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_persona.api.case_change import CaseChange
from airflow_provider_persona.api.messages import canonical_json
from airflow_provider_persona.bulk.errors import PlanError
from airflow_provider_persona.bulk.rows import InvalidRow, Wish
from airflow_provider_persona.bulk.spool import Spool, SpooledRow
from airflow_provider_persona.bulk.store import StorePath, read_lines, shown, write_whole

FORMAT = 1
PLAN_FILE = "plan.jsonl"
VALUES_FILE = "values.jsonl"


@dataclass(frozen=True, slots=True)
class PlanHeader:
    """The first line of a plan.

    :param hash: SHA-256 over this header without it, over every row, and over the values.
    :param run: identity of the run that planned, part of every idempotency key.
    :param source: fingerprint of where the rows came from (query, parameters, mapping).
    :param environment: id of Persona's environment that it is for, when the connection expects one.
    :param created_at: UTC time, ISO 8601.
    :param rows: rows in the plan, the invalid ones included.
    :param last_row: number of the last row; larger than `rows` where repeats were collapsed.
    :param invalid: how many of them are invalid.
    :param repeats: rows of the source that repeated another exactly and were collapsed into it.
    :param wishes: valid rows by wanted status; rows without one count under the empty text.
    :param values_hash: SHA-256 over `values.jsonl`, or None when there is none.
    """

    run: str
    source: str
    environment: str | None
    created_at: str
    rows: int
    last_row: int
    invalid: int
    repeats: int
    wishes: dict[str, int] = field(default_factory=dict)
    values_hash: str | None = None
    hash: str = ""
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One row of a plan.

    :param number: its number, from 1.
    :param case_id: None for an invalid row without a usable id.
    :param change: what should be true of the case; None for an invalid row.
    :param expected_status: change it only while its status is this one.
    :param problem: why it is invalid, or None.
    """

    number: int
    case_id: str | None
    change: CaseChange | None
    expected_status: str | None = None
    problem: str | None = None


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
        """Yield the rows in order, read from the files as they are asked for."""
        values = self._values()
        lines = read_lines(self.folder / PLAN_FILE)
        next(lines)
        for line in lines:
            record = json.loads(line)
            secret = next(values) if record.pop("values", False) else {}
            yield _plan_row(record, secret)

    def forget_values(self) -> None:
        """Delete what may hold personal data; the plan can then no longer be applied."""
        path = self.folder / VALUES_FILE
        if self.header.values_hash is not None and path.exists():
            path.unlink()

    def _values(self) -> Iterator[Mapping[str, Any]]:
        if self.header.values_hash is None:
            return
        path = self.folder / VALUES_FILE
        if not path.exists():
            raise PlanError(f"{shown(path)} is gone, so the plan's custom fields and assignees are unknown; plan anew")
        for line in read_lines(path):
            yield json.loads(line)


def write_plan(
    rows: Iterable[Wish | InvalidRow],
    folder: StorePath,
    *,
    run: str,
    source: str,
    environment: str | None,
    created_at: str,
) -> Plan:
    """Write the plan for `rows` into `folder`; it is there whole or not at all.

    :param rows: read once, in constant memory.
    :param folder: an existing folder.
    :param run: identity of the run; two runs over the same rows must differ in it.
    :param source: fingerprint of where the rows came from.
    :param environment: id of the environment it is for, when known.
    :param created_at: UTC time, ISO 8601.
    """
    with Spool() as spool:
        spool.fill(rows)
        header = _header(spool, PlanHeader(run, source, environment, created_at, 0, 0, 0, spool.repeats))
        if header.values_hash is not None:
            write_whole(folder / VALUES_FILE, _value_lines(spool))
        write_whole(folder / PLAN_FILE, _with_header(header, spool))
    return Plan(folder, header)


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
        header = PlanHeader(**first)
    except (ValueError, TypeError):
        raise PlanError(f"{shown(path)} is no plan, or of a format unknown here; plan anew") from None
    if header.format != FORMAT:
        raise PlanError(f"{shown(path)} has format {header.format}, and {FORMAT} is known here; plan anew")
    if _hash(header, lines) != header.hash:
        raise PlanError(f"{shown(path)} was changed or cut short after it was planned; plan anew")
    if header.values_hash is not None and (folder / VALUES_FILE).exists():
        digest = hashlib.sha256()
        for line in read_lines(folder / VALUES_FILE):
            digest.update(line + b"\n")
        if digest.hexdigest() != header.values_hash:
            raise PlanError(f"{shown(folder / VALUES_FILE)} was changed or cut short after it was planned; plan anew")
    return Plan(folder, header)


def _header(spool: Spool, header: PlanHeader) -> PlanHeader:
    """Fill in the counts and hashes, in one pass over the rows."""
    wishes: Counter[str] = Counter()
    count = last = invalid = 0
    secret = hashlib.sha256()
    has_values = False
    for row in spool.rows():
        count, last = count + 1, row.number
        if row.problem is not None:
            invalid += 1
            continue
        wishes[json.loads(row.wish).get("status") or ""] += 1
        if row.values is not None:
            has_values = True
            secret.update(row.values.encode() + b"\n")
    filled = asdict(header) | {
        "rows": count,
        "last_row": last,
        "invalid": invalid,
        "wishes": dict(sorted(wishes.items())),
        "values_hash": secret.hexdigest() if has_values else None,
    }
    unhashed = PlanHeader(**filled)
    return PlanHeader(**(filled | {"hash": _hash(unhashed, map(_row_line, spool.rows()))}))


def _hash(header: PlanHeader, lines: Iterable[bytes]) -> str:
    digest = hashlib.sha256(canonical_json(asdict(header) | {"hash": ""}))
    for line in lines:
        digest.update(b"\n")
        digest.update(line)
    return digest.hexdigest()


def _with_header(header: PlanHeader, spool: Spool) -> Iterator[bytes]:
    yield canonical_json(asdict(header))
    yield from map(_row_line, spool.rows())


def _value_lines(spool: Spool) -> Iterator[bytes]:
    return (row.values.encode() for row in spool.rows() if row.values is not None and row.problem is None)


def _row_line(row: SpooledRow) -> bytes:
    record: dict[str, Any] = {"row": row.number, "case_id": row.case_id}
    if row.problem is not None:
        record["invalid"] = row.problem
    else:
        record |= json.loads(row.wish)
        if row.values is not None:
            record["values"] = True
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def _plan_row(record: dict[str, Any], values: Mapping[str, Any]) -> PlanRow:
    number, case_id = record.pop("row"), record.pop("case_id")
    problem = record.pop("invalid", None)
    if problem is not None:
        return PlanRow(number, case_id, None, problem=problem)
    expected = record.pop("expected_status", None)
    return PlanRow(number, case_id, CaseChange(**record, **values), expected)
