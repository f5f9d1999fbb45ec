"""The ledger in a table of the customer's own database, a line per row of the plan.

The files beside the plan stay the record that a run goes by; the table is a copy for people who ask with SQL. It is
written through any DB-API hook of Airflow, in the SQL that PostgreSQL, MariaDB, MySQL and SQLite have in common.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_persona.bulk.errors import StoreError
from airflow_provider_persona.transfers.sql_rows import is_mysql
from airflow_provider_persona.transfers.sql_tables import PARAMETERS, checked_table, columns_of, execute, select

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_persona.bulk.outcomes import RowResult

BATCH = 1000
"""Records that one transaction takes in."""


class _Column(NamedTuple):
    name: str
    type: str
    key: str
    """What the ledger's line calls it."""
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
_NAMES = ", ".join(column.name for column in _COLUMNS)
_INSERTED_AT_ONCE = PARAMETERS // len(_COLUMNS)
_LARGEST = 2**31 - 1
_ANY_TEXT = "Ж√\U0001f512"  # letters of two, three and four bytes in UTF-8


class LedgerTable:
    """A table that holds ledgers, of one plan or of many.

    It is created when it is missing, with these columns, whose names need quotes in no database:

    - `plan_hash` VARCHAR(64) and `plan_row` INTEGER, from 1: together the primary key;
    - `object_id`, `from_status`, `to_status` VARCHAR(255), `outcome` VARCHAR(32), `reason` VARCHAR(4000);
    - `http_status` INTEGER, `request_ids` VARCHAR(4000) with a blank between two, `key_generation`, `attempts` INTEGER;
    - `retryable` INTEGER, 0 or 1, because not every database has a type for truth;
    - `recorded_at` VARCHAR(40), UTC in ISO 8601 as the files have it. Text sorts and compares by time and reads the
      same everywhere; timestamps differ in precision and shift with the session's time zone.

    A table of yours may have further columns that need no value. The login needs SELECT, INSERT and DELETE on it.

    :param hook: a hook of any DB-API connection.
    :param table: its name, `table`, `schema.table` or `catalog.schema.table`, of letters, digits and underscores. It is
        not quoted, so the database treats capitals as it always does.
    :raises StoreError: when the name is no such name.
    """

    def __init__(self, hook: DbApiHook, table: str) -> None:
        self._hook = hook
        self._table = checked_table(table, "the ledger's table")

    def prepare(self) -> None:
        """Create the table when it is missing, and try that lines can be written to it, read and replaced.

        A trial line is written and removed within one transaction, so that whatever would stop the copy stops the run
        before its first write to Persona: a right that the login lacks, a column that is too short or wants more.

        :raises StoreError: when the database cannot be reached, or the table is not to be had or is another one.
        """
        with self._failing_as("cannot be made ready"), self._connection() as connection:
            found = columns_of(connection, self._table)
            if found is None:
                found = self._create(connection)
            missing = [column.name for column in _COLUMNS if column.name not in found]
            if missing:
                raise StoreError(
                    f"{self._shown} is no table of ledgers: it lacks {', '.join(missing)}; name a table that does not "
                    "exist yet, and it is created"
                )
            self._try(connection)

    def copy(self, results: Iterable[RowResult], plan_hash: str) -> int:
        """Write the ledger's records, in place of what the table holds of their rows.

        Each batch is one transaction, so a copy that broke off can be made again from the start, and the copy of a
        ledger that has grown brings each row to its newest record. Lines that are right already are left alone. Texts
        that are longer than their column are cut.

        :param results: records in the order of writing; a later one of the same row replaces an earlier one.
        :param plan_hash: the plan's hash.
        :returns: how many rows of the plan the table holds now.
        :raises StoreError: when the database cannot be reached or refuses a batch; the batches before it stay.
        """
        records = iter(results)
        with self._connection() as connection:
            while batch := list(islice(records, BATCH)):
                lines = {result.row: _line(result.to_line(plan_hash)) for result in batch}
                with self._failing_as("cannot be written to; the ledger's files are whole, so it can be copied again"):
                    self._replace(connection, plan_hash, lines)
                    connection.commit()
            with self._failing_as("cannot be read"):
                count = f"SELECT COUNT(*) FROM {self._table} WHERE plan_hash = {self._hook.placeholder}"  # noqa: S608
                return int(select(connection, count, [plan_hash])[0][0])

    @property
    def _shown(self) -> str:
        return f"the ledger's table {self._table} behind the connection {self._hook.get_conn_id()}"

    @contextmanager
    def _failing_as(self, what: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:  # each driver has its own
            raise StoreError(f"{self._shown} {what} ({type(error).__name__})", retryable=True) from error

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """Open a connection; what is not committed when it is closed is undone."""
        with self._failing_as("cannot be reached; check that the database answers and lets the login in"):
            opened = self._hook.get_conn()
        with closing(opened) as connection:
            if self._hook.supports_autocommit:
                self._hook.set_autocommit(connection, False)  # noqa: FBT003 - the hook's own signature
            yield connection

    def _create(self, connection: Any) -> set[str]:
        columns = ", ".join(f"{column.name} {column.type}" for column in _COLUMNS)
        # Without a character set of its own a table of MySQL gets its database's, which need not hold every text.
        options = " CHARACTER SET utf8mb4" if is_mysql(connection) else ""
        try:
            execute(connection, f"CREATE TABLE {self._table} ({columns}, PRIMARY KEY (plan_hash, plan_row)){options}")
            connection.commit()
        except Exception as error:  # each driver has its own
            connection.rollback()
            found = columns_of(connection, self._table)  # another task may have been faster
            if found is None:
                raise StoreError(
                    f"{self._shown} can neither be read nor created ({type(error).__name__}); check the name, that its "
                    "schema exists, and the login's rights",
                    retryable=True,
                ) from error
            return found
        return {column.name for column in _COLUMNS}

    def _try(self, connection: Any) -> None:
        plan_hash = f"trial-{uuid.uuid4().hex}".ljust(64, "-")
        trial: dict[str, Any] = {
            column.key: _ANY_TEXT.ljust(column.width, ".") if column.width else _LARGEST for column in _COLUMNS
        }
        line = _line({**trial, "plan": plan_hash, "request_ids": [trial["request_ids"]]})
        with self._failing_as(
            "does not take a trial line; the login needs SELECT, INSERT and DELETE, and a table of yours no further "
            "column that wants a value, and for MySQL table and connection the character set utf8mb4"
        ):
            self._replace(connection, plan_hash, {_LARGEST: line})
            came_back = self._held(connection, plan_hash, [_LARGEST])
            self._delete(connection, plan_hash, [_LARGEST])
            connection.commit()
        if came_back != {_LARGEST: line}:
            raise StoreError(
                f"{self._shown} gives a trial line back changed; its columns must be those that LedgerTable documents, "
                "and for MySQL table and connection need the character set utf8mb4"
            )

    def _replace(self, connection: Any, plan_hash: str, lines: Mapping[int, tuple[Any, ...]]) -> None:
        """Write lines in place of what the table holds of their rows.

        Only lines that are there are deleted: in MySQL a delete that finds nothing locks the gap, and two tasks that
        did so and then inserted would wait for each other.
        """
        held = self._held(connection, plan_hash, lines)
        outdated = [row for row, line in held.items() if line != lines[row]]
        if outdated:
            self._delete(connection, plan_hash, outdated)
        missing = [line for row, line in lines.items() if held.get(row) != line]
        values = f"({', '.join([self._hook.placeholder] * len(_COLUMNS))})"
        for start in range(0, len(missing), _INSERTED_AT_ONCE):
            part = missing[start : start + _INSERTED_AT_ONCE]
            insert = f"INSERT INTO {self._table} ({_NAMES}) VALUES {', '.join([values] * len(part))}"  # noqa: S608
            execute(connection, insert, list(chain.from_iterable(part)))

    def _held(self, connection: Any, plan_hash: str, rows: Iterable[int]) -> dict[int, tuple[Any, ...]]:
        lines = select(connection, f"SELECT {_NAMES} {self._of_rows(rows)}", [plan_hash])
        return {line[1]: line for line in lines}

    def _delete(self, connection: Any, plan_hash: str, rows: Iterable[int]) -> None:
        execute(connection, f"DELETE {self._of_rows(rows)}", [plan_hash])

    def _of_rows(self, rows: Iterable[int]) -> str:
        numbers = ", ".join(str(int(row)) for row in rows)
        return f"FROM {self._table} WHERE plan_hash = {self._hook.placeholder} AND plan_row IN ({numbers})"


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
