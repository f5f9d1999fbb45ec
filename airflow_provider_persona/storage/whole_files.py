"""Files of any size that are there whole or not at all, in a local folder or in an object store.

An upload that is cut off by an error would leave a short object, so what goes to an object store is first written to a
scratch file on the local disk.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from airflow_provider_persona.storage.errors import FencedError, StoreError
from airflow_provider_persona.storage.paths import (
    StorePath,
    as_local,
    cannot_write,
    is_there,
    kind_of,
    open_private,
    shown,
    sync_folder,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_COPY = 1024 * 1024


@contextmanager
def scratch_file() -> Iterator[IO[bytes]]:
    """Yield a file without a name on the local disk, which is removed when it is closed, whatever happens.

    :raises StoreError: when there is no room for it.
    """
    try:
        file = _ScratchFile(tempfile.TemporaryFile(prefix="persona-", buffering=0))  # noqa: SIM115 - closed below
    except OSError as error:
        raise _no_room(error) from error
    try:
        yield file
    finally:
        with suppress(OSError, StoreError):  # closing writes the rest of the buffer, which fails again on a full disk
            file.close()


@contextmanager
def filling_scratch() -> Iterator[None]:
    """Turn an error of writing to a scratch file, SQLite's too, into a `StoreError`. Do nothing else inside."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise _no_room(error) from error


class _ScratchFile(io.BufferedRandom):
    """A file that says of a full disk what a scratch database says.

    Its errors are no `OSError`: a client that writes a download into it would take that for a failure of the network.
    Seeking and reading write the rest of the buffer first.
    """

    def write(self, data: ReadableBuffer) -> int:
        try:  # not `filling_scratch`, since a plan is written in millions of small pieces
            return super().write(data)
        except OSError as error:
            raise _no_room(error) from error

    flush = filling_scratch()(io.BufferedRandom.flush)
    seek = filling_scratch()(io.BufferedRandom.seek)
    truncate = filling_scratch()(io.BufferedRandom.truncate)
    read = filling_scratch()(io.BufferedRandom.read)


class _ScratchDatabase(sqlite3.Connection):
    """A database that says of a full disk what a scratch file says."""

    execute = filling_scratch()(sqlite3.Connection.execute)
    executemany = filling_scratch()(sqlite3.Connection.executemany)
    executescript = filling_scratch()(sqlite3.Connection.executescript)
    commit = filling_scratch()(sqlite3.Connection.commit)


def scratch_database() -> sqlite3.Connection:
    """Return a database in a file of SQLite's own in the system's temporary folder, deleted as soon as it is made.

    Its methods raise a `StoreError` when there is no room for it. Several threads may use it, one after the other.
    """
    # An empty name means such a file (sqlite.org/inmemorydb.html, "Temporary Databases"); `:memory:` would take memory.
    return sqlite3.connect("", check_same_thread=False, factory=_ScratchDatabase)


def write_whole(path: StorePath, lines: Iterable[bytes], *, only_new: bool = False, grows: bool = False) -> None:
    """Write a file so that it is there whole or not at all, readable by its owner only where there are owners.

    :param lines: lines without their ends. Errors that they raise pass as they are.
    :param only_new: whether a file that is there already must stay as it is. An object store that cannot create an
        object only if it is new is asked first, which leaves a moment between the two.
    :param grows: whether the file has lines from before at its beginning, so that it stays when it cannot be replaced.
    :raises FencedError: when the file must be new and is there already.
    :raises StoreError: when the file cannot be written.
    """
    if only_new and is_there(path):
        raise _there_already(path)
    local = as_local(path)
    if local is not None:
        with replacing(local, only_new=only_new) as file:
            _write_lines(file, lines, path)
        return
    # Lines may come slowly or raise an error, so they are gathered before the upload.
    with scratch_file() as gathered:
        _write_lines(gathered, lines, path)
        put_whole(gathered, path, grows=grows, only_new=only_new)


def _write_lines(file: IO[bytes], lines: Iterable[bytes], path: StorePath) -> None:
    for line in lines:
        try:  # around the write only: `lines` may raise errors of its own, and those must pass as they are
            file.write(line + b"\n")
        except OSError as error:
            raise cannot_write(path, error) from error


def _there_already(path: StorePath) -> FencedError:
    return FencedError(f"{shown(path)} is there already: another attempt of this task has written it", retryable=True)


def put_whole(source: IO[bytes], path: StorePath, *, grows: bool = False, only_new: bool = False) -> int:
    """Copy a scratch file, from its start, to its place, and return how many bytes it has.

    Locally it is readable by its owner only.

    :param source: the scratch file.
    :param path: its place; what is there is replaced. The folder must be there.
    :param grows: as for `write_whole`.
    :param only_new: as for `write_whole`.
    :raises FencedError: when the file must be new and is there already.
    :raises StoreError: when it cannot be written there.
    """
    try:
        source.flush()
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        local = as_local(path)
        if local is None and only_new:
            _upload_new(source, path)
        elif local is None:
            _upload(source, path, grows=grows)
        else:
            with replacing(local, only_new=only_new) as file:
                shutil.copyfileobj(source, file, _COPY)
    except StoreError:
        raise
    except Exception as error:  # fsspec's stores raise what their libraries raise
        raise cannot_write(path, error) from error
    return size


def _upload_new(source: IO[bytes], path: StorePath) -> None:
    """Upload an object that must be new.

    fsspec's `xb` makes the store itself refuse another one (s3fs from 2024.10 on by `If-None-Match`, gcsfs by
    `ifGenerationMatch`, adlfs by `If-None-Match`), so of two attempts one gets through.
    """
    try:
        _upload(source, path, mode="xb")
    except FileExistsError:
        raise _there_already(path) from None
    except (NotImplementedError, ValueError):
        pass  # fsspec's library for this store is older, or has no such thing
    except OSError as error:
        # Some say only that a condition did not hold.
        if is_there(path):
            raise _there_already(path) from error
        if error.errno != errno.ENOSYS:  # a store that is like S3 and answers 501
            raise  # and no second upload, which could replace another's
    else:
        return
    source.seek(0)
    _upload(source, path)


def _upload(source: IO[bytes], path: StorePath, *, grows: bool = False, mode: Literal["wb", "xb"] = "wb") -> None:
    file = path.open(mode)
    try:
        try:
            shutil.copyfileobj(source, file, _COPY)
        except BaseException:
            _discard(file)
            raise
        file.close()
    except BaseException:
        # A store that can discard an upload puts objects in place in one step, so what is there is whole, and may be
        # the marks of the run before. Others may have kept a short object; but one that grows holds what is done, and
        # one that had to be new may be another's.
        if not grows and mode == "wb" and not _can_discard(file):
            with suppress(Exception):
                path.unlink(missing_ok=True)
        raise


def _discard(file: Any) -> None:
    """Give an upload up. Closing it would put in place what has come so far, and so would its destructor."""
    with suppress(Exception):
        if not _can_discard(file):
            file.close()
            return
        try:
            file.discard()
        finally:
            # fsspec's destructor closes what is open, and so would upload it. `ObjectStoragePath.open` returns a
            # wrapper, which takes attributes for itself and has the file in `_obj` (Airflow 2.11 to 3.3).
            getattr(file, "_obj", file).closed = True


def _can_discard(file: Any) -> bool:
    return callable(getattr(file, "discard", None))


@contextmanager
def replacing(path: Path, *, only_new: bool = False) -> Iterator[IO[bytes]]:
    """Yield a local file that takes the place of `path` when it is written, and is removed when it could not be.

    It is readable by its owner only. Errors of the caller pass as they are.

    :param only_new: whether a file that is there already must stay as it is.
    :raises FencedError: when the file must be new and is there already.
    :raises StoreError: when the file cannot be made, closed or put in place.
    """
    part = path.with_name(path.name + ".part")
    try:
        # What stands there was left by an attempt that was killed, or somebody prepared it: a link to another file, or
        # a file that others can read. So it is removed and never opened.
        part.unlink(missing_ok=True)
        file = open_private(part, "xb")
        own = os.fstat(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield file
    except BaseException:
        _drop(file, part, own)
        raise
    try:
        # Before the rename: a name that outlives a power cut must not lead to a file that did not.
        file.flush()
        os.fsync(file.fileno())
        if not _is_at(part, own) and (os.path.lexists(part) or path.exists()):
            raise FileExistsError(part)  # noqa: TRY301 - a newer attempt has taken it away, and may have written its own
        file.close()  # before the rename, since NFS may say only now that there is no room
        if only_new:
            _link_new(part, path)
        else:
            part.replace(path)
        sync_folder(path.parent)
    except FileExistsError:
        _drop(file, part, own)
        raise _there_already(path) from None
    except OSError as error:
        _drop(file, part, own)
        raise cannot_write(path, error) from error


def _link_new(part: Path, path: Path) -> None:
    """Rename a file to a name that must be new; a plain rename would replace what is there.

    :raises FileExistsError: when the name is taken.
    """
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: look, then rename
        if path.exists():
            raise FileExistsError(path) from None
        part.replace(path)
    else:
        with suppress(OSError):  # the file is in place, and the next writer removes what is left here
            part.unlink()


def _is_at(part: Path, own: os.stat_result) -> bool:
    try:
        return os.path.samestat(own, part.lstat())
    except FileNotFoundError:
        return False


def _drop(file: IO[bytes], part: Path, own: os.stat_result) -> None:
    with suppress(OSError):
        if _is_at(part, own):  # else a newer attempt is writing there. Before closing: a free inode is soon another's
            part.unlink()
    with suppress(OSError):  # closing writes the rest of the buffer, which fails again on a full disk
        file.close()


def _no_room(error: Exception) -> StoreError:
    return StoreError(
        f"a temporary file cannot be written ({kind_of(error)}); check the free space of {tempfile.gettempdir()}, then "
        "retry",
        retryable=True,
    )
