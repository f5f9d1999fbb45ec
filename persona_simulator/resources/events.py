"""The events of the environment: one for each kind of change, with the object as it was then.

A change of a case is on the hot path, so its event is a few references, and its text is made only when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from persona_simulator.resources.things import Thing
from persona_simulator.world import CaseRecord

_PREFIX: Final = "evt_sim"
_CASE_EVENTS: Final[Mapping[str, str]] = {
    "created": "case.created",
    "status": "case.status-updated",
    "assignee": "case.assigned",
    "queue": "case.queue-updated",
    "tags": "case.updated-tags",
    "redacted": "case.redacted",
    "objects": "case.updated",
    "attachments": "case.updated",
    "sla": "case.updated",
}
_FIELDS_EVENT: Final = "case.updated-fields"


class CaseAsItWas(NamedTuple):
    """What an event keeps of a case: what changes, by reference where it is replaced and never changed in place."""

    case: CaseRecord
    status: str
    fields: dict[str, Any]
    tags: tuple[str, ...]
    assignee: str | None
    queue_id: str | None
    updated_at: float | None
    resolved_at: float | None
    redacted_at: float | None
    sla_expires_at: float | None

    def record(self) -> CaseRecord:
        """Return the case as it was, except for what is attached to it."""
        changes = {**self._asdict(), "tags": list(self.tags), "index_history": [], "rendered": {}}
        del changes["case"]
        return replace(self.case, **changes)


class EventRecord(NamedTuple):
    """One event.

    :param ordinal: its place among the events, from 0.
    :param at: epoch seconds.
    :param payload: the object as it was: JSON, or what a case's JSON is made of.
    """

    ordinal: int
    name: str
    at: float
    object_id: str
    payload: CaseAsItWas | Mapping[str, Any]

    @property
    def event_id(self) -> str:
        """Its id."""
        return f"{_PREFIX}{self.ordinal + 1:08d}"


class EventLog:
    """All events, in the order in which they happened."""

    def __init__(self) -> None:
        self.order: list[EventRecord] = []

    def note(self, name: str, at: float, object_id: str, payload: CaseAsItWas | Mapping[str, Any]) -> EventRecord:
        """Add one event and return it."""
        event = EventRecord(len(self.order), name, at, object_id, payload)
        self.order.append(event)
        return event

    def note_case(self, case: CaseRecord, parts: Iterable[str], now: float) -> None:
        """Add the events of one change of a case: one for each kind of part."""
        names = dict.fromkeys(_CASE_EVENTS.get(part, _FIELDS_EVENT) for part in parts)
        if not names:
            return
        was = CaseAsItWas(
            case,
            case.status,
            case.fields,
            tuple(case.tags),
            case.assignee,
            case.queue_id,
            case.updated_at,
            case.resolved_at,
            case.redacted_at,
            case.sla_expires_at,
        )
        for name in names:
            self.note(name, now, case.case_id, was)

    def note_thing(self, thing: Thing, what: str, now: float) -> None:
        """Add the event `what` of a thing; those of reports name their type, others their family."""
        family = thing.kind if thing.kind.startswith(("report/", "connect/")) else thing.kind.partition("/")[0]
        payload = {
            "type": thing.kind,
            "id": thing.thing_id,
            "attributes": dict(thing.attributes),
            "relationships": {name: {"data": value} for name, value in thing.relationships.items()},
        }
        self.note(f"{family}.{what}", now, thing.thing_id, payload)

    def get(self, event_id: str) -> EventRecord | None:
        """Return the event of that id."""
        number = event_id.removeprefix(_PREFIX)
        if event_id == number or not number.isdecimal() or not 0 < int(number) <= len(self.order):
            return None
        return self.order[int(number) - 1]
