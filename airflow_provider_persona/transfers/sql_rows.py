"""Rows of a query, streamed: as many in memory as one fetch brings, whatever the size of the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

FETCH = 5000
"""Rows that are fetched at once."""

_BUFFERS_ON_THE_CLIENT = frozenset({"mysql", "mariadb"})
_NAMED_CURSORS = frozenset({"postgres"})


@contextmanager
def query_rows(
    hook: DbApiHook, sql: str, parameters: Any = None
) -> Iterator[tuple[list[str], Iterator[Mapping[str, Any]]]]:
    """Run a query; yield its columns and an iterator over its rows as mappings.

    `get_records` and `get_df_by_chunks` would hold the whole result in memory. PostgreSQL is read through a cursor on
    the server, MySQL and MariaDB through SQLAlchemy's streaming; other drivers fetch in parts by themselves.

    :param hook: a hook of any DB-API connection.
    :param sql: one query.
    :param parameters: its parameters, in the driver's style.
    """
    if hook.conn_type in _BUFFERS_ON_THE_CLIENT:
        with _through_sqlalchemy(hook, sql, parameters) as opened:
            yield opened
    else:
        with closing(hook.get_conn()) as connection:
            name = {"name": "persona_rows"} if hook.conn_type in _NAMED_CURSORS else {}
            with closing(connection.cursor(**name)) as cursor:
                if parameters:
                    cursor.execute(sql, parameters)
                else:
                    cursor.execute(sql)
                # A named cursor of some drivers describes its columns only once it has fetched.
                first = cursor.fetchmany(FETCH)
                columns = [column[0] for column in cursor.description or ()]
                yield columns, _mappings(columns, first, cursor)


def _mappings(columns: list[str], first: Any, cursor: Any) -> Iterator[Mapping[str, Any]]:
    rows = first
    while rows:
        for row in rows:
            # A connection may ask its driver for rows that are mappings already (PostgreSQL's `realdictcursor`).
            yield row if isinstance(row, Mapping) else dict(zip(columns, row, strict=True))
        rows = cursor.fetchmany(FETCH)


@contextmanager
def _through_sqlalchemy(
    hook: DbApiHook, sql: str, parameters: Any
) -> Iterator[tuple[list[str], Iterator[Mapping[str, Any]]]]:
    engine = hook.get_sqlalchemy_engine()
    try:
        with engine.connect().execution_options(stream_results=True, max_row_buffer=FETCH) as connection:
            result = connection.exec_driver_sql(sql, parameters) if parameters else connection.exec_driver_sql(sql)
            columns = list(result.keys())
            yield columns, (dict(zip(columns, row, strict=True)) for row in result)
    finally:
        engine.dispose()
