"""Rows on their way into a plan, on disk, so that a million of them need no more memory than a thousand.

SQLite finds the repeats and the contradictions, and keeps what a comparison saw of the live objects.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from airflow_provider_persona.api.messages import canonical_json
from airflow_provider_persona.bulk.rows import InvalidRow, Wish

_BATCH = 5000
_TABLES = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE;
CREATE TABLE rows (n INTEGER PRIMARY KEY, object_id TEXT, digest BLOB, wish TEXT, vals TEXT, problem TEXT);
CREATE TABLE seen (object_id TEXT PRIMARY KEY, status TEXT, updated_at TEXT, is_so INTEGER) WITHOUT ROWID;
"""
_ROWS = """
SELECT n, rows.object_id, wish, vals, problem, seen.status, seen.updated_at, seen.is_so
FROM rows LEFT JOIN seen ON seen.object_id = rows.object_id
"""


class Written(Protocol):
    """A valid row, as a spool takes it."""

    @property
    def object_id(self) -> str | None:
        """What the row is about, None when it is about nothing that exists yet."""

    def written(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what a plan may show, and what it must not because it may hold personal data."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a live case.

    :param status: its status.
    :param updated_at: when it was last changed, as Persona writes it.
    :param is_so: whether it was already as the row wishes.
    """

    status: str | None
    updated_at: str | None
    is_so: bool


@dataclass(frozen=True, slots=True)
class SpooledRow:
    """One row as it goes into the plan.

    :param number: its place in the source, from 1.
    :param object_id: None for a row without a usable id.
    :param wish: JSON of the part of the wish that the plan may show.
    :param values: JSON of the part that it may not, or None.
    :param problem: why the row is invalid, or None.
    :param seen: what was seen of the live case, or None.
    """

    number: int
    object_id: str | None
    wish: str
    values: str | None
    problem: str | None
    seen: Seen | None

    @property
    def case_wish(self) -> Wish:
        """The wish, where it is about a case."""
        assert self.object_id is not None
        return Wish.from_written(self.object_id, json.loads(self.wish), json.loads(self.values or "{}"))


class Spool:
    """A temporary file of rows, without a name, so that not even a killed process leaves it behind.

    :param one_wish_each: what an object is called of which two rows must not wish different things; None where
        they may.
    """

    def __init__(self, *, one_wish_each: str | None = "case") -> None:
        self._one_wish_each = one_wish_each
        self._db = sqlite3.connect("")  # a file of SQLite's own in the system's folder for such, deleted as it is made
        self._db.executescript(_TABLES)
        self.repeats = 0
        self.parts: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file."""
        self._db.close()

    def fill(self, rows: Iterable[Written | InvalidRow]) -> None:
        """Take in all rows, collapse exact repeats, and mark rows that contradict one another as invalid."""
        self.fill_numbered(enumerate(rows, 1))

    def fill_numbered(self, rows: Iterable[tuple[int, Written | InvalidRow]]) -> None:
        """Like `fill`, for rows that have a number each."""
        batch: list[tuple[Any, ...]] = []
        for number, row in rows:
            batch.append(self._record(number, row))
            if len(batch) == _BATCH:
                self._insert(batch)
                batch.clear()
        self._insert(batch)
        self._settle()

    def rows(self) -> Iterator[SpooledRow]:
        """Yield the rows in the order of the source."""
        return map(_spooled, self._db.execute(f"{_ROWS} ORDER BY n"))

    def valid_rows(self) -> int:
        """Return how many rows are valid."""
        return self._number("SELECT COUNT(*) FROM rows WHERE problem IS NULL")

    def content_hash(self) -> str:
        """Return a hash of the rows as they came, whatever was seen of the live objects."""
        digest = hashlib.sha256()
        for record in self._db.execute("SELECT n, object_id, hex(digest), problem FROM rows ORDER BY n"):
            digest.update(canonical_json(record))
        return digest.hexdigest()

    # ------------------------------------------------------------------ what a comparison saw

    def rows_about(self, object_ids: Sequence[str]) -> Iterator[SpooledRow]:
        """Yield the valid rows about any of some objects."""
        marks = ", ".join("?" * len(object_ids))
        wanted = f"{_ROWS} WHERE problem IS NULL AND rows.object_id IN ({marks})"
        return map(_spooled, self._db.execute(wanted, object_ids).fetchall())

    def unseen(self) -> Iterator[SpooledRow]:
        """Yield the valid rows whose object was not seen yet; what is seen meanwhile may be among them."""
        return map(_spooled, self._db.execute(f"{_ROWS} WHERE problem IS NULL AND seen.object_id IS NULL ORDER BY n"))

    def unseen_from(self, number: int) -> SpooledRow | None:
        """Return the first valid row from `number` on whose object was not seen yet."""
        wanted = f"{_ROWS} WHERE problem IS NULL AND seen.object_id IS NULL AND n >= ? ORDER BY n LIMIT 1"
        found = self._db.execute(wanted, (number,)).fetchone()
        return None if found is None else _spooled(found)

    def note_seen(self, seen: Iterable[tuple[str, Seen]]) -> None:
        """Keep what was seen of some objects."""
        records = [(object_id, case.status, case.updated_at, case.is_so) for object_id, case in seen]
        self._db.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", records)

    def seen_count(self) -> int:
        """Return how many objects were seen."""
        return self._number("SELECT COUNT(*) FROM seen")

    def right_count(self) -> int:
        """Return how many of the objects seen were already as wished."""
        return self._number("SELECT COUNT(*) FROM seen WHERE is_so")

    def last_number(self) -> int:
        """Return the number of the last row, 0 when there is none."""
        return self._number("SELECT COALESCE(MAX(n), 0) FROM rows")

    def _number(self, query: str) -> int:
        number: int = self._db.execute(query).fetchone()[0]
        return number

    def _record(self, number: int, row: Written | InvalidRow) -> tuple[Any, ...]:
        if isinstance(row, InvalidRow):
            return (number, row.object_id, None, "{}", None, row.reason)
        wish, values = row.written()
        self.parts.update(wish, values)
        shown, private = canonical_json(wish), canonical_json(values)
        digest = hashlib.sha256(shown + b"\0" + private).digest()[:16]
        return (number, row.object_id, digest, shown.decode(), private.decode() if values else None, None)

    def _insert(self, batch: list[tuple[Any, ...]]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)", batch)
        self._db.commit()

    def _settle(self) -> None:
        self._db.execute("CREATE INDEX by_object ON rows (object_id, digest, n) WHERE problem IS NULL")
        if self._one_wish_each is not None:
            self._db.executescript(
                """
                CREATE TEMP TABLE contradicted AS
                    SELECT object_id, MIN(n) AS first FROM rows WHERE problem IS NULL AND object_id IS NOT NULL
                    GROUP BY object_id HAVING COUNT(DISTINCT digest) > 1;
                """
            )
            self._db.execute(
                """
                UPDATE rows SET problem = 'another row wishes something else for the same ' || ? || ' (first in row ' ||
                    (SELECT first FROM contradicted c WHERE c.object_id = rows.object_id) || ')'
                    WHERE problem IS NULL AND object_id IN (SELECT object_id FROM contradicted)
                """,
                (self._one_wish_each,),
            )
        cursor = self._db.execute(
            "DELETE FROM rows WHERE problem IS NULL AND n NOT IN "
            "(SELECT MIN(n) FROM rows WHERE problem IS NULL GROUP BY object_id, digest)"
        )
        self.repeats = cursor.rowcount
        self._db.commit()


def _spooled(record: tuple[Any, ...]) -> SpooledRow:
    number, object_id, wish, values, problem, status, updated_at, is_so = record
    seen = None if is_so is None else Seen(status, updated_at, bool(is_so))
    return SpooledRow(number, object_id, wish, values, problem, seen)
