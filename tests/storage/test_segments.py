"""Segments in an object store: a line that was put down stays, whatever becomes of the task that wrote it."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from airflow_provider_persona.storage.segments import SegmentedLog, SegmentWriter


@dataclass
class Object:
    """An object in a store, or the folder of all of them: as much of a path as segments need.

    :param name: its name; empty for the folder.
    :param store: all objects by name.
    :param before_put: called in the uploading thread before an object is put in place, with its content.
    """

    name: str
    store: dict[str, bytes]
    before_put: Callable[[bytes], None]
    protocol = "s3"

    def __truediv__(self, name: str) -> Object:
        return Object(name, self.store, self.before_put)

    def iterdir(self) -> Iterator[Object]:
        return iter([self / name for name in self.store])

    def stat(self) -> int:
        if self.name not in self.store:
            raise FileNotFoundError(self.name)
        return len(self.store[self.name])

    def open(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.store[self.name]) if mode == "rb" else _Upload(self)


class _Upload(io.BytesIO):
    def __init__(self, place: Object) -> None:
        super().__init__()
        self._place = place

    def close(self) -> None:
        if not self.closed:
            content = self.getvalue()
            self._place.before_put(content)
            self._place.store[self._place.name] = content
        super().close()


def test_an_upload_that_its_task_has_left_does_not_replace_a_later_one() -> None:
    """A thread cannot be cancelled: it goes on with the lines that it was given, and may be the last to end."""
    is_under_way, may_go_on = threading.Event(), threading.Event()

    def before_put(content: bytes) -> None:
        if b"row" in content and b"end" not in content:
            is_under_way.set()
            may_go_on.wait(5)

    async def write() -> None:
        await writer.open()
        left = asyncio.create_task(writer.put({"row": 1}))
        await asyncio.to_thread(is_under_way.wait, 5)
        left.cancel()
        await asyncio.wait([left])
        asyncio.get_running_loop().call_later(0.1, may_go_on.set)
        await writer.put({"end": "stopped"})

    folder: Any = Object("", {}, before_put)
    log = SegmentedLog(folder, "ledger")
    writer = SegmentWriter(log, 1, {})
    asyncio.run(write())  # it waits for its threads
    assert [line for _, line in log.lines()] == [{"segment": 1}, {"row": 1}, {"end": "stopped"}]
