"""Finds the columns that names mean, whether a user gave the names or they are ours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from airflow_provider_persona.api.told_texts import shown_text
from airflow_provider_persona.bulk.errors import BulkError, MissingColumnError

_DOUBLED = re.compile(r":\d+$")


def check_names(names: Iterable[Any], argument: str) -> None:
    """Make sure that the keys of a mapping are texts. A Dag may write a number where a name is meant.

    :param argument: the mapping.
    :raises BulkError: when one is none.
    """
    if not all(isinstance(name, str) for name in names):
        raise BulkError(f"the keys of {argument} are names, which are texts")


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The names of the columns, in the order of the source, doubled ones included.

    Databases write names in capitals or not as they like (Snowflake and Oracle: in capitals), so a name that fits
    exactly counts first, and else the only one that fits whatever its capitals.

    :param found: the names.
    :raises BulkError: when one is no text.
    """

    found: tuple[str, ...]

    def __post_init__(self) -> None:
        if not all(isinstance(column, str) for column in self.found):
            raise BulkError("the names of a row's columns are texts")

    def alike(self, name: str) -> list[str]:
        """Return the columns with a name, whatever its capitals, and what SQLite makes of a doubled one: `name:1`."""
        return [column for column in self.found if _DOUBLED.sub("", column).lower() == name.lower()]

    def only(self, name: str) -> str | None:
        """Return the only column with a name, whatever its capitals; None when there is none.

        :raises BulkError: when there are several. A row as a mapping keeps only the last of those with one name, so an
            object that nobody meant would be changed.
        """
        found = self.alike(name)
        if len(found) < 2:
            return found[0] if found else None
        if len(set(found)) == 1:
            raise BulkError(f"the rows have more than one column {found[0]}; give each a name of its own")
        raise BulkError(f"the rows have more than one column {name}, whatever its capitals; name one")

    def of_all(self, names: Iterable[str]) -> dict[str, str]:
        """Return from names that a user gave to the columns that they mean.

        :raises MissingColumnError: naming those that are missing.
        :raises BulkError: when a name means several columns.
        """
        wanted = list(names)
        if not all(isinstance(name, str) for name in wanted):
            raise BulkError("the columns in a mapping are given by their names, which are texts")
        found = {name: name if self.found.count(name) == 1 else self.only(name) for name in wanted}
        missing = sorted(name for name, column in found.items() if column is None)
        if missing:
            raise self.lacks(missing)
        return {name: column for name, column in found.items() if column is not None}

    def lacks(self, missing: Iterable[str]) -> MissingColumnError:
        """Return the error for columns that are not there."""
        names, found = (", ".join(map(shown_text, some)) for some in (missing, self.found))
        return MissingColumnError(f"the rows have no column {names}; their columns are {found or '(none)'}")
