"""A call as a value, and what can be checked of it while its Dag is parsed.

At that time a value may still be a template, or the result of another task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from airflow_provider_persona.api.answers import AnswerKind
from airflow_provider_persona.api.operations import BadCallError, operation, path_segment
from airflow_provider_persona.tasks.arguments import TEMPLATE_MARKS, as_mapping
from airflow_provider_persona.tasks.files import MAX_BYTES

MAX_ITEMS: Final = 10_000
"""Objects that a list may have unless the user says otherwise: XCom is no place for more."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a task makes.

    :param operation_id: the operation of the catalogue.
    :param path: values of the path's parameters.
    :param query: query parameters.
    :param body: the JSON body.
    :param headers: headers that only this operation needs.
    :param output_path: where an answer that is a file goes.
    :param max_bytes: bytes that such a file may have at most.
    :param max_items: objects that a list may have at most.
    """

    operation_id: str
    path: Mapping[str, Any] | None = None
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, Any] | None = None
    output_path: str | None = None
    max_bytes: int = MAX_BYTES
    max_items: int = MAX_ITEMS


class NotYetKnown(dict[str, Any]):
    """Stands for what another task or a template will give. It may turn out to hold anything."""

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - the parent's parameters
        """Return itself, because whatever is looked for may be there."""
        return self


def known(given: Any) -> Any:
    """Return what is known of an argument: the value where it stands in the Dag, `NotYetKnown` for anything else."""
    if isinstance(given, NotYetKnown):
        return given
    if isinstance(given, Mapping):
        return {name: known(value) for name, value in given.items()}
    if isinstance(given, list | tuple | set | frozenset):
        return NotYetKnown() if any(isinstance(known(each), NotYetKnown) for each in given) else given
    if isinstance(given, str):
        return NotYetKnown() if any(mark in given for mark in TEMPLATE_MARKS) else given
    # Every other type, like `XComArg`, gives its value when the task runs.
    return given if given is None or isinstance(given, int | float | Decimal | date | bytes) else NotYetKnown()


def check_call(call: Call) -> None:
    """Check a call as it stands in a Dag.

    :param call: the call, `NotYetKnown` where a value is not known.
    :raises BadCallError: when the operation is unknown; when a path parameter, a body key, a query parameter or
        a header is missing that cannot come from elsewhere; when a path value is known that no path can carry; when the
        answer is a file and there is no place for it.
    """
    entry = operation(call.operation_id)
    path, query, body, headers = (
        _known_mapping(getattr(call, part), part) for part in ("path", "query", "body", "headers")
    )
    path_names = [name for name, value in path.items() if value not in (None, "")]
    header_names = [name for name, value in headers.items() if value is not None]
    query_names = [name for name, value in query.items() if value is not None]
    entry.check(
        entry.path_parameters if isinstance(path, NotYetKnown) else path_names,
        entry.required_query if isinstance(query, NotYetKnown) else query_names,
        body,
        entry.headers if isinstance(headers, NotYetKnown) else header_names,
    )
    for name, value in path.items():
        if not isinstance(value, NotYetKnown):
            path_segment(value, name)
    if entry.answer is AnswerKind.FILE and known(call.output_path) in (None, ""):
        raise BadCallError(f"{call.operation_id} answers with a file; give output_path")


def _known_mapping(given: Any, name: str) -> Mapping[str, Any]:
    found = known(given)
    if isinstance(found, NotYetKnown):
        return found
    return as_mapping(found, name) or {}
