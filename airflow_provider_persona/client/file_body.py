"""The body of an answer that is a file: streamed to a file as it arrives, within a limit, and in full or not at all."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Final

from airflow_provider_persona.api.errors import PersonaAnswerError

if TYPE_CHECKING:
    import requests

UNPACKED: Final = {"Accept-Encoding": "identity"}
"""Header that asks for a file as it is: packed on the way, its length on arrival would not be known."""

_CHUNK: Final = 64 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_PLAIN: Final = ("", "identity")


class BrokenOffError(ConnectionError):
    """The body ended before its end."""


def copy_body(
    answer: requests.Response,
    sink: IO[bytes],
    *,
    limit: int,
    deadline: float,
    clock: Callable[[], float],
    what: str,
    operation_id: str | None = None,
) -> int:
    """Write the body of an answer to a file, in place of what is there, and return its size in bytes.

    :param sink: a file open for writing.
    :param limit: bytes that the file may have at most.
    :param deadline: when it must be there in full, by `clock`.
    :param what: what the file is, for errors.
    :param operation_id: for errors.
    :raises PersonaAnswerError: when the file is larger than the limit, or packed in a way that was not asked for.
    :raises BrokenOffError: when less arrives than was promised; `TimeoutError` when it takes too long.
    """
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in (*_PLAIN, "gzip"):
        raise PersonaAnswerError(f"{what} came packed in a way that was not asked for", operation_id=operation_id)
    body: _Plain | _Gzip = _Gzip(answer.raw) if encoding == "gzip" else _Plain(answer.raw, _length(answer))

    def require_room(size: int) -> None:
        if size > limit:
            raise PersonaAnswerError(
                f"{what} is larger than {limit} bytes; raise max_bytes if it is meant to be", operation_id=operation_id
            )

    require_room(_length(answer) or 0)
    sink.seek(0)
    sink.truncate()
    size = 0
    while chunk := body.read():
        size += len(chunk)
        require_room(size)
        sink.write(chunk)
        if clock() > deadline:
            raise TimeoutError("no full answer in time")
    if not body.is_whole(size):
        raise BrokenOffError
    return size


def _length(answer: requests.Response) -> int | None:
    promised = answer.headers.get("Content-Length", "")
    return int(promised) if promised.isascii() and promised.isdecimal() else None


class _Plain:
    """A body as it comes."""

    def __init__(self, raw: Any, length: int | None) -> None:
        self._raw = raw
        self._length = length

    def read(self) -> bytes:
        """Return the next bytes, none at the end."""
        chunk: bytes = self._raw.read1(_CHUNK, decode_content=False)
        return chunk

    def is_whole(self, size: int) -> bool:
        """Whether that many bytes are all."""
        return self._length is None or self._length == size


class _Gzip:
    """A packed body. `urllib3` takes one that is cut off for whole."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._packed = zlib.decompressobj(_GZIP)

    def read(self) -> bytes:
        """Return the next bytes unpacked, none at the end.

        :raises BrokenOffError: when they cannot be unpacked.
        """
        while not self._packed.eof:
            packed = self._packed.unconsumed_tail or self._raw.read1(_CHUNK, decode_content=False)
            if not packed:
                break
            try:
                if chunk := self._packed.decompress(packed, _CHUNK):
                    return chunk
            except zlib.error:
                raise BrokenOffError from None
        return b""

    def is_whole(self, size: int) -> bool:  # noqa: ARG002 - plain bodies need it
        """Whether the end has been seen."""
        return self._packed.eof
