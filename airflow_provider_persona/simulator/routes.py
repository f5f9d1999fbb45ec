"""From method and path to the operation that is meant, by looking up path segments in a table made once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from airflow_provider_persona.api.messages import API_PREFIX
from airflow_provider_persona.api.operations import catalogue
from airflow_provider_persona.simulator.writes import WRITES

SEARCH: Final = "search-cases"
CREATE: Final = "create-a-case"
LIST: Final = "list-all-cases"
RETRIEVE: Final = "retrieve-case"
TEMPLATE: Final = "retrieve-a-case-template"
RATE_LIMITS: Final = "list-all-rate-limits"

_PERMISSIONS: Final[Mapping[str, str | None]] = {
    LIST: "case.read",
    SEARCH: "case.read",
    RETRIEVE: "case.read",
    TEMPLATE: "case_template.read",
    RATE_LIMITS: None,
    CREATE: "case.write",
    **dict.fromkeys(WRITES, "case.write"),
}
_START: Final = API_PREFIX + "/"


@dataclass(frozen=True, slots=True)
class Route:
    """What a request is about.

    :param operation: id of the operation.
    :param subject: the id in its path, or an empty text.
    :param permission: what the key needs, None for nothing.
    :param success: status of a good answer.
    """

    operation: str
    subject: str
    permission: str | None
    success: int

    @property
    def case_id(self) -> str | None:
        """The case in the path, if there is one."""
        return self.subject if self.subject and self.operation != TEMPLATE else None


@cache
def _table() -> Mapping[str, Route]:
    table = {}
    for operation_id, permission in _PERMISSIONS.items():
        operation = catalogue()[operation_id]
        segments = ["*" if segment.startswith("{") else segment for segment in operation.path.strip("/").split("/")]
        route = Route(operation_id, "", permission, min(operation.success))
        table[f"{operation.method} {'/'.join(segments)}"] = route
    return table


def find_route(method: str, path: str) -> Route | None:
    """Return the route of a request, None when there is no such operation.

    :param path: the decoded path, from `/api/v1/` on.
    """
    if not path.startswith(_START):
        return None
    table = _table()
    rest = path[len(_START) :]
    exact = table.get(f"{method} {rest}")
    if exact is not None:
        return exact
    kind, _, below = rest.partition("/")
    subject, slash, action = below.partition("/")
    if not subject:
        return None
    found = table.get(f"{method} {kind}/*{slash}{action}")
    return None if found is None else Route(found.operation, subject, found.permission, found.success)
