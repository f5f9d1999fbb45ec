"""Files of a run in a folder that is local (`pathlib.Path`) or in an object store (`ObjectStoragePath`).

Both offer the same methods; what differs is how a file can be written safely, and that is what lives here.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

from airflow_provider_persona.bulk.errors import StoreError

if TYPE_CHECKING:
    from upath import UPath

StorePath: TypeAlias = "Path | UPath"
"""A folder or file: local, or in an object store (`ObjectStoragePath` is a `UPath`)."""

_COPY = 1024 * 1024


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
    """Make the folder and try that it can be written to, so that a run fails before its first write and not after.

    :raises StoreError: when it cannot.
    """
    try:
        try_folder(folder)
    except Exception as error:  # fsspec's stores raise what their libraries raise
        raise cannot_write(folder, error) from error


def try_folder(folder: StorePath) -> None:
    """Make a folder and write to it; raises what the store raises."""
    probe = folder / ".writable"
    folder.mkdir(parents=True, exist_ok=True)
    with probe.open("wb") as file:
        file.write(b"")
    probe.unlink()


def cannot_write(folder: StorePath, error: Exception) -> StoreError:
    """Return the error for a folder that cannot be written to."""
    return StoreError(
        f"the folder for plan and ledger, {shown(folder)}, cannot be written to ({type(error).__name__}); "
        "check state_path",
        retryable=True,
    )


def write_whole(path: StorePath, lines: Iterable[bytes]) -> None:
    """Write a file so that it is there whole or not at all, readable by its owner only where there are owners.

    :param lines: lines without their ends.
    """
    local = as_local(path)
    if local is not None:
        with replacing(local) as file:
            file.writelines(line + b"\n" for line in lines)
        return
    # An upload that is cut off by an error in `lines` would leave a short object, so the lines are gathered first.
    with tempfile.TemporaryFile() as gathered:
        gathered.writelines(line + b"\n" for line in lines)
        gathered.seek(0)
        with path.open("wb") as file:
            shutil.copyfileobj(gathered, file, _COPY)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a local file that takes the place of `path` when it is written, and is gone when it could not be.

    It is readable by its owner only.
    """
    part = path.with_name(path.name + ".part")
    try:
        with open_private(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def open_private(path: Path, mode: str) -> IO[bytes]:
    """Open a local file for writing, for its owner only when it is new."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))


def read_lines(path: StorePath) -> Iterator[bytes]:
    """Yield the lines of a file, without their ends."""
    with path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\n")


def names_in(folder: StorePath) -> list[str]:
    """Return the names in a folder, sorted; none when there is no folder.

    :raises StoreError: when the store cannot be asked.
    """
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except Exception as error:  # fsspec's stores raise what their libraries raise
        raise StoreError(
            f"{shown(folder)} cannot be looked into ({type(error).__name__}); check state_path", retryable=True
        ) from error
