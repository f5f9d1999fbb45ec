"""Rows as the engine takes them, valid or invalid, and the protocols of what brings and reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

Row = Mapping[str, Any]
"""A row of a driver: column name to value."""


class RowError(ValueError):
    """What is wrong with a row, without its values."""


class ValidRow(Protocol):
    """What a row asks for, in a form that a plan can keep."""

    @property
    def object_id(self) -> str | None:
        """Id of the object that the row is about; None when it asks for a new object, empty while it is to be found."""

    def written(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the part that a plan may show, and the part that may hold personal data and so must not show."""


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """How a row names its object, if not by id.

    :param value: value of the key.
    :param status: status that tells its object from others with the same key, or None.
    :param template: id of the template that does, or None.
    """

    value: str = field(repr=False)
    status: str | None = None
    template: str | None = None


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A row that asks for nothing that can be done.

    :param object_id: id of its object, when it has a usable one.
    :param reason: what is wrong, without any value of the row.
    """

    object_id: str | None
    reason: str


class RowReader(Protocol):
    """Reads rows that have known columns."""

    def read(self, row: Row) -> ValidRow | InvalidRow:
        """Return what a row asks for."""


class RowSource(Protocol):
    """Where rows come from."""

    def open(self) -> AbstractContextManager[tuple[list[str] | None, Iterable[Row]]]:
        """Give the columns, or None where each row brings its own, and the rows, which can be read once."""

    def parts(self) -> tuple[Any, ...]:
        """Return what tells this source from another one, for a fingerprint."""


class RowMapping(Protocol):
    """Tells which column holds what."""

    def parts(self) -> tuple[Any, ...]:
        """Return what tells this mapping from another one, for a fingerprint."""

    def reader(self, columns: Iterable[str]) -> RowReader:
        """Return a reader of rows with these columns.

        :raises MissingColumnError: when a column is not there.
        :raises BulkError: when the mapping has a name that means nothing.
        """


class JobRows(Protocol):
    """The rows of a job, valid and invalid."""

    def read(self) -> Iterator[ValidRow | InvalidRow]:
        """Yield what each row asks for, read as it is asked for."""

    def parts(self) -> tuple[Any, ...]:
        """Return what tells these rows from those of another source, for a fingerprint."""


@dataclass(frozen=True, slots=True)
class MappedRows:
    """Rows of a source, read through a mapping of columns.

    :param source: where the rows come from.
    :param mapping: tells which column holds what.
    """

    source: RowSource
    mapping: RowMapping

    def read(self) -> Iterator[ValidRow | InvalidRow]:
        """Yield what each row asks for, read as it is asked for.

        :raises MissingColumnError: when the rows lack a column.
        """
        with self.source.open() as (columns, rows):
            yield from read_rows(rows, self.mapping, columns)

    def parts(self) -> tuple[Any, ...]:
        """Return what tells these rows from those of another source, for a fingerprint."""
        return (*self.source.parts(), *self.mapping.parts())


def read_rows(
    rows: Iterable[Row], mapping: RowMapping, columns: Iterable[str] | None = None
) -> Iterator[ValidRow | InvalidRow]:
    """Yield what each row asks for.

    :param rows: the rows.
    :param mapping: tells which column holds what.
    :param columns: the columns, where they are known without a row; by default those of each row.
    :raises MissingColumnError: when the rows lack a column; with `columns`, also when there are no rows.
    """
    known = None if columns is None else mapping.reader(columns)
    by_columns: dict[tuple[str, ...], RowReader] = {}
    for row in rows:
        reader = known
        if reader is None:
            names = tuple(row)  # such rows come in few kinds, and a reader is made once for each
            reader = by_columns.get(names) or by_columns.setdefault(names, mapping.reader(names))
        yield reader.read(row)
