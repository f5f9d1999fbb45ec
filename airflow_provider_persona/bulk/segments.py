"""Append-only logs of a run, in numbered segments; a line that was put down outlives the process.

In a local folder each line is appended as it comes. An object store cannot append, so there a segment is written anew,
whole, each time that lines have come in, and a new one is begun when it has grown.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from airflow_provider_persona.api.messages import canonical_json
from airflow_provider_persona.bulk.store import (
    StorePath,
    as_local,
    cannot_write,
    names_in,
    open_private,
    read_lines,
    write_whole,
)

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

    def segments(self) -> list[str]:
        """Return the names of the segments in the order in which they were written."""
        return sorted(filter(self._number_of, names_in(self.folder)), key=self._number_of)

    @property
    def last(self) -> int:
        """Number of the last segment, 0 when there is none."""
        return max(map(self._number_of, self.segments()), default=0)

    def lines(self) -> Iterator[tuple[StorePath, dict[str, Any]]]:
        """Yield the lines of all segments, each with its file; a line that was cut off by a kill is left out."""
        for segment in self.segments():
            path = self.folder / segment
            for raw in read_lines(path):
                try:
                    line = json.loads(raw)
                except ValueError:
                    continue
                yield path, line

    def delete(self) -> None:
        """Delete all segments."""
        for segment in self.segments():
            (self.folder / segment).unlink()

    def path_of(self, number: int) -> StorePath:
        """Return where a segment stands."""
        return self.folder / f"{self.name}-{number:05d}{_SUFFIX}"

    def _number_of(self, name: str) -> int:
        """Return the number of a segment, or 0 for another file."""
        number = name.removeprefix(f"{self.name}-").removesuffix(_SUFFIX)
        return int(number) if number.isdecimal() and name == f"{self.name}-{number}{_SUFFIX}" else 0


class SegmentWriter:
    """Writes on, in segments of its own.

    :param log: the log.
    :param first: number of the first segment to write.
    :param opening: what the first line of each segment says, beside the segment's number.
    """

    def __init__(self, log: SegmentedLog, first: int, opening: Mapping[str, Any]) -> None:
        self._log = log
        self._number = first
        self._opening = dict(opening)
        self._file: IO[bytes] | None = None
        self._lines: list[bytes] = []
        self._taken = self._durable = 0
        self._uploading = asyncio.Lock()

    async def open(self) -> None:
        """Begin the first segment, so that a folder which cannot be written to is found out now.

        :raises StoreError: then.
        """
        try:
            self._begin_segment()
            if self._file is None:
                await self._upload()
        except Exception as error:  # fsspec's stores raise what their libraries raise
            raise cannot_write(self._log.folder, error) from error

    async def put(self, line: Mapping[str, Any]) -> None:
        """Put a line down; when this returns, it outlives the process.

        :raises StoreError: when it cannot be put down.
        """
        raw = json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode()
        try:
            await self._put(raw)
        except Exception as error:  # fsspec's stores raise what their libraries raise
            raise cannot_write(self._log.folder, error) from error

    async def _put(self, raw: bytes) -> None:
        if self._file is not None:
            self._file.write(raw + b"\n")
            self._file.flush()
            return
        self._lines.append(raw)
        self._taken += 1
        mine = self._taken
        async with self._uploading:  # whoever comes first writes the lines of all who wait
            if self._durable < mine:
                await self._upload()

    def release(self) -> None:
        """Close the file, however things ended."""
        if self._file is not None:
            self._file.close()

    async def _upload(self) -> None:
        lines, taken = list(self._lines), self._taken
        await asyncio.to_thread(write_whole, self._log.path_of(self._number), lines)
        self._durable = taken
        if len(lines) >= _LONGEST_SEGMENT:
            came_since = self._lines[len(lines) :]
            self._number += 1
            self._begin_segment()
            self._lines += came_since

    def _begin_segment(self) -> None:
        opening = canonical_json({"segment": self._number, **self._opening})
        path = as_local(self._log.path_of(self._number))
        if path is not None:
            self._file = open_private(path, "ab")
            self._file.write(opening + b"\n")
            self._file.flush()
        else:
            self._lines = [opening]
