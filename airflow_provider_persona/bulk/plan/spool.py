"""Rows on their way into a plan, on disk, so that a million of them need no more memory than a thousand.

SQLite finds the repeats and the contradictions, and keeps what a comparison saw of the live objects.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

from airflow_provider_persona.api.messages import canonical_json
from airflow_provider_persona.bulk.plan.spooled_keys import Found, SpooledKeys
from airflow_provider_persona.bulk.source.rows import InvalidRow, ObjectKey, ValidRow
from airflow_provider_persona.bulk.subjects.subject import EXPECTED_STATUS, ObjectUpdate, Subject
from airflow_provider_persona.storage.whole_files import filling_scratch, scratch_database

_BATCH = 5000
# Nothing survives the process, so nothing needs a journal or a wait for the disk.
_TABLES = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE;
CREATE TABLE rows (n INTEGER PRIMARY KEY, object_id TEXT, digest BLOB, wish TEXT, vals TEXT, problem TEXT);
CREATE TABLE seen (
    object_id TEXT PRIMARY KEY, status TEXT, updated_at TEXT, is_right INTEGER, is_left INTEGER, before TEXT
) WITHOUT ROWID;
"""
_ROWS = """
SELECT n, rows.object_id, wish, vals, problem,
    seen.status, seen.updated_at, seen.is_right, seen.is_left, seen.before
FROM rows LEFT JOIN seen ON seen.object_id = rows.object_id
"""


class Seen(NamedTuple):
    """What was seen of a live object.

    :param status: its status.
    :param updated_at: when it was last changed, ISO 8601.
    :param is_right: whether it was already as the row asks for.
    :param is_left: whether it was as an earlier run left it, where the row takes that run back.
    :param before: JSON of what takes the row's change back, if that is to be kept. It may hold personal data.
    """

    status: str | None
    updated_at: str | None
    is_right: bool
    is_left: bool = True
    before: str | None = None


@dataclass(frozen=True)
class SpooledRow:
    """One row as it goes into the plan.

    :param number: its place in the source, from 1.
    :param object_id: None for a row without a usable id.
    :param wish: JSON of the part of what it asks for that the plan may show.
    :param values: JSON of the part that may hold personal data, or None; of an invalid row, the key without an object.
    :param problem: why the row is invalid, or None.
    :param seen: what was seen of the live object, or None.
    """

    number: int
    object_id: str | None
    wish: str
    values: str | None
    problem: str | None
    seen: Seen | None

    @cached_property
    def shown(self) -> Mapping[str, Any]:
        """The part of what a valid row asks for that the plan may show; parsed once, since several steps look at it."""
        parts: Mapping[str, Any] = json.loads(self.wish)
        return parts

    def asked_for(self, subject: Subject) -> ValidRow:
        """Return what the valid row asks for, of a subject."""
        return subject.row_from_plan(self.object_id, self.shown, json.loads(self.values or "{}"))


class Spool:
    """A temporary file of rows, without a name, so that not even a killed process leaves it behind.

    :param only_row_per: name of the object that may appear in only one row, or None.
    """

    def __init__(self, *, only_row_per: str | None = None) -> None:
        self._only_row_per = only_row_per
        self._db = scratch_database()  # one thread fills it, then the event loop's thread reads it
        self._db.executescript(_TABLES)
        self.keys = SpooledKeys(self._db)
        self.repeats = 0
        self.parts: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file."""
        self._db.close()

    def fill(self, rows: Iterable[tuple[int, ValidRow | InvalidRow]]) -> None:
        """Take in all rows, each with its number, collapse exact repeats, and mark contradicting rows as invalid.

        Where rows name their objects by a key, repeats and contradictions show only after `settle_matches`.
        """
        batch: list[tuple[Any, ...]] = []
        for number, row in rows:
            batch.append(self._record(number, row))
            if isinstance(row, ObjectUpdate) and row.key is not None:
                self.keys.add(number, row.key)
            if len(batch) == _BATCH:
                self._insert(batch)
                batch.clear()
        self._insert(batch)
        if self.keys.are_open:
            self.keys.index()
        else:
            self._settle()

    def settle_matches(self, by: str, objects_of: Callable[[ObjectKey, Found], list[str] | str]) -> None:
        """Give each row that names its object by a key the objects that were found for it, then settle all rows.

        A row that is about several objects becomes one row for each. The first keeps its number; the others get
        numbers after the last row, in the order of the source.

        :param by: name of the key.
        :param objects_of: takes a row's key and what was found for it; returns the ids of its objects, one at least, or
            why it has none.
        """
        # A row's number is part of its idempotency keys, so the numbers of the other rows stay as they are.
        further = self.last_number()
        for number, key, of_key in self.keys.rows():
            found = objects_of(key, of_key)
            if isinstance(found, str):
                # Whoever looks for the missing object needs the value, and finds it beside the plan only.
                private = canonical_json({by: key.value}).decode()
                self._db.execute("UPDATE rows SET problem = ?, vals = ? WHERE n = ?", (found, private, number))
                continue
            self._db.execute("UPDATE rows SET object_id = ? WHERE n = ?", (found[0], number))
            for object_id in found[1:]:
                further += 1
                self._db.execute(
                    "INSERT INTO rows SELECT ?, ?, digest, wish, vals, problem FROM rows WHERE n = ?",
                    (further, object_id, number),
                )
        self.keys.close()
        self._settle()

    def rows(self) -> Iterator[SpooledRow]:
        """Yield the rows in the order of the source."""
        return self._read(f"{_ROWS} ORDER BY n")

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
        # All at once: whoever asks writes to `seen` while it goes through them.
        return map(_spooled, self._db.execute(wanted, object_ids).fetchall())

    def unseen(self) -> Iterator[SpooledRow]:
        """Yield the valid rows with an object that was not seen yet; objects seen meanwhile may be among them."""
        return self._read(f"{_ROWS} WHERE problem IS NULL AND seen.object_id IS NULL ORDER BY n")

    def unseen_from(self, number: int) -> SpooledRow | None:
        """Return the first valid row, from `number` on, with an object that was not seen yet."""
        wanted = f"{_ROWS} WHERE problem IS NULL AND seen.object_id IS NULL AND n >= ? ORDER BY n LIMIT 1"
        found = self._db.execute(wanted, (number,)).fetchone()
        return None if found is None else _spooled(found)

    def note_seen(self, seen: Iterable[tuple[str, Seen]]) -> None:
        """Keep what was seen of some objects."""
        records = ((object_id, *state) for object_id, state in seen)
        self._db.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?)", records)

    def seen_count(self) -> int:
        """Return how many objects were seen."""
        return self._number("SELECT COUNT(*) FROM seen")

    def right_count(self) -> int:
        """Return how many of the objects seen were already as wanted."""
        return self._number("SELECT COUNT(*) FROM seen WHERE is_right")

    def seen_statuses(self) -> set[str]:
        """Return the statuses of the objects seen."""
        return {status for (status,) in self._db.execute("SELECT DISTINCT status FROM seen") if status is not None}

    def named_statuses(self) -> set[str]:
        """Return the statuses that valid rows ask for or expect."""
        query = "SELECT DISTINCT json_extract(wish, ?) FROM rows WHERE problem IS NULL"
        return {
            str(status)
            for name in ("$.status", f"$.{EXPECTED_STATUS}")
            for (status,) in self._db.execute(query, (name,))
            if status is not None
        }

    def last_number(self) -> int:
        """Return the number of the last row, 0 when there is none."""
        return self._number("SELECT COALESCE(MAX(n), 0) FROM rows")

    def _number(self, query: str) -> int:
        number: int = self._db.execute(query).fetchone()[0]
        return number

    def _read(self, query: str) -> Iterator[SpooledRow]:
        found = iter(self._db.execute(query))
        while True:
            with filling_scratch():  # sorting may need more of the disk
                record = next(found, None)
            if record is None:
                return
            yield _spooled(record)

    def _record(self, number: int, row: ValidRow | InvalidRow) -> tuple[Any, ...]:
        if isinstance(row, InvalidRow):
            return (number, row.object_id, None, "{}", None, row.reason)
        wish, values = row.written()
        self.parts.update(wish, values)
        shown, private = canonical_json(wish), canonical_json(values)
        # JSON holds no NUL, so no two pairs give the same bytes.
        digest = hashlib.sha256(shown + b"\0" + private).digest()[:16]
        return (number, row.object_id or None, digest, shown.decode(), private.decode() if values else None, None)

    def _insert(self, batch: list[tuple[Any, ...]]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)", batch)
        self._db.commit()

    def _settle(self) -> None:
        self._db.execute("CREATE INDEX by_object ON rows (object_id, digest, n) WHERE problem IS NULL")
        if self._only_row_per is not None:
            self._db.executescript(
                """
                CREATE TEMP TABLE contradicted AS
                    SELECT object_id, MIN(n) AS first FROM rows WHERE problem IS NULL AND object_id IS NOT NULL
                    GROUP BY object_id HAVING COUNT(DISTINCT digest) > 1;
                """
            )
            self._db.execute(
                """
                UPDATE rows SET vals = NULL, problem = 'another row wants something else for the same ' || ? ||
                    ' (first in row ' ||
                    (SELECT first FROM contradicted c WHERE c.object_id = rows.object_id) || ')'
                    WHERE problem IS NULL AND object_id IN (SELECT object_id FROM contradicted)
                """,
                (self._only_row_per,),
            )
        # Only now: rows that contradict others are all invalid, also those that repeat one another.
        cursor = self._db.execute(
            "DELETE FROM rows WHERE problem IS NULL AND n NOT IN "
            "(SELECT MIN(n) FROM rows WHERE problem IS NULL GROUP BY object_id, digest)"
        )
        self.repeats = cursor.rowcount
        self._db.commit()


def _spooled(record: tuple[Any, ...]) -> SpooledRow:
    number, object_id, wish, values, problem, status, updated_at, is_right, is_left, before = record
    seen = None if is_right is None else Seen(status, updated_at, bool(is_right), bool(is_left), before)
    return SpooledRow(number, object_id, wish, values, problem, seen)
