"""Tables of the customer's own database, written in the SQL that PostgreSQL, MariaDB, MySQL and SQLite have in common.

Nothing here knows what the rows are. Names are checked and never quoted, so a database treats capitals as it always
does; values are parameters of the driver.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_persona.bulk.errors import StoreError
from airflow_provider_persona.transfers.sql_rows import is_mysql

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

PARAMETERS: Final = 999
"""Parameters that a statement may have: SQLite before 3.32 takes so many, SQL Server 2,100."""

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_TABLE = re.compile(rf"{_NAME}(\.{_NAME}){{0,2}}")
_COLUMN = re.compile(_NAME)


def checked_table(name: Any, what: str = "a table") -> str:
    """Return the name of a table.

    :param what: what the table is, for the error.
    :raises StoreError: when it is not `table`, `schema.table` or `catalog.schema.table` in plain characters.
    """
    if not isinstance(name, str) or not _TABLE.fullmatch(name):
        raise StoreError(
            f"{what} must be named table, schema.table or catalog.schema.table, in plain letters, digits and "
            "underscores, no part beginning with a digit"
        )
    return name


def checked_column(name: Any) -> str:
    """Return the name of a column.

    :raises StoreError: when it holds more than plain letters, digits and underscores.
    """
    if not isinstance(name, str) or not _COLUMN.fullmatch(name):
        raise StoreError("a column must be named in plain letters, digits and underscores, not beginning with a digit")
    return name


class KeyedTable:
    """A table with a text column as its key, whose rows are brought to a newer state.

    It is created when it is missing: the key as VARCHAR(255) and primary key, all other columns as text without a
    bound. A table of yours may have other types and further columns, which are left alone; the login needs SELECT,
    INSERT and UPDATE on it.

    :param hook: a hook of any DB-API connection.
    :param table: its name, `table`, `schema.table` or `catalog.schema.table`, not quoted.
    :param columns: the columns that are written; the first is the key.
    :raises StoreError: when a name is no plain name.
    """

    def __init__(self, hook: DbApiHook, table: str, columns: Sequence[str]) -> None:
        self._hook = hook
        self._table = checked_table(table)
        self._columns = [checked_column(name) for name in columns]
        self._key = self._columns[0]

    @contextmanager
    def opened(self) -> Iterator[OpenTable]:
        """Connect, create the table when it is missing, and close the connection in the end.

        :raises StoreError: when the database cannot be reached, or the table is not to be had or lacks a column.
        """
        with self._failing_as("cannot be reached; check that the database answers and lets the login in"):
            connected = self._hook.get_conn()
        with closing(connected) as connection:
            if self._hook.supports_autocommit:
                self._hook.set_autocommit(connection, False)  # noqa: FBT003 - the hook's own signature
            found = columns_of(connection, self._table) or self._create(connection)
            missing = [name for name in self._columns if name.lower() not in found]
            if missing:
                raise StoreError(
                    f"{self._shown} lacks the columns {', '.join(missing)}; add them, or name a table that does not "
                    "exist yet, and it is created"
                )
            yield OpenTable(self, connection)

    def upsert(self, connection: Any, rows: Mapping[str, Sequence[Any]]) -> tuple[int, int]:
        """Insert or update rows within one transaction, and return how many were inserted and how many updated.

        :param connection: the open connection.
        :param rows: by key: the values in the order of the columns.
        :raises StoreError: when the database refuses; nothing of `rows` is written then.
        """
        with self._failing_as("cannot be written to; what was written before stays, and a retry begins anew"):
            held = self._held(connection, list(rows))
            self._update(connection, [row for key, row in rows.items() if key in held])
            self._insert(connection, [row for key, row in rows.items() if key not in held])
            connection.commit()
        return len(rows) - len(held), len(held)

    def _held(self, connection: Any, keys: Sequence[str]) -> set[str]:
        held: set[str] = set()
        for part in _parts(keys, PARAMETERS):
            marks = ", ".join([self._hook.placeholder] * len(part))
            sql = f"SELECT {self._key} FROM {self._table} WHERE {self._key} IN ({marks})"  # noqa: S608 - checked names
            held.update(str(row[0]) for row in select(connection, sql, part))
        return held

    def _update(self, connection: Any, rows: Sequence[Sequence[Any]]) -> None:
        if not rows or len(self._columns) == 1:
            return
        mark = self._hook.placeholder
        sets = ", ".join(f"{name} = {mark}" for name in self._columns[1:])
        sql = f"UPDATE {self._table} SET {sets} WHERE {self._key} = {mark}"  # noqa: S608 - checked names
        with closing(connection.cursor()) as cursor:
            cursor.executemany(sql, [(*row[1:], row[0]) for row in rows])

    def _insert(self, connection: Any, rows: Sequence[Sequence[Any]]) -> None:
        values = f"({', '.join([self._hook.placeholder] * len(self._columns))})"
        names = ", ".join(self._columns)
        for part in _parts(rows, PARAMETERS // len(self._columns)):
            sql = f"INSERT INTO {self._table} ({names}) VALUES {', '.join([values] * len(part))}"  # noqa: S608
            execute(connection, sql, list(chain.from_iterable(part)))

    def _create(self, connection: Any) -> set[str]:
        mysql = is_mysql(connection)
        text = "LONGTEXT" if mysql else "TEXT"
        columns = ", ".join(f"{name} {text}" for name in self._columns[1:])
        # Without a character set of its own a table of MySQL gets its database's, which need not hold every text, and
        # its usual order takes capitals for small letters, which Persona's ids must not be.
        options = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if mysql else ""
        body = f"{self._key} VARCHAR(255) NOT NULL PRIMARY KEY{', ' * bool(columns)}{columns}"
        try:
            execute(connection, f"CREATE TABLE {self._table} ({body}){options}")
            connection.commit()
        except Exception as error:  # noqa: BLE001 - each driver has its own
            connection.rollback()
            found = columns_of(connection, self._table)  # another task may have been faster
            if found is None:
                raise StoreError(
                    f"{self._shown} can neither be read nor created ({type(error).__name__}); check the names, that "
                    "its schema exists, and the login's rights",
                    retryable=True,
                ) from None
            return found
        return {name.lower() for name in self._columns}

    @property
    def _shown(self) -> str:
        return f"the table {self._table} behind the connection {self._hook.get_conn_id()}"

    @contextmanager
    def _failing_as(self, what: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - each driver has its own, and its text may show a row
            raise StoreError(f"{self._shown} {what} ({type(error).__name__})", retryable=True) from None


class OpenTable:
    """A table with its connection.

    :param table: the table.
    :param connection: its open connection, not in autocommit.
    """

    def __init__(self, table: KeyedTable, connection: Any) -> None:
        self._table = table
        self._connection = connection

    def upsert(self, rows: Mapping[str, Sequence[Any]]) -> tuple[int, int]:
        """As `KeyedTable.upsert`."""
        return self._table.upsert(self._connection, rows)


def columns_of(connection: Any, table: str) -> set[str] | None:
    """Return the names of a table's columns in small letters, or None when there is no table that can be read."""
    try:
        with closing(connection.cursor()) as cursor:
            cursor.execute(f"SELECT * FROM {table} WHERE 1 = 0")  # noqa: S608 - the name is checked
            cursor.fetchall()
            return {column[0].lower() for column in cursor.description}
    except Exception:  # noqa: BLE001 - each driver has its own; creating the table shows what is wrong
        connection.rollback()
        return None


def select(connection: Any, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a query and return its rows as tuples."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(sql, parameters)
        rows = cursor.fetchall()
    # A connection may ask its driver for rows that are mappings.
    return [tuple(row.values()) if isinstance(row, Mapping) else tuple(row) for row in rows]


def execute(connection: Any, sql: str, parameters: Sequence[Any] = ()) -> None:
    """Run a statement."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(sql, parameters)


def _parts(values: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))
