"""Segments in an object store: a line that was put down stays, whatever becomes of the task that wrote it."""

from __future__ import annotations

import asyncio
import errno
import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from airflow_provider_persona.storage.errors import FencedError, StoreError
from airflow_provider_persona.storage.segments import SegmentedLog, SegmentWriter
from airflow_provider_persona.storage.whole_files import write_whole


@dataclass
class Object:
    """An object in a store, or the folder of all of them: as much of a path as segments need.

    :param name: its name; empty for the folder.
    :param store: all objects by name.
    :param before_put: called in the uploading thread before an object is put in place, with its content.
    :param knows_new: whether the store itself can refuse an object that is not new.
    """

    name: str
    store: dict[str, bytes]
    before_put: Callable[[bytes], None] = lambda _: None
    knows_new: bool = True
    protocol = "s3"

    def __truediv__(self, name: str) -> Object:
        return replace(self, name=name)

    def iterdir(self) -> Iterator[Object]:
        return iter([self / name for name in self.store])

    def stat(self) -> int:
        if self.name not in self.store:
            raise FileNotFoundError(self.name)
        return len(self.store[self.name])

    def open(self, mode: str) -> io.BytesIO:
        if mode == "xb" and not self.knows_new:
            raise NotImplementedError("File mode not supported")
        return io.BytesIO(self.store[self.name]) if mode == "rb" else _Upload(self, only_new=mode == "xb")


class _Upload(io.BytesIO):
    def __init__(self, place: Object, *, only_new: bool) -> None:
        super().__init__()
        self._place = place
        self._only_new = only_new

    def close(self) -> None:
        if not self.closed:
            content = self.getvalue()
            super().close()
            self._place.before_put(content)
            if self._only_new and self._place.name in self._place.store:
                raise FileExistsError(self._place.name)
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


def test_of_two_writers_that_begin_at_once_the_store_lets_one_through() -> None:
    """Both have looked before either has written."""

    def before_put(_: bytes) -> None:
        store.setdefault("ledger-00001.jsonl", b'{"of":"the other"}\n')

    store: dict[str, bytes] = {}
    folder: Any = Object("", store, before_put)
    with pytest.raises(FencedError, match=r"a newer attempt of this task is at work and has begun .*ledger-00001"):
        asyncio.run(SegmentWriter(SegmentedLog(folder, "ledger"), 1, {}).open())
    assert store == {"ledger-00001.jsonl": b'{"of":"the other"}\n'}


@pytest.mark.parametrize("newer", [False, True], ids=["", "a newer writer takes its number"])
def test_the_next_segment_of_a_long_log_never_takes_the_place_of_a_newer_writers(newer: bool) -> None:
    def before_put(content: bytes) -> None:
        if newer and content.startswith(b'{"segment":2'):
            store["ledger-00002.jsonl"] = b'{"of":"the newer"}\n'

    async def write() -> None:
        await writer.open()
        for first in range(0, 1200, 24):
            await asyncio.gather(*(writer.put({"row": row}) for row in range(first, first + 24)))
            if not newer:
                await writer.require_newest()  # its own next segment is none of a newer writer
        if newer:
            with pytest.raises(FencedError):
                await writer.require_newest()

    store: dict[str, bytes] = {}
    folder: Any = Object("", store, before_put)
    folder_log = SegmentedLog(folder, "ledger")
    writer = SegmentWriter(folder_log, 1, {})
    asyncio.run(write())
    rows = [line["row"] for _, line in folder_log.lines() if line is not None and "row" in line]
    assert rows == list(range(1200))
    if newer:
        assert store["ledger-00002.jsonl"] == b'{"of":"the newer"}\n'
    assert sorted(store) == ["ledger-00001.jsonl", "ledger-00002.jsonl"]


def test_whoever_looks_while_the_next_segment_is_begun_does_not_find_it() -> None:
    """Many rows look for a newer writer while one of them begins the next segment in a thread."""

    async def look() -> None:
        while not is_over.is_set():
            await writer.require_newest()
            looks.append(folder_log.path_of(2).name in store)
            await asyncio.sleep(0)

    async def write() -> None:
        await writer.open()
        looking = asyncio.create_task(look())
        for first in range(0, 1100, 100):
            await asyncio.gather(*(writer.put({"row": row}) for row in range(first, first + 100)))
        is_over.set()
        await looking

    store: dict[str, bytes] = {}
    looks: list[bool] = []
    is_over = threading.Event()
    folder: Any = Object("", store, lambda _: time.sleep(0.05))
    folder_log = SegmentedLog(folder, "ledger")
    writer = SegmentWriter(folder_log, 1, {})
    asyncio.run(write())
    assert {True, False} == set(looks)


def test_a_store_that_cannot_refuse_is_asked_first() -> None:
    folder: Any = Object("", {}, knows_new=False)
    write_whole(folder / "plan.jsonl", [b"1"], only_new=True)
    with pytest.raises(FencedError, match="another attempt of this task has written it"):
        write_whole(folder / "plan.jsonl", [b"2"], only_new=True)
    assert folder.store == {"plan.jsonl": b"1\n"}


@pytest.mark.parametrize(
    ("number", "taken", "expected"),
    [
        (errno.ENOSYS, False, None),  # 501 of a store that is like S3
        (errno.ENOSYS, True, FencedError),
        (errno.EINVAL, True, FencedError),  # 412 without the condition that did not hold
        (errno.EIO, False, StoreError),  # 409: somebody else is at it
    ],
)
def test_an_error_about_a_new_object_is_not_followed_by_a_put_over_anothers(
    number: int, taken: bool, expected: type[Exception] | None
) -> None:
    def before_put(_: bytes) -> None:
        puts.append(1)
        if taken:
            store["plan.jsonl"] = b"another's\n"
        if len(puts) == 1:
            raise OSError(number, "refused")

    puts: list[int] = []
    store: dict[str, bytes] = {}
    folder: Any = Object("", store, before_put)
    if expected is None:
        write_whole(folder / "plan.jsonl", [b"1"], only_new=True)
        assert store == {"plan.jsonl": b"1\n"}
    else:
        with pytest.raises(expected) as raised:
            write_whole(folder / "plan.jsonl", [b"1"], only_new=True)
        assert isinstance(raised.value, FencedError) is (expected is FencedError)
        assert store == ({"plan.jsonl": b"another's\n"} if taken else {})
