"""The TCP connections of the server: counted, and broken on purpose when a fault asks for it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Any

Address = tuple[str, int]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ConnectionBook:
    """Every open connection by the client's address.

    `seen` counts all connections so far, `seen_by_api` those that carried at least one request to the API.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.seen_by_api = 0
        self._open: dict[Address, asyncio.Transport] = {}
        self._used_by_api: set[Address] = set()

    @property
    def open_count(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    def opened(self, transport: asyncio.Transport) -> None:
        """Note a new connection."""
        self.seen += 1
        self._open[_address(transport)] = transport

    def closed(self, transport: asyncio.Transport) -> None:
        """Note that a connection is gone."""
        address = _address(transport)
        if self._open.get(address) is transport:
            del self._open[address]
            self._used_by_api.discard(address)

    def used_by_api(self, client: Address) -> None:
        """Note that a connection carries a request to the API."""
        if client not in self._used_by_api:
            self._used_by_api.add(client)
            self.seen_by_api += 1

    def close(self, client: Address) -> None:
        """End a connection in an orderly way, after what was written has been sent."""
        if transport := self._open.get(client):
            transport.close()

    def reset(self, client: Address) -> None:
        """Break a connection: the client sees a reset, not an end."""
        if transport := self._open.get(client):
            _linger_not(transport)
            transport.abort()

    def abort_all(self) -> None:
        """Drop every connection, for the end of the server."""
        for transport in list(self._open.values()):
            transport.abort()


def _linger_not(transport: asyncio.Transport) -> None:
    """Make closing the transport send a reset: on a duplicate, since a loop's own socket object may not allow it."""
    own = transport.get_extra_info("socket")
    duplicate = socket.socket(fileno=os.dup(own.fileno()))
    try:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    finally:
        duplicate.close()


def _address(transport: asyncio.Transport) -> Address:
    host, port, *_ = transport.get_extra_info("peername") or ("", 0)
    return str(host), int(port)


def booked_protocol(book: ConnectionBook) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol (httptools, else h11) that enters its connections in `book`."""
    base: Any
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as base  # noqa: N813
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as base  # noqa: N813

    class BookedProtocol(base):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            book.opened(transport)
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            book.closed(self.transport)
            super().connection_lost(exc)

    return BookedProtocol
