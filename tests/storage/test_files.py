"""Files of a run: whole or not at all, private, never through a link that somebody prepared; a full disk is told of."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from upath import UPath, registry

from airflow_provider_persona.storage.errors import FencedError, StoreError
from airflow_provider_persona.storage.paths import cannot_write, is_there, names_in, prepare_folder, read_lines, remove
from airflow_provider_persona.storage.segments import SegmentedLog, SegmentWriter
from airflow_provider_persona.storage.whole_files import (
    put_whole,
    replacing,
    scratch_database,
    scratch_file,
    write_whole,
)
from tests.storage.full_disk import files_of_at_most


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """The most careless umask there is."""
    before = os.umask(0)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_prepared_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "plan.jsonl.part").symlink_to(victim)
    write_whole(tmp_path / "plan.jsonl", [b"1"])
    assert victim.read_text() == "mine"
    assert not (tmp_path / "plan.jsonl").is_symlink()
    assert (tmp_path / "plan.jsonl").read_bytes() == b"1\n"


def test_a_prepared_file_does_not_make_the_new_one_readable(tmp_path: Path) -> None:
    part = tmp_path / "values.jsonl.part"
    part.write_text("")
    part.chmod(0o666)
    with part.open("rb") as prepared:
        write_whole(tmp_path / "values.jsonl", [b"secret"])
        assert prepared.read() == b""
    assert _mode(tmp_path / "values.jsonl") == 0o600


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "dangling link", "link to a pipe"])
def test_what_is_no_file_is_not_read_and_lets_nobody_wait(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "plan.jsonl"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to({"device": "/dev/zero", "dangling link": "nowhere"}.get(kind, "pipe"))
    with pytest.raises(StoreError, match=rf"{path}, cannot be read"):
        list(read_lines(path))


@pytest.mark.parametrize("work", ["CREATE TABLE t AS SELECT zeroblob(9000000)", "INSERT INTO a SELECT zeroblob(9e6)"])
def test_a_full_disk_under_a_database_for_a_moment_is_a_store_error(work: str) -> None:
    with closing(scratch_database()) as database:
        database.executescript("CREATE TABLE a (b BLOB)")
        with files_of_at_most(100_000), pytest.raises(StoreError, match="a temporary file cannot be written"):
            database.execute(work)
        with files_of_at_most(100_000), pytest.raises(StoreError, match="a temporary file cannot be written"):
            database.executemany("INSERT INTO a VALUES (zeroblob(?))", [(9_000_000,)])
        with files_of_at_most(100_000), pytest.raises(StoreError, match="a temporary file cannot be written"):
            database.executescript(work)


def test_a_ledger_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "ledger-00001.jsonl").symlink_to(tmp_path / "victim")
    writer = SegmentWriter(SegmentedLog(tmp_path, "ledger"), 1, {})
    with pytest.raises(StoreError, match="this one writes nothing more"):
        asyncio.run(writer.open())
    assert (tmp_path / "victim").read_text() == "mine"


def test_new_folders_are_the_owners_only_and_old_ones_stay(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    prepare_folder(tmp_path / "dag" / "run" / "1")
    assert [_mode(tmp_path / name) for name in ("", "dag", "dag/run", "dag/run/1")] == [0o755, 0o700, 0o700, 0o700]
    assert list((tmp_path / "dag" / "run" / "1").iterdir()) == []


def test_a_file_that_another_attempt_put_in_the_way_is_not_taken_for_ours(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    path.write_bytes(b"before\n")
    older = replacing(path)
    older.__enter__().write(b"older")
    with replacing(path) as newer:
        newer.write(b"newer\n")
    (tmp_path / "plan.jsonl.part").write_bytes(b"half of a third")
    with pytest.raises(StoreError, match="another attempt of this task has written it"):
        older.__exit__(None, None, None)
    assert path.read_bytes() == b"newer\n"


def test_an_older_attempt_takes_nothing_from_a_newer_one_that_is_writing(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    older, failing = replacing(path), replacing(path)
    failing.__enter__()
    older.__enter__().write(b"older\n")
    with replacing(path) as newer:
        newer.write(b"newer\n")
        with pytest.raises(FencedError):
            older.__exit__(None, None, None)
        assert not failing.__exit__(KeyError, KeyError(), None)
    assert path.read_bytes() == b"newer\n"


def test_an_older_attempt_is_told_that_a_newer_one_has_written_and_not_of_a_disk_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    older = replacing(path)
    older.__enter__().write(b"older\n")
    with replacing(path) as newer:
        newer.write(b"newer\n")
    with pytest.raises(FencedError, match="another attempt of this task has written it"):
        older.__exit__(None, None, None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.jsonl"]
    assert path.read_bytes() == b"newer\n"


def test_a_new_file_that_is_in_place_is_not_told_as_unwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, plain = tmp_path / "plan.jsonl", os.unlink

    def unlink(name: str, **options: Any) -> None:
        if path.exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        plain(name, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    write_whole(path, [b"1"], only_new=True)
    assert path.read_bytes() == b"1\n"


@pytest.mark.parametrize("size", [10, 1_000_000])  # what fails is closing the file, and writing to it
def test_a_full_disk_is_a_store_error_and_leaves_what_was_there(tmp_path: Path, size: int) -> None:
    path = tmp_path / "plan.jsonl"
    path.write_bytes(b"before\n")
    with files_of_at_most(5), pytest.raises(StoreError, match=r"cannot be written to .*OSError.*free space") as refused:
        write_whole(path, [b"x" * size])
    assert refused.value.retryable
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.jsonl"]
    assert path.read_bytes() == b"before\n"


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_full_local_disk_is_a_store_error_for_an_object_store_too(size: int) -> None:
    path = UPath(f"memory://full-{os.getpid()}/plan.jsonl")
    with files_of_at_most(5), pytest.raises(StoreError, match=r"a temporary file .*OSError.*free space") as refused:
        write_whole(path, [b"x" * size])
    assert refused.value.retryable
    assert not path.exists()


def test_a_full_disk_while_a_scratch_file_is_closed_is_a_store_error(tmp_path: Path) -> None:
    with scratch_file() as file:
        file.write(b"x" * 100)
        with files_of_at_most(5), pytest.raises(StoreError):
            put_whole(file, tmp_path / "part-00001.jsonl")
    with scratch_file() as given_up, files_of_at_most(5):
        given_up.write(b"x" * 100)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_costs_a_ledger_one_line_and_closing_says_nothing_of_it(tmp_path: Path) -> None:
    async def write() -> None:
        await writer.open()
        await writer.put({"row": 1})
        with files_of_at_most((tmp_path / "ledger-00001.jsonl").stat().st_size + 4), pytest.raises(StoreError):
            await writer.put({"row": 2})
        await writer.put({"row": 3})
        writer.release()

    writer = SegmentWriter(SegmentedLog(tmp_path, "ledger"), 1, {"attempt": 1})
    asyncio.run(write())
    raw = (tmp_path / "ledger-00001.jsonl").read_bytes().split(b"\n")
    assert [json.loads(line) for line in (raw[1], raw[3])] == [{"row": 1}, {"row": 3}]
    assert raw[2] == b'{"ro'
    found = [line for _, line in SegmentedLog(tmp_path, "ledger").lines()]
    assert found[1:] == [{"row": 1}, None, {"row": 3}]


def test_a_disk_that_is_full_is_named_in_the_words_of_the_system(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "text of a library, perhaps with an address in it")
    message = str(cannot_write(tmp_path / "plan.jsonl", full))
    assert f"{tmp_path}/plan.jsonl, cannot be written to (OSError: No space left on device); check" in message
    assert "text of a library" not in message


class Tracked:
    """What Airflow's `ObjectStoragePath.open` wraps a file in (2.11 to 3.3)."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj

    def __getattr__(self, name: str) -> Any:
        return getattr(self._obj, name)


@pytest.mark.parametrize("can_reach_the_store", [True, False])
@pytest.mark.parametrize("wrapped", [Tracked, lambda file: file], ids=["behind Airflow's wrapper", "as it is"])
def test_an_upload_that_breaks_off_is_discarded_and_never_put_in_place(
    wrapped: Callable[[Any], Any], can_reach_the_store: bool
) -> None:
    class Upload(AbstractBufferedFile):  # type: ignore[misc]
        """As s3fs, gcsfs and adlfs write: what was written is put in place when the file is closed."""

        def _initiate_upload(self) -> None:
            pass

        def _upload_chunk(self, final: bool = False) -> bool:
            done.append("put in place")
            return True

        def write(self, _: object) -> int:
            raise OSError(errno.EIO, "connection lost")

        def discard(self) -> None:
            done.append("discarded")
            if not can_reach_the_store:
                raise OSError(errno.EIO, "connection lost")

    class Place:
        protocol = "s3"
        parent = "s3://bucket"

        def open(self, _: str) -> Any:
            return wrapped(Upload(None, "bucket/ledger-00001.jsonl", "wb"))

    done: list[str] = []
    with scratch_file() as source:
        source.write(b"x")
        with pytest.raises(StoreError):
            put_whole(source, Place(), grows=True)  # type: ignore[arg-type]
    gc.collect()
    assert done == ["discarded"]


@pytest.mark.parametrize("fails_at", ["open", "write", "close"])
def test_what_was_there_stays_when_a_store_that_puts_objects_in_one_step_refuses_the_new(fails_at: str) -> None:
    class Upload(AbstractBufferedFile):  # type: ignore[misc]
        def _initiate_upload(self) -> None:
            pass

        def _upload_chunk(self, final: bool = False) -> bool:
            raise OSError(errno.EIO, "connection lost")

        def write(self, data: Any) -> int:
            if fails_at == "write":
                raise OSError(errno.EIO, "connection lost")
            return int(super().write(data))

    class Place:
        protocol = "s3"

        def open(self, _: str) -> Upload:
            if fails_at == "open":
                raise PermissionError("the token has expired")
            return Upload(None, "bucket/marks.json", "wb")

        def unlink(self, *, missing_ok: bool) -> None:
            gone.append(missing_ok)

    gone: list[bool] = []
    with pytest.raises(StoreError, match="cannot be written to"):
        write_whole(Place(), [b"a newer mark"])  # type: ignore[arg-type]
    assert gone == []


class Unreachable(AbstractFileSystem):  # type: ignore[misc]
    """A store that cannot be asked, at the moment or with these rights."""

    protocol = "unreachable"
    error: Exception = ConnectionResetError()

    def info(self, _path: str, **_options: Any) -> Any:
        raise self.error

    def ls(self, _path: str, **_options: Any) -> Any:
        raise self.error


class UnreachablePath(UPath):
    """A path there."""


fsspec.register_implementation("unreachable", Unreachable, clobber=True)
registry.register_implementation("unreachable", UnreachablePath, clobber=True)


@pytest.mark.parametrize("error", [ConnectionResetError(), PermissionError(), TimeoutError(), ValueError("its own")])
def test_a_store_that_cannot_be_asked_does_not_say_that_nothing_is_there(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A plan would be made anew over one that is there, a newer attempt would not be seen, and values would stay."""
    monkeypatch.setattr(Unreachable, "error", error)
    folder = UPath("unreachable://bucket/run")
    for ask in (is_there, names_in, remove):
        with pytest.raises(StoreError, match="cannot be read"):
            ask(folder)
    with pytest.raises(StoreError, match="cannot be read"):
        write_whole(folder / "plan.jsonl", [b"1"], only_new=True)


def test_what_is_not_in_a_store_is_not_there() -> None:
    folder = UPath(f"memory://nowhere-{os.getpid()}")
    assert not is_there(folder / "plan.jsonl")
    assert names_in(folder) == []
    write_whole(folder / "plan.jsonl", [b"1"])
    assert is_there(folder / "plan.jsonl")
    assert names_in(folder) == ["plan.jsonl"]


def test_what_is_not_on_a_disk_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for missing in ("none", "none/below", "file/below", "link"):
        assert not is_there(tmp_path / missing)
        assert names_in(tmp_path / missing) == []
    assert is_there(tmp_path / "file")
