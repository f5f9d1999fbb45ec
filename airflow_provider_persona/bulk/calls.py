"""Rows for any operation of the catalogue: from columns to the call that each row wishes for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_persona.api.messages import Request
from airflow_provider_persona.api.operations import BadCallError, Operation, operation, path_segment
from airflow_provider_persona.bulk.errors import BulkError, MissingColumnError
from airflow_provider_persona.bulk.rows import InvalidRow, RowError, json_value, parse_json

_ADDS_OR_TAKES = ("add-", "remove-")


@dataclass(frozen=True, slots=True)
class CallWish:
    """A valid row: one call.

    :param operation_id: the operation.
    :param path: its path parameters.
    :param body: its body, or None.
    """

    operation_id: str
    path: Mapping[str, str]
    body: Mapping[str, Any] | None = field(repr=False)

    @property
    def object_id(self) -> str | None:
        """The object in the path, None for an operation that makes a new one."""
        return next(iter(self.path.values()), None)

    def request(self) -> Request:
        """Return the call.

        :raises BadCallError: when a path parameter or a body key is missing or unusable.
        """
        return operation(self.operation_id).bind(self.path, None, self.body)

    def written(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what a plan may show (the path), and what it must not (the body)."""
        return {"path": dict(self.path)}, {} if self.body is None else {"body": self.body}

    @classmethod
    def from_written(cls, operation_id: str, shown: Mapping[str, Any], private: Mapping[str, Any]) -> CallWish:
        """Return the wish that was written down."""
        return cls(operation_id, shown["path"], private.get("body"))


def contradicts_itself(called: Operation) -> str | None:
    """Return what the objects are called of which two rows must not wish different things, None where they may.

    Two tags can both be added to an account; two values of one field cannot both be set.
    """
    name = called.operation_id
    if not called.path_parameters or not called.repeatable or any(word in name for word in _ADDS_OR_TAKES):
        return None
    return "object"


@dataclass(frozen=True, slots=True)
class CallMapping:
    """Which column holds which part of a call.

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
        if called.method == "GET":
            raise BulkError(f"{self.operation_id} only reads; a bulk run is for operations that write")
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

    def check(self, found: Iterable[str]) -> None:
        """Make sure that the rows have the columns.

        :raises MissingColumnError: naming those that are missing, and those that are there.
        """
        columns = list(found)
        missing = sorted({*self.path.values(), *self.body.values()} - set(columns))
        if missing:
            raise MissingColumnError(
                f"the rows have no column {', '.join(missing)}; their columns are {', '.join(columns) or '(none)'}"
            )

    def read(self, row: Mapping[str, Any]) -> CallWish | InvalidRow:
        """Return what a row wishes for."""
        called = operation(self.operation_id)
        path = {name: self.constants.get(name, row.get(self.path.get(name, ""))) for name in called.path_parameters}
        first = next(iter(path.values()), None)
        for name, value in path.items():
            try:
                path_segment(value, name)
            except BadCallError:
                return InvalidRow(None, f"{name} is missing, or no id that fits into a path")
        try:
            wish = CallWish(self.operation_id, path, self._body_of(row, called))
            wish.request()
        except (RowError, BadCallError) as problem:
            return InvalidRow(first, str(problem))
        return wish

    def _body_of(self, row: Mapping[str, Any], called: Operation) -> Mapping[str, Any] | None:
        body: dict[str, Any] = {}
        for key, value in self.constants.items():
            if key not in called.path_parameters:
                _put(body, key, json_value(value))
        for key, column in self.body.items():
            value = row[column]
            if value is None:
                continue
            if isinstance(value, str) and value.lstrip().startswith(("[", "{")) and key.endswith(("fields", "ids")):
                value = parse_json(value, key)
            _put(body, key, json_value(value))
        return body or None


def calls_of(rows: Iterable[Mapping[str, Any]], mapping: CallMapping) -> Iterator[CallWish | InvalidRow]:
    """Yield the call that each row wishes for.

    :raises MissingColumnError: when the rows lack a column.
    """
    checked: set[tuple[str, ...]] = set()
    for row in rows:
        keys = tuple(row)
        if keys not in checked:
            mapping.check(keys)
            checked.add(keys)
        yield mapping.read(row)


def _put(body: dict[str, Any], dotted: str, value: Any) -> None:
    *above, last = dotted.split(".")
    for name in above:
        body = body.setdefault(name, {})
    body[last] = value


def _covers(keys: Iterable[str], wanted: str) -> bool:
    return any(key == wanted or key.startswith(f"{wanted}.") or wanted.startswith(f"{key}.") for key in keys)
