"""Rows of a query, streamed: as many in memory as one fetch brings, whatever the size of the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

FETCH = 5000
"""Rows that are fetched at once."""

_NAMED_CURSORS = frozenset({"postgres"})
_MYSQLCLIENT, _MYSQL_CONNECTOR = "MySQLdb", "mysql"


@contextmanager
def query_rows(
    hook: DbApiHook, sql: str, parameters: Any = None
) -> Iterator[tuple[list[str], Iterator[Mapping[str, Any]]]]:
    """Run a query; yield its columns and an iterator over its rows as mappings.

    `get_records` and `get_df_by_chunks` would hold the whole result in memory. PostgreSQL is read through a cursor on
    the server, MySQL and MariaDB through the cursors of their drivers that leave the result on the wire; other drivers
    fetch in parts by themselves.

    :param hook: a hook of any DB-API connection.
    :param sql: one query.
    :param parameters: its parameters, in the driver's style.
    """
    with closing(hook.get_conn()) as connection, _streaming_cursor(hook, connection) as cursor:
        if parameters:
            cursor.execute(sql, parameters)
        else:
            cursor.execute(sql)
        # A named cursor of some drivers describes its columns only once it has fetched.
        first = cursor.fetchmany(FETCH)
        columns = [column[0] for column in cursor.description or ()]
        yield columns, _mappings(columns, first, cursor)


def is_mysql(connection: Any) -> bool:
    """Return whether a driver's connection is one to MySQL or MariaDB."""
    return driver_of(connection) in (_MYSQLCLIENT, _MYSQL_CONNECTOR)


def driver_of(connection: Any) -> str:
    """Return the name of the package that a connection is of, like `psycopg2`."""
    return type(connection).__module__.partition(".")[0]


def _streaming_cursor(hook: DbApiHook, connection: Any) -> AbstractContextManager[Any]:
    """Return a cursor that does not gather the result, to be opened.

    A cursor to MySQL is left to the end of its connection: closing it would read the rest of the result (mysqlclient)
    or be refused while there is a rest (mysql-connector-python).
    """
    driver = driver_of(connection)
    if driver == _MYSQLCLIENT:
        return nullcontext(connection.cursor(import_module("MySQLdb.cursors").SSCursor))
    if driver == _MYSQL_CONNECTOR:
        return nullcontext(connection.cursor(buffered=False))
    if hook.conn_type in _NAMED_CURSORS:
        return closing(connection.cursor(name="persona_rows"))
    return closing(connection.cursor())


def _mappings(columns: list[str], first: Any, cursor: Any) -> Iterator[Mapping[str, Any]]:
    rows = first
    while rows:
        for row in rows:
            # A connection may ask its driver for rows that are mappings already (PostgreSQL's `realdictcursor`).
            yield row if isinstance(row, Mapping) else dict(zip(columns, row, strict=True))
        rows = cursor.fetchmany(FETCH)
