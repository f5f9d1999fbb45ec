"""`PersonaEventTrigger`: which events it tells of, how often, and what it remembers; against a simulated Persona."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.export.event_feed import EventCursor, PersonaEvent, Stretch, _readable, newest_events
from airflow_provider_persona.hooks.persona import PersonaAsyncHook
from airflow_provider_persona.tasks.event_watch import WATCHED, EventPoll
from airflow_provider_persona.triggers.events import PersonaEventTrigger
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS
from persona_simulator import SANDBOX_KEY, SimulatorControl
from tests.transfers.rogue_persona import RoguePersona

STATUS, TAGS = "case.status-updated", "case.updated-tags"
needs_airflow_3 = pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 has no watchers of assets")
needs_shared_streams = pytest.mark.skipif(not AIRFLOW_V_3_2_PLUS, reason="triggers share a stream from Airflow 3.3 on")


class AssetState:
    """One asset's state, with the face that Airflow's has, and all that was ever written."""

    def __init__(self):
        self.written = []

    async def aget(self, key, default=None):
        found = [json.loads(value) for name, value in self.written if name == key]
        return found[-1] if found else default

    async def aset(self, key, value):
        self.written.append((key, json.dumps(value)))


def watcher(names=(STATUS,), store=None, poll_interval=0.05):
    trigger = PersonaEventTrigger(names, poll_interval=poll_interval)
    trigger.asset_state_store = store
    return trigger


def looks(status=200):
    """How often the simulated Persona has answered who asked for events."""
    persona = SimulatorControl(json.loads(os.environ["AIRFLOW_CONN_PERSONA_DEFAULT"])["host"])
    return sum(request.status == status for request in persona.requests(operation="list-all-events"))


async def until(condition):
    """Wait until something holds, however slow the machine is."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - the simulator sets no event of ours
            await asyncio.sleep(0.01)


def more_looks(count):
    """Return the condition that so many further looks were answered."""
    before = looks()
    return lambda: looks() >= before + count


async def followed(trigger, changes, count):
    """Run a trigger until it has told of `count` events; `changes` are made once it has begun."""
    told = []

    async def follow():
        async with aclosing(trigger.run()) as stream:
            async for event in stream:
                told.append(event.payload)
                if len(told) == count:
                    return

    has_looked = more_looks(2)  # the first of them is done by then
    task = asyncio.create_task(follow())
    await until(lambda: task.done() or has_looked())
    await asyncio.to_thread(changes)
    await asyncio.wait_for(task, 60)
    return told


def follow(trigger, changes=lambda: None, count=1):
    return asyncio.run(followed(trigger, changes, count))


def nothing_for(trigger, enough=None):
    """Run a trigger that has nothing to tell, for a few looks or until `enough` holds."""

    async def run():
        task = asyncio.create_task(anext(trigger.run()))
        await until(enough or more_looks(4))
        assert not task.done(), task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def decline(persona, *case_ids):
    def change():
        for case_id in case_ids:
            assert persona.act_as_human(case_id, status="Declined")

    return change


@pytest.fixture
def opened(persona_connection):
    """Ids of open cases, of the template whose statuses begin with capitals."""
    return [case_id for case_id, status in persona_connection.statuses().items() if status == "Open"]


# ---------------------------------------------------------------------- what it tells


@needs_airflow_3
def test_a_change_is_told_of_by_ids_and_name_and_nothing_else(persona, opened):
    (told,) = follow(watcher(), decline(persona, opened[0]))
    assert told == {"event_id": told["event_id"], "name": STATUS, "object_id": opened[0]}
    assert told["event_id"].startswith("evt_")


@needs_airflow_3
def test_what_was_there_before_it_began_is_not_news(persona, opened):
    decline(persona, *opened[:3])()
    assert [event["object_id"] for event in follow(watcher(), decline(persona, opened[3]))] == [opened[3]]


@needs_airflow_3
def test_events_are_told_of_in_the_order_in_which_they_happened(persona, opened):
    told = follow(watcher(), decline(persona, *opened[:20]), count=20)
    assert [event["object_id"] for event in told] == opened[:20]


@needs_airflow_3
def test_more_events_than_a_page_holds_between_two_looks_are_all_told_of_once(persona, opened):
    told = follow(watcher(poll_interval=1.0), decline(persona, *opened[:130]), count=130)
    assert [event["object_id"] for event in told] == opened[:130]
    assert len({event["event_id"] for event in told}) == 130


@needs_airflow_3
def test_a_look_is_one_line_however_many_events_it_finds(persona, opened, told):
    cases = opened[:5]
    events = follow(watcher(poll_interval=0.5), decline(persona, *cases), count=5)
    lines = [line for line in told() if "new events" in line]
    assert sum(int(line.split()[0]) for line in lines) == len(events) == 5
    assert len(lines) < 5
    assert all(STATUS in line for line in lines)


@needs_airflow_3
def test_other_events_are_not_told_of_and_not_asked_for(persona, opened):
    def change():
        persona.act_as_human(opened[0], fields={"decision-note": "a note"})
        decline(persona, opened[1])()

    (told,) = follow(watcher(), change)
    assert told["object_id"] == opened[1]
    assert all("filter%5Bname%5D=case.status-updated" in each.query for each in persona.requests())
    assert all("fields%5Bevent%5D=name%2Ccreated-at%2Cpayload" in each.query for each in persona.requests())


@needs_airflow_3
def test_without_names_every_event_is_told_of(persona, opened):
    def change():
        persona.act_as_human(opened[0], status="Declined", fields={"decision-note": "a note"})

    assert {event["name"] for event in follow(watcher(()), change, count=2)} == {STATUS, "case.updated-fields"}


# ---------------------------------------------------------------------- what it remembers


@needs_airflow_3
def test_what_happened_while_it_was_away_is_told_of_afterwards(persona, opened):
    store = AssetState()
    nothing_for(watcher(store=store))  # which notes where it began
    decline(persona, *opened[:120])()
    told = follow(watcher(store=store), count=120)
    assert [event["object_id"] for event in told] == opened[:120]


@needs_airflow_3
def test_the_cursor_is_written_a_look_after_its_events(persona, opened):
    """Killed in between, it tells of them again; afterwards it does not."""
    store = AssetState()
    nothing_for(watcher(store=store))
    decline(persona, opened[0])()
    assert follow(watcher(store=store))[0]["object_id"] == opened[0]  # ended before the next look
    assert follow(watcher(store=store))[0]["object_id"] == opened[0]

    def one_more():
        decline(persona, opened[1])()

    told = follow(watcher(store=store), one_more, count=2)  # several looks later, so that the first is safe
    assert [event["object_id"] for event in told] == opened[:2]
    assert [event["object_id"] for event in follow(watcher(store=store))] == opened[1:2]


@needs_airflow_3
def test_a_cursor_is_not_written_again_while_nothing_happens(persona, opened):
    store = AssetState()
    decline(persona, opened[0])()
    nothing_for(watcher(store=store), more_looks(6))
    assert len(store.written) == 1


@needs_airflow_3
def test_two_watchers_of_one_asset_keep_cursors_of_their_own(persona, opened):
    store = AssetState()
    nothing_for(watcher(store=store))
    nothing_for(watcher([TAGS], store=store))
    assert len({key for key, _ in store.written}) == 2


@needs_airflow_3
def test_a_trigger_of_several_assets_keeps_its_cursor_with_each(persona, opened):
    class Accessors:
        _by_name = {"a": AssetState(), "b": AssetState()}  # noqa: RUF012
        _by_uri = {}  # noqa: RUF012

    nothing_for(watcher(store=Accessors()))
    assert [len(state.written) for state in Accessors._by_name.values()] == [1, 1]
    decline(persona, opened[0])()
    assert follow(watcher(store=Accessors._by_name["b"]))[0]["object_id"] == opened[0]


# ---------------------------------------------------------------------- one poll for many


@needs_shared_streams
def test_watchers_share_one_poll_through_airflows_manager(persona, opened):
    shared_stream = pytest.importorskip("airflow.triggers.shared_stream")
    import structlog

    triggers = [watcher(), watcher([TAGS]), watcher([STATUS, TAGS]), watcher(())]
    told = [[] for _ in triggers]

    async def run():
        manager = shared_stream.SharedStreamManager(log=structlog.get_logger())

        async def consume(number, trigger):
            stream = manager.subscribe(trigger_id=number, trigger=trigger, key=trigger.shared_stream_key())
            async with aclosing(trigger.filter_shared_stream(stream)) as following:
                async for event in following:
                    told[number].append(event.payload["name"])

        tasks = [asyncio.create_task(consume(number, trigger)) for number, trigger in enumerate(triggers)]
        await until(more_looks(2))
        await asyncio.to_thread(decline(persona, *opened[:3]))
        await asyncio.to_thread(_tag, persona, opened[5])
        await until(lambda: sum(map(len, told)) >= 12)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await manager.stop_all()

    asyncio.run(run())
    assert [sorted(names) for names in told] == [[STATUS] * 3, [TAGS], [*[STATUS] * 3, TAGS], [*[STATUS] * 3, TAGS]]
    answered = persona.requests(operation="list-all-events")
    assert len({each.connection for each in answered}) == 1  # each watcher by itself would have its own
    assert WATCHED[triggers[0].shared_stream_key()] == {}


@needs_shared_streams
def test_the_shared_poll_asks_for_the_names_of_all(persona, opened):
    shared_stream = pytest.importorskip("airflow.triggers.shared_stream")
    import structlog

    async def run():
        manager = shared_stream.SharedStreamManager(log=structlog.get_logger())
        tasks = []
        for number, trigger in enumerate([watcher(), watcher([TAGS])]):
            stream = manager.subscribe(trigger_id=number, trigger=trigger, key=trigger.shared_stream_key())
            tasks.append(asyncio.create_task(anext(trigger.filter_shared_stream(stream))))
        await until(lambda: both in persona.requests()[-1].query if persona.requests() else False)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await manager.stop_all()

    both = "filter%5Bname%5D=case.status-updated%2Ccase.updated-tags"
    asyncio.run(run())


def _tag(persona, case_id):
    import requests

    headers = {"Authorization": f"Bearer {SANDBOX_KEY}"}
    url = f"{persona.url}/api/v1/cases/{case_id}/add-tag"
    assert requests.post(url, json={"meta": {"tag-name": "seen"}}, headers=headers, timeout=5).status_code == 200


@needs_airflow_3
def test_equal_watchers_are_one_trigger_and_others_share_by_connection_and_interval():
    one, other = watcher([STATUS, TAGS]), watcher([TAGS, STATUS, TAGS])
    assert one.serialize() == other.serialize()
    path, arguments = one.serialize()
    assert path == f"{PersonaEventTrigger.__module__}.PersonaEventTrigger"
    assert PersonaEventTrigger(**arguments).serialize() == (path, arguments)
    assert watcher().shared_stream_key() == one.shared_stream_key()
    assert watcher(poll_interval=7).shared_stream_key() != one.shared_stream_key()


# ---------------------------------------------------------------------- when things go wrong


@needs_airflow_3
@pytest.mark.parametrize("fault", ["redirect", "malformed"])
def test_a_failure_of_persona_does_not_end_it(persona, opened, caplog, fault, monkeypatch):
    from airflow_provider_persona.api.retry import NO_RETRIES

    monkeypatch.setattr(PersonaAsyncHook.__init__, "__kwdefaults__", {"policy": NO_RETRIES})
    persona.script_fault(fault, skip=1, times=2)
    (told,) = follow(watcher(), decline(persona, opened[0]))
    assert told["object_id"] == opened[0]
    assert "looking again in 0 s" in caplog.text


@needs_airflow_3
def test_a_replaced_key_is_taken_up(persona, opened, monkeypatch, caplog):
    good = {"conn_type": "persona", "host": persona.url, "password": SANDBOX_KEY}
    monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps({**good, "password": "persona_sandbox_expired"}))

    async def run():
        trigger = watcher()
        task = asyncio.create_task(anext(trigger.run()))
        await until(lambda: looks(status=401) >= 1)
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(good))
        await until(lambda: looks() >= 2)
        await asyncio.to_thread(decline(persona, opened[0]))
        return await asyncio.wait_for(task, 60)

    assert asyncio.run(run()).payload["object_id"] == opened[0]
    assert "401" in caplog.text
    assert "persona_sandbox_expired" not in caplog.text


@needs_airflow_3
def test_a_connection_that_is_missing_is_looked_for_again(monkeypatch, caplog):
    monkeypatch.delenv("AIRFLOW_CONN_PERSONA_DEFAULT", raising=False)
    nothing_for(watcher(), lambda: "looking again" in caplog.text)
    assert "persona_default" in caplog.text
    assert "looking again" in caplog.text


def test_the_pause_grows_while_persona_fails_and_has_a_bound():
    poll = EventPoll({"persona_conn_id": "c", "poll_interval": 30.0, "names": []})
    pauses = []
    for failures in (0, 1, 2, 5, 50):
        poll._failures = failures
        pauses.append(poll.pause)
    assert pauses == [30, 60, 120, 600, 600]
    slow = EventPoll({"persona_conn_id": "c", "poll_interval": 3600.0, "names": []})
    slow._failures = 3
    assert slow.pause == 3600


@needs_airflow_3
@pytest.mark.parametrize("names", [STATUS, [""], [1], [None]])
def test_names_that_are_no_list_of_names_are_refused(names):
    with pytest.raises(ValueError, match="names is a list"):
        PersonaEventTrigger(names)


@needs_airflow_3
def test_an_interval_of_zero_is_refused():
    with pytest.raises(ValueError, match="poll_interval"):
        PersonaEventTrigger([STATUS], poll_interval=0)


@pytest.mark.skipif(AIRFLOW_V_3_0_PLUS, reason="Airflow 3 has watchers")
def test_on_airflow_2_it_says_at_use_what_it_needs():
    with pytest.raises(RuntimeError, match=r"needs Airflow 3\.0 or later"):
        PersonaEventTrigger([STATUS])


def _page(ids, following=None):
    attributes = {"name": STATUS, "created-at": "2026-01-01T00:00:00Z"}
    items = [{"type": "event", "id": each, "attributes": attributes} for each in ids]
    return {"data": items, "links": {"next": following}}


@pytest.mark.parametrize(
    ("event_id", "attributes"),
    [
        ("e\x1b[31m", {}),
        ("e" * 5000, {}),
        (None, {}),
        ("e2", {"name": "case\u202e.created"}),
        ("e2", {"name": "x" * 5000}),
        ("e2", {"created-at": "0001-01-01T00:00:00+23:59"}),
        ("e2", {"created-at": "0001-01-01T00:00:00Z"}),
        ("e2", {"created-at": 5}),
    ],
)
def test_an_event_that_cannot_be_shown_is_left_out_and_the_others_are_read(event_id, attributes, caplog):
    sound, odd = _page(["e1", event_id])["data"]
    odd["attributes"] = {**odd["attributes"], **attributes}
    assert [event.event_id for event in _readable([odd, sound])] == ["e1"]
    assert all(record.getMessage().isprintable() and len(record.getMessage()) < 300 for record in caplog.records)


@pytest.mark.parametrize(("object_id", "told"), [("case_1", "case_1"), ("case_1/..", None), ("\x1b", None), (5, None)])
def test_the_object_of_an_event_is_named_only_where_a_call_can_name_it(object_id, told):
    (item,) = _page(["e1"])["data"]
    item["attributes"] = {**item["attributes"], "payload": {"data": {"id": object_id}}}
    assert PersonaEvent.from_resource(item).object_id == told


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ([{"data": ["event"]}], "holds no list"),
        ([{"data": [{"type": "event", "id": "e"}]}], "without id, name or time"),
        ([_page(["a"], "/api/v1/events")], "has no cursor"),
        ([_page([each], f"/api/v1/events?page%5Bafter%5D={each}") for each in "ab"], "back to an earlier page"),
    ],
)
def test_answers_that_cannot_be_trusted_are_errors(monkeypatch, pages, said):
    async def read():
        async with await PersonaAsyncHook().get_client() as client:
            await newest_events(client, [STATUS], datetime(2020, 1, 1, tzinfo=UTC))

    with RoguePersona() as rogue:
        rogue.give("/api/v1/events", pages)
        connection = {"conn_type": "persona", "host": rogue.url, "password": SANDBOX_KEY}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
        with pytest.raises(PersonaAnswerError, match=said):
            asyncio.run(read())
        assert len(rogue.paths) < 10


@needs_airflow_3
def test_nothing_of_the_objects_is_told_kept_or_logged(persona, opened, caplog):
    caplog.set_level(logging.DEBUG)
    persona.act_as_human(opened[0], fields={"name-first": "Zyanya-Canary"})
    store = AssetState()
    told = follow(watcher(store=store), decline(persona, opened[0]))
    searched = json.dumps(told) + json.dumps(store.written) + caplog.text
    assert [canary for canary in ("Zyanya-Canary", SANDBOX_KEY) if canary in searched] == []


# ---------------------------------------------------------------------- the cursor by itself

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = frozenset({STATUS})


def event(number, seconds, name=STATUS):
    return PersonaEvent(f"evt_{number}", name, f"case_{number}", START + timedelta(seconds=seconds))


def stretch(*found, names=NAMES, is_whole=True):
    return Stretch(names, tuple(found), is_whole)


def numbers(fresh):
    return [int(each.event_id.removeprefix("evt_")) for each in fresh]


def test_an_event_that_appears_late_is_told_of_too():
    cursor = EventCursor.beginning_after(stretch(event(1, 0)), NAMES)
    fresh, cursor = cursor.advance(stretch(event(3, 60), event(1, 0)), NAMES)
    assert numbers(fresh) == [3]
    fresh, cursor = cursor.advance(stretch(event(3, 60), event(2, 59), event(1, 0)), NAMES)
    assert numbers(fresh) == [2]
    assert numbers(cursor.advance(stretch(event(3, 60), event(2, 59), event(1, 0)), NAMES)[0]) == []


def test_an_old_event_that_moves_into_view_is_no_news():
    """Events end after three months, and are redacted: others move up."""
    cursor = EventCursor.beginning_after(stretch(event(9, 1000), event(8, 999), is_whole=False), NAMES)
    assert numbers(cursor.advance(stretch(event(9, 1000), event(7, 998)), NAMES)[0]) == []


def test_events_of_one_moment_are_told_apart():
    cursor = EventCursor.beginning_after(stretch(event(1, 0)), NAMES)
    fresh, cursor = cursor.advance(stretch(event(3, 0), event(2, 0), event(1, 0)), NAMES)
    assert numbers(fresh) == [2, 3]
    assert not stretch(event(4, 0), is_whole=False).reaches(cursor.at)  # one of the same moment may follow
    assert stretch(event(4, 0), event(0, -1), is_whole=False).reaches(cursor.at)


def test_a_watcher_that_began_with_no_event_at_all_tells_of_the_first():
    cursor = EventCursor.beginning_after(stretch(), NAMES)
    assert cursor == EventCursor.from_json(cursor.to_json())
    assert stretch(event(1, 0)).reaches(cursor.at)
    assert not stretch(event(1, 0), is_whole=False).reaches(cursor.at)
    assert numbers(cursor.advance(stretch(event(1, 0)), NAMES)[0]) == [1]


def test_events_of_other_names_move_the_cursor_on():
    shared = frozenset({STATUS, TAGS})
    cursor = EventCursor.beginning_after(stretch(event(1, 0)), NAMES)
    fresh, cursor = cursor.advance(stretch(event(2, 500, TAGS), event(1, 0), names=shared), NAMES)
    assert fresh == []
    assert cursor.at == START + timedelta(seconds=500)
    assert cursor.reported == {}


def test_the_cursor_stays_small_and_survives_json():
    cursor = EventCursor.beginning_after(stretch(event(0, 0)), NAMES)
    many = [event(number, number / 1000) for number in range(5000, 0, -1)]
    fresh, cursor = cursor.advance(stretch(*many), NAMES)
    assert numbers(fresh) == list(range(1, 5001))
    assert cursor.advance(stretch(*many), NAMES)[0] == []
    assert len(json.dumps(cursor.to_json())) < 65_535
    again = EventCursor.from_json(json.loads(json.dumps(cursor.to_json())))
    assert (again.at, again.since) == (cursor.at, cursor.since)
    assert numbers(again.advance(stretch(*many), NAMES)[0]) == list(range(1, 4501))


@pytest.mark.parametrize("value", [None, "x", {}, {"told": None}, []])
def test_what_is_no_cursor_is_none(value):
    assert EventCursor.from_json(value) is None


def test_a_stretch_covers_what_was_asked_for():
    everything = frozenset()
    assert stretch(names=everything).covers(NAMES)
    assert stretch(names=everything).covers(everything)
    assert not stretch(names=NAMES).covers(everything)
    assert stretch(names=frozenset({STATUS, TAGS})).covers(NAMES)
    assert not stretch(names=frozenset({TAGS})).covers(NAMES)
