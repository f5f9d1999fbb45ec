"""A triggerer that ends at any moment cancels its triggers; another one makes them again from what was kept.

`PERSONA_STOPS` gives the number of tries; by default a few.
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import aclosing

import pytest

from airflow_provider_persona.hooks.persona import PersonaHook
from airflow_provider_persona.tasks.event_watch import WATCHED
from airflow_provider_persona.triggers.lifecycle import PersonaLifecycleTrigger
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS
from tests.triggers.test_event_trigger import AssetState, decline, more_looks, nothing_for, until, watcher

TRIES = int(os.environ.get("PERSONA_STOPS") or 10)


async def _tell(trigger, told):
    async with aclosing(trigger.run()) as stream:
        async for event in stream:
            told.append(event.payload)
            await asyncio.sleep(0)  # Airflow stores it


async def _told_until(trigger, seconds):
    """Run a trigger and cancel it after so many seconds; return what it has told until then."""
    told = []
    task = asyncio.create_task(_tell(trigger, told))
    await asyncio.sleep(seconds)
    task.cancel()
    ended = (await asyncio.gather(task, return_exceptions=True))[0]
    assert isinstance(ended, asyncio.CancelledError), ended
    return told


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 has no watchers of assets")
def test_an_event_trigger_that_is_cancelled_at_any_moment_loses_nothing(persona, persona_connection):
    persona_connection.configure(latency_ms=20)
    store, chance = AssetState(), random.Random(9)
    cases = [case_id for case_id, status in persona.statuses().items() if status == "Open"][: 2 * TRIES]
    nothing_for(watcher(store=store))  # which notes where it began
    runs = []
    for number in range(TRIES):
        decline(persona, *cases[2 * number : 2 * number + 2])()
        told = asyncio.run(_told_until(watcher(store=store), chance.uniform(0.0, 0.3)))
        runs.append([event["object_id"] for event in told])
    runs.append([event["object_id"] for event in asyncio.run(_told_and_kept(store))])
    told = [object_id for run in runs for object_id in run]
    assert list(dict.fromkeys(told)) == cases  # each, in order
    assert all(len(run) == len(set(run)) for run in runs)
    nothing_for(watcher(store=store))
    assert not any(WATCHED.values())


async def _told_and_kept(store):
    """Run a trigger until it has kept what it told, and return that."""
    told = []
    task = asyncio.create_task(_tell(watcher(store=store), told))
    await until(more_looks(6))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return told


def test_a_deferral_that_is_cancelled_at_any_moment_tells_nothing(persona_connection):
    """Airflow gives it to another triggerer then, where it waits on until the same time."""
    with PersonaHook() as hook:
        body = {"data": {"attributes": {"inquiry-template-id": "itmpl_kyc"}}}
        waiting = hook.client.call("create-an-inquiry", body=body).json()["data"]["id"]
    persona_connection.configure(latency_ms=20)
    chance = random.Random(9)
    for _ in range(TRIES):
        trigger = PersonaLifecycleTrigger("inquiry", waiting, persona_conn_id="persona_default", poll_interval=0.02)
        assert asyncio.run(_told_until(trigger, chance.uniform(0.0, 0.2))) == []
