"""Rows that name their object by another key than its id, as the columns give them.

Which object a row means is found out while planning, in `airflow_provider_persona.bulk.plan.match`. The value of a key
may be personal data (an e-mail address as a reference id), so it stands in no reason and no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from airflow_provider_persona.bulk.errors import BulkError
from airflow_provider_persona.bulk.plan.limits import choice
from airflow_provider_persona.bulk.source.rows import ObjectKey, Row, RowError
from airflow_provider_persona.bulk.source.values import text_in
from airflow_provider_persona.bulk.subjects.subject import ObjectSubject

MATCH_STATUS = "match_status"
"""Name of the column with the status that tells one of several objects from the others."""

MATCH_TEMPLATE = "match_template"
"""Name of the column with the id of the template that tells one of several objects from the others."""

_LONGEST: Final = 500
"""Characters of a key: it travels in an address."""


class MatchMany(StrEnum):
    """What to do for a row with a key that several objects have."""

    NONE = "none"
    """The row is invalid."""
    NEWEST = "newest"
    """It is about the newest of them."""
    ALL = "all"
    """It is about each of them."""


@dataclass(frozen=True, slots=True)
class Match:
    """How rows name their objects, if not by id.

    :param by: name of the key, as the filter of Persona's list has it: `reference-id`.
    :param many: what to do where several objects have the key.
    """

    by: str
    many: MatchMany = MatchMany.NONE

    @classmethod
    def of(cls, by: str | None, many: str | None, subject: ObjectSubject) -> Match | None:
        """Return what the arguments `match_by` and `match_many` say; None where rows name their objects by id.

        :raises BulkError: when the kind of object has no such key, or `match_many` is none of its words.
        """
        if by is None:
            if many is not None:
                raise BulkError("match_many says nothing without match_by")
            return None
        if by not in subject.match.keys:
            raise BulkError(f"{subject.plural} are found by {', '.join(subject.match.keys)}, not by {by!r}")
        return cls(by, MatchMany.NONE if many is None else choice(MatchMany, many, "match_many"))

    @property
    def column(self) -> str:
        """Our name of the column with the key: `reference_id`."""
        return self.by.replace("-", "_")

    @property
    def column_names(self) -> tuple[str, ...]:
        """Our names of the columns that say which object a row is about."""
        return (self.column, MATCH_STATUS, MATCH_TEMPLATE)

    def column_of(self, name: str) -> str:
        """Return our name of a column that a mapping names: the key may be spelt as the filter is."""
        return self.column if name == self.by else name


def key_of(row: Row, columns: Mapping[str, str], match: Match) -> ObjectKey:
    """Return how a row names its object.

    :param row: the row.
    :param columns: from our names to the columns' names.
    :raises RowError: when it names none.
    """
    value = text_in(row, columns[match.column])
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # many warehouses number their customers
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowError(f"no {match.by}")
    if not isinstance(value, str):
        raise RowError(f"the {match.by} is neither text nor a whole number")
    if len(value) > _LONGEST:
        raise RowError(f"the {match.by} has more than {_LONGEST} characters")
    return ObjectKey(value, _text_or_none(row, columns, MATCH_STATUS), _text_or_none(row, columns, MATCH_TEMPLATE))


def _text_or_none(row: Row, columns: Mapping[str, str], name: str) -> str | None:
    value = text_in(row, columns[name]) if name in columns else None
    if value is not None and not isinstance(value, str):
        raise RowError(f"{name} is not text")
    return value if value and value.strip() else None
