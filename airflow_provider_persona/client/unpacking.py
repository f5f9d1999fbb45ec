"""Unpacks bodies piece by piece, so that their size can be counted and bounded before much of it is in memory.

A few hundred kilobytes can unpack to gigabytes, so neither `urllib3` nor aiohttp may unpack a body: they unpack a whole
piece before anybody can count it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

_LARGEST_PIECE: Final = 64 * 1024
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
_PLAIN: Final = ("", "identity")
_PACKED: Final = ("gzip", "x-gzip", "deflate")


class UnknownEncodingError(Exception):
    """The body is packed in a way that nobody asked for."""


class BrokenOffError(ConnectionError):
    """The body ended before its end, or was damaged on its way."""


class Unpacker:
    """Unpacks one body; a body that is not packed passes as it is.

    :param encoding: value of the `Content-Encoding` header, or None.
    :raises UnknownEncodingError: when it is packed in a way that nobody asked for.
    """

    def __init__(self, encoding: str | None) -> None:
        name = (encoding or "").strip().lower()
        if name not in (*_PLAIN, *_PACKED):
            raise UnknownEncodingError
        self._stream = zlib.decompressobj(_GZIP_OR_ZLIB) if name in _PACKED else None

    def unpack(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece of the body unpacks to, at most 64 KiB at a time.

        :raises BrokenOffError: when it cannot be unpacked.
        """
        if self._stream is None:
            yield piece
            return
        while piece:
            if self._stream.eof:  # a gzip file may have several members (RFC 1952, 2.2)
                self._stream = zlib.decompressobj(_GZIP_OR_ZLIB)
            try:
                unpacked = self._stream.decompress(piece, _LARGEST_PIECE)
            except zlib.error:
                raise BrokenOffError("the answer cannot be unpacked") from None
            if unpacked:
                yield unpacked
            piece = self._stream.unconsumed_tail or self._stream.unused_data

    @property
    def is_whole(self) -> bool:
        """Whether the end of a packed body has come; a body that is not packed has no end of its own."""
        return self._stream is None or self._stream.eof
