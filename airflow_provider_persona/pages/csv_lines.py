"""Plan and ledger as CSV, line by line.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, and ids and statuses come from a query.
Such cells get an apostrophe in front, which spreadsheets take for the mark of a text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any, Final

from airflow_provider_persona.bulk.ledger.outcomes import RowResult
from airflow_provider_persona.bulk.ledger.shown_rows import ShownRow

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_AT_ONCE: Final = 500

_PLAN: Final = {
    "row": "number",
    "object_id": "object_id",
    "planned": "state",
    "from": "from_status",
    "to": "to_status",
    "reason": "reason",
}
_LEDGER: Final = {
    **{name: name for name in ("row", "object_id", "outcome")},
    "from": "from_status",
    "to": "to_status",
    **{name: name for name in ("reason", "http_status", "request_ids", "attempts", "retryable", "at")},
}
"""From the heading of a column to the attribute that stands in it."""


def plan_csv(rows: Iterable[ShownRow]) -> Iterator[bytes]:
    """Yield the lines of a plan as CSV, with a heading."""
    return _csv(_PLAN, rows)


def ledger_csv(results: Iterable[RowResult]) -> Iterator[bytes]:
    """Yield the records of a ledger as CSV, with a heading."""
    return _csv(_LEDGER, results)


def _csv(columns: Mapping[str, str], rows: Iterable[Any]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    cells_of = attrgetter(*columns.values())
    for number, row in enumerate(rows, 1):
        writer.writerow([_harmless(cell) for cell in cells_of(row)])
        if number % _AT_ONCE == 0:  # a chunk of an answer for each row would cost more than the row
            yield _taken(text)
    yield _taken(text)


def _taken(text: io.StringIO) -> bytes:
    found = text.getvalue().encode(errors="replace")  # half of a character must not break off the download
    text.seek(0)
    text.truncate()
    return found


def _harmless(cell: Any) -> Any:
    if isinstance(cell, tuple):  # ids of requests
        cell = " ".join(cell)
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
