"""Something in Persona's place, or in front of it, that gives whatever a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from airflow_provider_persona.api.messages import Outcome, Response
from airflow_provider_persona.client.transport import Sending
from persona_simulator import SimulatorConfig
from tests.virtual_time import VirtualPersona


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    case_id: str
    body: Any
    key: str | None


Answer = tuple[int, Any]
"""Status, and body as JSON or bytes."""

_HEADERS = {
    "Content-Type": "application/json",
    "RateLimit-Limit": "100000",
    "RateLimit-Remaining": "90000",
    "RateLimit-Reset": "60",
}


def case(case_id: str, status: str, **attributes: Any) -> dict[str, Any]:
    """The answer with a case in it."""
    return {"data": {"type": "case", "id": case_id, "attributes": {"status": status, **attributes}}}


class StrangePersona(VirtualPersona):
    """Answers as `answer` says, in memory, and remembers what was asked.

    :param answer: makes the answer to a request.
    """

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        super().__init__(SimulatorConfig(cases=0))
        self.asked: list[Asked] = []
        self._answer = answer

    def transport(self, _settings: Any) -> Any:
        return _Strange(self)

    def answer(self, sending: Sending) -> Response:
        request, content = sending.request, sending.request.content()
        parts = urlsplit(request.path).path.split("/")
        asked = Asked(
            request.method, parts[4] if len(parts) > 4 else "", json.loads(content) if content else None, sending.key
        )
        self.asked.append(asked)
        status, body = self._answer(asked)
        return Response(status, _HEADERS, body if isinstance(body, bytes) else json.dumps(body).encode())


class _Strange:
    def __init__(self, persona: StrangePersona) -> None:
        self._persona = persona

    async def transmit(self, sending: Sending) -> Response:
        await asyncio.sleep(0)  # so that all that is sent at once is under way at once
        return self._persona.answer(sending)

    async def close(self) -> None:
        """Do nothing."""


Block = Callable[[Sending, Outcome], Outcome]


class BehindFirewall(VirtualPersona):
    """Persona behind something that sees its answers.

    :param block: takes what was sent and Persona's answer, and returns what arrives.
    """

    def __init__(self, block: Block, cases: int = 20) -> None:
        super().__init__(SimulatorConfig(cases=cases, limit=1_000_000))
        self.block = block

    def transport(self, settings: Any) -> Any:
        inner, persona = super().transport(settings), self

        class Blocking:
            async def transmit(self, sending: Sending) -> Outcome:
                return persona.block(sending, await inner.transmit(sending))

            async def close(self) -> None:
                await inner.close()

        return Blocking()
