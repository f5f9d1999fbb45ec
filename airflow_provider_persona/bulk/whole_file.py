"""Files of any size that are there whole or not at all, in a local folder or in an object store.

What is to be written stands in a local spool first: an upload that is cut off by an error would leave a short object.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from airflow_provider_persona.bulk.errors import StoreError
from airflow_provider_persona.bulk.store import StorePath, as_local, replacing, shown, try_folder

_COPY = 1024 * 1024


def make_folder(folder: StorePath) -> None:
    """Make a folder and try that it can be written to, before anything is read that shall be written there.

    :raises StoreError: when it cannot.
    """
    try:
        try_folder(folder)
    except Exception as error:  # fsspec's stores raise what their libraries raise
        raise _cannot_write(folder, error) from error


@contextmanager
def spool() -> Iterator[IO[bytes]]:
    """Yield a file without a name on the local disk, which is gone when it is closed, whatever happens."""
    with tempfile.TemporaryFile(prefix="persona-") as file:
        yield file


def put_whole(source: IO[bytes], path: StorePath) -> int:
    """Copy a spool, from its start, to where it shall be, and return how many bytes it has.

    Locally it is readable by its owner only.

    :param source: the spool.
    :param path: where to; what is there is replaced. Its folder must be there.
    :raises StoreError: when it cannot be written there.
    """
    source.flush()
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    try:
        local = as_local(path)
        if local is None:
            _upload(source, path)
        else:
            with replacing(local) as file:
                shutil.copyfileobj(source, file, _COPY)
    except Exception as error:  # fsspec's stores raise what their libraries raise
        raise _cannot_write(path, error) from error
    return size


def _cannot_write(path: StorePath, error: Exception) -> StoreError:
    return StoreError(
        f"{shown(path)} cannot be written ({type(error).__name__}); check the address, and the store's connection",
        retryable=True,
    )


def _upload(source: IO[bytes], path: StorePath) -> None:
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(source, file, _COPY)
    except BaseException:
        with suppress(Exception):  # closing it after an error may have left a short object
            path.unlink(missing_ok=True)
        raise
