"""Folders and files that are local (`pathlib.Path`) or in an object store (`ObjectStoragePath`).

Both offer the same methods. How a file is written safely stands in `whole_files.py` and `segments.py`.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

from airflow_provider_persona.storage.errors import StoreError

if TYPE_CHECKING:
    from upath import UPath

StorePath: TypeAlias = "Path | UPath"
"""A folder or file: local, or in an object store (`ObjectStoragePath` is a `UPath`)."""


def as_local(path: StorePath) -> Path | None:
    """Return the local path behind `path`, or None when it is in an object store."""
    protocol = getattr(path, "protocol", None)
    if protocol is None and isinstance(path, Path):  # older releases of `UPath` are a `Path` too, whatever the store
        return path
    if protocol in ("", "file", "local"):
        return Path(str(getattr(path, "path", path)))
    return None


def shown(path: StorePath) -> str:
    """Return the address of `path` for people and XCom."""
    local = as_local(path)
    return str(local if local is not None else path)


def prepare_folder(folder: StorePath) -> None:
    """Make a folder and try that it can be written to, so that a run fails before its first write and not after.

    A new local folder can be opened by its owner only.

    :raises StoreError: when it cannot be made or written to.
    """
    # A name of its own: another task may try the same folder at the same time.
    probe = folder / f".writable-{secrets.token_hex(4)}"
    try:
        _make_folder(folder)
        with probe.open("wb") as file:
            file.write(b"")
        probe.unlink()
    except Exception as error:  # fsspec's stores raise what their libraries raise
        raise cannot_write(folder, error) from error


def _make_folder(folder: StorePath) -> None:
    local = as_local(folder)
    if local is None:
        folder.mkdir(parents=True, exist_ok=True)
        return
    # `mkdir(parents=True)` gives its mode to the last folder only. Another task may make the same one at this moment.
    for missing in reversed([path for path in (local, *local.parents) if not path.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def cannot_write(path: StorePath, error: Exception) -> StoreError:
    """Return the error for a folder or file that cannot be written to."""
    return StoreError(
        f"the folder or file of this task, {shown(path)}, cannot be written to ({kind_of(error)}); check state_path or "
        "output_path, the free space, and the connection of an object store, then retry",
        retryable=True,
    )


def cannot_read(path: StorePath, error: Exception) -> StoreError:
    """Return the error for a folder or file that cannot be read."""
    return StoreError(
        f"the folder or file of this task, {shown(path)}, cannot be read ({kind_of(error)}); check state_path or "
        "output_path, the disk, and the connection of an object store, then retry",
        retryable=True,
    )


def kind_of(error: Exception) -> str:
    """Return what kind of error it is: its class, and the system's words where that class tells nothing.

    Never the error's own text: libraries of object stores put addresses and parts of requests into theirs.
    """
    name = type(error).__name__
    return f"{name}: {os.strerror(error.errno)}" if type(error) is OSError and error.errno else name


def open_private(path: Path, mode: str, buffering: int = -1) -> IO[bytes]:
    """Open a local file for writing, for its owner only when it is new. A symbolic link is refused.

    :param mode: `xb` for a file that must be new, `ab` to append.
    :param buffering: as for `open`; 0 passes each write on at once.
    """
    return open(path, mode, buffering, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600))


def sync_folder(folder: Path) -> None:
    """Let the names in a local folder outlive the machine: `fsync` of a file need not keep its name (fsync(2))."""
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # a folder that may be written to and not listed
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that have no such thing
            raise
    finally:
        os.close(number)


class NoRegularFileError(OSError):
    """A pipe or a device stands in the place of a file."""


def open_regular(path: StorePath) -> IO[bytes]:
    """Open a file for reading. A pipe or a device in its place is refused, since reading it might never end.

    :raises OSError: when it cannot be opened; in an object store what the store's library raises.
    """
    local = as_local(path)
    if local is None:
        return path.open("rb")
    # Without waiting, since opening a pipe takes until somebody writes to it.
    file = open(local, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    # Asked of the open file: a name could be given to another one between the question and the opening.
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise NoRegularFileError(path)
    return file


def read_regular(path: StorePath) -> bytes:
    """Return what a file holds; it is opened as by `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def read_lines(path: StorePath) -> Iterator[bytes]:
    """Yield the lines of a file, without their ends.

    :raises StoreError: when it cannot be read.
    """
    try:
        with open_regular(path) as file:
            for line in lines_in(file):
                yield line.rstrip(b"\n")
    except Exception as error:  # fsspec's stores raise what their libraries raise
        raise cannot_read(path, error) from error


def lines_in(file: IO[bytes]) -> Iterator[bytes]:
    """Return the lines that are left in an open file, with their ends.

    A file in an object store cannot be iterated on every Airflow: on 2.11, what `ObjectStoragePath.open` returns has
    `__getitem__` and no `__iter__`.
    """
    return iter(file.readline, b"")


def is_there(path: StorePath) -> bool:
    """Return whether there is a file.

    :raises StoreError: when the store cannot be asked.
    """
    try:
        _forget_listing(path)
        path.stat()  # not `exists`: fsspec's own takes every error for an absence, and so does Python's from 3.14 on
    except (FileNotFoundError, NotADirectoryError):
        return False
    except Exception as error:  # fsspec's stores raise what their libraries raise
        raise cannot_read(path, error) from error
    return True


def remove(path: StorePath) -> None:
    """Delete a file, if it is there.

    :raises StoreError: when it cannot be deleted, or the store cannot be asked.
    """
    if as_local(path) is None and not is_there(path):  # `UPath.unlink` would ask `exists`, and believe it
        return
    try:
        path.unlink(missing_ok=True)
    except Exception as error:  # fsspec's stores raise what their libraries raise
        raise cannot_write(path, error) from error


def names_in(folder: StorePath) -> list[str]:
    """Return the names in a folder, sorted; none when there is no folder.

    A listing of an object store may be older than what was written last: ask `is_there` for the name that would follow.

    :raises StoreError: when the store cannot be asked.
    """
    try:
        _forget_listing(folder / "any")  # it forgets the listing of the folder above the path
        return sorted(entry.name for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError) as error:
        # universal-pathlib asks `isdir` first, where fsspec takes an error of the network for an absence.
        if as_local(folder) is None and is_there(folder):
            raise cannot_read(folder, error) from error
        return []
    except Exception as error:  # fsspec's stores raise what their libraries raise
        raise cannot_read(folder, error) from error


def _forget_listing(path: StorePath) -> None:
    """Let fsspec ask the store: it keeps listings, which do not tell what other processes have written since."""
    if as_local(path) is None and (forget := getattr(getattr(path, "fs", None), "invalidate_cache", None)) is not None:
        forget(str(getattr(path.parent, "path", path.parent)))
