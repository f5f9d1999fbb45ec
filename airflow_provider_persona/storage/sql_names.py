"""Names of tables and columns: checked, and quoted so that a database treats capitals as it always does."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_persona.storage.dialects import Dialect
from airflow_provider_persona.storage.errors import StoreError

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


def quoted(dialect: Dialect, name: str) -> str:
    """Return a checked name as a statement takes it, also where it is a reserved word.

    Capitals mean what they mean without quotes.
    """
    parts_of_name = (name.lower() if dialect.is_lower else name).split(".")
    return ".".join(f"{dialect.quote}{part}{dialect.quote}" for part in parts_of_name)
