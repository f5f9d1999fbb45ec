"""Settings of a connection before it reads: change nothing, and lose no result for one value that Python lacks.

A value of the latter kind becomes an `Unreadable`, so that its row is invalid and all others are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext, suppress
from importlib import import_module
from typing import Any, Final

from airflow_provider_persona.bulk.source.values import Unreadable
from airflow_provider_persona.storage.dialects import PSYCOPG, PSYCOPG2, SQLITE, Dialect, dialect_of, driver_of

_UNREADABLE: Final[Mapping[str, tuple[int, int, tuple[str, ...]]]] = {
    "date": (1082, 1182, ("infinity", "BC")),
    "timestamp": (1114, 1115, ("infinity", "BC")),
    "timestamptz": (1184, 1185, ("infinity", "BC")),
    "time": (1083, 1183, ("24:",)),
    "timetz": (1266, 1270, ("24:",)),
    "interval": (1186, 1187, ("mon", "year", "infinity")),
    "json": (114, 199, ()),  # nested deeply, or with a number of more digits than Python reads
    "jsonb": (3802, 3807, ()),
}
"""PostgreSQL's types with values that Python lacks: their numbers, those of their arrays, and what stands in the text
of such a value where the drivers give another one in its place: psycopg2 the year 9999 for `infinity` and midnight for
`24:00`, both of them 30 days for a month."""


def make_read_only(connection: Any, cursor: Any) -> None:
    """Let the database refuse what writes, also where it hides in a function: its effect would be rolled back.

    A database that only seems to be what its driver says may not know the statement; it is read all the same.
    """
    dialect = dialect_of(connection)
    if not dialect.read_only:
        return
    try:
        with nullcontext(cursor) if dialect.begins_by_statement else closing(connection.cursor()) as told:
            told.execute(dialect.read_only)
    except Exception:  # noqa: BLE001 - each driver has its own
        with suppress(Exception):  # PostgreSQL refuses all else in a transaction in which a statement has failed
            connection.rollback()


def is_refused_write(error: Exception, dialect: Dialect) -> bool:
    """Whether a database refused a statement because it writes."""
    return state_of(error) == _READ_ONLY or any(words in str(error) for words in dialect.refusals)


_READ_ONLY: Final = "25006"
"""SQLSTATE `read_only_sql_transaction`."""


def state_of(error: Exception) -> str:
    """Return the SQLSTATE of a driver's error; empty where the driver tells none."""
    return str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")


def tolerate_unreadable(connection: Any, cursor: Any) -> None:
    """Let a driver give an `Unreadable` for a value that it would raise for, or give another value for."""
    driver = driver_of(connection)
    if driver == PSYCOPG:
        _tell_psycopg(cursor)
    elif driver == PSYCOPG2:
        _tell_psycopg2(connection, cursor)
    elif dialect_of(connection) is SQLITE and connection.text_factory is str:
        connection.text_factory = _text_or_bytes


def _read(kind: str, raw: str | bytes, read: Callable[[], Any]) -> Any:
    signs = _UNREADABLE[kind][-1]
    text = bytes(raw).decode() if signs and not isinstance(raw, str) else raw
    if any(sign in text for sign in signs):
        return Unreadable(kind)
    try:
        return read()
    except Exception:  # noqa: BLE001 - the drivers' own errors, and Python's
        return Unreadable(kind)


def _tell_psycopg(cursor: Any) -> None:
    adapt, text = import_module("psycopg.adapt"), import_module("psycopg.pq").Format.TEXT

    def tolerant(kind: str, usual: Any) -> Any:
        class Tolerant(adapt.Loader):  # type: ignore[name-defined,misc]
            def __init__(self, oid: int, context: Any = None) -> None:
                super().__init__(oid, context)
                self._usual = usual(oid, context)

            def load(self, data: Any) -> Any:
                return _read(kind, data, lambda: self._usual.load(data))

        return Tolerant

    for kind, (number, *_) in _UNREADABLE.items():
        usual = cursor.adapters.get_loader(number, text)
        if usual is not None:
            cursor.adapters.register_loader(number, tolerant(kind, usual))


def _tell_psycopg2(connection: Any, cursor: Any) -> None:
    extensions = import_module("psycopg2.extensions")

    def tolerant(kind: str, usual: Any) -> Callable[[str | None, Any], Any]:
        return lambda text, cursor: None if text is None else _read(kind, text, lambda: usual(text, cursor))

    usual = {**extensions.string_types, **connection.string_types}
    for kind, (number, array, _) in _UNREADABLE.items():
        one = extensions.new_type((number,), kind, tolerant(kind, usual[number]))
        extensions.register_type(one, cursor)  # without the cursor it would hold for the whole process
        extensions.register_type(extensions.new_array_type((array,), f"{kind}[]", one), cursor)


def _text_or_bytes(raw: bytes) -> str | bytes:
    """Return a text of SQLite, which may hold any bytes; sqlite3 would show them in its error."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
