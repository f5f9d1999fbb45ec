"""What only the asynchronous client can get wrong: many calls at once, cancelled ones, and calls that come too late."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_persona.api.errors import PersonaError
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.retry import NO_RETRIES
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client import AsyncPersonaClient, NotSent
from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer


def client_of(persona, *, connections=32, **values):
    settings = PersonaSettings.checked(**{"api_key": SANDBOX_KEY, "host": persona.url, **values})
    return AsyncPersonaClient(settings, connections=connections, policy=NO_RETRIES)


def test_many_calls_share_few_connections_and_waiting_for_one_is_no_timeout(persona):
    persona.configure(latency_ms=200)  # 40 calls on 4 connections take longer than the timeout of any

    async def run():
        async with client_of(persona, connections=4, connect_timeout=0.5, read_timeout=1.0) as client:
            answers = await asyncio.gather(*(client.call("list-all-cases", query={"page[size]": 1}) for _ in range(40)))
        assert [answer.status for answer in answers] == [200] * 40

    asyncio.run(run())
    assert len({request.connection for request in persona.requests()}) == 4


@pytest.mark.parametrize("operation_id", ["list-all-cases", "redact-a-case"])
def test_nothing_is_sent_again_behind_its_back_on_a_kept_connection(persona, operation_id):
    path = {"case-id": "case_sim000001"} if operation_id == "redact-a-case" else None

    async def run():
        async with client_of(persona) as client:
            await client.call("list-all-cases", query={"page[size]": 1})  # now there is a connection to keep
            persona.script_fault("reset_before", operation=operation_id)
            with pytest.raises(PersonaError):
                await client.call(operation_id, path=path)
            return client.usage.requests

    assert asyncio.run(run()) == len(persona.requests()) == 2


def test_calls_at_once_are_not_refused_over_windows():
    with SimulatorServer(SimulatorConfig(cases=3, limit=20, window_seconds=1, latency_ms=5)) as persona:

        async def run():
            async with client_of(persona, reserve=0.2) as client:
                await asyncio.gather(*(client.call("list-all-cases") for _ in range(40)))
                return client.usage

        usage = asyncio.run(run())
        assert {request.status for request in persona.requests()} == {200}
        assert usage.waited > 0.5
        assert usage.waiting_until is None


def test_a_cancelled_probe_lets_the_others_go_on(persona):
    persona.script_fault("hang_before")

    async def run():
        async with client_of(persona) as client:
            probe = asyncio.create_task(client.call("list-all-cases"))
            while not persona.requests():  # noqa: ASYNC110 - another thread receives them
                await asyncio.sleep(0.01)
            waiting = [asyncio.create_task(client.call("list-all-cases")) for _ in range(3)]
            await asyncio.sleep(0.05)
            probe.cancel()
            answers = await asyncio.wait_for(asyncio.gather(*waiting), timeout=5)
            assert [answer.status for answer in answers] == [200] * 3
            with pytest.raises(asyncio.CancelledError):
                await probe

    asyncio.run(run())


def test_a_call_cancelled_while_it_waits_keeps_no_place():
    with SimulatorServer(SimulatorConfig(cases=3, limit=3, window_seconds=0.8)) as persona:

        async def run():
            async with client_of(persona, reserve=0, connections=1) as client:
                for _ in range(2):
                    await client.call("list-all-cases")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await client.call("list-all-cases")
                answer = await asyncio.wait_for(client.call("list-all-cases"), timeout=5)
                assert answer.status == 200

        asyncio.run(run())


def test_a_call_that_waited_too_long_is_not_sent_and_can_be_carried_on(persona):
    request = operation("list-all-cases").bind()

    async def run():
        async with client_of(persona) as client:
            exchange = client.exchange(request, "x")
            assert await client.carry_out(exchange, fresh_until=client.clock() - 1) is NotSent.STALE
            assert client.usage.requests == 0
            answer = await client.carry_out(exchange)
            assert answer is not None

    asyncio.run(run())
    assert len(persona.requests()) == 1


def test_the_first_writes_of_many_wait_for_the_environment(persona):
    cases = list(persona.statuses())[:8]

    async def run():
        async with client_of(persona, expected_environment_id="env_simulator") as client:
            await asyncio.gather(
                *(client.call("add-tag", path={"case-id": case}, body={"meta": {"tag-name": "kyc"}}) for case in cases),
                return_exceptions=True,
            )

    asyncio.run(run())
    assert persona.requests()[0].operation == "list-all-rate-limits"


def test_making_a_client_opens_nothing_and_needs_no_loop(persona):
    asyncio.run(client_of(persona).close())
    assert persona.requests() == []
