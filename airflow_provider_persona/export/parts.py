"""The parts of an export as JSON Lines or Parquet, written to a scratch file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from airflow_provider_persona.export.errors import MissingLibraryError

if TYPE_CHECKING:
    from airflow_provider_persona.export.columns import Columns

_ROWS_IN_GROUP: Final = 1000
"""Rows that are gathered before they are written to a Parquet file; an export keeps them in memory beside a page."""


class FileFormat(StrEnum):
    """Formats of the parts."""

    JSON_LINES = "jsonl"
    PARQUET = "parquet"


class PartWriter(Protocol):
    """Writes objects to a scratch file."""

    def add(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Write some objects."""

    def finish(self) -> None:
        """Write what is still missing; the file is then complete."""

    def abandon(self) -> None:
        """Release the file, which will not be completed."""


class JsonLines:
    """Writes one object a line.

    :param file: the scratch file.
    :param columns: the columns of an object.
    """

    def __init__(self, file: IO[bytes], columns: Columns) -> None:
        self._scratch = file
        self._columns = columns

    def add(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Write some objects."""
        for item in items:
            line = json.dumps(self._columns.record(item), ensure_ascii=False, separators=(",", ":"))
            self._scratch.write(line.encode() + b"\n")

    def finish(self) -> None:
        """Nothing is missing."""

    def abandon(self) -> None:
        """Nothing is open."""


class Parquet:
    """Writes rows of text, so that every part of every export has the same types.

    Numbers, truths, lists and objects are written as JSON writes them.

    :param file: the scratch file.
    :param columns: the columns of an object.
    """

    def __init__(self, file: IO[bytes], columns: Columns) -> None:
        self._arrow: Any = import_module("pyarrow")
        self._columns = columns
        self._schema = self._arrow.schema([(name, self._arrow.string()) for name in columns.names])
        self._file: Any = import_module("pyarrow.parquet").ParquetWriter(file, self._schema)
        self._rows: list[list[str | None]] = []

    def add(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Write some objects."""
        self._rows.extend([_text(value) for value in self._columns.values(item)] for item in items)
        # Not page by page: a file of many small row groups is large and slow to read.
        if len(self._rows) >= _ROWS_IN_GROUP:
            self._write_group()

    def finish(self) -> None:
        """Write the rest of the rows and the file's end."""
        self._write_group()
        self._file.close()

    def abandon(self) -> None:
        """Release the file. An open Parquet file would raise when it is collected after the scratch file is closed."""
        with suppress(Exception):
            self._file.close()

    def _write_group(self) -> None:
        if not self._rows:
            return
        arrow = self._arrow
        columns = [arrow.array(values, arrow.string()) for values in zip(*self._rows, strict=True)]
        self._file.write_table(arrow.Table.from_arrays(columns, schema=self._schema))
        self._rows = []


def part_writer(kind: FileFormat, file: IO[bytes], columns: Columns) -> PartWriter:
    """Return a writer of that format."""
    return Parquet(file, columns) if kind is FileFormat.PARQUET else JsonLines(file, columns)


def need_library(kind: FileFormat) -> None:
    """Check that a format can be written, before anything is read.

    :raises MissingLibraryError: when pyarrow is missing for Parquet.
    """
    if kind is not FileFormat.PARQUET:
        return
    try:
        import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingLibraryError(
            "Parquet is written by pyarrow, which is not installed; install airflow-provider-persona[parquet], or use "
            'file_format="jsonl"'
        ) from error


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
