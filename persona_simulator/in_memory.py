"""The simulator without sockets: requests are answered in the caller's own event loop, control calls at once.

So nothing depends on the speed of the machine. On an event loop with a clock of its own, latencies and time-outs cost
no time, and equal requests from an equal start meet equal faults and have equal effects.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Protocol, Self

from airflow_provider_persona.api.messages import FailurePoint, Outcome, Request, Response, TransportFailure
from airflow_provider_persona.api.settings import PersonaSettings
from persona_simulator.config import SimulatorConfig
from persona_simulator.connections import ConnectionBook
from persona_simulator.control import answer_control
from persona_simulator.control_client import SimulatorControl
from persona_simulator.exchange import Incoming, Reply
from persona_simulator.simulation import Simulation
from persona_simulator.visit import Delivery, Ending, Visit

NOWHERE: Final = "http://127.0.0.1:1"
"""The address that it gives itself. Nothing listens there, so what is sent by a socket after all is refused."""

_WITHOUT_ANSWER: Final = {
    Ending.RESET: "ConnectionResetError",
    Ending.CUT: "IncompleteReadError",
    Ending.SILENCE: "TimeoutError",
}


class InMemorySimulator(SimulatorControl):
    """A simulator in this process, without a socket. Control it as any other; send to it through `transport`.

    :param config: what it simulates; `host` and `port` mean nothing here. None is the default environment.
    :param monotonic: seconds that pass for it; those of the event loop, where that has a clock of its own.
    """

    def __init__(self, config: SimulatorConfig | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(NOWHERE)
        self.config = config or SimulatorConfig()
        self._simulation = Simulation(self.config, ConnectionBook(), monotonic)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: there is nothing to stop."""

    def visit(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Visit:
        """Let a request to the API arrive, and return it. Nothing is done before its `finish`.

        :param target: path and query as they stand on the wire.
        """
        path, _, query = target.partition("?")
        lower = {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in headers.items()}
        incoming = Incoming(method, path, query.encode("latin-1"), lower, body or b"", "in memory")
        return Visit(self._simulation.environment, incoming)

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> Delivery:
        """Answer a request to the API at once, without its latency; parameters as for `visit`."""
        return self.visit(method, target, headers, body).finish()

    def transport(self, settings: PersonaSettings) -> InMemoryTransport:
        """Return a transport for one `AsyncPersonaClient` with these settings."""
        return InMemoryTransport(self, settings)

    def _ask(self, method: str, name: str, query: str, payload: bytes) -> tuple[int, bytes]:
        return answer_control(self._simulation, method, name, query.encode("latin-1"), payload)


class Sending(Protocol):
    """What a client gives its transport, as far as it matters here."""

    @property
    def request(self) -> Request:
        """The request."""

    @property
    def key(self) -> str | None:
        """Its idempotency key."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Further headers."""

    @property
    def read_timeout(self) -> float:
        """Seconds from sending to the end of the answer."""


class InMemoryTransport:
    """Sends the requests of one client to a simulator in memory; it fits `AsyncPersonaClient(transport=…)`.

    :param simulator: the simulator.
    :param settings: settings of the connection: key, version, time-outs.
    """

    def __init__(self, simulator: InMemorySimulator, settings: PersonaSettings) -> None:
        self._simulator = simulator
        self._settings = settings
        self._under_way: dict[_UnderWay, None] = {}  # in the order of their arrival; a set has none

    async def transmit(self, sending: Sending) -> Outcome:
        """Send a request once, and return its answer or how far it came."""
        request = sending.request
        headers = {
            **sending.headers,
            **self._settings.headers(),
            "Authorization": self._settings.authorization(),
            **request.headers(sending.key),
        }
        visit = self._simulator.visit(request.method, request.target, headers, request.content())
        one = _UnderWay(visit)
        self._under_way[one] = None
        one.delivered.add_done_callback(lambda _: self._under_way.pop(one, None))
        try:
            async with asyncio.timeout(sending.read_timeout):
                # Without latency the effect is there already. The answer never is before the loop's next round, so that
                # requests which are sent at once are under way at once, as over a socket.
                await asyncio.sleep(0)
                delivery = await asyncio.shield(one.delivered)
                if delivery.ending is Ending.SILENCE:
                    await asyncio.sleep(sending.read_timeout)
                if delivery.seconds > 0:
                    await asyncio.sleep(delivery.seconds)
        except TimeoutError:
            return TransportFailure(FailurePoint.MAYBE_SENT, "TimeoutError")
        if delivery.ending is not Ending.COMPLETE or delivery.reply is None:
            return TransportFailure(FailurePoint.MAYBE_SENT, _WITHOUT_ANSWER[delivery.ending])
        return _response(delivery.reply)

    async def close(self) -> None:
        """Let the simulator finish what was sent to it: a client that goes away takes nothing back."""
        for one in list(self._under_way):
            one.finish()


class _UnderWay:
    """A request that the simulator works on. It finishes it whether the client still waits or not."""

    def __init__(self, visit: Visit) -> None:
        loop = asyncio.get_running_loop()
        self.delivered: asyncio.Future[Delivery] = loop.create_future()
        self._visit = visit
        self._timer: asyncio.TimerHandle | None = None
        if visit.delay > 0:
            self._timer = loop.call_later(visit.delay, self.finish)
        else:
            self.finish()

    def finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.delivered.done():
            self.delivered.set_result(self._visit.finish())


def _response(reply: Reply) -> Response:
    headers: dict[str, str] = {}
    for raw_name, raw_value in reply.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Response(reply.status, headers, reply.body)
