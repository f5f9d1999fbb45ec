"""Faults of storage, as the system and the libraries of object stores raise them, at a chosen instant.

On a local disk they come out of the very calls to the system (`open`, `write`, `fsync`, `link`, `replace`, `listdir`,
`unlink`), and only below one folder; for an object store `object_shelf.Shelf` asks before each of its operations. So no
code of the engine is replaced, and nothing depends on the speed of the machine.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from unittest.mock import patch

from object_shelf import Shelf


class Fault(StrEnum):
    """What goes wrong with files."""

    NO_SPACE = "ENOSPC"
    NO_SPACE_HALF_WAY = "ENOSPC after half of a line"
    SHORT_WRITE = "a write that takes half of what it is given"
    IO_ERROR_WRITING = "EIO while writing"
    IO_ERROR_READING = "EIO while reading"
    NO_SYNC = "EIO while syncing"
    NO_RENAME = "a rename that fails"
    NO_DELETE = "a file that cannot be deleted"
    NO_LISTING = "a folder that cannot be listed"
    STALE_LISTING = "a listing of an object store that is older than what was written last"
    NO_PUT = "an object that cannot be put"


ON_DISK = [fault for fault in Fault if fault not in (Fault.STALE_LISTING, Fault.NO_PUT)]
IN_A_STORE = [Fault.NO_PUT, Fault.IO_ERROR_READING, Fault.NO_DELETE, Fault.NO_LISTING, Fault.STALE_LISTING]

_STRIKES_AT = {
    Fault.NO_SPACE: ("write", errno.ENOSPC),
    Fault.NO_SPACE_HALF_WAY: ("write", errno.ENOSPC),
    Fault.SHORT_WRITE: ("write", 0),
    Fault.IO_ERROR_WRITING: ("write", errno.EIO),
    Fault.IO_ERROR_READING: ("read", errno.EIO),
    Fault.NO_SYNC: ("sync", errno.EIO),
    Fault.NO_RENAME: ("rename", errno.EIO),
    Fault.NO_DELETE: ("delete", errno.EIO),
    Fault.NO_LISTING: ("list", errno.EIO),
    Fault.NO_PUT: ("put", errno.EIO),
    Fault.STALE_LISTING: ("list", 0),
}


@dataclass
class Storm:
    """One kind of fault, from the n-th such operation on.

    :param fault: what goes wrong.
    :param folder: below which folder.
    :param first: the n, from 1.
    :param times: how many operations it strikes.
    :param struck: how often it has.
    """

    fault: Fault
    folder: Path
    first: int
    times: int
    struck: int = 0
    _passed: Counter[str] = field(default_factory=Counter)
    _listed: dict[str, list[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, chance: random.Random, faults: list[Fault], folder: Path) -> Storm:
        """Return one that chance has made."""
        fault = chance.choice(faults)
        operation, _ = _STRIKES_AT[fault]
        reach = 80 if operation in ("write", "put") else 8
        return cls(fault, folder, 1 + int(chance.random() ** 2 * reach), chance.choice((1, 1, 2, 1_000_000)))

    def strikes(self, operation: str, path: Any) -> bool:
        """Take in an operation, and return whether it is struck."""
        if operation != _STRIKES_AT[self.fault][0] or not self._is_below(path):
            return False
        self._passed[operation] += 1
        is_struck = self.first <= self._passed[operation] < self.first + self.times
        self.struck += is_struck
        return is_struck

    def check(self, operation: str, path: Any) -> None:
        """Raise what the system raises for an operation that is struck."""
        number = _STRIKES_AT[self.fault][1]
        if number and self.strikes(operation, path):
            raise OSError(number, os.strerror(number), str(path))

    def listing(self, path: str, found: list[Any]) -> list[Any]:
        """Return a listing, without what came since the last one where it is struck."""
        if self.fault is Fault.STALE_LISTING and self.strikes("list", path):
            return self._listed.get(path, [])
        self._listed[path] = found
        return found

    def _is_below(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(f"{self.folder}/")

    @contextmanager
    def over_a_disk(self) -> Iterator[Storm]:
        """Let it strike the calls of this process to the system."""
        plain_open, plain_sync = io.open, os.fsync
        files: dict[int, str] = {}

        def opened(path: Any, mode: str = "r", buffering: int = -1, *more: Any, **options: Any) -> Any:
            if not self._is_below(path) or "b" not in mode:
                return plain_open(path, mode, buffering, *more, **options)
            raw = _File(self, os.fspath(path), mode.replace("b", ""), options.get("opener"))
            files[raw.fileno()] = os.fspath(path)
            if buffering == 0:
                return raw
            return io.BufferedReader(raw) if "r" in mode else io.BufferedWriter(raw)

        def synced(number: int) -> None:
            self.check("sync", files.get(number))
            plain_sync(number)

        with ExitStack() as stack:
            for owner in (builtins, io):
                stack.enter_context(patch.object(owner, "open", opened))
            stack.enter_context(patch.object(os, "fsync", synced))
            operations = {"replace": "rename", "link": "rename", "rename": "rename"}
            for name, operation in operations.items() | {("unlink", "delete"), ("listdir", "list")}:
                stack.enter_context(patch.object(os, name, self._checked(operation, getattr(os, name))))
            yield self

    @contextmanager
    def over_a_store(self) -> Iterator[Storm]:
        """Let it strike the operations of the shelf."""
        with patch.object(Shelf, "before", self.check), patch.object(Shelf, "listing", self.listing):
            yield self

    def _checked(self, operation: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *more: Any, **options: Any) -> Any:
            self.check(operation, path)
            return plain(path, *more, **options)

        return call


class _File(io.FileIO):
    """A local file that a storm may strike."""

    def __init__(self, storm: Storm, path: str, mode: str, opener: Any) -> None:
        super().__init__(path, mode, opener=opener)
        self._storm = storm

    def write(self, data: Any) -> int:
        fault = self._storm.fault
        if self._storm.strikes("write", self.name):
            half = bytes(data)[: len(data) // 2]
            if fault is Fault.SHORT_WRITE and half:
                return super().write(half) or 0
            if fault is Fault.NO_SPACE_HALF_WAY:
                super().write(half)
            if fault is not Fault.SHORT_WRITE:
                number = _STRIKES_AT[fault][1]
                raise OSError(number, os.strerror(number))
        return super().write(data) or 0

    def readinto(self, buffer: Any) -> int | None:
        self._storm.check("read", self.name)
        return super().readinto(buffer)

    def readall(self) -> bytes:
        self._storm.check("read", self.name)
        return super().readall()


def lose_tail(folder: Path, chance: random.Random) -> bool:
    """Cut off the end of the newest segment of a ledger, as after a loss of power; return whether there was one.

    Whole lines go and a part of another one, or whole lines alone: what a file system had written before then ends like
    any other. What was synced stays: a line that says a row was begun of which no look could tell is synced before it
    is sent.
    """
    segments = sorted(folder.glob("*/ledger-*.jsonl"))
    if not segments:
        return False
    raw = segments[-1].read_bytes()
    lines = raw.splitlines(keepends=True)
    lost = min(chance.randint(1, 6), len(lines) - 1)
    kept = b"".join(lines[: len(lines) - lost])
    torn = lines[len(lines) - lost] if lost else b""
    segments[-1].write_bytes(kept + torn[: chance.choice((0, chance.randint(1, max(1, len(torn) - 2))))])
    return lost > 0
