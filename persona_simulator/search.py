"""`POST /cases/search`: its small query language, its order and its pages, over an index that runs behind."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from airflow_provider_persona.api.messages import API_PREFIX
from persona_simulator.call import Call
from persona_simulator.clock import epoch_seconds
from persona_simulator.inflection import snake
from persona_simulator.paging import links, page_request
from persona_simulator.problems import RefusedError, bad_request
from persona_simulator.rendering import collection_answer
from persona_simulator.world import CaseRecord, World

Matcher = Callable[[Any], bool]
Reader = Callable[[Any], Any]
ReadOf = Callable[[Any], tuple[str, Reader]]

DEEPEST: Final = 2
MOST_CLAUSES: Final = 20
_TIMES: Final = frozenset({"created_at", "updated_at", "resolved_at", "sla_expires_at"})
_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def search_cases(world: World, call: Call) -> bytes:
    """Answer `POST /cases/search`."""
    page = page_request(call.query, call.may(dict, "page"))
    query = call.may(dict, "query")
    read_of = partial(_reader, world)
    matches = compiled(query, read_of) if query else None
    read, descending = sorting(call, read_of)
    keyed = []
    for case in world.order:
        seen = world.seen_by_search(case, call.now)
        if seen is not None and (matches is None or matches(seen)):
            keyed.append((sort_key(read(seen)), case.ordinal))
    keyed.sort(reverse=descending)
    start, end = 0, page.size
    if (cursor := page.after or page.before) is not None:
        mark = _mark(world, call, cursor, read)
        before = sum(1 for each in keyed if (each > mark if descending else each < mark))
        at = before < len(keyed) and world.order[keyed[before][1]].case_id == cursor
        if page.after is not None:
            start = before + (1 if at else 0)
            end = start + page.size
        else:
            start, end = max(0, before - page.size), before
    found = [world.order[ordinal] for _, ordinal in keyed[start:end]]
    neighbours = links(
        f"{API_PREFIX}/cases/search",
        {"page[size]": str(page.size), **call.query},
        first=found[0].case_id if found else None,
        last=found[-1].case_id if found else None,
        newer=start > 0,
        older=end < len(keyed),
    )
    return collection_answer(world, found, neighbours, call.style)


def _mark(world: World, call: Call, cursor: str, read: Reader) -> tuple[Any, int]:
    """Return where a cursor stands in the order; it need not be among the found cases any more."""
    case = world.cases.get(cursor)
    if case is None:
        raise bad_request("page cursor is not found")
    seen = world.seen_by_search(case, call.now) or case
    return sort_key(read(seen)), case.ordinal


def sorting(call: Call, read_of: ReadOf) -> tuple[Reader, bool]:
    """Return what reads the attribute to sort by, and whether the order is descending.

    :raises RefusedError: 400 when there is no such attribute or direction.
    """
    sort = call.may(dict, "sort") or {"attribute": "created_at"}
    direction = sort.get("direction", "desc")
    if direction not in ("asc", "desc"):
        raise bad_request("sort.direction must be one of: asc, desc")
    return read_of(sort.get("attribute"))[1], direction == "desc"


def sort_key(value: Any) -> tuple[int, float, str]:
    """Return what puts values of any kind in one order: none, numbers, texts."""
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, int | float):
        return (1, float(value), "")
    return (2, 0.0, str(value))


def compiled(clause: Any, read_of: ReadOf, depth: int = 1) -> Matcher:
    """Return what tells whether a thing fits a query expression.

    :param read_of: gives the name of an attribute in snake_case and what reads it.
    :raises RefusedError: 400 when the expression makes no sense.
    """
    if not isinstance(clause, dict):
        raise bad_request("query must be a hash")
    for word, combine in (("and", all), ("or", any)):
        if word in clause:
            return _combined(combine, _inner(read_of, clause, word, depth))
    if "not" in clause:
        _check_alone(clause)
        denied = _nested(read_of, clause["not"], depth)
        return lambda case: not denied(case)
    return _predicate(read_of, clause)


def _combined(combine: Callable[[Iterable[bool]], bool], inner: Sequence[Matcher]) -> Matcher:
    return lambda case: combine(each(case) for each in inner)


def _inner(read_of: ReadOf, clause: Mapping[str, Any], word: str, depth: int) -> list[Matcher]:
    _check_alone(clause)
    listed = clause[word]
    if not isinstance(listed, list):
        raise bad_request(f"query.{word} must be an array")
    if len(listed) > MOST_CLAUSES:
        raise bad_request(f"query.{word} must not have more than {MOST_CLAUSES} clauses")
    return [_nested(read_of, each, depth) for each in listed]


def _nested(read_of: ReadOf, clause: Any, depth: int) -> Matcher:
    if depth >= DEEPEST and isinstance(clause, dict) and clause.keys() & {"and", "or", "not"}:
        raise bad_request(f"query must not be nested deeper than {DEEPEST} levels")
    return compiled(clause, read_of, depth + 1)


def _check_alone(clause: Mapping[str, Any]) -> None:
    if len(clause) != 1:
        raise bad_request("query clauses must have exactly one of: and, or, not")


def _predicate(read_of: ReadOf, clause: Mapping[str, Any]) -> Matcher:
    missing = [name for name in ("attribute", "operator", "value") if name not in clause]
    if missing:
        raise bad_request(f"query.{missing[0]} is missing")
    compare = _OPERATORS.get(str(clause["operator"]))
    if compare is None:
        raise bad_request(f"query.operator must be one of: {', '.join(_OPERATORS)}")
    value = clause["value"]
    if not isinstance(value, str | int | float):
        raise bad_request("query.value must be a string, a number or a boolean")
    attribute, read = read_of(clause["attribute"])
    if attribute in _TIMES:
        value = _moment(value)

    def matches(case: CaseRecord) -> bool:
        found = read(case)
        return found is not None and _comparable(found, value) and compare(found, value)

    return matches


def _moment(value: str | float) -> float:
    try:
        return epoch_seconds(value) if isinstance(value, str) else float(value)
    except ValueError:
        raise bad_request("query.value must be a date or a time") from None


def _comparable(found: Any, value: Any) -> bool:
    if isinstance(found, str) or isinstance(value, str):
        return isinstance(found, str) and isinstance(value, str)
    return isinstance(found, bool) == isinstance(value, bool)


def _reader(world: World, attribute: Any) -> tuple[str, Reader]:
    """Return the name of an attribute in snake_case and what reads it from a case."""
    if not isinstance(attribute, str):
        raise bad_request("attribute must be a string")
    if attribute.startswith("fields."):
        key = attribute.removeprefix("fields.")
        if not any(key in each.fields and each.fields[key].searchable for each in world.templates.values()):
            raise RefusedError(400, "Bad Request", f"{attribute} is not searchable")
        return attribute, lambda case: case.fields.get(key)
    name = snake(attribute)
    readers: Mapping[str, Reader] = {
        "template": lambda case: case.template.template_id,
        "status": lambda case: case.status,
        "state": lambda case: str(case.status_type),
        "created_at": lambda case: case.created_at,
        "updated_at": lambda case: case.updated_at,
        "resolved_at": lambda case: case.resolved_at,
        "sla_expires_at": lambda case: case.sla_expires_at,
        "assignee": lambda case: _user_id(world, case.assignee),
        "resolver": lambda case: _user_id(world, case.resolver.actor_id if case.resolver else None),
        "case_queue": lambda case: case.queue_id,
    }
    if name not in readers:
        raise bad_request(f"{attribute} is not an attribute that can be searched")
    return name, readers[name]


def _user_id(world: World, actor_id: str | None) -> str | None:
    user = world.user_of_email(actor_id) if actor_id else None
    return user.user_id if user else actor_id
