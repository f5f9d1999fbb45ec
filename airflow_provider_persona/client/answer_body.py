"""The body of an answer, in memory, bounded both packed and unpacked."""

from __future__ import annotations

from typing import Final

from airflow_provider_persona.client.unpacking import BrokenOffError, UnknownEncodingError, Unpacker

MIB: Final = 1024 * 1024

LARGEST_ANSWER: Final = 32 * MIB
"""Bytes that a JSON answer may have, packed and unpacked. A page of 100 objects with all attributes has a few MiB."""

LARGEST_FILE: Final = 64 * MIB
"""Bytes that a file may have when it is kept in memory. `file_client` writes larger ones to a file."""

ACCEPTED: Final = {"Accept-Encoding": "gzip"}
"""Header that asks for what is unpacked here, and for nothing else that a library could offer by itself."""


class UnusableBodyError(Exception):
    """The body must not be read (further); the rest of the answer is sound."""


class AnswerBody:
    """Gathers the pieces of a body.

    :param encoding: value of the `Content-Encoding` header, or None.
    :param limit: bytes that the body may have, packed and unpacked.
    :raises UnusableBodyError: when it is packed in a way that nobody asked for.
    """

    def __init__(self, encoding: str | None, limit: int) -> None:
        try:
            self._unpacker = Unpacker(encoding)
        except UnknownEncodingError:
            raise UnusableBodyError("it is packed in a way that was not asked for") from None
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = self._received = 0

    def add(self, piece: bytes) -> None:
        """Take in the next piece as it arrived.

        :raises UnusableBodyError: when the body is larger than the limit.
        :raises BrokenOffError: when it cannot be unpacked, because it was damaged on its way.
        """
        self._received += len(piece)
        self._check_size(self._received)
        for unpacked in self._unpacker.unpack(piece):
            self._size += len(unpacked)
            self._check_size(self._size)
            self._pieces.append(unpacked)

    def content(self) -> bytes:
        """Return the whole body.

        :raises BrokenOffError: when its end is missing.
        """
        if self._received and not self._unpacker.is_whole:
            raise BrokenOffError("the answer broke off")
        return b"".join(self._pieces)

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise UnusableBodyError(f"it is larger than {self._limit // MIB} MiB; ask for fewer attributes")


def limit_for(*, is_file: bool) -> int:
    """Return how many bytes an answer may have."""
    return LARGEST_FILE if is_file else LARGEST_ANSWER
