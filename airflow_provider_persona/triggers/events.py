"""`PersonaEventTrigger`: Persona's events start Dags, through an asset and its watcher (Airflow 3.0 and later)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.tasks.arguments import as_seconds
from airflow_provider_persona.tasks.event_watch import BEGINNING, WATCHED, CursorMemory, EventPoll, poll_key
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS, BaseEventTrigger

if TYPE_CHECKING:
    from airflow.triggers.base import TriggerEvent

    from airflow_provider_persona.export.event_feed import EventCursor, Stretch

log = logging.getLogger(__name__)


class PersonaEventTrigger(BaseEventTrigger):
    """Follows Persona's events and reports each to an asset's watcher, with ids and the event's name only.

    `Asset("cases", watchers=[AssetWatcher(name="status", trigger=PersonaEventTrigger(names=["case.status-updated"]))])`

    The Dag finds each event in its triggering asset events, under `extra["payload"]`: `event_id`, `name`, `object_id`.
    It then reads the object itself, in its present state. A watcher begins with the first event after its start.

    On Airflow 3.3 the cursor is kept with the asset, so that events of the time when the triggerer was away are
    reported afterwards. It is written one poll after the events were handed to Airflow, so each is reported at least
    once, and after a crash perhaps twice. The stored cursor knows up to 500 events of the last two minutes by id; when
    more happened in that time, a restarted triggerer reports the others again. On 3.0 to 3.2 the cursor is in memory
    only, and a restarted triggerer begins with the first event after its start.

    All watchers of one connection and interval share one poll (3.3), which asks for the names of all of them. When
    Persona fails, the poll continues with longer and longer pauses, and reads the connection again each time.

    :param names: names of events, like `case.status-updated`; empty for all.
    :param persona_conn_id: connection of type `persona`.
    :param poll_interval: seconds, or a timedelta, between two looks. Each look needs at least one request of the shared
        limit, so give 15 s or more except in tests.
    :raises RuntimeError: on Airflow 2, which has no watchers.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        *,
        persona_conn_id: str = DEFAULT_CONN_ID,
        poll_interval: float | timedelta = 30.0,
    ) -> None:
        if not AIRFLOW_V_3_0_PLUS:
            raise RuntimeError(
                "PersonaEventTrigger needs Airflow 3.0 or later, where an asset's watcher starts Dags; on Airflow 2 "
                "schedule a Dag every few minutes, or wait with a deferrable sensor"
            )
        if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
            raise ValueError("names is a list of the names of events, like ['case.status-updated']")
        seconds = as_seconds(poll_interval, "poll_interval")
        if seconds <= 0:
            raise ValueError("poll_interval is a number of seconds above 0")
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self.names = sorted(set(names))  # watchers with the same names are one trigger, whatever the order
        self.persona_conn_id = persona_conn_id
        self.poll_interval = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the arguments to make the trigger again."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"names": self.names, "persona_conn_id": self.persona_conn_id, "poll_interval": self.poll_interval},
        )

    def shared_stream_key(self) -> Hashable | None:
        """Return the key of the poll that watchers share."""
        return poll_key(self.serialize()[1])

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Stretch]:
        """Look again and again, and yield the newest events each time; they overlap with those of the look before."""
        poll = EventPoll(kwargs)
        try:
            while True:
                stretch = await poll.look()
                if stretch is not None:
                    yield stretch
                await asyncio.sleep(poll.pause)
        finally:
            await poll.close()

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Stretch]) -> AsyncIterator[TriggerEvent]:
        """Report each event of these names once.

        The cursor is kept one poll later: by then Airflow has stored the events.
        """
        from airflow.triggers.base import TriggerEvent

        names = frozenset(self.names)
        watched = WATCHED.setdefault(self.shared_stream_key(), Counter())
        watched[names] += 1
        try:
            memory = CursorMemory(getattr(self, "asset_state_store", None), self.persona_conn_id, self.names)
            cursor = await memory.recall()
            async for shared in shared_stream:
                await memory.keep()
                stretch = await self._reaching(shared, names, cursor)
                if stretch is None:  # the cursor stays, so the next look brings these events
                    continue
                if cursor is None:
                    cursor = await memory.begin(stretch, names)
                fresh, cursor = cursor.advance(stretch, names)
                if fresh:  # a line for each look that found something; Airflow itself logs each event
                    found = Counter(event.name for event in fresh)
                    log.info("%d new events: %s", len(fresh), ", ".join(f"{n} {name}" for name, n in found.items()))
                for event in fresh:
                    yield TriggerEvent(event.payload())  # type: ignore[no-untyped-call,unused-ignore]
                memory.keep_later(cursor)
        finally:  # also when it is cancelled: the shared poll asks for these names as long as they stand here
            watched[names] -= 1
            if not watched[names]:
                del watched[names]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow the events with a poll of its own, where Airflow shares none (before 3.3)."""
        async for event in self.filter_shared_stream(type(self).open_shared_stream(self.serialize()[1])):
            yield event

    async def _reaching(self, shared: Stretch, names: frozenset[str], cursor: EventCursor | None) -> Stretch | None:
        """Return the events since the cursor without a gap: the shared ones, or those of a look further back."""
        from airflow_provider_persona.api.errors import PersonaError
        from airflow_provider_persona.export.event_feed import newest_events
        from airflow_provider_persona.hooks.persona import PersonaAsyncHook
        from airflow_provider_persona.version_compat import AirflowException

        if not shared.covers(names):
            return None  # this look was made before this watcher was there
        if cursor is None or shared.reaches(cursor.since):
            return shared
        try:
            # With a client of its own: the shared poll's belongs to whoever opened it, and may be closed just now.
            async with await PersonaAsyncHook(self.persona_conn_id).get_client() as client:
                own = await newest_events(client, names, cursor.since or BEGINNING)
                return replace(own, settled=shared.settled)
        except (PersonaError, AirflowException) as error:
            log.warning("Older events could not be read, the next look tries again: %s", error)
            return None
