"""`PersonaEventTrigger`: Persona's events start Dags, through an asset and its watcher (Airflow 3.0 and later)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.triggers import BaseEventTrigger

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS

if TYPE_CHECKING:
    from airflow.triggers.base import TriggerEvent

    from airflow_provider_persona.client import AsyncPersonaClient
    from airflow_provider_persona.triggers.event_feed import EventCursor, Stretch

log = logging.getLogger(__name__)

_LONGEST_PAUSE: Final = 600.0
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_PATIENCE: Final = 6
"""Doublings of the pause after failures, at most."""

_watched: dict[Hashable, Counter[frozenset[str]]] = {}
"""By poll: how many watchers of this process follow which names. The one poll asks for all of them."""


class PersonaEventTrigger(BaseEventTrigger):
    """Follows Persona's events and tells an asset's watcher of each, with ids and the event's name only.

    `Asset("cases", watchers=[AssetWatcher(name="status", trigger=PersonaEventTrigger(names=["case.status-updated"]))])`

    The Dag finds each event in its triggering asset events, under `extra["payload"]`: `event_id`, `name`, `object_id`.
    It reads the object itself, as it is by then. A watcher begins with what happens after it was first started.

    On Airflow 3.3 the cursor is kept with the asset, so that what happened while the triggerer was away is told of
    afterwards. It is written one poll after the events were handed to Airflow, so each is told of at least once, and
    after a crash perhaps twice. Up to 500 events of the last two minutes are known by id there; when more happened in
    that time, a restarted triggerer tells of the others again. On 3.0 to 3.2 the cursor is in memory only, and a
    restarted triggerer begins anew.

    All watchers of one connection and interval share one poll (3.3), which asks for the names of all of them. When
    Persona fails, the poll goes on, less often the longer it lasts, and reads the connection again each time.

    :param names: names of events, like `case.status-updated`; empty for all.
    :param persona_conn_id: connection of type `persona`.
    :param poll_interval: seconds between two looks. Each is one request at least, of the limit that all share, so give
        15 or more unless you test.
    :raises RuntimeError: on Airflow 2, which has no watchers.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        *,
        persona_conn_id: str = DEFAULT_CONN_ID,
        poll_interval: float = 30.0,
    ) -> None:
        if not AIRFLOW_V_3_0_PLUS:
            raise RuntimeError(
                "PersonaEventTrigger needs Airflow 3.0 or later, where an asset's watcher starts Dags; on Airflow 2 "
                "schedule a Dag every few minutes, or wait with a deferrable sensor"
            )
        if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
            raise ValueError("names is a list of the names of events, like ['case.status-updated']")
        if poll_interval <= 0:
            raise ValueError("poll_interval is a number of seconds above 0")
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self.names = sorted(set(names))  # equal watchers are one trigger, in whatever order they name events
        self.persona_conn_id = persona_conn_id
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the arguments to make the trigger anew."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"names": self.names, "persona_conn_id": self.persona_conn_id, "poll_interval": self.poll_interval},
        )

    def shared_stream_key(self) -> Hashable | None:
        """Return what watchers have in common that share a poll."""
        return _poll_of(self.serialize()[1])

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Stretch]:
        """Look again and again, and yield the newest events each time, overlapping with the look before."""
        poll = _Poll(kwargs)
        try:
            while True:
                stretch = await poll.look()
                if stretch is not None:
                    yield stretch
                await asyncio.sleep(poll.pause)
        finally:
            await poll.close()

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Stretch]) -> AsyncIterator[TriggerEvent]:
        """Tell of each event of these names once; one poll later it is safe to write that down."""
        from airflow.triggers.base import TriggerEvent

        names = frozenset(self.names)
        watched = _watched.setdefault(self.shared_stream_key(), Counter())
        watched[names] += 1
        try:
            memory = _Memory(self)
            cursor = await memory.recall()
            async for shared in shared_stream:
                await memory.keep()
                stretch = await self._reaching(shared, names, cursor)
                if stretch is None:
                    continue
                if cursor is None:
                    cursor = await memory.begin(stretch, names)
                fresh, cursor = cursor.advance(stretch, names)
                for event in fresh:
                    yield TriggerEvent(event.payload())  # type: ignore[no-untyped-call,unused-ignore]
                memory.keep_later(cursor)
        finally:
            watched[names] -= 1
            if not watched[names]:
                del watched[names]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow the events with a poll of one's own, where Airflow shares none (before 3.3)."""
        async for event in self.filter_shared_stream(type(self).open_shared_stream(self.serialize()[1])):
            yield event

    async def _reaching(self, shared: Stretch, names: frozenset[str], cursor: EventCursor | None) -> Stretch | None:
        """Return events without a gap since the cursor: the shared ones, or a look of one's own further back."""
        from airflow.providers.common.compat.sdk import AirflowException

        from airflow_provider_persona.api.errors import PersonaError
        from airflow_provider_persona.hooks.persona import PersonaAsyncHook
        from airflow_provider_persona.triggers.event_feed import newest_events

        if not shared.covers(names):
            return None  # asked for before this watcher was there
        if cursor is None or shared.reaches(cursor.since):
            return shared
        try:
            async with await PersonaAsyncHook(self.persona_conn_id).get_client() as client:
                own = await newest_events(client, names, cursor.since or _BEGINNING)
                return replace(own, settled=shared.settled)
        except (PersonaError, AirflowException) as error:
            log.warning("Older events could not be read, the next look tries again: %s", error)
            return None


def _poll_of(kwargs: Mapping[str, Any]) -> Hashable:
    return ("persona-events", kwargs["persona_conn_id"], kwargs["poll_interval"])


class _Poll:
    """The one look at Persona that watchers share."""

    def __init__(self, kwargs: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._conn_id: str = kwargs["persona_conn_id"]
        self._interval: float = kwargs["poll_interval"]
        self._own: Iterable[str] = kwargs["names"]
        self._key = _poll_of(kwargs)
        self._client: AsyncPersonaClient | None = None
        self._clock = clock
        self._newest: datetime | None = None
        self._newest_since = 0.0
        self._back_to: datetime | None = None
        self._failures = 0

    @property
    def pause(self) -> float:
        """Seconds until the next look."""
        doubled: float = self._interval * 2 ** min(self._failures, _PATIENCE)
        return max(self._interval, min(doubled, _LONGEST_PAUSE))

    async def look(self) -> Stretch | None:
        """Look once; None when Persona failed, which is logged."""
        from airflow.providers.common.compat.sdk import AirflowException

        from airflow_provider_persona.api.errors import PersonaError
        from airflow_provider_persona.hooks.persona import PersonaAsyncHook
        from airflow_provider_persona.triggers.event_feed import newest_events

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
        """Say up to when no event can appear any more, and how far the next look must go back.

        While the newest event is young, older ones may still appear, and each look goes back behind them: several pages
        in a busy time. When no newer one has come for so long, a look needs one page again.
        """
        from airflow_provider_persona.triggers.event_feed import LATENESS

        if not stretch.events:
            self._back_to = self._back_to or _BEGINNING
            return None
        newest, now = stretch.events[0].at, self._clock()
        if newest != self._newest:
            self._newest, self._newest_since = newest, now
        settled = newest if now - self._newest_since > LATENESS.total_seconds() else None
        self._back_to = settled or newest - LATENESS
        return settled

    async def close(self) -> None:
        """Close the client; the next look reads the connection again, whose key may have been replaced."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _names(self) -> frozenset[str]:
        """Return the names that all watchers together want; none when one wants all."""
        wanted = list(_watched.get(self._key, ()))
        if not wanted:
            return frozenset(self._own)
        return frozenset() if frozenset() in wanted else frozenset().union(*wanted)


class _Memory:
    """Where a trigger keeps its cursor: with its assets, in each of them."""

    def __init__(self, trigger: PersonaEventTrigger) -> None:
        self._stores = _stores(getattr(trigger, "asset_state_store", None))
        watch = "\n".join([trigger.persona_conn_id, *trigger.names])
        self._key = f"persona_events_{hashlib.sha256(watch.encode()).hexdigest()[:16]}"
        self._written: EventCursor | None = None
        self._later: EventCursor | None = None

    async def recall(self) -> EventCursor | None:
        """Return the newest cursor that was kept, None when there is none."""
        from airflow_provider_persona.triggers.event_feed import EventCursor

        kept = [EventCursor.from_json(await store.aget(self._key)) for store in self._stores]
        found = [cursor for cursor in kept if cursor is not None]
        self._written = max(found, key=lambda cursor: cursor.at or _BEGINNING, default=None)
        return self._written

    async def begin(self, stretch: Stretch, names: frozenset[str]) -> EventCursor:
        """Return the cursor of a watcher that begins now, and keep it at once."""
        from airflow_provider_persona.triggers.event_feed import EventCursor

        cursor = EventCursor.beginning_after(stretch, names)
        self.keep_later(cursor)
        await self.keep()
        return cursor

    def keep_later(self, cursor: EventCursor) -> None:
        """Note the cursor to be kept once its events are safe."""
        self._later = cursor

    async def keep(self) -> None:
        """Keep the cursor that was noted, unless it is kept already."""
        if self._later is None or self._later == self._written:
            return
        for store in self._stores:
            await store.aset(self._key, self._later.to_json())
        self._written = self._later


def _stores(accessors: Any) -> list[Any]:
    """Return the state of each watched asset; Airflow offers no public way to all of them, only to a single one."""
    if accessors is None:
        return []
    each = [*getattr(accessors, "_by_name", {}).values(), *getattr(accessors, "_by_uri", {}).values()]
    return each or [accessors]
