"""Tables of the customer's own database, in the SQL that PostgreSQL, MariaDB, MySQL, SQLite and DuckDB share.

`SqlTable` connects, creates the table when it is missing and checks its columns. `KeyedTable` adds rows that are
inserted or updated by a key; the ledger's table (`bulk/ledger/table.py`) is the other use. What differs between
databases is data in `storage/dialects.py`.

Names are checked and quoted. Values are parameters of the driver, never a part of a statement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from itertools import chain
from typing import Any, Final

from airflow_provider_persona.storage.dialects import SQLITE, Database, Dialect, dialect_of
from airflow_provider_persona.storage.errors import StoreError

PARAMETERS: Final = 999
"""Parameters that a statement may have: SQLite before 3.32 takes so many, SQL Server 2,100."""

_BAD_VALUE: Final = ("DataError", "OverflowError")
"""Names of the errors that drivers raise for a value that a column does not take."""

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_TABLE: Final = re.compile(rf"{_NAME}(\.{_NAME}){{0,2}}")
_COLUMN: Final = re.compile(_NAME)


class SqlTable:
    """A table that is created when it is missing. A table that is there may have further columns.

    :param database: where it is.
    :param name: `table`, `schema.table` or `catalog.schema.table`, in letters, digits and underscores.
    :param columns: the columns that are used, with their types in `CREATE TABLE`; None for text without a bound.
    :param key: the columns of the primary key.
    :param what: what errors call the table.
    :param lacking: what errors say before the names of missing columns.
    :raises StoreError: when a name is no plain name.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        columns: Mapping[str, str | None],
        key: Sequence[str],
        *,
        what: str = "the table",
        lacking: str = "lacks the columns",
    ) -> None:
        self._name = checked_table(name, "a table" if what == "the table" else what)
        self._database = database
        self._columns = {checked_column(column): kind for column, kind in columns.items()}
        self._key = key
        self._what = what
        self._lacking = lacking

    @property
    def shown(self) -> str:
        """What errors call the table: its name and its connection."""
        return f"{self._what} {self._name} behind the connection {self._database.get_conn_id()}"

    @contextmanager
    def opened(self) -> Iterator[OpenSqlTable]:
        """Connect, create the table when it is missing, and close the connection in the end.

        No transaction is open when the table is handed over: the first rows may take long to come, and an open
        transaction keeps PostgreSQL from cleaning up.

        :raises StoreError: when the database cannot be reached, or the table cannot be created or lacks a column.
        """
        with ExitStack() as opened:
            with failing_as(f"{self.shown} cannot be reached; check that the database answers and lets the login in"):
                connection = opened.enter_context(closing(self._database.get_conn()))
                # A hook may hand out its connection in autocommit, and a batch must be written whole or not at all.
                if self._database.supports_autocommit:
                    self._database.set_autocommit(connection, False)  # noqa: FBT003 - the hook's own signature
                table = self._open_on(connection)
            opened.callback(table.close)
            self._make_ready(table)
            yield table

    def _open_on(self, connection: Any) -> OpenSqlTable:
        dialect = dialect_of(connection)
        self._check_lengths(dialect)
        names = [dialect.quoted(column) for column in self._columns]
        return OpenSqlTable(connection, dialect.quoted(self._name), names, self._database.placeholder, self.shown)

    def _make_ready(self, table: OpenSqlTable) -> None:
        found = table.columns_found() or self._create(table)
        missing = [column for column in self._columns if column.lower() not in found]
        if missing:
            raise StoreError(
                f"{self.shown} {self._lacking} {', '.join(missing)}; add them, or name a table that does not exist "
                "yet, and it is created"
            )

    def _check_lengths(self, dialect: Dialect) -> None:
        longest = dialect.longest_name
        names = [*self._name.split("."), *self._columns]
        too_long = [name for name in names if longest is not None and len(name) > longest]
        if too_long:
            raise StoreError(f"{self.shown}: the name {too_long[0]} is longer than {longest}, and would be cut")

    def _create(self, table: OpenSqlTable) -> set[str]:
        """Create the table, and return the names of its columns in small letters."""
        dialect = table.dialect
        columns = [f"{dialect.quoted(column)} {kind or dialect.text}" for column, kind in self._columns.items()]
        key = ", ".join(dialect.quoted(name) for name in self._key)
        body = ", ".join([*columns, f"PRIMARY KEY ({key})"])
        try:
            table.execute(f"CREATE TABLE {table.name} ({body}){dialect.table_options}")
            table.commit()
        except Exception as error:  # each driver has its own
            table.undo()
            found = table.columns_found()  # another task may have been faster
            if found is None:
                raise StoreError(
                    f"{self.shown} can neither be read nor created ({type(error).__name__}); check the names, that its "
                    "schema exists, and the login's rights. Reserved words can be names in PostgreSQL, MariaDB, MySQL "
                    "and SQLite only",
                    retryable=True,
                ) from error
            return found
        return set(map(str.lower, self._columns))


class OpenSqlTable:
    """A table with its connection, and the statements that its users share.

    :param connection: its open connection, not in autocommit.
    :param name: its name, quoted.
    :param columns: the names of its columns, quoted.
    :param placeholder: how the driver marks a parameter.
    :param shown: what errors call it.
    """

    def __init__(self, connection: Any, name: str, columns: Sequence[str], placeholder: str, shown: str) -> None:
        self._connection = connection
        self._cursor = connection.cursor()  # one for all, since each of DuckDB's is a connection of its own
        self._is_begun = False
        self.dialect = dialect_of(connection)
        self.name = name
        self.columns = list(columns)
        self.placeholder = placeholder
        self.shown = shown

    def failing_as(self, what: str) -> AbstractContextManager[None]:
        """Turn what a driver raises into a `StoreError` that says `what` of this table."""
        return failing_as(f"{self.shown} {what}")

    def columns_found(self) -> set[str] | None:
        """Return the names of the table's columns in small letters, or None when no table can be read.

        The error is left out: creating the table shows what is wrong.
        """
        try:
            found = {column[0].lower() for column in self.described()}
        except Exception:  # noqa: BLE001 - each driver has its own
            self.undo()  # PostgreSQL takes no further statement in a transaction that had an error
            return None
        self.commit()
        return found

    def described(self) -> Sequence[Any]:
        """Return the driver's description of the table's columns."""
        self.execute(f"SELECT * FROM {self.name} WHERE 1 = 0")  # noqa: S608 - the name is checked
        self._cursor.fetchall()  # some MySQL drivers refuse the next statement while a result is unread
        return list(self._cursor.description)

    def select(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a query and return its rows as tuples."""
        self.execute(sql, parameters)
        rows = self._cursor.fetchall()
        # A connection may ask its driver for rows that are mappings.
        return [tuple(row.values()) if isinstance(row, Mapping) else tuple(row) for row in rows]

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement."""
        self._begin()
        self._cursor.execute(sql, parameters)

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement once for each row of parameters."""
        self._begin()
        self._cursor.executemany(sql, rows)

    def insert(self, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows with a value for each column, many in one statement."""
        values = f"({self.marks(len(self.columns))})"
        names = ", ".join(self.columns)
        for part in parts(rows, PARAMETERS // len(self.columns)):
            sql = f"INSERT INTO {self.name} ({names}) VALUES {', '.join([values] * len(part))}"  # noqa: S608
            self.execute(sql, list(chain.from_iterable(part)))

    def marks(self, count: int) -> str:
        """Return the marks of that many parameters, with commas between."""
        return ", ".join([self.placeholder] * count)

    def commit(self) -> None:
        """End the transaction and keep what it wrote."""
        if not self.dialect.begins_by_statement:
            self._connection.commit()
        elif self._is_begun:
            self._cursor.execute("COMMIT")
        self._is_begun = False

    def undo(self) -> None:
        """End the transaction and drop what it wrote.

        Drivers without transactions (BigQuery, Databricks) raise on `rollback()`. There is nothing to undo then.
        """
        with suppress(Exception):
            if self.dialect.begins_by_statement:
                self._cursor.execute("ROLLBACK")
            else:
                self._connection.rollback()
        self._is_begun = False

    def close(self) -> None:
        """Close the cursor. SQLite keeps its lock when a statement is open while the connection is closed."""
        with suppress(Exception):
            self._cursor.close()

    def _begin(self) -> None:
        if self.dialect.begins_by_statement and not self._is_begun:
            self._cursor.execute("BEGIN TRANSACTION")
            self._is_begun = True  # DuckDB refuses a second one, and a COMMIT without one


class KeyedTable:
    """A table with a text column as its key; each write brings rows to a newer state.

    It is created when it is missing: the key as VARCHAR(255) and primary key, all other columns as text without a
    bound. A table of yours may have other types and further columns, which are left alone; the login needs SELECT,
    INSERT and UPDATE on it. Into a text column of PostgreSQL, MariaDB, MySQL or SQLite numbers and truths are written
    as JSON writes them, the same in each; into others as the driver does.

    :param database: where it is.
    :param table: its name, `table`, `schema.table` or `catalog.schema.table`.
    :param columns: the columns that are written; the first is the key.
    :raises StoreError: when a name is no plain name.
    """

    def __init__(self, database: Database, table: str, columns: Sequence[str]) -> None:
        key, *others = columns
        self._name = table
        self._names = list(columns)
        typed = {key: "VARCHAR(255) NOT NULL", **dict.fromkeys(others)}
        self._table = SqlTable(database, table, typed, [key])

    @contextmanager
    def opened(self) -> Iterator[OpenKeyedTable]:
        """Connect, create the table when it is missing, and close the connection in the end.

        :raises StoreError: when the database cannot be reached, or the table cannot be created or lacks a column.
        """
        with self._table.opened() as table:
            with table.failing_as("cannot be read"):
                texts = text_columns_of(table, self._name)
                table.commit()
            yield OpenKeyedTable(table, [name.lower() in texts for name in self._names])


class OpenKeyedTable:
    """A keyed table with its connection.

    :param table: the table; its first column is the key.
    :param is_text: for each column whether it holds text.
    """

    def __init__(self, table: OpenSqlTable, is_text: Sequence[bool]) -> None:
        self._table = table
        self._is_text = is_text
        self._key, *self._others = table.columns

    def upsert(self, rows: Mapping[str, Sequence[Any]]) -> tuple[int, int]:
        """Insert or update rows within one transaction, and return how many were inserted and how many updated.

        :param rows: by key: the values in the order of the columns.
        :raises StoreError: when the database refuses; nothing of `rows` is written then.
        """
        fitting = {key: self._fitting(row) for key, row in rows.items()}
        what = "cannot be written to; what was written before stays, and a retry begins again"
        with self._table.failing_as(what), _refusing_values(f"{self._table.shown} {what}"):
            # Each database spells an upsert in its own way, and needs a unique key, which a table of yours may lack.
            held = self._held(list(fitting))
            self._update([row for key, row in fitting.items() if key in held])
            self._table.insert([row for key, row in fitting.items() if key not in held])
            self._table.commit()
        return len(rows) - len(held), len(held)

    def _fitting(self, row: Sequence[Any]) -> list[Any]:
        """Return the values with numbers and truths as text where the column is one."""
        pairs = zip(row, self._is_text, strict=True)
        return [
            json.dumps(value) if is_text and isinstance(value, bool | int | float) else value
            for value, is_text in pairs
        ]

    def _held(self, keys: Sequence[str]) -> set[str]:
        held: set[str] = set()
        for part in parts(keys, PARAMETERS):
            marks = self._table.marks(len(part))
            sql = f"SELECT {self._key} FROM {self._table.name} WHERE {self._key} IN ({marks})"  # noqa: S608 - checked
            # A column of fixed width fills keys up with blanks.
            held.update(str(row[0]).rstrip(" ") for row in self._table.select(sql, part))
        return held

    def _update(self, rows: Sequence[Sequence[Any]]) -> None:
        if not rows or not self._others:
            return
        mark = self._table.placeholder
        sets = ", ".join(f"{name} = {mark}" for name in self._others)
        sql = f"UPDATE {self._table.name} SET {sets} WHERE {self._key} = {mark}"  # noqa: S608 - checked names
        self._table.execute_many(sql, [(*row[1:], row[0]) for row in rows])


@contextmanager
def failing_as(what: str) -> Iterator[None]:
    """Turn what a driver raises into a `StoreError` that says `what`.

    The driver's own text is left out, also from the traceback: it may show a row.
    """
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver has its own
        raise StoreError(f"{what} ({type(error).__name__})", retryable=True) from None


@contextmanager
def _refusing_values(what: str) -> Iterator[None]:
    """Say of a value that its column does not take that every retry would meet it again."""
    try:
        yield
    except Exception as error:
        if not any(cls.__name__ in _BAD_VALUE for cls in type(error).__mro__):
            raise
        advice = "a value does not fit its column, which can be of another type or of text"
        raise StoreError(f"{what} ({type(error).__name__}); {advice}") from None


def text_columns_of(table: OpenSqlTable, name: str) -> set[str]:
    """Return the names of the columns that hold text, in small letters; none where the driver does not tell.

    :param name: the table's name, not quoted.
    """
    if table.dialect is not SQLITE:
        return {column[0].lower() for column in table.described() if column[1] in table.dialect.text_codes}
    *schema, name = name.split(".")
    columns = table.select("SELECT name, type FROM pragma_table_info(?, ?)", [name, (schema or ["main"])[0]])
    return {name.lower() for name, kind in columns if any(word in kind.upper() for word in ("CHAR", "TEXT", "CLOB"))}


def parts(values: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    """Return the values in parts of `size`, the last one shorter."""
    return (values[start : start + size] for start in range(0, len(values), size))


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
