"""What can be said of a call while its Dag is parsed: values may still be templates, or the results of other tasks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from airflow_provider_persona.api.operations import operation, path_segment
from airflow_provider_persona.operators.arguments import as_object

_TEMPLATE_MARKS: Final = ("{{", "{%", "{#")


class NotYetKnown(dict[str, Any]):
    """Stands for what another task or a template will give: it may turn out to hold anything."""

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - the parent's parameters
        """Return itself."""
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
        return NotYetKnown() if any(mark in given for mark in _TEMPLATE_MARKS) else given
    return given if given is None or isinstance(given, int | float | Decimal | date | bytes) else NotYetKnown()


def check_call(operation_id: str, path: Any, query: Any, body: Any) -> None:
    """Check a call as it stands in a Dag.

    :param path: values of the path's parameters, as far as they are known.
    :param query: query parameters.
    :param body: the body.
    :raises BadCallError: when the operation is unknown; when a path parameter, a body key or a query parameter is
        missing that cannot come from elsewhere; when a path value is known that no path can carry.
    """
    entry = operation(operation_id)
    path, query, body = (
        _known_mapping(given, name) for given, name in ((path, "path"), (query, "query"), (body, "body"))
    )
    entry.check(
        entry.path_parameters
        if isinstance(path, NotYetKnown)
        else [n for n, value in path.items() if value not in (None, "")],
        entry.required_query
        if isinstance(query, NotYetKnown)
        else [n for n, value in query.items() if value is not None],
        body,
    )
    for name, value in path.items():
        if not isinstance(value, NotYetKnown):
            path_segment(value, name)


def _known_mapping(given: Any, name: str) -> Mapping[str, Any]:
    found = known(given)
    if isinstance(found, NotYetKnown):
        return found
    parsed = as_object(found, name)
    return {} if parsed is None else parsed
