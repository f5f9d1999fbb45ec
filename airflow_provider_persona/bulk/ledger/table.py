"""The ledger in a table of the customer's own database, one line for each row of the plan.

The files beside the plan stay the record that a run reads; the table is a copy for people who ask with SQL. How a table
is created and written is the matter of `storage/sql_tables.py`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, NamedTuple

from airflow_provider_persona.bulk.ledger.outcomes import RowResult
from airflow_provider_persona.storage.dialects import Database
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.storage.sql_tables import OpenSqlTable, SqlTable, failing_as

BATCH = 1000
"""Records in one transaction."""


class _Column(NamedTuple):
    name: str
    type: str
    key: str
    """Its name in a line of the ledger."""
    width: int = 0
    """Characters that a text may have; 0 for a number."""


_COLUMNS = (
    _Column("plan_hash", "VARCHAR(64) NOT NULL", "plan", 64),
    _Column("plan_row", "INTEGER NOT NULL", "row"),
    _Column("object_id", "VARCHAR(255)", "object_id", 255),
    _Column("from_status", "VARCHAR(255)", "from", 255),
    _Column("to_status", "VARCHAR(255)", "to", 255),
    _Column("outcome", "VARCHAR(32)", "outcome", 32),
    _Column("reason", "VARCHAR(4000)", "reason", 4000),
    _Column("http_status", "INTEGER", "http_status"),
    _Column("request_ids", "VARCHAR(4000)", "request_ids", 4000),
    _Column("key_generation", "INTEGER", "generation"),
    _Column("attempts", "INTEGER", "attempts"),
    _Column("retryable", "INTEGER", "retryable"),
    _Column("recorded_at", "VARCHAR(40)", "at", 40),
)
_LARGEST = 2**31 - 1
"""The largest number that INTEGER holds in every database."""
_ANY_TEXT = "Ж√\U0001f512"  # letters of two, three and four bytes in UTF-8


class LedgerTable:
    """A table that holds ledgers, of one plan or of many.

    It is created when it is missing, with these columns:

    - `plan_hash` VARCHAR(64) and `plan_row` INTEGER, from 1: together the primary key;
    - `object_id`, `from_status`, `to_status` VARCHAR(255), `outcome` VARCHAR(32), `reason` VARCHAR(4000);
    - `http_status` INTEGER, `request_ids` VARCHAR(4000) with a blank between two, `key_generation`, `attempts` INTEGER;
    - `retryable` INTEGER, 0 or 1, because not every database has a type for truth;
    - `recorded_at` VARCHAR(40), UTC in ISO 8601 as the files have it. Text sorts and compares by time and reads the
      same everywhere; timestamps differ in precision and shift with the session's time zone.

    A table of yours may have further columns that need no value. The login needs SELECT, INSERT and DELETE on it.

    :param database: where the table is.
    :param table: its name, `table`, `schema.table` or `catalog.schema.table`, of letters, digits and underscores. The
        database treats capitals in it as it does without quotes.
    :raises StoreError: when the name is no such name.
    """

    def __init__(self, database: Database, table: str) -> None:
        self._table = SqlTable(
            database,
            table,
            {column.name: column.type for column in _COLUMNS},
            ["plan_hash", "plan_row"],
            what="the ledger's table",
            lacking="is no table of ledgers: it lacks",
        )

    def prepare(self) -> None:
        """Create the table when it is missing, and try that lines can be written, read and replaced.

        A trial line is written and removed in one transaction, so that whatever would stop the copy stops the run
        before its first write to Persona: a right that the login lacks, a column that is too short or needs a value.

        :raises StoreError: when the database cannot be reached, or the table cannot be created or is another one.
        """
        with self._failing_as("cannot be made ready"), self._table.opened() as table:
            _try(table)

    def copy(self, results: Iterable[RowResult], plan_hash: str) -> int:
        """Write the ledger's records, in place of what the table holds of their rows.

        Each batch is one transaction, so a copy that was interrupted can be made again from the start, and the copy of
        a ledger that has grown brings each row to its newest record. Lines that are right already are left alone. Texts
        that are longer than their column are cut.

        :param results: records in the order of writing; a later one of the same row replaces an earlier one.
        :param plan_hash: the plan's hash.
        :returns: how many rows of the plan the table holds now.
        :raises StoreError: when the database cannot be reached or refuses a batch; the batches before it stay.
        """
        records = iter(results)
        with self._table.opened() as table:
            while batch := list(islice(records, BATCH)):
                # A mapping: where a batch has two records of a row, the later one stays.
                lines = {result.row: _line(result.to_line(plan_hash)) for result in batch}
                with self._failing_as("cannot be written to; the ledger's files are whole, so it can be copied again"):
                    _replace(table, plan_hash, lines)
                    table.commit()
            with self._failing_as("cannot be read"):
                count = f"SELECT COUNT(*) FROM {table.name} WHERE plan_hash = {table.placeholder}"  # noqa: S608
                return int(table.select(count, [plan_hash])[0][0])

    def _failing_as(self, what: str) -> AbstractContextManager[None]:
        return failing_as(f"{self._table.shown} {what}")


def _try(table: OpenSqlTable) -> None:
    plan_hash = f"trial-{uuid.uuid4().hex}".ljust(64, "-")
    trial: dict[str, Any] = {
        column.key: _ANY_TEXT.ljust(column.width, ".") if column.width else _LARGEST for column in _COLUMNS
    }
    line = _line({**trial, "plan": plan_hash, "request_ids": [trial["request_ids"]]})
    with table.failing_as(
        "does not take a trial line; the login needs SELECT, INSERT and DELETE, and a table of yours no further "
        "column that wants a value, and for MySQL table and connection the character set utf8mb4"
    ):
        _replace(table, plan_hash, {_LARGEST: line})
        came_back = _held(table, plan_hash, [_LARGEST])
        _delete(table, plan_hash, [_LARGEST])
        table.commit()
    if came_back != {_LARGEST: line}:
        raise StoreError(
            f"{table.shown} gives a trial line back changed; its columns must be those that LedgerTable documents, "
            "and for MySQL table and connection need the character set utf8mb4"
        )


def _replace(table: OpenSqlTable, plan_hash: str, lines: Mapping[int, tuple[Any, ...]]) -> None:
    """Write lines in place of what the table holds of their rows.

    Only lines that are there are deleted: in MySQL a delete that finds nothing locks the gap, and two tasks that did so
    and then inserted would wait for each other.
    """
    held = _held(table, plan_hash, lines)
    outdated = [row for row, line in held.items() if line != lines[row]]
    if outdated:
        _delete(table, plan_hash, outdated)
    table.insert([line for row, line in lines.items() if held.get(row) != line])


def _held(table: OpenSqlTable, plan_hash: str, rows: Iterable[int]) -> dict[int, tuple[Any, ...]]:
    """Return the lines that the table holds of these rows, by row."""
    lines = table.select(f"SELECT {', '.join(table.columns)} {_of_rows(table, rows)}", [plan_hash])
    return {line[1]: line for line in lines}


def _delete(table: OpenSqlTable, plan_hash: str, rows: Iterable[int]) -> None:
    table.execute(f"DELETE {_of_rows(table, rows)}", [plan_hash])


def _of_rows(table: OpenSqlTable, rows: Iterable[int]) -> str:
    # Not as parameters: SQL Server takes 2,100 of them, SQLite before 3.32 only 999. `int` lets nothing else in.
    numbers = ", ".join(str(int(row)) for row in rows)
    return f"FROM {table.name} WHERE plan_hash = {table.placeholder} AND plan_row IN ({numbers})"


def _line(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the values of a line of the ledger in the order of the columns."""
    return tuple(_value(line[column.key], column.width) for column in _COLUMNS)


def _value(value: Any, width: int) -> Any:
    if value is None:
        return None
    if not width:
        return int(value)
    text = value if isinstance(value, str) else " ".join(value)
    text = text.replace("\0", "\ufffd")  # which PostgreSQL has no place for
    return text if len(text) <= width else f"{text[: width - 1]}…"
