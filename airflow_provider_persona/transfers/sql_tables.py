"""Tables of the customer's own database, written in the SQL that PostgreSQL, MariaDB, MySQL and SQLite have in common.

Nothing here knows what the rows are. Names are checked, and quoted so that a database treats capitals as it always
does; values are parameters of the driver.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_persona.bulk.errors import StoreError
from airflow_provider_persona.transfers.sql_rows import driver_of, is_mysql

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

PARAMETERS: Final = 999
"""Parameters that a statement may have: SQLite before 3.32 takes so many, SQL Server 2,100."""

_SQLITE: Final = "sqlite3"
_POSTGRES: Final = ("psycopg", "psycopg2")
_QUOTES: Final = {_SQLITE: '"', **dict.fromkeys(_POSTGRES, '"'), "MySQLdb": "`", "mysql": "`"}
_TEXT_OF_POSTGRES: Final = (18, 25, 1042, 1043)
"""Numbers of its types "char", text, char(n) and varchar(n)."""
_TEXT_OF_MYSQL: Final = (15, 249, 250, 251, 252, 253, 254)
"""Numbers of its types varchar, the four of text (which are also those of blob), varchar and char(n)."""
_OF_A_VALUE: Final = ("DataError", "OverflowError")
"""What drivers call a value that a column does not take."""

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
    INSERT and UPDATE on it. Into a text column of PostgreSQL, MariaDB, MySQL or SQLite numbers and truths are written
    as JSON writes them, the same in each; into others as the driver does.

    :param hook: a hook of any DB-API connection.
    :param table: its name, `table`, `schema.table` or `catalog.schema.table`.
    :param columns: the columns that are written; the first is the key.
    :raises StoreError: when a name is no plain name.
    """

    def __init__(self, hook: DbApiHook, table: str, columns: Sequence[str]) -> None:
        self._hook = hook
        self._table = checked_table(table)
        self._columns = [checked_column(name) for name in columns]

    @contextmanager
    def opened(self) -> Iterator[OpenTable]:
        """Connect, create the table when it is missing, and close the connection in the end.

        No transaction is open when it is handed over, however long the first rows are waited for.

        :raises StoreError: when the database cannot be reached, or the table is not to be had or lacks a column.
        """
        with failing_as(f"{self._shown} cannot be reached; check that the database answers and lets the login in"):
            connected = self._hook.get_conn()
        with closing(connected) as connection:
            if self._hook.supports_autocommit:
                self._hook.set_autocommit(connection, False)  # noqa: FBT003 - the hook's own signature
            table = quoted(connection, self._table)
            found = columns_of(connection, table) or self._create(connection, table)
            missing = [name for name in self._columns if name.lower() not in found]
            if missing:
                raise StoreError(
                    f"{self._shown} lacks the columns {', '.join(missing)}; add them, or name a table that does not "
                    "exist yet, and it is created"
                )
            with failing_as(f"{self._shown} cannot be read"):
                texts = text_columns_of(connection, self._table)
                connection.commit()
            yield OpenTable(self._hook.placeholder, connection, table, self._columns, texts, self._shown)

    def _create(self, connection: Any, table: str) -> set[str]:
        mysql = is_mysql(connection)
        text = "LONGTEXT" if mysql else "TEXT"
        key, *others = [quoted(connection, name) for name in self._columns]
        body = ", ".join([f"{key} VARCHAR(255) NOT NULL PRIMARY KEY", *(f"{name} {text}" for name in others)])
        # Without a character set of its own a table of MySQL gets its database's, which need not hold every text, and
        # its usual order takes capitals for small letters, which Persona's ids must not be.
        options = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if mysql else ""
        try:
            execute(connection, f"CREATE TABLE {table} ({body}){options}")
            connection.commit()
        except Exception as error:  # noqa: BLE001 - each driver has its own
            connection.rollback()
            found = columns_of(connection, table)  # another task may have been faster
            if found is None:
                raise StoreError(
                    f"{self._shown} can neither be read nor created ({type(error).__name__}); check the names, that "
                    "its schema exists, and the login's rights. Words that the database keeps for itself are names in "
                    "PostgreSQL, MariaDB, MySQL and SQLite only",
                    retryable=True,
                ) from None
            return found
        return {name.lower() for name in self._columns}

    @property
    def _shown(self) -> str:
        return f"the table {self._table} behind the connection {self._hook.get_conn_id()}"


class OpenTable:
    """A table with its connection.

    :param placeholder: how the driver marks a parameter.
    :param connection: its open connection, not in autocommit.
    :param table: its name, quoted.
    :param columns: the names of its columns; the first is the key.
    :param texts: those of them that hold text, in small letters.
    :param shown: what errors call it.
    """

    def __init__(
        self,
        placeholder: str,
        connection: Any,
        table: str,
        columns: Sequence[str],
        texts: Container[str],
        shown: str,
    ) -> None:
        self._mark = placeholder
        self._connection = connection
        self._table = table
        self._key, *self._others = [quoted(connection, name) for name in columns]
        self._is_text = [name.lower() in texts for name in columns]
        self._shown = shown

    def upsert(self, rows: Mapping[str, Sequence[Any]]) -> tuple[int, int]:
        """Insert or update rows within one transaction, and return how many were inserted and how many updated.

        :param rows: by key: the values in the order of the columns.
        :raises StoreError: when the database refuses; nothing of `rows` is written then.
        """
        fitting = {key: self._fitting(row) for key, row in rows.items()}
        with failing_as(f"{self._shown} cannot be written to; what was written before stays, and a retry begins anew"):
            held = self._held(list(fitting))
            self._update([row for key, row in fitting.items() if key in held])
            self._insert([row for key, row in fitting.items() if key not in held])
            self._connection.commit()
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
        for part in _parts(keys, PARAMETERS):
            marks = ", ".join([self._mark] * len(part))
            sql = f"SELECT {self._key} FROM {self._table} WHERE {self._key} IN ({marks})"  # noqa: S608 - checked names
            # A column of fixed width fills keys up with blanks.
            held.update(str(row[0]).rstrip(" ") for row in select(self._connection, sql, part))
        return held

    def _update(self, rows: Sequence[Sequence[Any]]) -> None:
        if not rows or not self._others:
            return
        sets = ", ".join(f"{name} = {self._mark}" for name in self._others)
        sql = f"UPDATE {self._table} SET {sets} WHERE {self._key} = {self._mark}"  # noqa: S608 - checked names
        with closing(self._connection.cursor()) as cursor:
            cursor.executemany(sql, [(*row[1:], row[0]) for row in rows])

    def _insert(self, rows: Sequence[Sequence[Any]]) -> None:
        width = 1 + len(self._others)
        values = f"({', '.join([self._mark] * width)})"
        names = ", ".join([self._key, *self._others])
        for part in _parts(rows, PARAMETERS // width):
            sql = f"INSERT INTO {self._table} ({names}) VALUES {', '.join([values] * len(part))}"  # noqa: S608
            execute(self._connection, sql, list(chain.from_iterable(part)))


@contextmanager
def failing_as(what: str) -> Iterator[None]:
    """Turn whatever a driver raises into a `StoreError` that says `what`, never the driver's text: it may show a row.

    Values that a column does not take are refused again by every attempt, so those errors are not retryable.
    """
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver has its own
        is_hopeless = any(cls.__name__ in _OF_A_VALUE for cls in type(error).__mro__)
        advice = "; a value does not fit its column, which can be of another type or of text" if is_hopeless else ""
        raise StoreError(f"{what} ({type(error).__name__}){advice}", retryable=not is_hopeless) from None


def quoted(connection: Any, name: str) -> str:
    """Return a checked name as a statement takes it, also where it is a word that the database keeps for itself.

    Capitals mean what they mean without quotes. In databases other than PostgreSQL, MariaDB, MySQL and SQLite the name
    stays as it is, since quotes would make capitals count.
    """
    driver = driver_of(connection)
    mark = _QUOTES.get(driver, "")
    return ".".join(f"{mark}{part}{mark}" for part in (name.lower() if driver in _POSTGRES else name).split("."))


def text_columns_of(connection: Any, table: str) -> set[str]:
    """Return the names of those columns that hold text, in small letters; none where that cannot be told.

    :param table: its name, not quoted.
    """
    driver = driver_of(connection)
    if driver == _SQLITE:
        *schema, name = table.split(".")
        columns = select(connection, "SELECT name, type FROM pragma_table_info(?, ?)", [name, (schema or ["main"])[0]])
        return {
            name.lower() for name, kind in columns if any(word in kind.upper() for word in ("CHAR", "TEXT", "CLOB"))
        }
    codes = _TEXT_OF_POSTGRES if driver in _POSTGRES else _TEXT_OF_MYSQL if is_mysql(connection) else ()
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"SELECT * FROM {quoted(connection, table)} WHERE 1 = 0")  # noqa: S608 - the name is checked
        cursor.fetchall()
        return {column[0].lower() for column in cursor.description if column[1] in codes}


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
