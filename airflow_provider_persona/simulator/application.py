"""The edge of the simulator: a bare ASGI application that reads requests, waits, and sends or spoils answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from airflow_provider_persona.simulator.config import SimulatorConfig
from airflow_provider_persona.simulator.connections import Address, ConnectionBook
from airflow_provider_persona.simulator.control import answer_control
from airflow_provider_persona.simulator.environment import Environment
from airflow_provider_persona.simulator.exchange import Exchange, Incoming, Reply
from airflow_provider_persona.simulator.faults import OUTSIDE, Fault, FaultKind
from airflow_provider_persona.simulator.files import SIGNED_PREFIX, StoredFile

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CONTROL_PREFIX: Final = "/_simulator/"
_JSON_ONLY: Final = [(b"content-type", b"application/json")]
_HTML_ONLY: Final = [(b"content-type", b"text/html")]
_PIECES: Final = 10


class SimulatorApp:
    """The simulator as an ASGI application.

    :param config: the environment that it simulates.
    :param book: where the server enters its connections; without a server that does, faults that break connections
        cannot happen.
    """

    def __init__(self, config: SimulatorConfig, book: ConnectionBook) -> None:
        self.config = config
        self.environment: Environment = Environment(config)
        self.book = book

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        body = b"" if scope["method"] == "GET" else await _whole_body(receive)
        if scope["path"].startswith(CONTROL_PREFIX):
            await self._control(scope, body, send)
        elif scope["path"].startswith(SIGNED_PREFIX):
            await self._file(scope, send)
        else:
            await self._api(scope, body, receive, send)

    async def _control(self, scope: Scope, body: bytes, send: Send) -> None:
        host = scope["client"][0] if scope.get("client") else ""
        if not (host == "::1" or host.startswith("127.")):
            await _send(send, Reply(404, b"", _JSON_ONLY))
            return
        name = scope["path"][len(CONTROL_PREFIX) :]
        status, answer = answer_control(self, scope["method"], name, scope["query_string"], body)
        await _send(send, Reply(status, answer, _JSON_ONLY))

    async def _file(self, scope: Scope, send: Send) -> None:
        """Serve a signed link in blocks, as a host of files would: no key, no limit, none of the API's headers."""
        found = self.environment.download(scope["path"], scope["query_string"], dict(scope["headers"]))
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
        self.book.used_by_api(client)
        environment = self.environment
        exchange = environment.receive(
            Incoming(
                method=scope["method"],
                path=scope["path"],
                query=scope["query_string"],
                headers=dict(scope["headers"]),
                body=body,
                connection=f"{client[0]}:{client[1]}",
            )
        )
        if exchange.fault is not None and exchange.fault.kind in OUTSIDE:
            await self._stay_outside(exchange, exchange.fault, client, receive, send)
            return
        environment.admit(exchange)
        delay = environment.config.latency_ms / 1000
        if exchange.fault is not None and exchange.fault.kind is FaultKind.LATENCY:
            delay += exchange.fault.seconds
        if delay > 0:
            await asyncio.sleep(delay)
        if exchange.reply is None:
            environment.perform(exchange)
        await self._deliver(exchange, client, receive, send)

    async def _stay_outside(
        self, exchange: Exchange, fault: Fault, client: Address, receive: Receive, send: Send
    ) -> None:
        """Let a request meet something before the API."""
        if fault.kind is FaultKind.RESET_BEFORE:
            self.book.reset(client)
            await _client_gone(receive)
        elif fault.kind is FaultKind.HANG_BEFORE:
            await _client_gone(receive)
        elif fault.kind is FaultKind.REDIRECT:
            exchange.logged.status = 302
            await _send(send, Reply(302, b"", [(b"location", fault.location.encode())]))
        else:
            status = 502 if fault.kind is FaultKind.PROXY_502 else 503
            exchange.logged.status = status
            page = b"<html><head><title>%d</title></head><body><h1>upstream unavailable</h1></body></html>" % status
            await _send(send, Reply(status, page, _HTML_ONLY))

    async def _deliver(self, exchange: Exchange, client: Address, receive: Receive, send: Send) -> None:
        """Send the reply, or what a fault makes of it."""
        reply = exchange.reply
        if reply is None:
            raise RuntimeError("an exchange is delivered only after it was admitted and performed")
        kind = exchange.fault.kind if exchange.fault else None
        if kind is FaultKind.RESET_AFTER:
            self.book.reset(client)
            await _client_gone(receive)
            return
        if kind is FaultKind.HANG_AFTER:
            await _client_gone(receive)
            return
        if kind is FaultKind.TRUNCATED:
            await _begin(send, reply)
            half = reply.body[: len(reply.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            self.book.close(client)
            await _client_gone(receive)
            return
        exchange.logged.status = reply.status
        if kind is FaultKind.MALFORMED:
            await _send(send, Reply(reply.status, reply.body[:-2] + b',"', reply.headers))
        elif kind is FaultKind.HOLLOW:
            await _send(send, Reply(reply.status, b"{}", reply.headers))
        elif kind is FaultKind.SLOW and exchange.fault is not None:
            await _dribble(send, reply, exchange.fault.seconds)
        else:
            await _send(send, reply)


async def _whole_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


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
