"""Persona's events as a feed: reads the newest ones, and finds those that a watcher has not reported yet.

`GET /events` gives the newest first and can be filtered by name, not by time. Each event holds a whole object with its
personal data (docs.withpersona.com). Only the object's id is kept, as soon as a page is read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Self

from airflow_provider_persona.api.document import Resource, moment
from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.models import is_label
from airflow_provider_persona.api.operations import is_path_id, operation
from airflow_provider_persona.api.pagination import PAGE_SIZE

if TYPE_CHECKING:
    from airflow_provider_persona.client import AsyncPersonaClient

log = logging.getLogger(__name__)

LATENESS: Final = timedelta(minutes=2)
"""How much later an event may appear than one that is newer."""

_REMEMBERED: Final = 500
"""Most events that a cursor in Airflow's database knows by id. When more happened within `LATENESS`, the others are
reported again after a restart: twice is better than never."""

_LIST: Final = "list-all-events"


@dataclass(frozen=True, slots=True)
class PersonaEvent:
    """An event, without the personal data of its object.

    :param event_id: its id (`evt_…`).
    :param name: like `case.status-updated`.
    :param object_id: id of its object; None when the answer does not tell.
    :param at: when it happened.
    """

    event_id: str
    name: str
    object_id: str | None
    at: datetime

    @classmethod
    def from_resource(cls, resource: Mapping[str, Any]) -> Self:
        """Return the event that a resource describes.

        :raises PersonaAnswerError: when it lacks id, name or time.
        """
        event = Resource(resource)
        name, at = event.text("name"), event.time("created-at")
        if event.id is None or not is_path_id(event.id) or name is None or not is_label(name) or at is None:
            raise PersonaAnswerError(
                "an event came without id, name or time; check whether the key's attribute blocklist withholds them",
                operation_id=_LIST,
            )
        about = event.text("payload.data.id")
        return cls(event.id, name, about if about and is_path_id(about) else None, at)

    def payload(self) -> dict[str, str | None]:
        """Return what a watcher's Dag receives: ids and the name."""
        return {"event_id": self.event_id, "name": self.name, "object_id": self.object_id}


@dataclass(frozen=True, slots=True)
class Stretch:
    """The newest events, without a gap.

    :param names: the names that were asked for; empty for all.
    :param events: the newest first.
    :param is_whole: whether there are no older ones.
    :param settled: time before which no further event will appear; None when that is not known.
    """

    names: frozenset[str]
    events: tuple[PersonaEvent, ...]
    is_whole: bool
    settled: datetime | None = None

    def covers(self, names: frozenset[str]) -> bool:
        """Whether it holds all events of these names (empty: of all names) since its oldest one."""
        return not self.names or (bool(names) and names <= self.names)

    def reaches(self, at: datetime | None) -> bool:
        """Whether it goes back to `at`, so that no event since then is missing; None stands for the beginning."""
        return self.is_whole or (at is not None and bool(self.events) and self.events[-1].at < at)


async def newest_events(client: AsyncPersonaClient, names: Iterable[str], back_to: datetime | None) -> Stretch:
    """Read the newest events: one page, and more until one is older than `back_to`.

    :param names: names to filter by; none for all.
    :param back_to: None for one page.
    :raises PersonaError: typed, also when the pages lead in a circle.
    """
    wanted = frozenset(names)
    query = {
        "filter[name]": sorted(wanted) or None,
        "fields[event]": "name,created-at,payload",
        "page[size]": PAGE_SIZE,
    }
    events: list[PersonaEvent] = []
    pages = client.pages(operation(_LIST).bind(query=query))
    try:
        async for page in pages:
            events += _readable(page)
            stretch = Stretch(wanted, tuple(events), is_whole=False)
            if events and (back_to is None or stretch.reaches(back_to)):
                return stretch
        return Stretch(wanted, tuple(events), is_whole=True)
    finally:  # left half-read, it would keep a connection until the garbage collector comes
        await pages.aclose()  # type: ignore[attr-defined]  # an asynchronous generator


def _readable(page: Iterable[Mapping[str, Any]]) -> list[PersonaEvent]:
    """Return the events of a page. An event that cannot be read is left out, with a warning.

    :raises PersonaAnswerError: when none can be read.
    """
    read: list[PersonaEvent] = []
    last_error: PersonaAnswerError | None = None
    for resource in page:
        try:
            read.append(PersonaEvent.from_resource(resource))
        except PersonaAnswerError as error:
            last_error = error
            shown = Resource(resource).id
            _warn_once(shown if shown and is_path_id(shown) else "(of no usable id)")
    if last_error is not None and not read:
        raise last_error
    return read


@lru_cache(maxsize=256)  # each look brings the same events again
def _warn_once(event_id: str) -> None:
    log.warning("Event %s came without id, name or time and is left out", event_id)


@dataclass(frozen=True, slots=True)
class EventCursor:
    """The place in the feed up to which a watcher has reported events.

    Events may appear a little out of order, so the cursor knows those of the last minutes by id, however many there
    are. Where it is stored it knows a bounded number of them.

    :param at: all events up to this time have been looked at; None when there was none yet.
    :param since: earlier events are never reported.
    :param reported: events since then that were reported, or were there before the watcher began: id to time.
    """

    at: datetime | None = None
    since: datetime | None = None
    reported: Mapping[str, datetime] = field(default_factory=dict)

    @classmethod
    def beginning_after(cls, stretch: Stretch, names: frozenset[str]) -> Self:
        """Return the cursor of a watcher that begins now: events that are there already are not reported."""
        if not stretch.events:
            return cls()
        at = stretch.events[0].at
        since = at - LATENESS if stretch.is_whole else max(at - LATENESS, stretch.events[-1].at)
        return cls(at, since, {event.event_id: event.at for event in _of(stretch, names) if event.at >= since})

    def advance(self, stretch: Stretch, names: frozenset[str]) -> tuple[list[PersonaEvent], Self]:
        """Return the events to report, the oldest first, and the cursor for the time after."""
        fresh = [event for event in _of(stretch, names) if self._is_news(event)]
        if not stretch.events:
            return fresh, self
        newest = stretch.events[0].at
        at = newest if self.at is None else max(self.at, newest)
        reported = {**self.reported, **{event.event_id: event.at for event in fresh}}
        since = max(filter(None, (self.since, at - LATENESS, stretch.settled)))
        kept = {event_id: time for event_id, time in reported.items() if time >= since}
        return fresh[::-1], type(self)(at, since, kept)

    def to_json(self) -> dict[str, Any]:
        """Return the cursor as plain data, with a bounded number of events: the newest."""
        newest = sorted(self.reported.items(), key=lambda each: each[1], reverse=True)[:_REMEMBERED]
        return {
            "at": self.at.isoformat() if self.at else None,
            "since": self.since.isoformat() if self.since else None,
            "told": {event_id: time.isoformat() for event_id, time in newest},
        }

    @classmethod
    def from_json(cls, value: Any) -> Self | None:
        """Return the cursor that `to_json` gave, None for anything else."""
        if not isinstance(value, Mapping) or not isinstance(value.get("told"), Mapping):
            return None
        times = {str(event_id): moment(time) for event_id, time in value["told"].items()}
        known = {event_id: time for event_id, time in times.items() if time is not None}
        return cls(moment(value.get("at")), moment(value.get("since")), known)

    def _is_news(self, event: PersonaEvent) -> bool:
        return event.event_id not in self.reported and (self.since is None or event.at >= self.since)


def _of(stretch: Stretch, names: frozenset[str]) -> list[PersonaEvent]:
    return [event for event in stretch.events if not names or event.name in names]
