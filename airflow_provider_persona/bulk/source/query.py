"""Rows of a query, streamed: no more in memory than one fetch brings, whatever the size of the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from importlib import import_module
from typing import Any

from airflow_provider_persona.bulk.errors import BulkError, QueryError
from airflow_provider_persona.bulk.source.reading import (
    is_refused_write,
    make_read_only,
    state_of,
    tolerate_unreadable,
)
from airflow_provider_persona.bulk.source.statements import holds_several, is_empty, writing_word
from airflow_provider_persona.storage.dialects import (
    DUCKDB,
    MYSQL_CONNECTOR,
    MYSQLCLIENT,
    OTHER,
    POSTGRES,
    PSYCOPG,
    PSYCOPG2,
    Database,
    Dialect,
    dialect_of,
    driver_of,
)

FETCH = 5000
"""Rows that are fetched at once."""

_LONGEST_MESSAGE = 300
"""Characters of a driver's message that are kept."""

_MISTAKES = frozenset({"ProgrammingError", "NotSupportedError"})
"""Errors that every retry would meet again."""

_VALUE_STATES = frozenset({"22", "23"})
"""Classes of SQLSTATE for errors about a value, which the message shows: data exception, constraint violation."""

_ABOUT_A_VALUE = "a value does not fit; the database's message is left out, since it may show the value"
_UNUSABLE = "the driver cannot use it with its parameters ({})"
_UNREADABLE = "the driver cannot read one of its values ({}); cast it to text"

_READS_THE_REST = "CMySQLConnection"
"""Class of the connections that read the rest of a result when they close: mysql-connector-python's compiled form."""

_PASSED_ON = frozenset({"airflow", "airflow_provider_persona"})
_BYTE_ORDER_MARK = "\ufeff"

_NAMED_CURSORS = frozenset({"postgres"})
_ONE_RESULT = frozenset({PSYCOPG, PSYCOPG2})
"""Drivers that run one statement through a named cursor, so that there is no second result."""


@contextmanager
def errors_named(query: str, dialect: Dialect = OTHER, fault: str = "") -> Iterator[None]:
    """Turn what a driver raises into an error that names the query.

    Only the first line of the driver's message is kept, since the lines after it hold parameters and rows, and nothing
    of it where it is about a value. What Python raises inside a driver (psycopg2: for parameters that do not fit) may
    hold a value too.

    :param query: what names it for a person, like "the query of connection warehouse".
    :param dialect: the database's dialect, for the words of a statement that writes.
    :param fault: what is wrong when the error is none of the database's; such an error passes when it is empty.
    :raises QueryError: for an error of a driver; a retry may help, because the database may only have been away,
        unless it is a mistake in the query.
    :raises BulkError: when the database refused the statement because it writes.
    """
    try:
        yield
    except OSError as error:  # of the network, from drivers that are written in Python
        raise QueryError(f"{query} failed: {type(error).__name__}", retryable=True) from None
    except Exception as error:
        kind = type(error)
        # PEP 249: every driver's errors have a base that is called Error. What Airflow raises to end a task is none.
        kinds = {each.__name__ for each in kind.__mro__}
        if "Error" in kinds:
            first = next(iter(str(error).strip().splitlines()), "")[:_LONGEST_MESSAGE]
            if is_refused_write(error, dialect):
                raise _no_query(f"it writes, says the database ({first})") from None
            said = _ABOUT_A_VALUE if _is_about_a_value(error, kinds) else first
            # `from None` here and below: the driver's error may hold parameters and rows, and a cause is logged.
            raise QueryError(f"{query} failed: {kind.__name__}: {said}", retryable=not kinds & _MISTAKES) from None
        if not fault or kind.__module__.partition(".")[0] in _PASSED_ON:
            raise
        raise QueryError(f"{query} failed: {fault.format(kind.__name__)}", retryable=False) from None


def _is_about_a_value(error: Exception, kinds: set[str]) -> bool:
    state = state_of(error)
    return state[:2] in _VALUE_STATES if state else "DataError" in kinds


@contextmanager
def query_rows(
    database: Database, sql: str, parameters: Any = None, name: str = "the query"
) -> Iterator[tuple[list[str], Iterator[Mapping[str, Any]]]]:
    """Run a query; yield its columns and an iterator over its rows as mappings.

    `get_records` and `get_df_by_chunks` would hold the whole result in memory. PostgreSQL is read through a cursor on
    the server, MySQL and MariaDB through the cursors of their drivers that leave the result on the wire; other drivers
    fetch in parts by themselves.

    :param database: the database, for example any `DbApiHook` of Airflow.
    :param sql: one query.
    :param parameters: its parameters, in the driver's style.
    :param name: what names it in errors.
    :raises QueryError: when the database refuses it or breaks off.
    :raises BulkError: when the text is no query but writes, or holds several statements; with some drivers after the
        rows of the first.
    """
    sql = sql.removeprefix(_BYTE_ORDER_MARK)  # files from Windows begin with one
    if is_empty(sql):
        raise BulkError("sql is empty; a template may have rendered to nothing")
    if (word := writing_word(sql)) is not None:
        raise _no_query(f"it begins with {word}")
    with ExitStack() as opened:
        with errors_named(name):
            connection = opened.enter_context(_closing(database.get_conn()))
            opened.callback(_cut_off, database, connection)  # before the connection is closed
            cursor = opened.enter_context(_streaming_cursor(database, connection))
        dialect = dialect_of(connection)
        # psycopg2 would give the rows of the first statement, and DuckDB those of the last, and say nothing of others.
        if dialect in (POSTGRES, DUCKDB) and holds_several(sql):
            raise _several()
        make_read_only(connection, cursor)
        tolerate_unreadable(connection, cursor)
        with errors_named(name, dialect, _UNUSABLE):
            # Without parameters nothing goes along: sqlite3 refuses None, and other drivers read each `%` of the text
            # as a placeholder once they are given a list, even an empty one.
            cursor.execute(*([sql, parameters] if parameters else [sql]))
        if cursor.description is None and not _is_named(database):
            raise _no_query("it gives no rows")
        # A named cursor of some drivers describes its columns only once it has fetched.
        with errors_named(name, dialect, _UNREADABLE):
            first = cursor.fetchmany(FETCH)
        # Rows become mappings only after this: whoever reads the columns sees which names are there twice.
        columns = [column[0] for column in cursor.description or ()]
        yield columns, _mappings(columns, first, cursor, sql, name)


@contextmanager
def _closing(opened: Any) -> Iterator[Any]:
    """Close a connection or cursor at the end, whatever it says to that: on a lost connection drivers raise."""
    try:
        yield opened
    finally:
        for _ in range(2):  # the first call finds out that psycopg's connection is lost, the second closes the cursor
            with suppress(Exception):
                opened.close()


def _cut_off(database: Database, connection: Any) -> None:
    """End a query that is left before its end, where the driver would read the rest when it closes.

    That takes minutes after a large query, and a stop would wait for it. Only another connection can end the query;
    each user may end their own.
    """
    if type(connection).__name__ != _READS_THE_REST or not connection.unread_result:
        return
    with suppress(Exception), _closing(database.get_conn()) as other, _closing(other.cursor()) as cursor:
        cursor.execute(f"KILL QUERY {int(connection.connection_id)}")


def _streaming_cursor(database: Database, connection: Any) -> AbstractContextManager[Any]:
    """Return a cursor that does not gather the result, to be opened.

    A cursor to MySQL is left to the end of its connection: closing it would read the rest of the result (mysqlclient)
    or be refused while there is a rest (mysql-connector-python).
    """
    driver = driver_of(connection)
    if driver == MYSQLCLIENT:
        return nullcontext(connection.cursor(import_module("MySQLdb.cursors").SSCursor))
    if driver == MYSQL_CONNECTOR:
        return nullcontext(connection.cursor(buffered=False))
    if _is_named(database):
        if getattr(connection, "autocommit", False):
            connection.autocommit = False  # a named cursor lives in a transaction
        return _closing(connection.cursor(name="persona_rows"))
    return _closing(connection.cursor())


def _is_named(database: Database) -> bool:
    return database.conn_type in _NAMED_CURSORS


def _mappings(columns: list[str], first: Any, cursor: Any, sql: str, name: str) -> Iterator[Mapping[str, Any]]:
    rows = first
    while rows:
        for row in rows:
            # A connection may ask its driver for rows that are mappings already (PostgreSQL's `realdictcursor`).
            yield row if isinstance(row, Mapping) else _mapping(columns, row, name)
        with errors_named(name, dialect_of(cursor), _UNREADABLE):
            rows = cursor.fetchmany(FETCH)
    # Drivers tell of a second result only after the first. No row is used before all are read.
    if _has_another_result(cursor, sql):
        raise _several()


def _mapping(columns: list[str], row: Any, name: str) -> Mapping[str, Any]:
    try:
        return dict(zip(columns, row, strict=True))
    except (TypeError, ValueError):
        raise QueryError(
            f"{name} failed: its driver gave a row without one value for each of its {len(columns)} columns",
            retryable=False,
        ) from None


def _has_another_result(cursor: Any, sql: str) -> bool:
    """Whether the text gave a second result, or MySQL ran a second statement.

    MariaDB counts a comment after the semicolon as a statement without a result.
    """
    driver = driver_of(cursor)
    next_result = getattr(cursor, "nextset", None)
    if next_result is None or driver in _ONE_RESULT:
        return False
    if driver in (MYSQLCLIENT, MYSQL_CONNECTOR):
        return bool(next_result()) and (cursor.description is not None or holds_several(sql))
    try:
        return bool(next_result()) and cursor.description is not None
    except Exception:  # noqa: BLE001 - PEP 249 lets a driver refuse the call, each with its own class of error
        return False


def _several() -> BulkError:
    return BulkError("sql holds several statements, and only the rows of the first would be read; give one query")


def _no_query(why: str) -> BulkError:
    return BulkError(
        f"sql is no query: {why}. Rows are only read here, and what else a statement does would be rolled back; write "
        "in a task of its own before this one"
    )
