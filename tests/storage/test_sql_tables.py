"""Tables: what a driver raises is never shown, wherever it raises it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.storage.sql_tables import KeyedTable


class Database:
    """A database whose driver fails at one call, in words that nobody may see.

    :param fails_at: the call.
    """

    conn_type = "sqlite"
    placeholder = "?"
    supports_autocommit = True

    def __init__(self, fails_at: str) -> None:
        self._fails_at = fails_at
        self.connection: Any = None

    def get_conn(self) -> Any:
        self._may_fail("connect")
        self.connection = sqlite3.connect(":memory:", factory=self._connection_class())
        return self.connection

    def get_conn_id(self) -> str:
        return "warehouse"

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        self._may_fail("autocommit")

    def _may_fail(self, call: str) -> None:
        if call == self._fails_at:
            raise sqlite3.OperationalError("server closed the connection; it was jane@example.com's")

    def _connection_class(self) -> type[sqlite3.Connection]:
        may_fail = self._may_fail

        class Connection(sqlite3.Connection):
            def cursor(self, *_: Any) -> Any:
                may_fail("cursor")
                return super().cursor()

        return Connection


@pytest.mark.parametrize("call", ["connect", "autocommit", "cursor"])
def test_a_driver_that_fails_before_the_table_is_open_is_a_store_error_and_leaves_no_connection(call: str) -> None:
    database = Database(call)
    said = r"^the table mirror behind the connection warehouse cannot be reached; .* \(OperationalError\)$"
    with pytest.raises(StoreError, match=said) as failed, KeyedTable(database, "mirror", ["id", "name"]).opened():
        pass
    assert failed.value.retryable
    assert failed.value.__cause__ is None
    if database.connection is not None:
        with closing(database.connection), pytest.raises(sqlite3.ProgrammingError, match="closed"):
            database.connection.execute("SELECT 1")
