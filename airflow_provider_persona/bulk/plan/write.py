"""Writes the plan for spooled rows: counts and hashes in one pass, then the files, whole or not at all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import IO, Any

from airflow_provider_persona.api.messages import canonical_json, compact_json
from airflow_provider_persona.bulk.plan.file import (
    BEFORE_FILE,
    NO_STATUS,
    PLAN_FILE,
    UNKNOWN_STATUS,
    VALUES_FILE,
    Plan,
    PlanHeader,
    Planned,
    hash_of,
)
from airflow_provider_persona.bulk.plan.guards import NOT_AS_LEFT, Guards
from airflow_provider_persona.bulk.plan.seals import Sealer
from airflow_provider_persona.bulk.plan.spool import Spool, SpooledRow
from airflow_provider_persona.bulk.subjects.subject import ObjectSubject, Subject
from airflow_provider_persona.storage.errors import FencedError
from airflow_provider_persona.storage.paths import StorePath, is_there, shown
from airflow_provider_persona.storage.whole_files import filling_scratch, scratch_file, write_whole

_UNCHANGED_WHEN_PLANNED = "already so when it was planned"


def write_spooled(
    spool: Spool,
    folder: StorePath,
    header: PlanHeader,
    check: Callable[[PlanHeader], None] = lambda _: None,
    *,
    check_stop: Callable[[], None] = lambda: None,
) -> Plan:
    """Write the plan for spooled rows, and for what was seen of their objects; it is there whole or not at all.

    :param spool: the rows.
    :param folder: an existing folder.
    :param header: who plans what; its counts and hashes are filled in.
    :param check: called with the filled header before anything is written; what it raises, this raises.
    :param check_stop: called every thousand rows; what it raises, this raises.
    :raises FencedError: when another attempt has written a plan there.
    """
    tally = _Tally(header.subject)
    # Files without a name: whatever happens, nothing of the rows is left behind.
    with scratch_file() as body_file, scratch_file() as value_file, scratch_file() as before_file:
        body, values, before = Sealer(body_file), Sealer(value_file), Sealer(before_file)
        for number, row in enumerate(spool.rows()):
            if number % 1000 == 0:
                check_stop()
            planned, reason = _intended(row, header.guards)
            tally.add(row, planned)
            with filling_scratch():
                body.add(_row_line(row, planned, reason))
                if row.values is not None:
                    values.add(row.values.encode())
                if (line := _before_line(row, planned)) is not None:
                    before.add(line)
        filled = replace(
            tally.fill(header),
            repeats=spool.repeats,
            content_hash=spool.content_hash(),
            values_hash=values.hexdigest() if values.lines else None,
            before_hash=before.hexdigest() if before.lines else None,
        )
        filled = replace(filled, hash=hash_of(filled, body.hexdigest()))
        check(filled)
        # A plan that is there is never replaced: its ledger belongs to it. Its values go with it, so an attempt that
        # was paused while it planned must not write its own beside the newer attempt's plan.
        if is_there(folder / PLAN_FILE):
            raise FencedError(f"{shown(folder / PLAN_FILE)} is another attempt's plan; this one stops", retryable=True)
        if filled.values_hash is not None:
            write_whole(folder / VALUES_FILE, _lines_of(value_file))
        if filled.before_hash is not None:
            write_whole(folder / BEFORE_FILE, _lines_of(before_file))
        # Last, since a plan that is there is resumed, and needs the others.
        plan_lines = chain([canonical_json(filled.to_json())], _lines_of(body_file))
        write_whole(folder / PLAN_FILE, plan_lines, only_new=True)
        return Plan(folder, filled, body.seals(), values.seals())


def _lines_of(file: IO[bytes]) -> Iterator[bytes]:
    with filling_scratch():  # the rest of the buffer goes to the disk before anything is read
        file.seek(0)
        for line in file:
            yield line.rstrip(b"\n")


def _intended(row: SpooledRow, guards: Guards) -> tuple[Planned, str]:
    """Return what to intend for a row, and why where that is not plain."""
    if row.problem is not None:
        return Planned.INVALID, row.problem
    if row.seen is None:
        return Planned.CHANGE, ""
    if row.seen.is_right:
        return Planned.UNCHANGED, _UNCHANGED_WHEN_PLANNED
    if row.seen.status is None:
        return Planned.CHANGE, ""  # perhaps there is no such object: what Persona says to the write will tell why
    objection = guards.objection(row.seen.status, row.shown.get("expected_status"))
    if objection is None and not row.seen.is_left:
        objection = NOT_AS_LEFT
    return (Planned.CHANGE, "") if objection is None else (Planned.SKIPPED_GUARD, objection)


class _Tally:
    """Counts of a plan's rows, taken in one pass."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject if isinstance(subject, ObjectSubject) and subject.has_irreversible else None
        self._irreversible: Counter[str] = Counter()
        self._planned: Counter[str] = Counter()
        self._transitions: Counter[str] = Counter()

    def add(self, row: SpooledRow, planned: Planned) -> None:
        self._planned[planned.value] += 1
        if planned is Planned.CHANGE and (transition := _transition_of(row)) is not None:
            self._transitions[transition] += 1
        if planned is Planned.CHANGE and self._subject is not None and (reason := self._irreversible_by(row)):
            self._irreversible[reason] += 1

    def _irreversible_by(self, row: SpooledRow) -> str:
        assert self._subject is not None
        parts = {**row.shown, **json.loads(row.values or "{}")}
        return self._subject.irreversible(None if row.seen is None else row.seen.status, parts)

    def fill(self, header: PlanHeader) -> PlanHeader:
        return replace(
            header,
            rows=self._planned.total(),
            planned=dict(sorted(self._planned.items())),
            transitions=dict(sorted(self._transitions.items())),
            irreversible=dict(sorted(self._irreversible.items())),
        )


def _transition_of(row: SpooledRow) -> str | None:
    """Return the `from -> to` of a row that asks for a status, else None."""
    wanted = row.shown.get("status")
    if wanted is None:
        return None
    before = UNKNOWN_STATUS if row.seen is None else row.seen.status or NO_STATUS
    return f"{before} -> {wanted}"


def _before_line(row: SpooledRow, planned: Planned) -> bytes | None:
    """Return the line of `before.jsonl` for a row, or None when it has none."""
    if planned is not Planned.CHANGE or row.seen is None or row.seen.before is None:
        return None
    return f'{{"row":{row.number},"before":{row.seen.before}}}'.encode()


def _row_line(row: SpooledRow, planned: Planned, reason: str) -> bytes:
    """Return a row's line; its number stands first, see `Plan.numbers`."""
    record: dict[str, Any] = {"row": row.number, "object_id": row.object_id}
    if planned is not Planned.CHANGE:
        record["planned"] = planned.value
    if reason:
        record["reason"] = reason
    if row.seen is not None:
        record |= {"from": row.seen.status, "updated_at": row.seen.updated_at}
    if row.values is not None:
        record["values"] = True
    text = compact_json(record)
    if row.problem is None:
        # It is JSON already; to parse and write it again would only take time.
        text = f'{text[:-1]},"wish":{row.wish}}}'
    return text.encode()
