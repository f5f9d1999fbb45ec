"""The calls that change nothing: list, retrieve, template, rate limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from airflow_provider_persona.api.messages import API_PREFIX
from persona_simulator.call import Call
from persona_simulator.paging import PageRequest, links, page_request
from persona_simulator.problems import bad_request, not_found
from persona_simulator.rendering import (
    case_answer,
    collection_answer,
    object_answer,
    template_object,
)
from persona_simulator.world import CaseRecord, World

Matcher = Callable[[CaseRecord], bool]

_ATTACHED_ID: Final = frozenset({"account-id", "inquiry-id", "report-id"})
_FILTERS: Final = _ATTACHED_ID | {"status", "case-template-id", "reference-id"}


def case_of(world: World, call: Call) -> CaseRecord:
    """Return the case that the path names.

    :raises RefusedError: 404 when there is none.
    """
    case = world.cases.get(call.subject)
    if case is None:
        raise not_found()
    return case


def retrieve_case(world: World, call: Call) -> bytes:
    """Answer `GET /cases/{case-id}`."""
    return case_answer(world, case_of(world, call), call.style)


def retrieve_template(world: World, call: Call) -> bytes:
    """Answer `GET /case-templates/{case-template-id}`."""
    template = world.templates.get(call.subject)
    if template is None:
        raise not_found()
    return object_answer({"data": template_object(template, call.style)}, call.style)


def list_cases(world: World, call: Call) -> bytes:
    """Answer `GET /cases`: newest first, filtered, one page."""
    page = page_request(call.query)
    matches = _matcher(world, call.query)
    found, newer, older = _page_of(world, page, matches)
    neighbours = links(
        f"{API_PREFIX}/cases",
        call.query,
        first=found[0].case_id if found else None,
        last=found[-1].case_id if found else None,
        newer=newer,
        older=older,
    )
    return collection_answer(world, found, neighbours, call.style)


def _page_of(world: World, page: PageRequest, matches: Matcher | None) -> tuple[list[CaseRecord], bool, bool]:
    """Return the cases of a page, and whether there are newer and older ones."""
    if page.before is not None:
        start = _cursor(world, page.before, "before") + 1
        found, more = _walk(world, range(start, len(world.order)), page.size, matches)
        return found[::-1], more, True
    start = _cursor(world, page.after, "after") - 1 if page.after is not None else len(world.order) - 1
    found, more = _walk(world, range(start, -1, -1), page.size, matches)
    return found, page.after is not None, more


def _walk(world: World, ordinals: range, size: int, matches: Matcher | None) -> tuple[list[CaseRecord], bool]:
    """Return the first `size` matching cases of `ordinals`, and whether there is one more."""
    found: list[CaseRecord] = []
    for ordinal in ordinals:
        case = world.order[ordinal]
        if matches is None or matches(case):
            if len(found) == size:
                return found, True
            found.append(case)
    return found, False


def _cursor(world: World, case_id: str, name: str) -> int:
    case = world.cases.get(case_id)
    if case is None:
        raise bad_request(f"page.{name} is not found")
    return case.ordinal


def _matcher(world: World, query: Mapping[str, str]) -> Matcher | None:
    wanted: dict[str, str] = {}
    for name, value in query.items():
        if name.startswith("filter["):
            key = name[7:-1]
            if key not in _FILTERS:
                raise bad_request(f"filter.{key.replace('-', '_')} is not allowed")
            wanted[key] = value
    if not wanted:
        return None

    def matches(case: CaseRecord) -> bool:
        return all(_has(world, case, key, value) for key, value in wanted.items())

    return matches


def _has(world: World, case: CaseRecord, key: str, value: str) -> bool:
    if key == "status":
        return case.status == value
    if key == "case-template-id":
        return case.template.template_id == value
    if key in _ATTACHED_ID:
        return value in case.object_ids
    return any(stub.attributes.get("reference-id") == value for stub in world.related(case, "accounts"))
