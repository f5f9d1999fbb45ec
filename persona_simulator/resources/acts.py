"""What many operations have in common: read a thing, make one, change its attributes, its tags or its state.

Each function here returns what serves one operation. It checks everything first, then changes, and says what changed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final

from persona_simulator.call import Call
from persona_simulator.clock import timestamp
from persona_simulator.files import StoredFile, printed
from persona_simulator.problems import RefusedError, bad_request, not_found, unprocessable
from persona_simulator.resources.answers import object_payload
from persona_simulator.resources.families import FAMILIES, family_of
from persona_simulator.resources.holdings import Change, Holdings, Outcomes, refuse_redacted, touch
from persona_simulator.resources.listing import Act
from persona_simulator.resources.seeds import typed_value
from persona_simulator.resources.things import Thing

ATTRIBUTES: Final = ("data", "attributes")
Doing = Callable[[Holdings, Thing, Call], Mapping[str, Any]]
"""What a change does to a thing: returns the attributes that it sets."""
PDF: Final = "application/pdf"


def reading(family: str, kind: str | None = None) -> Act:
    """Return what serves the read of one thing, which also moves its background work on."""

    def act(holdings: Holdings, call: Call) -> Outcomes:
        thing = holdings.find(family, call.subject, kind)
        holdings.look_at(thing, call.now)
        return Outcomes(object_payload(holdings, thing, call))

    return act


def printing(family: str, unready: frozenset[str] = frozenset()) -> Act:
    """Return what serves the PDF of a thing.

    :param unready: statuses in which there is none yet.
    """

    def act(holdings: Holdings, call: Call) -> Outcomes:
        thing = holdings.find(family, call.subject)
        holdings.look_at(thing, call.now)
        if thing.status in unready:
            raise RefusedError(409, "Conflict", f"{family.capitalize()} can not be printed yet")
        return Outcomes(printed(f"{thing.kind} {thing.thing_id}", [f"status: {thing.status}"]), content_type=PDF)

    return act


def changing(
    family: str, doing: Doing, event: str | None, *, redacted_too: bool = False, kind: str | None = None
) -> Act:
    """Return what serves a change of one thing.

    :param event: last part of the name of the event that it makes.
    :param redacted_too: whether a redacted thing may be changed.
    """

    def act(holdings: Holdings, call: Call) -> Outcomes:
        thing = holdings.find(family, call.subject, kind)
        if not redacted_too:
            refuse_redacted(thing)
        before = thing.status
        parts = thing.set(doing(holdings, thing, call))
        touch(thing, parts, call.now)
        return Outcomes(object_payload(holdings, thing, call), changes=[Change(thing, before, parts, event)])

    return act


def moving(
    family: str, to: str, from_: frozenset[str], event: str, stamp: str | None = None, comment: str | None = None
) -> Act:
    """Return what serves a change of state; a thing that is there already stays as it is.

    :param from_: the states from which it is allowed.
    :param stamp: the attribute that says when it happened.
    :param comment: the attribute that takes `meta.comment`.
    """

    def doing(holdings: Holdings, thing: Thing, call: Call) -> Mapping[str, Any]:
        if thing.status == to:
            return {}
        if thing.status not in from_:
            raise RefusedError(409, "Conflict", f"{family.capitalize()} is {thing.status} and can not become {to}")
        holdings.stop_work(thing)
        changes: dict[str, Any] = {"status": to}
        if stamp is not None:
            changes[stamp] = timestamp(call.now)
        if comment is not None and (said := call.may(str, "meta", "comment")) is not None:
            changes[comment] = said
        return changes

    return changing(family, doing, event)


def redacting(family: str) -> Act:
    """Return what serves the erasure of a thing's personal data; a second time it does nothing."""
    blank = FAMILIES[family].blank
    kept = frozenset(blank) - {"reference-id", "note", "reviewer-comment", "fields"}

    def doing(holdings: Holdings, thing: Thing, call: Call) -> Mapping[str, Any]:
        if thing.is_redacted or thing.hidden.get("locked"):
            return {}
        holdings.stop_work(thing)
        for name in [name for name in thing.attributes if name not in kept and name not in blank]:
            del thing.attributes[name]
        thing.hidden["redacted"] = True
        emptied: dict[str, Any] = {name: ({} if name == "fields" else None) for name in blank if name not in kept}
        return {**emptied, **({"redacted-at": timestamp(call.now)} if "redacted-at" in blank else {})}

    def act(holdings: Holdings, call: Call) -> Outcomes:
        thing = holdings.find(family, call.subject)
        before, was = thing.status, thing.is_redacted
        parts = thing.set(doing(holdings, thing, call))
        touch(thing, parts, call.now)
        if thing.is_redacted and not was:
            parts = (*parts, "redacted")
        return Outcomes(object_payload(holdings, thing, call), changes=[Change(thing, before, parts, "redacted")])

    return act


def tagging(family: str, how: str) -> Act:
    """Return what serves `add`, `remove` or `set` of tags."""

    def doing(holdings: Holdings, thing: Thing, call: Call) -> Mapping[str, Any]:
        named = _tag_names(holdings, call, several=how == "set", make=how != "remove")
        tags = list(thing.attributes.get("tags", []))
        if how == "set":
            return {"tags": named}
        if how == "add":
            return {"tags": tags + [name for name in named if name not in tags]}
        return {"tags": [name for name in tags if name not in named]}

    return changing(family, doing, "updated-tags", redacted_too=True)


def creating(
    kind: str,
    attributes: Callable[[Holdings, Call], Mapping[str, Any]],
    links: Callable[[Holdings, Call], Mapping[str, Any]] | None = None,
    event: str | None = "created",
    after: Callable[[Holdings, Thing, Call], Mapping[str, Any] | None] | None = None,
) -> Act:
    """Return what serves the making of a thing.

    :param after: called with the new thing; returns what stands beside it in the answer.
    """

    def act(holdings: Holdings, call: Call) -> Outcomes:
        given, related = attributes(holdings, call), links(holdings, call) if links else {}
        thing = holdings.make(kind, call.now, given, related)
        meta = after(holdings, thing, call) if after else None
        payload = object_payload(holdings, thing, call, meta)
        return Outcomes(payload, changes=[Change(thing, None, ("created",), event)])

    return act


def given(call: Call, *names: str) -> dict[str, Any]:
    """Return those of the named attributes that the body holds; null is a value, but for tags it means none."""
    attributes = call.may(dict, *ATTRIBUTES) or {}
    held = {name: attributes[name] for name in names if name in attributes}
    return held | {"tags": []} if held.get("tags", ()) is None else held


def needed(call: Call, *names: str) -> dict[str, Any]:
    """Return the named attributes of the body.

    :raises RefusedError: 400 when one is missing.
    """
    for name in names:
        call.need(object, *ATTRIBUTES, name)
    return given(call, *names)


def given_fields(thing: Thing | None, call: Call) -> dict[str, Any]:
    """Return the custom fields of a thing after those of the body are set."""
    had = dict(thing.attributes.get("fields") or {}) if thing is not None else {}
    fields = call.may(dict, *ATTRIBUTES, "fields") or {}
    return {**had, **{name: typed_value(value) for name, value in fields.items()}}


def referring(kind: str, thing_id: str | None) -> dict[str, str] | None:
    """Return a reference to what is not looked up, because a dashboard configures it."""
    return None if thing_id is None else {"type": kind, "id": thing_id}


def existing(holdings: Holdings, family: str, call: Call, *path: str, declares_404: bool = True) -> Thing | None:
    """Return the thing that the body names at `path`, None when it names none.

    :param declares_404: whether the specification gives the operation a 404.
    :raises RefusedError: 404 when there is no such thing; 422 for an operation without a 404.
    """
    thing_id = call.may(str, *path)
    if thing_id is None:
        return None
    found = holdings.shelf(family).get(thing_id)
    if found is None:
        said = f"{'.'.join(path)} is not found".replace("-", "_")
        raise not_found(said) if declares_404 else unprocessable(said, f"/{'/'.join(path)}")
    return found


def stored(holdings: Holdings, value: Any, pointer: str) -> StoredFile:
    """Keep a file that came as `{data: base64, filename}`.

    :raises RefusedError: 400 or 422 when it is none, or too large.
    """
    data, filename = (value.get("data"), value.get("filename")) if isinstance(value, dict) else (None, None)
    if not isinstance(data, str) or not isinstance(filename, str):
        raise bad_request(f"{pointer} must have data and filename")
    try:
        content = base64.b64decode(data, validate=True)
    except binascii.Error:
        raise unprocessable("File is not base64 encoded", pointer) from None
    if len(content) > holdings.config.largest_file:
        raise unprocessable(f"File must not be larger than {holdings.config.largest_file} bytes", pointer)
    return holdings.files.store(filename, content)


def kind_of(thing: Thing) -> str:
    """Return the family of a thing."""
    return family_of(thing.kind)


def _tag_names(holdings: Holdings, call: Call, *, several: bool, make: bool) -> list[str]:
    if several:
        names, ids = call.texts("meta", "tag-name"), call.texts("meta", "tag-id")
    else:
        name, tag_id = call.may(str, "meta", "tag-name"), call.may(str, "meta", "tag-id")
        names, ids = [name] if name is not None else None, [tag_id] if tag_id is not None else None
    if names is None and ids is None:
        raise bad_request("meta.tag_name is missing")
    tags = holdings.world.tags
    if any(tag_id not in tags for tag_id in ids or ()):
        raise not_found("meta.tag_id is not found")
    wanted = list(dict.fromkeys([*(names or ()), *(tags[tag_id] for tag_id in ids or ())]))
    for name in wanted if make else ():
        holdings.world.tag_named(name)
    return wanted
