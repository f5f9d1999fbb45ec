"""Events that appear late while many others happen: none is lost, none is told of twice, and quiet costs little."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_persona.export import event_feed
from airflow_provider_persona.export.event_feed import LATENESS
from airflow_provider_persona.tasks.event_watch import EventPoll
from airflow_provider_persona.triggers.events import PersonaEventTrigger
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS
from persona_simulator import SANDBOX_KEY
from tests.triggers.late_feed import NAME, LateFeed
from tests.triggers.test_event_trigger import AssetState

pytestmark = pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 has no watchers of assets")
LATE = LATENESS.total_seconds()


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[LateFeed]:
    with LateFeed() as feed:
        connection = {"conn_type": "persona", "host": feed.url, "password": SANDBOX_KEY}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
        feed.add("before", 0)
        yield feed


class Watch:
    """A watcher, and the poll that it would share, looked with on demand at a clock of its own."""

    def __init__(self, feed: LateFeed, store: AssetState | None = None) -> None:
        self.feed = feed
        self.now = 0.0
        self.costs: list[int] = []
        self._store = store

    def over(self, *steps: Callable[[], object]) -> list[str]:
        """Look once before, and once after each step; return the ids that were told of."""

        async def looks(poll):
            for step in (lambda: None, *steps):
                step()
                before = self.feed.requests
                yield await poll.look()
                self.costs.append(self.feed.requests - before)

        async def follow():
            trigger = PersonaEventTrigger([NAME])
            trigger.asset_state_store = self._store
            poll = EventPoll(trigger.serialize()[1], clock=lambda: self.now)
            try:
                return [event.payload["event_id"] async for event in trigger.filter_shared_stream(looks(poll))]
            finally:
                await poll.close()

        return asyncio.run(follow())

    def wait(self, seconds: float) -> Callable[[], None]:
        def later() -> None:
            self.now += seconds

        return later


def many(feed: LateFeed, prefix: str, count: int, begin: float, end: float) -> Callable[[], None]:
    def happen() -> None:
        for number in range(count):
            feed.add(f"{prefix}{number}", begin + (end - begin) * number / count)

    return happen


def test_a_late_event_is_told_of_behind_more_than_a_page_of_newer_ones(feed):
    watch = Watch(feed)
    told = watch.over(
        many(feed, "a", 150, 1, 76),
        many(feed, "b", 20, 76, 80),
        lambda: feed.add("late", 20),  # with 130 newer ones before it
        lambda: feed.add("later", 80 - LATE + 1),
    )
    assert told == [*(f"a{n}" for n in range(150)), *(f"b{n}" for n in range(20)), "late"]  # later is before it began
    watch = Watch(feed)
    assert watch.over(lambda: None) == []


def test_a_busy_feed_is_told_of_once_however_busy_it_is(feed):
    watch = Watch(feed)
    quiet = [watch.wait(30)] * 3
    told = watch.over(many(feed, "a", 1300, 1, 100), *quiet, lambda: feed.add("late", 2), *quiet)
    assert told == [*(f"a{n}" for n in range(1300)), "late"]


def test_a_feed_that_fell_quiet_costs_one_page_a_look_again(feed):
    watch = Watch(feed)
    told = watch.over(
        many(feed, "a", 350, 1, 20),
        *[watch.wait(30)] * 7,
        lambda: feed.add("new", 300),
        lambda: feed.add("late", 299),
    )
    assert told == [*(f"a{n}" for n in range(350)), "new", "late"]
    assert watch.costs[:6] == [1, 4, 4, 4, 4, 4]  # behind the newest, until it is older than an event may be late
    assert watch.costs[6:] == [4, 1, 1, 1, 1]


def test_a_quiet_feed_with_a_long_past_costs_one_page_a_look(feed):
    many(feed, "old", 1000, -500_000, -1)()
    watch = Watch(feed)
    assert watch.over(lambda: None, lambda: feed.add("new", 10), lambda: None) == ["new"]
    assert watch.costs == [1, 1, 1, 1]


def test_after_a_restart_in_a_busy_time_some_are_told_of_again_and_none_is_lost(feed):
    store = AssetState()
    first = Watch(feed, store).over(many(feed, "a", 800, 1, 60), lambda: None)
    assert len(first) == len(set(first)) == 800
    assert len(store.written[-1][1]) < 65_535  # what a column of Airflow's database holds
    feed.add("late", 30)
    again = Watch(feed, store).over()
    assert "late" in again
    forgotten = first[: -event_feed._REMEMBERED]
    assert sorted(again) == sorted(["before", *forgotten, "late"])


@pytest.mark.parametrize("lacking", [{"created-at": None}, {"name": None}, {"created-at": "yesterday"}])
def test_an_event_that_cannot_be_read_stops_nobody_and_is_told_of_in_the_log_once(feed, caplog, lacking):
    event_feed._warn_once.cache_clear()
    watch = Watch(feed)
    told = watch.over(lambda: (feed.add("bad", 1, **lacking), feed.add("good", 2)), lambda: feed.add("better", 3))
    assert told == ["good", "better"]
    assert caplog.text.count("Event bad came without id, name or time") == 1
