"""From columns to changes: which column holds which part of a change, whatever kind of object the rows are about."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from airflow_provider_persona.api.errors import faults_of
from airflow_provider_persona.api.operations import BadCallError, path_segment
from airflow_provider_persona.api.told_texts import shown_text
from airflow_provider_persona.bulk.errors import BulkError, MissingColumnError
from airflow_provider_persona.bulk.source.column_names import ColumnNames, check_names
from airflow_provider_persona.bulk.source.matching import Match, key_of
from airflow_provider_persona.bulk.source.rows import InvalidRow, ObjectKey, Row, RowError
from airflow_provider_persona.bulk.source.values import names_of, object_of, text_in, value_in
from airflow_provider_persona.bulk.subjects.subject import EXPECTED_STATUS, ObjectSubject, ObjectUpdate, PartType


@dataclass(frozen=True, slots=True)
class ObjectRows:
    """A mapping of columns to the parts of a change.

    :param subject: the kind of object.
    :param mapping: from our names (the subject's id column and parts, `expected_status`) to the columns' names; None
        for columns that have our names. Under `fields`: the column with an object, or a mapping of custom fields to
        columns.
    :param match: how rows name their objects; None where they do by id.
    """

    subject: ObjectSubject
    mapping: Mapping[str, Any] | None = None
    match: Match | None = None

    def parts(self) -> tuple[Any, ...]:
        """Return what tells this mapping from another one, for a fingerprint."""
        return (self.mapping,) if self.match is None else (self.mapping, self.match.by, self.match.many.value)

    def reader(self, columns: Iterable[str]) -> ObjectReader:
        """Return a reader of rows with these columns.

        Columns are found by our names, except those that the mapping names.

        :raises MissingColumnError: when a column is not there, naming those that are.
        :raises BulkError: when the mapping has a name that means nothing, or a column is there twice.
        """
        names = ColumnNames(tuple(columns))
        known = self._known_names(names)
        given = self._mapping()
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise BulkError(f"mapping knows no {', '.join(unknown)}; it knows {', '.join(known)}")
        by_field = given.pop("fields") if isinstance(given.get("fields"), Mapping) else {}
        wanted = {name: column for name in known if name not in given and (column := names.only(name)) is not None}
        if self.match is not None and known[0] not in {*wanted, *given} and (column := names.only(self.match.by)):
            wanted[known[0]] = column  # spelt as the filter is, with a hyphen
        if known[0] not in {*wanted, *given}:
            raise names.lacks([known[0]])
        columns_of = names.of_all([*given.values(), *by_field.values()])
        wanted |= {name: columns_of[column] for name, column in given.items()}
        fields = {name: columns_of[column] for name, column in by_field.items()}
        if not self.subject.has_status and names.alike(EXPECTED_STATUS):
            # Passed over in silence, a guard that guards nothing would seem to hold.
            raise BulkError(f"{self.subject.plural} have no status, so expected_status guards nothing; leave it out")
        if not fields and not set(wanted) & set(self.subject.parts):
            raise names.lacks([next(iter(self.subject.parts))])
        used = {*wanted.values(), *fields.values()}
        _refuse_misspelt([name for name in known if name not in wanted], set(names.found) - used)
        return ObjectReader(self.subject, wanted, fields, self.match)

    def _known_names(self, names: ColumnNames) -> tuple[str, ...]:
        """Return our names of the columns; first the one that names the object."""
        own_id, *others = self.subject.column_names
        if self.match is None:
            return (own_id, *others)
        if names.alike(own_id):
            raise BulkError(
                f"the rows have a column {own_id} and are to be matched by {self.match.by}; leave one of the two out, "
                "so that no row names two objects"
            )
        return (*self.match.column_names, *others)

    def _mapping(self) -> dict[str, Any]:
        """Return the mapping by our names; a column may have the filter's name, with a hyphen, in both."""
        given = dict(self.mapping or {})
        check_names([*given, *(given["fields"] if isinstance(given.get("fields"), Mapping) else ())], "mapping")
        return given if self.match is None else {self.match.column_of(name): to for name, to in given.items()}


@dataclass(frozen=True, slots=True)
class ObjectReader:
    """Reads rows of known columns.

    :param subject: the kind of object.
    :param columns: from our names to the columns' names.
    :param fields: from custom fields to columns, for fields that have a column each.
    :param match: how rows name their objects; None where they do by id.
    """

    subject: ObjectSubject
    columns: Mapping[str, str]
    fields: Mapping[str, str] = field(default_factory=dict)
    match: Match | None = None

    def read(self, row: Row) -> ObjectUpdate | InvalidRow:
        """Return what a row asks for."""
        if self.match is None:
            return self._read_by_id(row)
        try:
            key = key_of(row, self.columns, self.match)
        except RowError as error:
            return InvalidRow(None, str(error))
        return self._update_of(row, "", key)

    def _read_by_id(self, row: Row) -> ObjectUpdate | InvalidRow:
        column = self.columns[self.subject.id_column]
        try:
            object_id = text_in(row, column)
        except RowError:  # it is no text that an id could be, and `_problem_of` says what is wrong
            object_id = row[column]
        problem = self._problem_of(object_id)
        if problem is not None:
            return InvalidRow(None, problem)
        return self._update_of(row, object_id)

    def _update_of(self, row: Row, object_id: str, key: ObjectKey | None = None) -> ObjectUpdate | InvalidRow:
        known_id = object_id or None
        try:
            change = self.subject.change_of(self._change_of(row))
            expected = self._expected_status(row)
        except RowError as error:
            return InvalidRow(known_id, str(error))
        except ValidationError as error:
            return InvalidRow(known_id, faults_of(error))
        if change.is_empty:
            return InvalidRow(known_id, "it asks for nothing")
        return ObjectUpdate(self.subject, object_id, change, expected, key=key)

    def _problem_of(self, object_id: Any) -> str | None:
        what = f"{self.subject.name} id"
        if object_id is None or object_id == "":
            return f"no {what}"
        if not isinstance(object_id, str):
            return f"the {what} is not text"
        try:
            path_segment(object_id, what)
        except BadCallError:
            return f"the {what} is too long, or has characters that no id has (slash, space, …)"
        return None

    def _expected_status(self, row: Row) -> str | None:
        column = self.columns.get(EXPECTED_STATUS)
        expected = None if column is None else text_in(row, column)
        if expected is not None and not isinstance(expected, str):
            raise RowError("expected_status is not text")
        if expected is not None and not expected.strip():
            raise RowError("expected_status is blank; NULL stands for none")
        return expected

    def _change_of(self, row: Row) -> dict[str, Any]:
        change: dict[str, Any] = {}
        for name, part in self.subject.parts.items():
            if name in self.columns:
                reads = value_in if part.type in _AS_THEY_ARE else text_in
                value = _part_of(part.type, reads(row, self.columns[name]), name)
                if value is None and part.is_all_without:
                    value = ()
                if value is not None:
                    change[name] = value
        given = ((name, value_in(row, column)) for name, column in self.fields.items())
        fields = {name: value for name, value in given if value is not None}
        if fields:
            change["fields"] = {**change.get("fields", {}), **fields}
        return change


_AS_THEY_ARE: Final = (PartType.NAMES, PartType.OBJECT)
"""Parts that are no single text, so that a column of type CHAR(n) pads nothing that matters."""

_NOT_GIVEN: Final[Mapping[PartType, tuple[str, ...]]] = {PartType.VALUE: ("",), PartType.NAMES: ("", "null")}


def _part_of(kind: PartType, value: Any, name: str) -> Any:
    """Return the value of one part of a change, or None when the row does not give it."""
    if kind is PartType.STATUS:
        # A row without a status is a fault: rows that change only other parts have no such column.
        if value is None or value == "":
            raise RowError(f"no {name}")
        return value
    if kind is PartType.OBJECT:
        return object_of(value) or None
    if kind is PartType.FLAG:
        return _flag_of(value, name)
    if kind is PartType.VALUE and isinstance(value, bool):
        raise RowError(f"{name} is true or false")
    # Blank text stands for NULL in many exports, and MariaDB gives `null` for the null of JSON. An empty list of
    # tags is written as `[]`.
    if value is None or (isinstance(value, str) and value.strip() in _NOT_GIVEN[kind]):
        return None
    return names_of(value, name) if kind is PartType.NAMES else value


def _flag_of(value: Any, name: str) -> bool | None:
    """Return True, or None for false and NULL. Not every database has a type for truth."""
    meaning = value.strip().lower() if isinstance(value, str) else value
    if meaning in (True, "true", "1"):
        return True
    if meaning in (None, False, "", "false", "0"):
        return None
    raise RowError(f"{name} is neither true nor false")


def _refuse_misspelt(unused: list[str], extra: set[str]) -> None:
    """Refuse a column that nearly has one of our names: taken for another one, its guard would silently not guard."""
    for name in unused:
        for column in difflib.get_close_matches(name, {column.lower() for column in extra}, n=1, cutoff=0.85):
            shown = shown_text(column)
            raise MissingColumnError(f"the rows have a column {shown}; is it {name}? Rename it, or leave it out")
