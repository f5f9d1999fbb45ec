"""A small object store on disk, behind fsspec: whole objects only, put in one step, nothing appended.

It lets a test kill a process that writes to an object store, and look at what is left.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from upath import UPath, registry


class _Upload(io.BytesIO):
    """What is written becomes the object when it is closed, in one step."""

    def __init__(self, path: str, before: Callable[[str, str], None], *, only_new: bool) -> None:
        super().__init__()
        self._path = path
        self._before = before
        self._only_new = only_new

    def close(self) -> None:
        if not self.closed:
            try:
                self._before("put", self._path)
            except BaseException:
                super().close()
                raise
            part = f"{self._path}.uploading"
            Path(part).write_bytes(self.getvalue())
            try:
                if self._only_new:
                    Path(self._path).hardlink_to(part)
                    Path(part).unlink()
                else:
                    Path(part).replace(self._path)
            finally:
                super().close()
        super().close()


class Shelf(LocalFileSystem):  # type: ignore[misc]
    """An object store whose objects are files below a local folder."""

    protocol = "shelf"
    before: Callable[[str, str], None] = staticmethod(lambda _operation, _path: None)
    """Called with the operation (`read`, `put`, `list`, `delete`) and the path before it is done; it may raise."""
    listing: Callable[[str, list[Any]], list[Any]] = staticmethod(lambda _path, found: found)
    """What is listed, of what is there."""
    modes = ("wb", "xb")
    """How an object can be put: in place of another one, and only if it is new."""
    puts: list[str] = []  # noqa: RUF012 - of this process, on purpose

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return "/" + str(path).removeprefix("shelf:").strip("/")

    def ls(self, path: str, detail: bool = False, **kwargs: Any) -> Any:
        self.before("list", self._strip_protocol(path))
        return self.listing(self._strip_protocol(path), super().ls(path, detail, **kwargs))

    def rm_file(self, path: str) -> None:
        self.before("delete", self._strip_protocol(path))
        super().rm_file(path)

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        if mode == "rb":
            self.before("read", path)
            return super()._open(path, mode, **kwargs)
        if mode not in self.modes:
            raise ValueError(f"an object store cannot open with {mode}")
        if Path(path).with_name("closed").exists():
            raise PermissionError("Access denied")
        self.puts.append(Path(path).name)
        return _Upload(path, self.before, only_new=mode == "xb")


class ShelfPath(UPath):
    """A path on the shelf."""


fsspec.register_implementation("shelf", Shelf, clobber=True)
registry.register_implementation("shelf", ShelfPath, clobber=True)


def shelf_path(address: str) -> UPath:
    return UPath(address)
