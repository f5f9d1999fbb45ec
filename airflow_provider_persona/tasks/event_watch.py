"""What watchers of Persona's events share: one poll for all of them, and the place where each keeps its cursor."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow_provider_persona.client import AsyncPersonaClient
    from airflow_provider_persona.export.event_feed import EventCursor, Stretch

log = logging.getLogger(__name__)

BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_LONGEST_PAUSE: Final = 600.0
_MOST_DOUBLINGS: Final = 6
"""Doublings of the pause after failures, at most."""

WATCHED: Final[dict[Hashable, Counter[frozenset[str]]]] = {}
"""For each poll: how many watchers of this process follow which names. The poll asks for the names of all of them."""


def poll_key(kwargs: Mapping[str, Any]) -> Hashable:
    """Return what the triggers have in common that share a poll: connection and interval.

    :param kwargs: the arguments of a trigger.
    """
    return ("persona-events", kwargs["persona_conn_id"], kwargs["poll_interval"])


class EventPoll:
    """Looks at Persona's events for all watchers that share it.

    :param kwargs: the arguments of the trigger that opened it.
    :param clock: monotonic seconds.
    """

    def __init__(self, kwargs: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._conn_id: str = kwargs["persona_conn_id"]
        self._interval: float = kwargs["poll_interval"]
        self._own: Iterable[str] = kwargs["names"]
        self._key = poll_key(kwargs)
        self._client: AsyncPersonaClient | None = None
        self._clock = clock
        self._newest: datetime | None = None
        self._newest_since = 0.0
        self._back_to: datetime | None = None
        self._failures = 0

    @property
    def pause(self) -> float:
        """Seconds until the next look."""
        doubled: float = self._interval * 2 ** min(self._failures, _MOST_DOUBLINGS)
        return max(self._interval, min(doubled, _LONGEST_PAUSE))

    async def look(self) -> Stretch | None:
        """Look once; None when Persona failed, which is logged."""
        from airflow_provider_persona.api.errors import PersonaError
        from airflow_provider_persona.export.event_feed import newest_events
        from airflow_provider_persona.hooks.persona import PersonaAsyncHook
        from airflow_provider_persona.version_compat import AirflowException

        try:
            if self._client is None:
                self._client = await PersonaAsyncHook(self._conn_id).get_client()
            stretch = await newest_events(self._client, self._names(), self._back_to)
        except (PersonaError, AirflowException) as error:
            self._failures += 1
            await self.close()
            log.error("Persona's events cannot be read, looking again in %.0f s: %s", self.pause, error)  # noqa: TRY400
            return None
        self._failures = 0
        return replace(stretch, settled=self._settled(stretch))

    def _settled(self, stretch: Stretch) -> datetime | None:
        """Return the time before which no further event can appear, and set how far the next look goes back.

        While the newest event is young, older ones may still appear, so each look goes back beyond it by `LATENESS`:
        several pages in a busy time. When no newer event has come for that long, a look needs one page again.
        """
        from airflow_provider_persona.export.event_feed import LATENESS

        if not stretch.events:
            self._back_to = self._back_to or BEGINNING
            return None
        newest, now = stretch.events[0].at, self._clock()
        if newest != self._newest:
            self._newest, self._newest_since = newest, now
        settled = newest if now - self._newest_since > LATENESS.total_seconds() else None
        self._back_to = settled or newest - LATENESS
        return settled

    async def close(self) -> None:
        """Close the client. The next look reads the connection again, since its key may have been replaced."""
        client, self._client = self._client, None  # first: it is let go of once, whatever closing raises
        if client is not None:
            await client.close()

    def _names(self) -> frozenset[str]:
        """Return the names that all watchers together follow; no name when one follows all events."""
        wanted = list(WATCHED.get(self._key, ()))
        if not wanted:
            return frozenset(self._own)
        return frozenset() if frozenset() in wanted else frozenset().union(*wanted)


class CursorMemory:
    """Keeps the cursor of a trigger with each of its assets, where Airflow has a place for it (3.3).

    :param accessors: Airflow's access to the state of the assets; None where it has none.
    :param persona_conn_id: the trigger's connection.
    :param names: the names of events that it follows.
    """

    def __init__(self, accessors: Any, persona_conn_id: str, names: Sequence[str]) -> None:
        self._stores = _stores(accessors)
        watch = "\n".join([persona_conn_id, *names])
        self._key = f"persona_events_{hashlib.sha256(watch.encode()).hexdigest()[:16]}"
        self._written: EventCursor | None = None
        self._later: EventCursor | None = None

    async def recall(self) -> EventCursor | None:
        """Return the newest cursor that was kept, None when there is none."""
        from airflow_provider_persona.export.event_feed import EventCursor

        kept = [EventCursor.from_json(await store.aget(self._key)) for store in self._stores]
        found = [cursor for cursor in kept if cursor is not None]
        self._written = max(found, key=lambda cursor: cursor.at or BEGINNING, default=None)
        return self._written

    async def begin(self, stretch: Stretch, names: frozenset[str]) -> EventCursor:
        """Return the cursor of a watcher that begins now, and keep it at once."""
        from airflow_provider_persona.export.event_feed import EventCursor

        cursor = EventCursor.beginning_after(stretch, names)
        self.keep_later(cursor)
        await self.keep()
        return cursor

    def keep_later(self, cursor: EventCursor) -> None:
        """Note the cursor, which is kept once Airflow has taken its events."""
        self._later = cursor

    async def keep(self) -> None:
        """Keep the cursor that was noted, unless it is kept already."""
        if self._later is None or self._later == self._written:
            return
        later = self._later
        for store in self._stores:
            await store.aset(self._key, later.to_json())
        self._written = later  # only when all have it; else the next call writes it to each again


def _stores(accessors: Any) -> list[Any]:
    """Return the state of each watched asset. Airflow has a public way to a single one only (3.3.2)."""
    if accessors is None:
        return []
    each = [*getattr(accessors, "_by_name", {}).values(), *getattr(accessors, "_by_uri", {}).values()]
    return each or [accessors]
