"""Rows on their way into a plan, on disk, so that a million of them need no more memory than a thousand.

SQLite finds the repeats and the contradictions.
"""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from airflow_provider_persona.api.messages import canonical_json
from airflow_provider_persona.bulk.rows import InvalidRow, Wish

_BATCH = 5000
_PRIVATE = ("fields", "assignee")
"""Parts of a change that may hold personal data; they never stand in the plan itself."""


@dataclass(frozen=True, slots=True)
class SpooledRow:
    """One row as it goes into the plan.

    :param number: its place in the source, from 1.
    :param case_id: None for an invalid row without a usable id.
    :param wish: JSON of the part of the change that the plan may show.
    :param values: JSON of the part that it may not, or None.
    :param problem: why the row is invalid, or None.
    """

    number: int
    case_id: str | None
    wish: str
    values: str | None
    problem: str | None


class Spool:
    """A temporary file of rows.

    :param folder: where it may stand; by default the system's folder for such files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="persona-plan-", dir=folder)
        self._db = sqlite3.connect(Path(self._folder.name) / "rows.sqlite")
        self._db.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE;"
            "CREATE TABLE rows (n INTEGER PRIMARY KEY, case_id TEXT, digest BLOB, wish TEXT, vals TEXT, problem TEXT)"
        )
        self.repeats = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._folder.cleanup()

    def fill(self, rows: Iterable[Wish | InvalidRow]) -> None:
        """Take in all rows, collapse exact repeats, and mark rows that contradict one another as invalid."""
        batch: list[tuple[Any, ...]] = []
        for number, row in enumerate(rows, 1):
            batch.append(_record(number, row))
            if len(batch) == _BATCH:
                self._insert(batch)
                batch.clear()
        self._insert(batch)
        self._settle()

    def rows(self) -> Iterator[SpooledRow]:
        """Yield the rows in the order of the source."""
        for record in self._db.execute("SELECT n, case_id, wish, vals, problem FROM rows ORDER BY n"):
            yield SpooledRow(*record)

    def _insert(self, batch: list[tuple[Any, ...]]) -> None:
        self._db.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", batch)
        self._db.commit()

    def _settle(self) -> None:
        self._db.executescript(
            """
            CREATE INDEX by_case ON rows (case_id, digest, n) WHERE problem IS NULL;
            CREATE TEMP TABLE contradicted AS
                SELECT case_id, MIN(n) AS first FROM rows WHERE problem IS NULL
                GROUP BY case_id HAVING COUNT(DISTINCT digest) > 1;
            UPDATE rows SET problem = 'another row wishes something else for the same case (first in row ' ||
                (SELECT first FROM contradicted c WHERE c.case_id = rows.case_id) || ')'
                WHERE problem IS NULL AND case_id IN (SELECT case_id FROM contradicted);
            """
        )
        cursor = self._db.execute(
            "DELETE FROM rows WHERE problem IS NULL AND n NOT IN "
            "(SELECT MIN(n) FROM rows WHERE problem IS NULL GROUP BY case_id, digest)"
        )
        self.repeats = cursor.rowcount
        self._db.commit()


def _record(number: int, row: Wish | InvalidRow) -> tuple[Any, ...]:
    if isinstance(row, InvalidRow):
        return (number, row.case_id, None, "{}", None, row.reason)
    change: Mapping[str, Any] = row.change.model_dump(mode="json", exclude_unset=True)
    wish = {name: value for name, value in change.items() if name not in _PRIVATE}
    if row.expected_status is not None:
        wish["expected_status"] = row.expected_status
    values = {name: value for name, value in change.items() if name in _PRIVATE}
    whole = canonical_json([wish, values])
    return (
        number,
        row.case_id,
        hashlib.sha256(whole).digest()[:16],
        canonical_json(wish).decode(),
        canonical_json(values).decode() if values else None,
        None,
    )
