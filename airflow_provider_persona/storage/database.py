"""What this package uses of a database: the part of Airflow's `DbApiHook` that is called, without Airflow."""

from __future__ import annotations

from typing import Any, Protocol


class Database(Protocol):
    """A database that gives DB-API connections. Every `DbApiHook` of Airflow is one."""

    supports_autocommit: bool
    """Whether `set_autocommit` may be called."""

    @property
    def conn_type(self) -> str:
        """Airflow's name for the kind of database, like `postgres`."""

    @property
    def placeholder(self) -> str:
        """How the driver marks a parameter, like `%s`."""

    def get_conn(self) -> Any:
        """Return a new DB-API connection; the caller closes it."""

    def get_conn_id(self) -> str:
        """Return the id of the Airflow connection, for messages."""

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:  # noqa: FBT001 - the hook's own signature
        """Turn autocommit of a connection on or off."""
