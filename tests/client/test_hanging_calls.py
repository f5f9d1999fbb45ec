"""Both clients cut a hanging call early, on a time of their own, and get what became of it under the same key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from airflow_provider_persona.api.errors import PersonaTransportError, PersonaUnresolvedError
from airflow_provider_persona.api.messages import FailurePoint, Outcome, Response, TransportFailure
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client import PersonaClient
from airflow_provider_persona.client.transport import Sending
from persona_simulator import SANDBOX_KEY, FaultKind, SimulatorConfig
from persona_simulator.visit import Ending
from tests.virtual_time import VirtualPersona

SET_STATUS, RETRIEVE, CREATE = "set-status-for-a-case", "retrieve-case", "create-a-case"
READ_TIMEOUT = 60.0
NEW_CASE = {"body": {"data": {"attributes": {"case-template-id": "ctmpl_kyc"}}}}

Call = Callable[..., Response]


class BlockingTransport:
    """Sends the requests of the blocking client to a simulator in memory. It waits by moving the time."""

    def __init__(self, persona: VirtualPersona, settings: PersonaSettings) -> None:
        self._persona = persona
        self._settings = settings

    def transmit(self, sending: Sending) -> Outcome:
        request = sending.request
        headers = {**self._settings.headers(), "Authorization": self._settings.authorization()}
        headers.update(request.headers(sending.key))
        visit = self._persona.visit(request.method, request.target, headers, request.content())
        self._persona.time.pass_by(visit.delay)
        delivery = visit.finish()
        if delivery.ending is Ending.SILENCE or delivery.reply is None:
            self._persona.time.pass_by(sending.read_timeout)
            return TransportFailure(FailurePoint.MAYBE_SENT, "no full answer in time")
        reply = delivery.reply
        return Response(reply.status, {name.decode(): value.decode() for name, value in reply.headers}, reply.body)

    def close(self) -> None:
        pass


def blocking(persona: VirtualPersona, settings: PersonaSettings, policy: RetryPolicy) -> Call:
    client = PersonaClient(
        settings,
        policy=policy,
        clock=persona.time.now,
        sleep=persona.time.pass_by,
        transport=BlockingTransport(persona, settings),
    )
    return client.call


def asynchronous(persona: VirtualPersona, settings: PersonaSettings, policy: RetryPolicy) -> Call:
    client = persona.client(settings=settings, policy=policy)

    def call(operation_id: str, **parameters: Any) -> Response:
        return persona.run(client.call(operation_id, **parameters))

    return call


@pytest.fixture
def persona() -> VirtualPersona:
    return VirtualPersona(SimulatorConfig(cases=100, limit=1_000_000, latency_ms=80))


@pytest.fixture(params=[blocking, asynchronous], ids=["blocking", "asynchronous"])
def call(request: pytest.FixtureRequest, persona: VirtualPersona) -> Call:
    settings = PersonaSettings.checked(api_key=SANDBOX_KEY, host=persona.url, reserve=0.0, read_timeout=READ_TIMEOUT)
    made: Call = request.param(persona, settings, RetryPolicy(jitter=0.0))
    return made


def approve(case_id: str) -> Mapping[str, Any]:
    return {"path": {"case-id": case_id}, "body": {"meta": {"status": "Approved"}}}


def warm_up(persona: VirtualPersona, call: Call, operation_id: str = SET_STATUS) -> None:
    """Let the client see how long calls take."""
    for case_id, status in list(persona.statuses().items())[:30]:
        if operation_id == SET_STATUS:
            call(SET_STATUS, path={"case-id": case_id}, body={"meta": {"status": status}})
        else:
            call(RETRIEVE, path={"case-id": case_id})


def an_open_case(persona: VirtualPersona) -> str:
    return next(case_id for case_id, status in persona.statuses().items() if status == "Open")


@pytest.mark.parametrize("kind", [FaultKind.HANG_BEFORE, FaultKind.HANG_AFTER])
def test_a_write_that_hangs_is_cut_and_made_once(persona: VirtualPersona, call: Call, kind: FaultKind) -> None:
    warm_up(persona, call)
    case_id, before, begun = an_open_case(persona), len(persona.journal()), persona.time.now()
    persona.script_fault(kind, case_id=case_id)
    assert call(SET_STATUS, **approve(case_id)).json()["data"]["attributes"]["status"] == "Approved"
    assert persona.time.now() - begun == pytest.approx(5 + 1 + 0.08, abs=0.2)
    assert [effect.to_status for effect in persona.journal()[before:]] == ["Approved"]
    assert len({request.idempotency_key for request in persona.requests(case_id=case_id)[-2:]}) == 1


def test_a_read_that_hangs_is_cut(persona: VirtualPersona, call: Call) -> None:
    warm_up(persona, call, RETRIEVE)
    begun = persona.time.now()
    persona.script_fault(FaultKind.HANG_BEFORE, times=2)
    call(RETRIEVE, path={"case-id": an_open_case(persona)})
    assert persona.time.now() - begun == pytest.approx(5 + 1 + 10 + 5 + 0.08, abs=0.2)


def test_the_first_calls_wait_for_the_read_timeout(persona: VirtualPersona, call: Call) -> None:
    persona.script_fault(FaultKind.HANG_BEFORE)
    call(RETRIEVE, path={"case-id": an_open_case(persona)})
    assert persona.time.now() == pytest.approx(READ_TIMEOUT + 1 + 0.08, abs=0.2)


def test_a_change_without_a_key_is_never_cut_early(persona: VirtualPersona, call: Call) -> None:
    """What was cut could take effect after the next attempt, and over what a person did meanwhile."""
    change = {"body": {"data": {"attributes": {"sla-expires-in-days": 3}}}}
    for case_id in list(persona.statuses())[:30]:
        call("update-a-case", path={"case-id": case_id}, **change)
    begun = persona.time.now()
    persona.script_fault(FaultKind.HANG_BEFORE, operation="update-a-case")
    call("update-a-case", path={"case-id": an_open_case(persona)}, **change)
    assert persona.time.now() - begun > READ_TIMEOUT


def test_a_call_that_hangs_to_the_end_gets_the_whole_time_at_last(persona: VirtualPersona, call: Call) -> None:
    warm_up(persona, call, RETRIEVE)
    begun = persona.time.now()
    persona.script_fault(FaultKind.HANG_BEFORE, times=99)
    with pytest.raises(PersonaTransportError, match="tried 6 times"):
        call(RETRIEVE, path={"case-id": an_open_case(persona)})
    # At least, because attempts that are cut count as slow answers. The last two have the whole time.
    assert persona.time.now() - begun >= sum(RetryPolicy().delays) + 5 + 10 + 20 + 40 + 60 + 60


def test_a_creation_that_is_under_way_is_waited_for_and_made_once(persona: VirtualPersona) -> None:
    """Persona answers a 409 to the second request while it works on the first: that is no refusal."""
    settings = PersonaSettings.checked(api_key=SANDBOX_KEY, host=persona.url, reserve=0.0, read_timeout=READ_TIMEOUT)
    client = persona.client(settings=settings)

    async def create(number: int) -> Response:
        return await client.call(CREATE, **NEW_CASE, identity=f"row {number}")

    async def go() -> Response:
        for number in range(30):
            await create(number)
        persona.script_fault(FaultKind.LATENCY, operation=CREATE, seconds=30)
        answer = await create(30)
        await asyncio.sleep(60)
        return answer

    answer = persona.run(go())
    requests = persona.requests(operation=CREATE)[30:]
    assert len({request.idempotency_key for request in requests}) == 1
    assert 409 in {request.status for request in requests}
    assert requests[-1].replayed
    assert len(persona.journal()) == 31
    assert answer.json()["data"]["id"] == persona.journal()[-1].object_id


def test_a_creation_that_is_under_way_to_the_end_is_unresolved(persona: VirtualPersona) -> None:
    settings = PersonaSettings.checked(api_key=SANDBOX_KEY, host=persona.url, reserve=0.0, read_timeout=READ_TIMEOUT)
    client = persona.client(settings=settings)

    async def go() -> None:
        for number in range(30):
            await client.call(CREATE, **NEW_CASE, identity=f"row {number}")
        persona.script_fault(FaultKind.LATENCY, operation=CREATE, seconds=600)
        with pytest.raises(PersonaUnresolvedError, match="create-a-case is unknown"):
            await client.call(CREATE, **NEW_CASE, identity="last")
        await asyncio.sleep(600)

    persona.run(go())
    assert len(persona.journal()) == 31
