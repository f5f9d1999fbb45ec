"""Lists and searches of things: newest first, filtered, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from airflow_provider_persona.api.messages import API_PREFIX
from airflow_provider_persona.api.operations import catalogue
from persona_simulator.call import Call
from persona_simulator.clock import epoch_seconds
from persona_simulator.inflection import snake
from persona_simulator.paging import PageRequest, links, page_request
from persona_simulator.problems import bad_request
from persona_simulator.resources.answers import event_object, thing_object
from persona_simulator.resources.events import EventRecord
from persona_simulator.resources.families import FAMILIES, Family
from persona_simulator.resources.holdings import Holdings, Outcomes
from persona_simulator.resources.things import Thing
from persona_simulator.search import compiled, sort_key, sorting

T = TypeVar("T")
Act = Callable[[Holdings, Call], Outcomes]


def listing(family: str) -> Act:
    """Return what serves the list of a family."""
    known = FAMILIES[family]

    def act(holdings: Holdings, call: Call) -> Outcomes:
        matches = _matcher(known, call.query)
        found = [thing for thing in holdings.shelf(family).newest_first() if all(each(thing) for each in matches)]
        return page_of(call, found, lambda thing: thing.thing_id, lambda thing: thing_object(holdings, thing, call))

    return act


def searching(family: str) -> Act:
    """Return what serves the search of a family: cases' query language, over an index that learns late."""
    known = FAMILIES[family]

    def read_of(attribute: Any) -> tuple[str, Callable[[Any], Any]]:
        return _reader(known, attribute)

    def act(holdings: Holdings, call: Call) -> Outcomes:
        query = call.may(dict, "query")
        matches = compiled(query, read_of) if query else None
        read, descending = sorting(call, read_of)
        seen = [
            thing
            for thing in holdings.shelf(family).order
            if thing.created_at + holdings.world.search_lag <= call.now and (matches is None or matches(thing))
        ]
        seen.sort(key=lambda thing: (sort_key(read(thing)), thing.ordinal), reverse=descending)
        page = page_request(call.query, call.may(dict, "page"))
        return page_of(
            call, seen, lambda thing: thing.thing_id, lambda thing: thing_object(holdings, thing, call), page
        )

    return act


def list_events(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `GET /events`; its filters take several values."""
    wanted = _filters(call.query, {"name", "object-id", "id"})
    named = {name: frozenset(value.split(",")) for name, value in wanted.items()}

    def is_wanted(event: EventRecord) -> bool:
        values = {"name": event.name, "object-id": event.object_id, "id": event.event_id}
        return all(values[name] in allowed for name, allowed in named.items())

    found = [event for event in reversed(holdings.events.order) if is_wanted(event)]
    return page_of(call, found, lambda event: event.event_id, lambda event: event_object(holdings, event, call))


def page_of(
    call: Call,
    found: list[T],
    id_of: Callable[[T], str],
    show: Callable[[T], Mapping[str, Any]],
    page: PageRequest | None = None,
) -> Outcomes:
    """Return one page of what was found, with its links.

    :param found: everything, in the order of the list.
    :raises RefusedError: 400 when a cursor is none of what was found.
    """
    page = page or page_request(call.query)
    places = {id_of(each): place for place, each in enumerate(found)} if page.after or page.before else {}
    start = _place(places, page.after, "after") + 1 if page.after else 0
    if page.before:
        end = _place(places, page.before, "before")
        start = max(0, end - page.size)
    else:
        end = min(len(found), start + page.size)
    shown = found[start:end]
    neighbours = links(
        API_PREFIX + path_of(call),
        {"page[size]": str(page.size), **call.query} if call.operation.startswith("search") else call.query,
        first=id_of(shown[0]) if shown else None,
        last=id_of(shown[-1]) if shown else None,
        newer=start > 0,
        older=end < len(found),
    )
    return Outcomes({"data": [show(each) for each in shown], "links": neighbours})


def path_of(call: Call) -> str:
    """Return the path of a call's operation below `/api/v1`, filled in."""
    operation = catalogue()[call.operation]
    path = operation.path
    for name in operation.path_parameters:
        path = path.replace(f"{{{name}}}", call.subject)
    return path


def _place(places: Mapping[str, int], cursor: str, name: str) -> int:
    if cursor not in places:
        raise bad_request(f"page.{name} is not found")
    return places[cursor]


def _filters(query: Mapping[str, str], known: Iterable[str]) -> dict[str, str]:
    wanted = {name[7:-1]: value for name, value in query.items() if name.startswith("filter[")}
    for name in wanted:
        if name not in known:
            raise bad_request(f"filter.{snake(name)} is not allowed")
    return wanted


def _matcher(family: Family, query: Mapping[str, str]) -> list[Callable[[Thing], bool]]:
    wanted = _filters(query, family.filters)
    if family.required_filter is not None and not wanted.get(family.required_filter):
        raise bad_request(f"filter.{snake(family.required_filter)} is missing")
    if "identifier][key" in wanted or "identifier][value" in wanted:
        return [_identified(wanted.get("identifier][key", ""), wanted.get("identifier][value", ""))]
    return [_comparison(family.filters[name], value) for name, value in wanted.items()]


def _identified(key: str, value: str) -> Callable[[Thing], bool]:
    def matches(thing: Thing) -> bool:
        found = thing.attributes.get("fields", {}).get(key)
        return isinstance(found, Mapping) and str(found.get("value")) == value

    return matches


def _comparison(source: str, value: str) -> Callable[[Thing], bool]:
    if source.endswith((">=", "<=")):
        limit = _moment(value)
        later = source.endswith(">=")
        return lambda thing: thing.created_at >= limit if later else thing.created_at <= limit
    allowed = frozenset(value.split(","))
    if source == "id":
        return lambda thing: thing.thing_id in allowed
    if source.startswith("@"):
        return lambda thing: (thing.relationships.get(source[1:]) or {}).get("id") in allowed
    if source.startswith("!"):
        return lambda thing: thing.hidden.get(source[1:]) in allowed
    return lambda thing: thing.attributes.get(source) in allowed or thing.attributes.get(source) == value


def _moment(value: str) -> float:
    try:
        return epoch_seconds(value)
    except ValueError:
        raise bad_request("a time filter must be a date or a time") from None


def _reader(family: Family, attribute: Any) -> tuple[str, Callable[[Any], Any]]:
    if not isinstance(attribute, str):
        raise bad_request("attribute must be a string")
    group, _, key = attribute.partition(".")
    if group in ("fields", "identifiers") and key:
        return attribute, lambda thing: (thing.attributes.get("fields", {}).get(key) or {}).get("value")
    source = family.searchable.get(snake(attribute))
    if source is None:
        raise bad_request(f"{attribute} is not an attribute that can be searched")
    if source.startswith("@"):
        return attribute, lambda thing: (thing.relationships.get(source[1:]) or {}).get("id")
    if source.endswith("-at"):
        return snake(attribute), lambda thing: _seconds(thing.attributes.get(source))
    return attribute, lambda thing: thing.attributes.get(source)


def _seconds(text: str | None) -> float | None:
    return None if text is None else epoch_seconds(text)
