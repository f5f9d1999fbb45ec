"""The store: every thing beside cases, their events and files, and the work that goes on in the background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from persona_simulator.clock import timestamp
from persona_simulator.config import ApiKey, SimulatorConfig
from persona_simulator.journal import BACKGROUND, Journal, RequestLog
from persona_simulator.population import FIRST_DAY
from persona_simulator.problems import RefusedError, not_found
from persona_simulator.resources.events import EventLog
from persona_simulator.resources.families import FAMILIES, ITEM_PREFIXES, dress, family_of
from persona_simulator.resources.seeds import fill
from persona_simulator.resources.things import Outcome, Parts, Shelf, Thing, Work
from persona_simulator.world import World

ATTACHABLE: Final = frozenset(
    {"account", "inquiry", "report", "verification", "transaction", "document", "graph-query", "sar"}
)
"""Families of things that can be attached to a case."""


_EVENT_OF_STATUS: Final[Mapping[tuple[str, str], str]] = {
    ("inquiry", "pending"): "started",
    ("inquiry", "needs_review"): "marked-for-review",
}
"""Family and status -> its event, where the event is not named after the status."""
_WITH_OWN_STATUSES: Final = frozenset({"account", "transaction"})
"""Families with statuses of the customer's own, so that one event stands for all of them."""


@dataclass(slots=True)
class Change:
    """What one call did to one thing.

    :param before: its status before, None for a new thing.
    :param parts: names of what changed; empty when it was so already.
    :param event: last part of the event's name, None for no event.
    """

    thing: Thing
    before: str | None
    parts: Parts
    event: str | None = None


@dataclass(slots=True)
class Outcomes:
    """What a call comes to.

    :param payload: the answer with kebab-case keys, or the bytes of a file.
    :param status: status of the answer, None for the operation's own.
    :param content_type: media type of the answer.
    :param changes: what it did.
    """

    payload: Mapping[str, Any] | bytes
    status: int | None = None
    content_type: str = "application/json"
    changes: Sequence[Change] = field(default_factory=tuple)


class Holdings:
    """Everything in the environment beside cases.

    A shelf is filled with its first things when somebody first looks at it, so that they cost nothing at the start.

    :param config: the rules, and how many things there are to begin with.
    :param world: the cases, and the stubs of what is attached to them, which are things on the shelves too.
    :param journal: where work that ends in the background is entered.
    :param requests: the log of received requests.
    """

    def __init__(self, config: SimulatorConfig, world: World, journal: Journal, requests: RequestLog) -> None:
        self.config = config
        self.world = world
        self.journal = journal
        self.events = EventLog()
        self.files = world.files
        self.requests = requests
        self.keys: dict[str, ApiKey] = {}
        self.key_ends: dict[str, float] = {}
        self.relays = 0
        self._shelves: dict[str, Shelf] = {}
        self._stubs_seen: dict[str, int] = {}
        self._under_way: dict[str, Thing] = {}

    def shelf(self, family: str) -> Shelf:
        """Return the shelf of a family, with its first things on it."""
        shelf = self._shelves.get(family)
        if shelf is None:
            shelf = self._shelves[family] = Shelf(FAMILIES[family].prefix)
            fill(self.config, self.world, family, shelf)
        if family in ATTACHABLE and len(self.world.objects) != self._stubs_seen.get(family):
            self._adopt_stubs(family, shelf)
        return shelf

    def find(self, family: str, thing_id: str, kind: str | None = None) -> Thing:
        """Return a thing.

        :param kind: the only type that will do.
        :raises RefusedError: 404 when there is none.
        """
        thing = self.shelf(family).get(thing_id)
        if thing is None or kind not in (None, thing.kind):
            raise not_found()
        return thing

    def look_up(self, thing_id: str) -> Thing | None:
        """Return the thing of an id, whatever its family."""
        prefix = thing_id.partition("_")[0]
        for family, known in FAMILIES.items():
            if prefix == known.prefix or (family == "list-item" and prefix.startswith(known.prefix)):
                found = self.shelf(family).get(thing_id)
                if found is not None:
                    return found
        return None

    def make(
        self,
        kind: str,
        now: float,
        attributes: Mapping[str, Any] | None = None,
        links: Mapping[str, Any] | None = None,
        thing_id: str | None = None,
    ) -> Thing:
        """Make a thing and put it on its shelf.

        :param attributes: beside and instead of those of the family's blank.
        """
        family = family_of(kind)
        prefix = ITEM_PREFIXES.get(kind.partition("/")[2]) if family == "list-item" else None
        thing = self.shelf(family).put(kind, now, thing_id, prefix)
        dress(thing, now, attributes, links)
        if family in ATTACHABLE:
            self._register(thing)
        return thing

    def begin_work(self, thing: Thing, now: float, outcome: Outcome, event: str | None) -> None:
        """Let something go on with a thing in the background."""
        thing.work = Work(now, outcome, event)
        self._under_way[thing.thing_id] = thing

    def look_at(self, thing: Thing, now: float) -> None:
        """Count one read of a thing; enough of them end its work."""
        if thing.work is None:
            return
        thing.work.reads += 1
        if thing.work.reads > self.config.work_reads:
            self._end_work(thing, now)

    def settle(self, now: float) -> None:
        """End all work that has gone on for long enough."""
        for thing in list(self._under_way.values()):
            if thing.work is None:
                del self._under_way[thing.thing_id]
            elif now - thing.work.begun_at >= self.config.work_seconds:
                self._end_work(thing, now)

    def stop_work(self, thing: Thing) -> None:
        """Let work on a thing end without an outcome."""
        thing.work = None
        self._under_way.pop(thing.thing_id, None)

    def alter(self, thing_id: str, status: str | None, attributes: Mapping[str, Any], event: str | None) -> bool:
        """Change a thing behind the API's back, as Persona or a person in the dashboard would; work on it stops.

        :raises KeyError: when there is no such thing.
        """
        thing = self.look_up(thing_id)
        if thing is None:
            raise KeyError(thing_id)
        before, now = thing.status, self.now()
        name = "account-status" if "account-status" in thing.attributes else "status"
        self.stop_work(thing)
        parts = thing.set({**({name: status} if status is not None else {}), **attributes})
        touch(thing, parts, now)
        named = _EVENT_OF_STATUS.get((family_of(thing.kind), status or ""), (status or "").replace("_", "-"))
        self.record(Change(thing, before, parts, event or named or "updated-fields"), now, "dashboard")
        return bool(parts)

    def record(
        self,
        change: Change,
        now: float,
        operation: str,
        actor: str = BACKGROUND,
        idempotency_key: str | None = None,
        request_id: str | None = None,
    ) -> None:
        """Enter a change in the journal and, if it was one, among the events."""
        thing = change.thing
        self.journal.note(
            at=now,
            operation=operation,
            object_id=thing.thing_id,
            from_status=change.before,
            to_status=thing.status,
            parts=change.parts,
            actor=actor,
            idempotency_key=idempotency_key,
            request_id=request_id,
        )
        if change.event and change.parts:
            moved = family_of(thing.kind) in _WITH_OWN_STATUSES and change.before not in (None, thing.status)
            self.events.note_thing(thing, "status-updated" if moved else change.event, now)

    def now(self) -> float:
        """Return the time of the last request or change; the environment keeps it up to date."""
        return self._now

    def at(self, now: float) -> None:
        """Note the time and let work end that has gone on for long enough by then."""
        self._now = now
        self.settle(now)

    _now = 0.0

    def _end_work(self, thing: Thing, now: float) -> None:
        work = thing.work
        self.stop_work(thing)
        if work is not None:
            before = thing.status
            parts = thing.set(work.outcome(now))
            touch(thing, parts, now)
            self.record(Change(thing, before, parts, work.event), now, "work")

    def _register(self, thing: Thing) -> None:
        """Make a thing known to the cases, which show its attributes as they are then."""
        known = self.world.objects.get(thing.thing_id)
        if known is None or known.attributes is not thing.attributes:
            self.world.add_object(thing.thing_id, thing.attributes, thing.kind)

    def _adopt_stubs(self, family: str, shelf: Shelf) -> None:
        """Put what has been attached to cases meanwhile on its shelf."""
        objects = self.world.objects
        for object_id, stub in list(islice(objects.items(), self._stubs_seen.get(family, 0), None)):
            if family_of(stub.object_type) == family and shelf.get(object_id) is None:
                thing = shelf.put(stub.object_type, FIRST_DAY, object_id)
                dress(thing, FIRST_DAY, stub.attributes, None)
                self.world.add_object(object_id, thing.attributes, thing.kind)
        self._stubs_seen[family] = len(objects)


def touch(thing: Thing, parts: Parts, now: float) -> None:
    """Note when a thing was changed, if it was and shows it."""
    if parts and "updated-at" in thing.attributes:
        thing.attributes["updated-at"] = timestamp(now)


def refuse_redacted(thing: Thing) -> None:
    """Refuse a change of a redacted thing.

    :raises RefusedError: 409.
    """
    if thing.is_redacted:
        raise RefusedError(409, "Conflict", f"{family_of(thing.kind).capitalize()} already redacted")
