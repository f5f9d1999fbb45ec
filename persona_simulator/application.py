"""The edge of the simulator on a socket: a bare ASGI application that reads requests, waits, and sends answers."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from persona_simulator.connections import Address
from persona_simulator.control import answer_control
from persona_simulator.control_client import TOKEN_HEADER
from persona_simulator.exchange import Incoming, Reply
from persona_simulator.files import SIGNED_PREFIX, StoredFile
from persona_simulator.simulation import Simulation
from persona_simulator.visit import Delivery, Ending, Visit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CONTROL_PREFIX: Final = "/_simulator/"
_JSON_ONLY: Final = [(b"content-type", b"application/json")]
_PIECES: Final = 100


class SimulatorApp:
    """The simulator as an ASGI application.

    :param simulation: what it serves. Faults that break connections need a server that enters its connections in
        the simulation's book.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        body = b"" if scope["method"] == "GET" else await _whole_body(receive)
        if body is None:
            return
        if scope["path"].startswith(CONTROL_PREFIX):
            await self._control(scope, body, send)
        elif scope["path"].startswith(SIGNED_PREFIX):
            await self._file(scope, send)
        else:
            await self._api(scope, body, receive, send)

    async def _control(self, scope: Scope, body: bytes, send: Send) -> None:
        if not self._may_control(scope):
            await _send(send, Reply(404, b"{}", _JSON_ONLY))
            return
        name = scope["path"][len(CONTROL_PREFIX) :]
        status, answer = answer_control(self.simulation, scope["method"], name, scope["query_string"], body)
        await _send(send, Reply(status, answer, _JSON_ONLY))

    def _may_control(self, scope: Scope) -> bool:
        """Whether a control request comes from this machine, or brings the token where there is one."""
        token = self.simulation.environment.config.control_token
        if token is not None:
            given = dict(scope["headers"]).get(TOKEN_HEADER.lower().encode(), b"")
            return hmac.compare_digest(given, token.encode())
        host = scope["client"][0] if scope.get("client") else ""
        return host == "::1" or host.startswith("127.")

    async def _file(self, scope: Scope, send: Send) -> None:
        """Serve a signed link in blocks, as a host of files would: no key, no limit, none of the API's headers."""
        found = self.simulation.environment.download(scope["path"], scope["query_string"], dict(scope["headers"]))
        if not isinstance(found, StoredFile):
            await _send(send, Reply(found, b"", [(b"content-type", b"text/plain")]))
            return
        headers = [(b"content-type", found.content_type.encode())]
        if found.declares_length:
            headers.append((b"content-length", b"%d" % found.size))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for block in found.blocks():
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _api(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        client: Address = scope["client"]
        self.simulation.book.used_by_api(client)
        visit = Visit(
            self.simulation.environment,
            Incoming(
                method=scope["method"],
                path=scope["path"],
                query=scope["query_string"],
                headers=dict(scope["headers"]),
                body=body,
                connection=f"{client[0]}:{client[1]}",
            ),
        )
        if visit.delay > 0:
            await asyncio.sleep(visit.delay)
        await self._deliver(visit.finish(), client, receive, send)

    async def _deliver(self, delivery: Delivery, client: Address, receive: Receive, send: Send) -> None:
        """Carry a delivery out on the client's connection."""
        reply = delivery.reply
        if reply is None:
            if delivery.ending is Ending.RESET:
                self.simulation.book.reset(client)
            await _client_gone(receive)
        elif delivery.ending is Ending.CUT:
            await _begin(send, reply)
            half = reply.body[: len(reply.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            self.simulation.book.close(client)
            await _client_gone(receive)
        elif delivery.seconds > 0:
            await _dribble(send, reply, delivery.seconds)
        else:
            await _send(send, reply)


async def _whole_body(receive: Receive) -> bytes | None:
    """Return the body, or None when the client went away before it was whole: no server acts on half a request."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return None if message["type"] == "http.disconnect" else body


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _begin(send: Send, reply: Reply) -> None:
    headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})


async def _send(send: Send, reply: Reply) -> None:
    await _begin(send, reply)
    await send({"type": "http.response.body", "body": reply.body})


async def _dribble(send: Send, reply: Reply, seconds: float) -> None:
    await _begin(send, reply)
    step = max(1, -(-len(reply.body) // _PIECES))
    for start in range(0, len(reply.body), step):
        await asyncio.sleep(seconds / _PIECES)
        piece = reply.body[start : start + step]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
