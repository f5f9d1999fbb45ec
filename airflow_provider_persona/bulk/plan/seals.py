"""Seals: hashes of stretches of a file, so that each stretch can be checked again just before it is used.

The hash of a whole file says that the file was right when it was read to its end. A plan is applied for hours after
that, and somebody may replace the file meanwhile. A seal for every thousand lines takes 32 bytes of memory, and no line
is used before the stretch that holds it has been checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import IO, Self

from airflow_provider_persona.bulk.errors import PlanError

_STRETCH = 1000


class Sealer:
    """Takes in the lines of a file, for one hash of the whole and a seal of each stretch.

    :param file: where to write each line, or None.
    """

    def __init__(self, file: IO[bytes] | None = None) -> None:
        self.lines = 0
        self._file = file
        self._whole = hashlib.sha256()
        self._stretch = hashlib.sha256()
        self._seals: list[bytes] = []

    @classmethod
    def of(cls, lines: Iterable[bytes]) -> Self:
        """Return a sealer that has taken in some lines, without their ends."""
        sealer = cls()
        for line in lines:
            sealer.add(line)
        return sealer

    def add(self, line: bytes) -> None:
        """Take in a line, without its end."""
        raw = line + b"\n"
        self._whole.update(raw)
        self._stretch.update(raw)
        if self._file is not None:
            self._file.write(raw)
        self.lines += 1
        if self.lines % _STRETCH == 0:
            self._seals.append(self._stretch.digest())
            self._stretch = hashlib.sha256()

    def hexdigest(self) -> str:
        """Return the SHA-256 over all lines."""
        return self._whole.hexdigest()

    def seals(self) -> tuple[bytes, ...]:
        """Return the seal of each stretch, the last one included."""
        rest = (self._stretch.digest(),) if self.lines % _STRETCH else ()
        return (*self._seals, *rest)


def sealed_lines(lines: Iterator[bytes], seals: Sequence[bytes], name: str) -> Iterator[bytes]:
    """Yield lines, each only after its stretch was found to be as it was sealed.

    :param lines: the lines of a file, without their ends.
    :param seals: the seals of its stretches.
    :param name: name of the file, for the error.
    :raises PlanError: when the file was changed since it was sealed.
    """
    for seal in seals:
        stretch = list(islice(lines, _STRETCH))
        if hashlib.sha256(b"".join(line + b"\n" for line in stretch)).digest() != seal:
            raise PlanError(f"{name} was changed after it was checked; nothing more of it is applied. Plan anew")
        yield from stretch
    if next(lines, None) is not None:
        raise PlanError(f"{name} was changed after it was checked; nothing more of it is applied. Plan anew")
