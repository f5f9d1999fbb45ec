"""A simulated Persona with objects in its answers that it would not give itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.client.transport import Sending
from persona_simulator import SimulatorConfig
from tests.virtual_time import VirtualPersona


class OddAnswers(VirtualPersona):
    """Persona, with answers in which `spoil` changes the objects.

    :param spoil: takes an object of an answer, and returns what stands in its place.
    """

    def __init__(self, spoil: Callable[[Any], Any]) -> None:
        super().__init__(SimulatorConfig(cases=100, limit=1_000_000))
        self._spoil = spoil

    def transport(self, settings: Any) -> Any:
        inner, spoil = super().transport(settings), self._spoil

        class Spoiling:
            async def transmit(self, sending: Sending) -> Any:
                answer = await inner.transmit(sending)
                body = json.loads(answer.content)
                data = body["data"]
                body["data"] = [spoil(each) for each in data] if isinstance(data, list) else spoil(data)
                return Response(answer.status, answer.headers, json.dumps(body).encode())

            async def close(self) -> None:
                await inner.close()

        return Spoiling()
