"""Append-only logs of a run, in numbered segments; a line that was put down outlives the process.

In a local folder each line is appended as it comes. An object store cannot append, so there a segment is written anew,
whole, each time that lines have come in, and a new one is begun when it has grown.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from airflow_provider_persona.api.messages import canonical_json, compact_json
from airflow_provider_persona.storage.errors import FencedError, StoreError
from airflow_provider_persona.storage.paths import (
    StorePath,
    as_local,
    cannot_write,
    is_there,
    names_in,
    open_private,
    read_lines,
    remove,
    shown,
    sync_folder,
)
from airflow_provider_persona.storage.threads import ThreadsInTurn
from airflow_provider_persona.storage.whole_files import write_whole

_SUFFIX = ".jsonl"
_LONGEST_SEGMENT = 1000


@dataclass(frozen=True, slots=True)
class SegmentedLog:
    """The segments of one log.

    :param folder: where they stand.
    :param name: what their files' names begin with, `ledger` for `ledger-00001.jsonl`.
    """

    folder: StorePath
    name: str

    def numbers(self) -> list[int]:
        """Return the numbers of the segments in the order in which they were written."""
        found = sorted(filter(None, map(self._number_of, names_in(self.folder))))
        return found if as_local(self.folder) is not None else self._with_unlisted(found)

    def _with_unlisted(self, listed: list[int]) -> list[int]:
        """Return the numbers of the segments where a listing may be older than the last ones.

        A writer begins at the number after the last one, so those which a listing lacks follow it or lie between.
        """
        missing = sorted({*range(1, max(listed, default=0))} - {*listed})
        found = {*listed, *(number for number in missing if is_there(self.path_of(number)))}
        following = max(listed, default=0) + 1
        while is_there(self.path_of(following)):
            found.add(following)
            following += 1
        return sorted(found)

    @property
    def last(self) -> int:
        """Number of the last segment, 0 when there is none."""
        return max(self.numbers(), default=0)

    def lines(
        self, before: int | None = None, on_torn: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[StorePath, dict[str, Any] | None]]:
        """Yield the lines of all segments, each with its file, and None for a line that is damaged.

        A kill cuts off the last line of a segment; that is normal, and such a line is left out.

        :param before: number of the first segment to leave out, or None to read all.
        :param on_torn: called after a segment with a last line that was cut off, or with no line at all.
        """
        for number in self.numbers():
            if before is not None and number >= before:
                return
            path = self.path_of(number)
            torn, raw = False, None
            for raw in read_lines(path):
                if torn:
                    yield path, None  # it was not the last line
                line = parsed_line(raw)
                torn = line is None
                if line is not None:
                    yield path, line
            if torn or raw is None:
                on_torn()

    def delete(self) -> None:
        """Delete all segments.

        :raises StoreError: when one cannot be deleted.
        """
        for number in self.numbers():
            remove(self.path_of(number))

    def path_of(self, number: int) -> StorePath:
        """Return where a segment stands."""
        return self.folder / f"{self.name}-{number:05d}{_SUFFIX}"

    def _number_of(self, name: str) -> int:
        """Return the number of a segment, or 0 for another file."""
        number = name.removeprefix(f"{self.name}-").removesuffix(_SUFFIX)
        return int(number) if number.isdecimal() and name == f"{self.name}-{number}{_SUFFIX}" else 0


def parsed_line(raw: bytes) -> dict[str, Any] | None:
    """Return what a line holds, or None where it is damaged."""
    try:
        line = json.loads(raw.decode())  # of bytes `loads` would guess an encoding, for each of millions of lines
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


class SegmentWriter:
    """Writes on, in segments of its own. A writer that begins later, at the next number, fences this one.

    :param log: the log.
    :param first: number of the first segment to write.
    :param opening: what the first line of each segment says, beside the segment's number.
    """

    def __init__(self, log: SegmentedLog, first: int, opening: Mapping[str, Any]) -> None:
        self._log = log
        self._number = first
        self._look_ahead()
        self._opening = dict(opening)
        self._file: IO[bytes] | None = None
        self._path: Path | None = None
        self._is_torn = False
        self._lines: list[bytes] = []
        self._taken = self._durable = 0
        self._uploading = asyncio.Lock()
        self._uploads = ThreadsInTurn()  # an older upload must not put fewer lines in the place of more

    async def open(self) -> None:
        """Begin the first segment, so that a folder which cannot be written to is found out now.

        :raises StoreError: then.
        """
        try:
            await self._open()
        except BaseException as error:  # also a cancellation: nobody else would close the file
            with suppress(StoreError):
                self.release()
            if isinstance(error, StoreError) or not isinstance(error, Exception):
                raise
            raise cannot_write(self._log.folder, error) from error  # fsspec's stores raise what their libraries raise

    async def _open(self) -> None:
        first = self._log.path_of(self._number)
        local = as_local(first)
        self._begin_segment()
        if local is not None:
            await asyncio.to_thread(sync_folder, local.parent)
            return
        try:
            await self._upload(only_new=True)
        except FencedError:
            raise _fenced(first) from None

    async def require_newest(self) -> None:
        """Make sure that no newer writer has begun.

        A newer one begins at the number after the last one that it finds, so its first segment is always the next
        after the one that is written here.

        :raises FencedError: when one has.
        """
        following, local = self._following, self._following_local  # a local look takes less time than a thread
        if is_there(local) if local is not None else await asyncio.to_thread(is_there, following):
            raise _fenced(following)

    def require_there(self) -> None:
        """Make sure that a local file is still where it was begun. A deleted one takes each line, and keeps none.

        :raises StoreError: when it is not.
        """
        # By its name only: some file systems give one file another number each time.
        if self._path is not None and not is_there(self._path):
            raise cannot_write(self._path, FileNotFoundError())

    async def put(self, line: Mapping[str, Any]) -> None:
        """Put a line down; when this returns, it outlives the process.

        :raises StoreError: when it cannot be put down.
        """
        raw = compact_json(line).encode()
        # No `await` until the line is in the file or in `_lines`: whoever syncs or uploads goes by this count.
        self._taken += 1
        try:
            if self._file is not None:
                self._append(raw)
                return
            self._lines.append(raw)  # before the lock, so that whoever holds it next takes this line along
            mine = self._taken
            async with self._uploading:  # whoever comes first writes the lines of all who wait
                if self._durable < mine:
                    await self._upload()
        except StoreError:
            raise
        except Exception as error:  # fsspec's stores raise what their libraries raise
            raise cannot_write(self._log.folder, error) from error

    async def sync(self, all_but: int = 0) -> None:
        """Let what was put down so far outlive the machine; in an object store it does.

        :param all_but: how many lines, the last ones, need not.
        :raises StoreError: when the disk refuses.
        """
        mine = self._taken - all_but
        if self._file is None or self._durable >= mine:
            return
        try:
            async with self._uploading:  # whoever comes first waits for the disk for all who wait
                if self._durable < mine:
                    taken = self._taken  # before the sync, which need not cover lines that come while it runs
                    await asyncio.to_thread(os.fsync, self._file.fileno())
                    self._durable = taken
        except (OSError, ValueError) as error:
            raise cannot_write(self._log.folder, error) from error

    def release(self) -> None:
        """Close the file, however things ended.

        :raises StoreError: when the store says only now that it could not keep what was written (NFS does so).
        """
        if self._file is not None:
            try:
                with closing(self._file) as file:
                    if not file.closed:
                        os.fsync(file.fileno())
            except OSError as error:
                raise cannot_write(self._log.folder, error) from error

    def _append(self, raw: bytes) -> None:
        """Append a line to the local file.

        A full disk can cut a line off in its middle. The next one then begins on a new line, so that it stays readable.
        """
        assert self._file is not None
        rest = memoryview((b"\n" if self._is_torn else b"") + raw + b"\n")
        self._is_torn = True
        while rest:  # without a buffer a write may take a part only, as `write(2)` does on a disk that is nearly full
            rest = rest[self._file.write(rest) :]
        self._is_torn = False

    async def _upload(self, *, only_new: bool = False) -> None:
        lines, taken = list(self._lines), self._taken
        path, grows = self._log.path_of(self._number), self._durable > 0
        await self._uploads.run(write_whole, path, lines, grows=grows, only_new=only_new)
        self._durable = taken
        if len(lines) >= _LONGEST_SEGMENT:
            await self._begin_next(len(lines))

    async def _begin_next(self, stored: int) -> None:
        """Begin the next segment; where a newer writer has it, what comes from now on stays in this one.

        :param stored: lines of this one that the store has.
        """
        following = self._log.path_of(self._number + 1)
        self._look_ahead(2)  # whoever looks for a newer writer meanwhile must not find this one's own segment
        try:
            await self._uploads.run(write_whole, following, [self._opening_line(self._number + 1)], only_new=True)
        except StoreError as error:
            self._look_ahead()
            if not isinstance(error, FencedError):
                raise
            return
        # No `await` from here on: a line that came in meanwhile would be lost when `_lines` begins anew.
        came_since = self._lines[stored:]
        self._number += 1
        self._begin_segment()
        self._lines += came_since

    def _look_ahead(self, by: int = 1) -> None:
        """Work out once, and not for each row, where a newer writer's first segment would stand."""
        self._following = self._log.path_of(self._number + by)
        self._following_local = as_local(self._following)

    def _begin_segment(self) -> None:
        opening = self._opening_line(self._number)
        path = as_local(self._log.path_of(self._number))
        if path is not None:
            # Without a buffer there is nothing left to write when the file is closed, so closing cannot fail.
            # `x` is what fences: of two attempts that begin at the same number, the system lets one through.
            try:
                self._file, self._path = open_private(path, "xb", buffering=0), path
            except FileExistsError:
                raise _fenced(path) from None
            self._append(opening)
        else:
            self._lines = [opening]

    def _opening_line(self, number: int) -> bytes:
        return canonical_json({"segment": number, **self._opening})


def _fenced(path: StorePath) -> FencedError:
    return FencedError(
        f"a newer attempt of this task is at work and has begun {shown(path)}; this one writes nothing more",
        retryable=True,
    )
