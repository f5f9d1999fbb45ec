"""One request on the wire of `requests`: a deadline for all of it, and whether any of it was written.

`requests` and `urllib3` have a timeout for each read, so an answer that arrives byte by byte never ends. `http.client`
reads status lines, headers, chunks and bodies through one file object; here each read of that object gets no more time
than the request has left. The same holds for writing: `urllib3` would give a whole body the time for a connection.

Imported at the first call only, because `urllib3` takes long to import.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_persona.client.transport import TooLateError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


@dataclass(slots=True)
class Wire:
    """One request under way.

    :param deadline: time of `time.monotonic` at which the whole answer must have arrived.
    :param is_written: whether a part of the request was written. Before that Persona cannot have acted on it.
    """

    deadline: float
    is_written: bool = False

    def left(self) -> float:
        """Return the seconds that are left.

        :raises TooLateError: when none are.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TooLateError
        return left

    def extend(self, seconds: float) -> None:
        """Allow so many seconds from now on."""
        self.deadline = time.monotonic() + seconds


_current: ContextVar[Wire | None] = ContextVar("persona_wire", default=None)
"""The request of this thread. `requests` offers no way to hand something down to its connections."""


@contextmanager
def on_wire(seconds: float) -> Iterator[Wire]:
    """Give all requests of this thread within the block a deadline.

    :param seconds: seconds until the whole answer must have arrived.
    """
    wire = Wire(time.monotonic() + seconds)
    token = _current.set(wire)
    try:
        yield wire
    finally:
        _current.reset(token)


class _TimelyReader(io.RawIOBase):
    """Reads from a socket, in the time that is left."""

    def __init__(self, sock: socket.socket, wire: Wire) -> None:
        self._sock = sock
        self._wire = wire
        self._timeout = sock.gettimeout()  # by now `urllib3` has set the read timeout
        # The socket's own file object keeps the socket open until the answer is read.
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        left = self._wire.left()
        self._sock.settimeout(left if self._timeout is None else min(left, self._timeout))
        try:
            return self._file.readinto(buffer)
        except TimeoutError:
            raise TooLateError from None

    def close(self) -> None:
        self._file.close()
        super().close()


class _TimelySocket:
    """What `http.client` needs of a socket to read an answer."""

    def __init__(self, sock: socket.socket, wire: Wire) -> None:
        self._sock = sock
        self._wire = wire

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimelyReader(self._sock, self._wire))


class _TimelyResponse(http.client.HTTPResponse):
    """An answer that is read in the time that is left, and that is not an interim one."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        wire = _current.get()  # None for those who use the session of `PersonaHook.get_conn` themselves
        super().__init__(sock if wire is None else _TimelySocket(sock, wire), *args, **options)  # type: ignore[arg-type]

    def _read_status(self) -> tuple[str, int, str]:
        # http.client skips 100 only and takes 102 or 103 for the answer; what follows would answer the next request.
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status < 102 or status > 199:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _Noting:
    """Notes on the wire that a request is being written. Mixed into connections, because they write it themselves."""

    response_class = _TimelyResponse
    debuglevel = 0  # `http.client` prints all headers, and so the key, where a program sets its own to 1
    sock: socket.socket | None
    _is_connecting = False

    def connect(self) -> None:
        self._is_connecting = True
        try:
            super().connect()  # type: ignore[misc]
        finally:
            self._is_connecting = False

    def send(self, data: ReadableBuffer) -> None:
        if self.sock is None:
            self.connect()  # as `http.client` would in `send`
        wire = _current.get()
        # While it connects through a proxy it sends the CONNECT request, which is not Persona's.
        if wire is not None and not self._is_connecting and self.sock is not None:
            self.sock.settimeout(wire.left())  # `urllib3` left the time for a connection on it
            wire.is_written = True  # before the write: where that fails, a part may have gone out
        super().send(data)  # type: ignore[misc]


class _Connection(_Noting, HTTPConnection):  # type: ignore[misc]  # urllib3 types its attributes more narrowly
    pass


class _TLSConnection(_Noting, HTTPSConnection):  # type: ignore[misc]
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


POOLS = {"http": _Pool, "https": _TLSPool}
"""Pools of such connections, as `PoolManager.pool_classes_by_scheme` takes them."""
