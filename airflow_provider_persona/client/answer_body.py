"""The body of an answer, in memory or in a file: unpacked piece by piece, and bounded both packed and unpacked.

A few hundred kilobytes can unpack to gigabytes, so neither `urllib3` nor aiohttp may unpack a body: they unpack a whole
piece before anybody can count it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, Final

from airflow_provider_persona.api.errors import PersonaAnswerError

if TYPE_CHECKING:
    import requests

    from airflow_provider_persona.client.wire import Wire

MIB: Final = 1024 * 1024

LARGEST_ANSWER: Final = 32 * MIB
"""Bytes that a JSON answer may have, packed and unpacked. A page of 100 objects with all attributes has a few MiB."""

LARGEST_FILE: Final = 64 * MIB
"""Bytes that a file may have when it is kept in memory. `file_client` writes larger ones to a file."""

ACCEPTED: Final = {"Accept-Encoding": "gzip"}
"""Header that asks for what is unpacked here, and for nothing else that a library could offer by itself."""

UNPACKED: Final = {"Accept-Encoding": "identity"}
"""Header that asks for a file as it is: packed on the way, its length on arrival would not be known."""

_LENGTH: Final = re.compile("[0-9]{1,18}")
"""`int` refuses more than 4,300 digits, and takes those of other scripts."""

_CHUNK: Final = 64 * 1024
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
_PLAIN: Final = ("", "identity")
_PACKED: Final = ("gzip", "x-gzip", "deflate")
_NOT_ASKED_FOR: Final = "is packed in a way that was not asked for"


class UnusableBodyError(Exception):
    """The body must not be read (further); the rest of the answer is sound. The text follows the body's name."""


class BrokenOffError(ConnectionError):
    """The body ended before its end, or was damaged on its way."""


class Body:
    """Takes in the pieces of one body, and hands them on unpacked; a body that is not packed passes as it is.

    :param encoding: value of the `Content-Encoding` header, or None.
    :param limit: bytes that the body may have, packed and unpacked.
    :param too_large: what is said of a larger one.
    :param write: takes each unpacked piece.
    :raises UnusableBodyError: when it is packed in a way that nobody asked for.
    """

    def __init__(self, encoding: str | None, limit: int, too_large: str, write: Callable[[bytes], Any]) -> None:
        name = (encoding or "").strip().lower()
        if name not in (*_PLAIN, *_PACKED):
            raise UnusableBodyError(_NOT_ASKED_FOR)
        self._stream = zlib.decompressobj(_GZIP_OR_ZLIB) if name in _PACKED else None
        self._limit = limit
        self._too_large = too_large
        self._write = write
        self.size = self.received = 0

    def add(self, piece: bytes) -> None:
        """Take in the next piece as it arrived.

        :raises UnusableBodyError: when the body is larger than the limit.
        :raises BrokenOffError: when it cannot be unpacked, because it was damaged on its way.
        """
        self.received += len(piece)
        self.check_size(self.received)
        for unpacked in self._unpacked(piece):
            self.size += len(unpacked)
            self.check_size(self.size)
            self._write(unpacked)

    @property
    def is_whole(self) -> bool:
        """Whether the end of a packed body has come; a body that is not packed has no end of its own."""
        return self._stream is None or self._stream.eof

    def check_size(self, size: int) -> None:
        """Check that the body may have so many bytes.

        :raises UnusableBodyError: when it may not.
        """
        if size > self._limit:
            raise UnusableBodyError(self._too_large)

    def _unpacked(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece unpacks to, at most 64 KiB at a time."""
        if self._stream is None:
            yield piece
            return
        while piece:
            if self._stream.eof:  # a gzip file may have several members (RFC 1952, 2.2)
                self._stream = zlib.decompressobj(_GZIP_OR_ZLIB)
            try:
                unpacked = self._stream.decompress(piece, _CHUNK)
            except zlib.error:
                raise BrokenOffError("the answer cannot be unpacked") from None
            if unpacked:
                yield unpacked
            piece = self._stream.unconsumed_tail or self._stream.unused_data


class AnswerBody(Body):
    """Gathers a body in memory.

    :param encoding: value of the `Content-Encoding` header, or None.
    :param is_file: whether it is a file, which may be larger than JSON.
    :raises UnusableBodyError: when it is packed in a way that nobody asked for.
    """

    def __init__(self, encoding: str | None, *, is_file: bool) -> None:
        limit = LARGEST_FILE if is_file else LARGEST_ANSWER
        self._pieces: list[bytes] = []
        too_large = f"is larger than {limit // MIB} MiB; ask for fewer attributes"
        super().__init__(encoding, limit, too_large, self._pieces.append)

    def content(self) -> bytes:
        """Return the whole body.

        :raises BrokenOffError: when its end is missing.
        """
        if self.received and not self.is_whole:
            raise BrokenOffError("the answer broke off")
        return b"".join(self._pieces)


def receive(answer: requests.Response, body: Body, wire: Wire) -> None:
    """Read the body of an answer to its end, by the deadline of its request.

    :raises UnusableBodyError: and `BrokenOffError`, as `Body.add`; `TooLateError` when it takes too long.
    """
    # `read1` hands over what has come, where `read` would gather 64 KiB first.
    while chunk := answer.raw.read1(_CHUNK, decode_content=False):
        body.add(chunk)
        wire.left()  # bytes that wait in a buffer cost no read of the socket


def copy_body(
    answer: requests.Response,
    sink: IO[bytes],
    *,
    wire: Wire,
    limit: int,
    what: str,
    operation_id: str | None = None,
) -> int:
    """Write the body of an answer to a file, in place of what is there, and return its size in bytes.

    :param sink: a file open for writing.
    :param wire: the request; the file must be there in full by its deadline.
    :param limit: bytes that the file may have at most.
    :param what: what the file is, for errors.
    :param operation_id: for errors.
    :raises PersonaAnswerError: when the file is larger than the limit, or packed in a way that was not asked for.
    :raises BrokenOffError: when less arrives than was promised; `TooLateError` when it takes too long.
    """
    length = answer.headers.get("Content-Length", "")
    promised = int(length) if _LENGTH.fullmatch(length) else None
    too_large = f"is larger than {limit} bytes; raise max_bytes if it is meant to be"
    try:
        # `http.client` takes the chunks apart and nothing else, so what is packed for the way would become the file.
        if answer.headers.get("Transfer-Encoding", "chunked").strip().lower() not in ("chunked", "identity"):
            raise UnusableBodyError(_NOT_ASKED_FOR)  # noqa: TRY301 - as `Body` says it
        body = Body(answer.headers.get("Content-Encoding"), limit, too_large, sink.write)
        body.check_size(promised or 0)
        # An attempt that broke off has left its part here.
        sink.seek(0)
        sink.truncate()
        receive(answer, body, wire)
    except UnusableBodyError as error:
        raise PersonaAnswerError(f"{what} {error}", operation_id=operation_id) from None
    if not body.is_whole or promised not in (None, body.received):
        raise BrokenOffError("the file broke off")
    return body.size
