"""From method and path to the operation that is meant, by looking up path segments in a table made once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from airflow_provider_persona.api.operations import catalogue
from persona_simulator.resources.table import OWN_RESOURCES, permission_of

SEARCH: Final = "search-cases"
CREATE: Final = "create-a-case"
LIST: Final = "list-all-cases"
RETRIEVE: Final = "retrieve-case"
TEMPLATE: Final = "retrieve-a-case-template"
RATE_LIMITS: Final = "list-all-rate-limits"

_LATER_PLACES: Final = ((2,), (1, 2))
"""Where paths have parameters if not in the second place alone: nowhere else."""


@dataclass(slots=True)
class Route:
    """What a request is about.

    :param operation: id of the operation.
    :param subject: the first id in its path, or an empty text.
    :param permission: what the key needs, None for nothing.
    :param success: status of a good answer.
    :param own: whether the environment serves it itself, not the table of resources.
    :param withdrawn: whether it is not in the published specification.
    """

    operation: str
    subject: str
    permission: str | None
    success: int
    own: bool
    withdrawn: bool

    @property
    def case_id(self) -> str | None:
        """The case or other object in the path, if there is one."""
        return self.subject if self.subject and self.operation != TEMPLATE else None


@cache
def _tables() -> Mapping[str, Mapping[str, Route]]:
    """Return the routes by method and path below each beginning of paths."""
    tables: dict[str, dict[str, Route]] = {}
    for operation in catalogue().values():
        segments = ["*" if segment.startswith("{") else segment for segment in operation.path.strip("/").split("/")]
        own, withdrawn = operation.resource in OWN_RESOURCES, operation.withdrawn is not None
        route = Route(operation.operation_id, "", permission_of(operation), min(operation.success), own, withdrawn)
        table = tables.setdefault(f"{operation.prefix}/", {})
        table.setdefault(f"{operation.method} {'/'.join(segments)}", route)
    return tables


def find_route(method: str, path: str) -> Route | None:
    """Return the route of a request, None when there is no such operation.

    :param path: the whole path, decoded.
    """
    start = next((each for each in _tables() if path.startswith(each)), None)
    if start is None:
        return None
    table = _tables()[start]
    rest = path[len(start) :]
    exact = table.get(f"{method} {rest}")
    if exact is not None:
        return exact
    kind, _, below = rest.partition("/")
    subject, slash, action = below.partition("/")
    found = table.get(f"{method} {kind}/*{slash}{action}") if subject else None
    return _about(found, subject) if found is not None else _deeper(table, method, rest.split("/"))


def _deeper(table: Mapping[str, Route], method: str, segments: list[str]) -> Route | None:
    """Return the route of a path with a later parameter, or with two."""
    for places in _LATER_PLACES:
        if len(segments) <= places[-1]:
            break
        pattern = "/".join("*" if place in places else segment for place, segment in enumerate(segments))
        found = table.get(f"{method} {pattern}")
        if found is not None and all(segments[place] for place in places):
            return _about(found, segments[places[0]])
    return None


def _about(found: Route, subject: str) -> Route:
    return Route(found.operation, subject, found.permission, found.success, found.own, found.withdrawn)
