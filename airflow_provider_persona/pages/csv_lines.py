"""Plan and ledger as CSV, line by line.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, and ids and statuses come from a query.
Such cells get an apostrophe in front, which spreadsheets take for the mark of a text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, Final

from airflow_provider_persona.bulk.ledger.outcomes import RowResult
from airflow_provider_persona.bulk.ledger.shown_rows import ShownRow

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_AT_ONCE: Final = 500

_PLAN = ("row", "object_id", "planned", "from", "to", "reason")
_LEDGER = (
    "row",
    "object_id",
    "outcome",
    "from",
    "to",
    "reason",
    "http_status",
    "request_ids",
    "attempts",
    "retryable",
    "at",
)


def plan_csv(rows: Iterable[ShownRow]) -> Iterator[bytes]:
    """Yield the lines of a plan as CSV, with a heading."""
    return _csv(_PLAN, ((r.number, r.object_id, r.state, r.from_status, r.to_status, r.reason) for r in rows))


def ledger_csv(results: Iterable[RowResult]) -> Iterator[bytes]:
    """Yield the records of a ledger as CSV, with a heading."""
    return _csv(
        _LEDGER,
        (
            (
                one.row,
                one.object_id,
                one.outcome.value,
                one.from_status,
                one.to_status,
                one.reason,
                one.http_status,
                " ".join(one.request_ids),
                one.attempts,
                one.retryable,
                one.at,
            )
            for one in results
        ),
    )


def _csv(heading: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(heading)
    for number, row in enumerate(rows, 1):
        writer.writerow([_harmless(cell) for cell in row])
        if number % _AT_ONCE == 0:
            yield _taken(text)
    yield _taken(text)


def _taken(text: io.StringIO) -> bytes:
    found = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return found


def _harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
