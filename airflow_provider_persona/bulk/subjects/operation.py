"""Rows that call any operation of the catalogue, one call a row.

Nothing is known here of what the operation does, so there are no guards and no comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_persona.api.messages import Request
from airflow_provider_persona.api.operations import BadCallError, operation, path_segment
from airflow_provider_persona.api.own_headers import wrong_names
from airflow_provider_persona.bulk.errors import BulkError
from airflow_provider_persona.bulk.source.column_names import ColumnNames, check_names
from airflow_provider_persona.bulk.source.rows import InvalidRow, Row, RowError
from airflow_provider_persona.bulk.source.values import json_value, parse_json, text_in, value_in

_ADDS_OR_TAKES = ("add-", "remove-")


@dataclass(frozen=True, slots=True)
class OperationCall:
    """A valid row that makes one call.

    :param operation_id: the operation.
    :param path: its path parameters.
    :param body: its body, or None.
    """

    operation_id: str
    path: Mapping[str, str]
    body: Mapping[str, Any] | None = field(repr=False)

    @property
    def object_id(self) -> str | None:
        """Id of the object in the path; None for an operation that makes a new object."""
        return next(iter(self.path.values()), None)

    def request(self) -> Request:
        """Return the call.

        :raises BadCallError: when a path parameter or a body key is missing or unusable.
        """
        return operation(self.operation_id).bind(self.path, None, self.body)

    def written(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the path, which a plan may show, and the body, which may hold personal data."""
        return {"path": dict(self.path)}, {} if self.body is None else {"body": self.body}


@dataclass(frozen=True, slots=True)
class OperationSubject:
    """An operation that each row calls.

    :param name: id of the operation.
    """

    name: str

    @property
    def only_row_per(self) -> str | None:
        """`object` when two rows about the same object would contradict one another, None when they would not.

        Two tags can both be added to an account; two values of one field cannot both be set.
        """
        called = operation(self.name)
        adds_or_takes = any(word in called.operation_id for word in _ADDS_OR_TAKES)
        return None if not called.path_parameters or not called.repeatable or adds_or_takes else "object"

    def row_from_plan(
        self,
        object_id: str | None,  # noqa: ARG002 - it stands in the path already
        shown: Mapping[str, Any],
        private: Mapping[str, Any],
    ) -> OperationCall:
        """Return the call, from the two parts that `OperationCall.written` gave."""
        return OperationCall(self.name, shown["path"], private.get("body"))


@dataclass(frozen=True, slots=True)
class OperationRows:
    """A mapping of columns to the path parameters and body keys of a call.

    :param operation_id: the operation; one that writes.
    :param path: from path parameters to columns.
    :param body: from body keys, dotted like `meta.tag-name`, to columns.
    :param constants: from path parameters and dotted body keys to values that are the same in every row.
    :raises BadCallError: when there is no such operation, or a constant does not fit into its path.
    :raises BulkError: when the operation only reads, or what it needs is missing.
    """

    operation_id: str
    path: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        called = operation(self.operation_id)
        if called.only_reads:
            raise BulkError(f"{self.operation_id} only reads; a bulk run is for operations that write")
        if called.headers:
            raise BulkError(f"{self.operation_id} {wrong_names(called.headers, ())}, which rows cannot give")
        for argument in ("path", "body", "constants"):
            check_names(getattr(self, argument), argument)
        given = {*self.path, *(name for name in self.constants if name in called.path_parameters)}
        missing = [name for name in called.path_parameters if name not in given]
        unknown = sorted(set(self.path) - set(called.path_parameters))
        if missing or unknown:
            what = f"lacks {', '.join(missing)}" if missing else f"does not know {', '.join(unknown)}"
            raise BulkError(f"path of {self.operation_id} {what}; the operation's path is {called.path}")
        for name in self.constants.keys() & set(called.path_parameters):
            path_segment(self.constants[name], name)
        keys = {*self.body, *self.constants}
        lacking = [wanted for wanted in called.required if not any(_covers(keys, key) for key in wanted.split("|"))]
        if lacking:
            raise BulkError(f"{self.operation_id} needs {', '.join(lacking)} in body or constants")

    def parts(self) -> tuple[Any, ...]:
        """Return what tells this mapping from another one, for a fingerprint."""
        return (self.operation_id, self.path or None, self.body or None, self.constants or None)

    def reader(self, columns: Iterable[str]) -> OperationRows:
        """Return this mapping with the columns as the rows have them, which reads rows.

        :raises MissingColumnError: naming those that are missing, and those that are there.
        :raises BulkError: when a column that is used is there twice.
        """
        columns_of = ColumnNames(tuple(columns)).of_all([*self.path.values(), *self.body.values()])
        path = {name: columns_of[column] for name, column in self.path.items()}
        return replace(self, path=path, body={key: columns_of[column] for key, column in self.body.items()})

    def read(self, row: Row) -> OperationCall | InvalidRow:
        """Return the call that a row asks for."""
        path: dict[str, Any] = {}
        for name in operation(self.operation_id).path_parameters:
            try:
                path[name] = self.constants[name] if name in self.constants else text_in(row, self.path[name])
                path_segment(path[name], name)
            except (RowError, BadCallError):
                return InvalidRow(None, f"{name} is missing, or no id that fits into a path")
        try:
            call = OperationCall(self.operation_id, path, self._body_of(row))
            call.request()
        except (RowError, BadCallError) as problem:
            return InvalidRow(next(iter(path.values()), None), str(problem))
        return call

    def _body_of(self, row: Row) -> Mapping[str, Any] | None:
        given = [
            (key, json_value(constant))  # a copy: `_put` writes into it, and each row takes the same constant
            for key, constant in self.constants.items()
            if key not in operation(self.operation_id).path_parameters
        ]
        for key, column in self.body.items():
            value = value_in(row, column)
            if value is None:
                continue
            if isinstance(value, str) and value.lstrip().startswith(("[", "{")) and key.endswith(("fields", "ids")):
                value = json_value(parse_json(value, key))
            given.append((key, value))
        body: dict[str, Any] = {}
        for key, value in sorted(given, key=lambda each: each[0].count(".")):  # an object first, and then its parts
            _put(body, key, value)
        return body or None


def _put(body: dict[str, Any], dotted: str, value: Any) -> None:
    *above, last = dotted.split(".")
    for name in above:
        body = body.setdefault(name, {})
        if not isinstance(body, dict):
            raise RowError(f"{dotted} goes into {name}, which another column or constant gives, and which is no object")
    body[last] = value


def _covers(keys: Iterable[str], wanted: str) -> bool:
    return any(key == wanted or key.startswith(f"{wanted}.") or wanted.startswith(f"{key}.") for key in keys)
