"""From a row of a query to the change it wishes for, or to the reason why it wishes for nothing that can be done."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from airflow_provider_persona.api.case_change import CaseChange
from airflow_provider_persona.api.operations import BadCallError, path_segment
from airflow_provider_persona.bulk.errors import BulkError, MissingColumnError

_LISTS = ("tags", "add_tags", "remove_tags", "add_objects", "remove_objects")
_PARTS = ("status", "assignee", "case_queue_id", "sla_expires_in", "fields", *_LISTS)
_KNOWN = ("case_id", "expected_status", *_PARTS)
_LARGEST_EXPONENT = 308  # of the numbers that JSON carries everywhere
PRIVATE_PARTS = ("fields", "assignee")
"""Parts of a change that may hold personal data; they never stand in the plan itself."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A valid row: what should be true of which case.

    :param case_id: the case.
    :param change: what should be true of it.
    :param expected_status: change it only while its status is this one.
    """

    case_id: str
    change: CaseChange
    expected_status: str | None = None

    @property
    def object_id(self) -> str:
        """What the row is about."""
        return self.case_id

    def written(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what of the wish a plan may show, and what it must not because it may hold personal data."""
        change: Mapping[str, Any] = self.change.model_dump(mode="json", exclude_unset=True)
        shown = {name: value for name, value in change.items() if name not in PRIVATE_PARTS}
        if self.expected_status is not None:
            shown["expected_status"] = self.expected_status
        return shown, {name: value for name, value in change.items() if name in PRIVATE_PARTS}

    @classmethod
    def from_written(cls, case_id: str, shown: Mapping[str, Any], private: Mapping[str, Any]) -> Wish:
        """Return the wish that was written down."""
        parts = {**shown, **private}
        expected = parts.pop("expected_status", None)
        return cls(case_id, CaseChange(**parts), expected)


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A row that cannot be a change.

    :param object_id: its case id (or other object's), when it has a usable one.
    :param reason: what is wrong, without any value of the row.
    """

    object_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Which column holds what.

    :param columns: from our names (`case_id`, `status`, `expected_status`, `assignee`, `case_queue_id`,
        `sla_expires_in`, `tags`, `add_tags`, `remove_tags`, `add_objects`, `remove_objects`, `fields`) to the columns'
        names.
    :param fields: from custom fields of the case to columns, for fields that have a column each.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any] | None, found: Iterable[str]) -> ColumnMapping:
        """Return the mapping for rows with the columns `found`.

        Where nothing is given, columns are taken by our names. What is given replaces that for the names it gives.

        :param given: our names to column names; under `fields` either the name of a column that holds an object, or a
            mapping of custom fields to columns.
        :raises MissingColumnError: when a column is not there, naming those that are.
        :raises BulkError: when the mapping has a name that means nothing.
        """
        columns = list(found)
        given = dict(given or {})
        unknown = sorted(set(given) - set(_KNOWN))
        if unknown:
            raise BulkError(f"mapping knows no {', '.join(unknown)}; it knows {', '.join(_KNOWN)}")
        by_field = given.pop("fields") if isinstance(given.get("fields"), Mapping) else {}
        if not all(isinstance(column, str) for column in columns):
            raise BulkError("the names of a row's columns are texts")
        by_our_name = {column.lower(): column for column in columns}  # many databases write names in capitals
        wanted = {name: by_our_name[name] for name in _KNOWN if name in by_our_name} | given
        if "case_id" not in wanted:
            raise MissingColumnError(_lacks(["case_id"], columns))
        doubled = sorted(name for name in set(wanted) - set(given) if _times(name, columns) > 1)
        if doubled:
            raise BulkError(f"the rows have more than one column {', '.join(doubled)}, whatever its capitals; name one")
        named = {*wanted.values(), *by_field.values()}
        missing = sorted(named - set(columns))
        if missing:
            raise MissingColumnError(_lacks(missing, columns))
        twice = sorted(name for name in named if columns.count(name) > 1)
        if twice:
            raise BulkError(f"the rows have more than one column {', '.join(twice)}; give each a name of its own")
        if not by_field and not set(wanted) & set(_PARTS):
            raise MissingColumnError(_lacks(["status"], columns))
        _refuse_misspelt([name for name in _KNOWN if name not in wanted], set(columns) - named)
        return cls(wanted, by_field)

    def read(self, row: Mapping[str, Any]) -> Wish | InvalidRow:
        """Return what a row wishes for."""
        case_id = row[self.columns["case_id"]]
        if case_id is None or case_id == "":
            return InvalidRow(None, "no case id")
        if not isinstance(case_id, str):
            return InvalidRow(None, "the case id is not text")
        try:
            path_segment(case_id, "case id")
        except BadCallError:
            return InvalidRow(None, "the case id has characters that no id has (slash, space, …)")
        try:
            change = CaseChange(**self._change_of(row))
            expected = self._expected_status(row)
        except RowError as problem:
            return InvalidRow(case_id, str(problem))
        except ValidationError as error:
            faults = {f"{'.'.join(map(str, fault['loc'])) or 'row'}: {fault['msg']}" for fault in error.errors()}
            return InvalidRow(case_id, "; ".join(sorted(faults)))
        return InvalidRow(case_id, "it asks for nothing") if change.is_empty else Wish(case_id, change, expected)

    def _expected_status(self, row: Mapping[str, Any]) -> str | None:
        expected: str | None = self._optional(row, "expected_status")
        if expected is not None and not is_text(expected):
            raise RowError("expected_status is not text")
        if expected is not None and not expected.strip():
            raise RowError("expected_status is blank; NULL stands for none")
        return expected

    def _optional(self, row: Mapping[str, Any], name: str) -> Any:
        column = self.columns.get(name)
        return None if column is None else row[column]

    def _change_of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        change: dict[str, Any] = {}
        if "status" in self.columns:
            status = row[self.columns["status"]]
            if status is None or status == "":
                raise RowError("no status")
            change["status"] = status
        for name in ("assignee", "case_queue_id", "sla_expires_in"):
            value = self._optional(row, name)
            if isinstance(value, bool):
                raise RowError(f"{name} is true or false")
            # Blank text stands for NULL in many exports.
            if value is not None and not (isinstance(value, str) and not value.strip()):
                change[name] = value
        for name in _LISTS:
            value = self._optional(row, name)
            # As above; whoever wants no tags at all says so with an empty list, `[]`.
            if value is not None and not (isinstance(value, str) and not value.strip()):
                change[name] = _list_of(value, name)
        fields = _object_of(self._optional(row, "fields"))
        fields.update(
            (name, json_value(row[column])) for name, column in self.fields.items() if row[column] is not None
        )
        if fields:
            change["fields"] = fields
        return change


class RowError(ValueError):
    """What is wrong with a row, without its values."""


def _refuse_misspelt(unused: list[str], extra: set[str]) -> None:
    """Refuse a column that nearly has one of our names: taken for another one, its guard would silently not guard."""
    for name in unused:
        for column in difflib.get_close_matches(name, {column.lower() for column in extra}, n=1, cutoff=0.85):
            raise MissingColumnError(f"the rows have a column {column}; is it {name}? Rename it, or leave it out")


def _times(name: str, columns: list[str]) -> int:
    return [column.lower() for column in columns].count(name)


def _lacks(missing: list[str], found: list[str]) -> str:
    return f"the rows have no column {', '.join(missing)}; their columns are {', '.join(found) or '(none)'}"


def _list_of(value: Any, name: str) -> tuple[str, ...]:
    """Read a list, a JSON array, or names parted by commas."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = parse_json(value, name)
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple | set | frozenset) or not all(map(is_text, value)):
        raise RowError(f"{name} is no list of texts")
    return tuple(sorted(value) if isinstance(value, set | frozenset) else value)


def _object_of(value: Any) -> dict[str, Any]:
    """Read an object, or its JSON text."""
    if value is None:
        return {}
    if isinstance(value, str):
        value = parse_json(value, "fields")
    if not isinstance(value, Mapping):
        raise RowError("fields is no object")
    return _json_object(value)


def parse_json(text: str, name: str) -> Any:
    """Return what a JSON text holds.

    :param name: what it is called in the error.
    :raises RowError: when it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise RowError(f"{name} is no valid JSON") from None


def json_value(value: Any) -> Any:
    """Return a column's value as JSON can carry it.

    :raises RowError: when it cannot.
    """
    if isinstance(value, Decimal):
        if not value.is_finite() or value.adjusted() > _LARGEST_EXPONENT:
            raise RowError("a field is not a finite number, or one too large to be written down")
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise RowError("a field is not a finite number")
    if isinstance(value, list | tuple):
        return [json_value(part) for part in value]
    if isinstance(value, Mapping):
        return _json_object(value)
    if isinstance(value, bytes | bytearray | memoryview):
        raise RowError("a field is binary")
    if isinstance(value, str) and not is_text(value):
        raise RowError("a field is no valid Unicode")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def _json_object(value: Mapping[Any, Any]) -> dict[str, Any]:
    if not all(is_text(str(name)) for name in value):
        raise RowError("the name of a field is no valid Unicode")
    return {str(name): json_value(part) for name, part in value.items()}


def is_text(value: Any) -> bool:
    """Whether it is text that can be written down: JSON may bring half of a surrogate pair."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False
