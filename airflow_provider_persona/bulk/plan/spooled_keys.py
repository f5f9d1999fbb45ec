"""The keys by which rows name their objects, and what was found for each, in the spool's temporary file.

Nothing of it goes into a plan but the ids of the objects, and the key of a row that has none, as a private value.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_provider_persona.bulk.source.rows import ObjectKey

MOST_FOUND = 100
"""Objects that are noted for one key: a page of the list. A key with more is no key."""

_TABLES = """
CREATE TABLE keyed (n INTEGER PRIMARY KEY, key TEXT, status TEXT, template TEXT);
CREATE TABLE found (key TEXT PRIMARY KEY, n INTEGER, objects TEXT, has_more INTEGER, problem TEXT) WITHOUT ROWID;
"""


class Candidate(NamedTuple):
    """An object that has a row's key.

    :param id: its id.
    :param status: its status, or None when it shows none.
    :param template: id of its template, or None.
    """

    id: str
    status: str | None = None
    template: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for a key.

    :param candidates: the objects that have it, newest first, 100 at most.
    :param has_more: whether there are more than these.
    :param problem: why it cannot be said which objects have it; empty where it can.
    """

    candidates: tuple[Candidate, ...] = ()
    has_more: bool = False
    problem: str = ""


class SpooledKeys:
    """Keys of rows, and what was found for each.

    :param db: the spool's database.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._batch: list[tuple[Any, ...]] = []
        self._is_made = self._is_closed = False

    @property
    def are_open(self) -> bool:
        """Whether rows wait for their objects."""
        return self._is_made and not self._is_closed

    def add(self, number: int, key: ObjectKey) -> None:
        """Take in how a row names its object."""
        if not self._is_made:
            self._db.executescript(_TABLES)
            self._is_made = True
        self._batch.append((number, key.value, key.status, key.template))
        if len(self._batch) == MOST_FOUND:
            self._insert()

    def index(self) -> None:
        """Make one entry of each key; call it once all rows are in."""
        self._insert()
        self._db.execute("CREATE INDEX keyed_by_key ON keyed (key, n)")
        self._db.execute("INSERT INTO found SELECT key, MIN(n), NULL, 0, '' FROM keyed GROUP BY key")
        self._db.execute("CREATE INDEX found_by_row ON found (n)")
        self._db.commit()

    def close(self) -> None:
        """Forget the keys."""
        self._db.executescript("DROP TABLE keyed; DROP TABLE found;")
        self._is_closed = True

    def count(self) -> int:
        """Return how many keys have nothing noted yet."""
        number: int = self._db.execute("SELECT COUNT(*) FROM found WHERE objects IS NULL").fetchone()[0]
        return number

    def open_keys(self) -> Iterator[str]:
        """Yield the keys that had nothing noted yet when their turn came, in the order of their first rows."""
        # In parts, and not with one cursor: `found` is written to meanwhile, and whether a cursor sees it is undefined
        # (SQLite's documentation, "Isolation In SQLite").
        after = 0
        while True:
            batch = self._db.execute(
                "SELECT key, n FROM found WHERE objects IS NULL AND n > ? ORDER BY n LIMIT 1000", (after,)
            ).fetchall()
            if not batch:
                return
            after = batch[-1][1]
            yield from (key for key, _ in batch)

    def wanted_among(self, keys: Sequence[str]) -> set[str]:
        """Return those of some texts that are keys of rows."""
        return {record[0] for record in self._select("key", keys)}

    def note(self, key: str, found: Found) -> int:
        """Note what was found for a key, and return the number of the first row that has it."""
        self._write([(key, found)])
        number: int = self._db.execute("SELECT n FROM found WHERE key = ?", (key,)).fetchone()[0]
        return number

    def note_of_row(self, number: int, found: Found) -> None:
        """Note what was found for the key that has its first row at a number."""
        record = self._db.execute("SELECT key FROM found WHERE n = ?", (number,)).fetchone()
        if record is not None:
            self.note(record[0], found)

    def append(self, pairs: Iterable[tuple[str, Candidate]]) -> int:
        """Add objects to what was found for their keys, and return how many keys had nothing before."""
        by_key: dict[str, list[Candidate]] = {}
        for key, candidate in pairs:
            by_key.setdefault(key, []).append(candidate)
        records = self._select("key, objects, has_more, problem", list(by_key))
        held = {key: _found(*record) for key, *record in records}
        new = sum(not found.candidates for found in held.values())
        for key, candidates in by_key.items():
            # The list may move on while it is read, and show an object again.
            together = list({each.id: each for each in (*held[key].candidates, *candidates)}.values())
            held[key] = Found(tuple(together[:MOST_FOUND]), held[key].has_more or len(together) > MOST_FOUND)
        self._write(held.items())
        return new

    def forget_found(self) -> None:
        """Forget what was found."""
        self._db.execute("UPDATE found SET objects = NULL, has_more = 0, problem = ''")

    def settle_rest(self) -> None:
        """Note for all other keys that nothing has them."""
        self._db.execute("UPDATE found SET objects = '[]' WHERE objects IS NULL")

    def rows(self) -> Iterator[tuple[int, ObjectKey, Found]]:
        """Yield the number of each row in order, how it names its object, and what was found for that."""
        query = (
            "SELECT keyed.n, keyed.key, keyed.status, template, objects, has_more, problem FROM keyed "
            "JOIN found ON found.key = keyed.key WHERE keyed.n > ? ORDER BY keyed.n LIMIT 1000"
        )
        after = 0
        while batch := self._db.execute(query, (after,)).fetchall():
            after = batch[-1][0]
            for number, key, status, template, *record in batch:
                yield number, ObjectKey(key, status, template), _found(*record)

    def content_hash(self) -> str:
        """Return a hash of all rows with their keys."""
        digest = hashlib.sha256()
        for record in self._db.execute("SELECT n, key FROM keyed ORDER BY n"):
            digest.update(json.dumps(record).encode())
        return digest.hexdigest()

    def _select(self, columns: str, keys: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(keys), 500):  # SQLite before 3.32 takes 999 parameters at most
            part = keys[start : start + 500]
            marks = ", ".join("?" * len(part))
            query = f"SELECT {columns} FROM found WHERE key IN ({marks})"  # noqa: S608 - names of ours, and marks
            yield from self._db.execute(query, part).fetchall()

    def _write(self, found: Iterable[tuple[str, Found]]) -> None:
        self._db.executemany(
            "UPDATE found SET objects = ?, has_more = ?, problem = ? WHERE key = ?",
            ((json.dumps(one.candidates), one.has_more, one.problem, key) for key, one in found),
        )

    def _insert(self) -> None:
        self._db.executemany("INSERT OR REPLACE INTO keyed VALUES (?, ?, ?, ?)", self._batch)
        self._batch.clear()


def _found(objects: str | None, has_more: int, problem: str) -> Found:
    candidates = (Candidate(*each) for each in json.loads(objects or "[]"))
    return Found(tuple(candidates), bool(has_more), problem)
