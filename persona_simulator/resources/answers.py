"""How things look in an answer: the shape that was asked for, with files as links."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from persona_simulator.call import Call
from persona_simulator.clock import timestamp
from persona_simulator.files import StoredFile
from persona_simulator.inflection import kebab
from persona_simulator.problems import bad_request
from persona_simulator.rendering import case_object, file_object, template_object
from persona_simulator.resources.events import CaseAsItWas, EventRecord
from persona_simulator.resources.families import family_of
from persona_simulator.resources.holdings import Holdings
from persona_simulator.resources.things import Thing


def thing_object(holdings: Holdings, thing: Thing, call: Call) -> dict[str, Any]:
    """Return a thing as a JSON:API object, thinned as the call asks for."""
    shown: dict[str, Any] = {
        "type": thing.kind,
        "id": thing.thing_id,
        "attributes": shown_values(holdings, thinned(thing.attributes, thing.kind, call), call),
    }
    if thing.relationships:
        shown["relationships"] = {name: {"data": value} for name, value in thing.relationships.items()}
    if "meta" in thing.hidden:
        shown["meta"] = thing.hidden["meta"]
    return shown


def object_payload(
    holdings: Holdings, thing: Thing, call: Call, meta: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the whole answer about one thing.

    :param meta: what stands beside the object, None for nothing.
    """
    payload: dict[str, Any] = {"data": thing_object(holdings, thing, call)}
    if call.style.include:
        payload["included"] = list(_included(holdings, thing, call))
    if meta is not None:
        payload["meta"] = dict(meta)
    return payload


def event_object(holdings: Holdings, event: EventRecord, call: Call) -> dict[str, Any]:
    """Return an event with the object as it was then."""
    if isinstance(event.payload, CaseAsItWas):
        payload: Any = case_object(holdings.world, event.payload.record(), call.style, None)
    else:
        payload = shown_values(holdings, event.payload, call)
    attributes = {
        "name": event.name,
        "payload": {"data": payload},
        "created-at": timestamp(event.at),
        "context": {},
    }
    return {"type": "event", "id": event.event_id, "attributes": thinned(attributes, "event", call)}


def thinned(attributes: Mapping[str, Any], kind: str, call: Call) -> dict[str, Any]:
    """Return the attributes that the call asks for; a sparse fieldset of the family serves all its types."""
    sparse = call.style.sparse
    wanted = sparse.get(kind, sparse.get(family_of(kind))) if sparse else None
    if wanted is None:
        return dict(attributes)
    chosen = {name: value for name, value in attributes.items() if name in wanted}
    keys = {kebab(name.removeprefix("fields.")) for name in wanted if name.startswith("fields.")}
    if keys and "fields" not in wanted and isinstance(attributes.get("fields"), Mapping):
        chosen["fields"] = {key: value for key, value in attributes["fields"].items() if kebab(key) in keys}
    return chosen


def shown_values(holdings: Holdings, values: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Return values with links where files are."""
    return {name: _shown(holdings, value, call) for name, value in values.items()}


def _shown(holdings: Holdings, value: Any, call: Call) -> Any:
    if isinstance(value, StoredFile):
        return file_object(holdings.files, value, call.style)
    if isinstance(value, Mapping):
        return {name: _shown(holdings, inner, call) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(holdings, inner, call) for inner in value]
    return value


def _included(holdings: Holdings, thing: Thing, call: Call) -> Iterable[dict[str, Any]]:
    for name in call.style.include or ():
        if name not in thing.relationships:
            raise bad_request(f"include has an invalid relationship: {name}")
        found = thing.relationships[name]
        for reference in found if isinstance(found, list) else [found]:
            related = holdings.look_up(reference["id"]) if reference else None
            if related is not None:
                yield thing_object(holdings, related, call)
            elif reference and reference["id"] in holdings.world.templates:
                yield template_object(holdings.world.templates[reference["id"]], call.style)
