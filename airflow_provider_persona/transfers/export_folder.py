"""The folder of an export: parts, a record of progress while it goes on, and a manifest once it is whole.

    part-00001.jsonl, part-00002.jsonl, …   the objects, each file whole
    _progress.json                          while it goes on: which parts are there, and the page to go on with
    _manifest.json                          when it is whole: parts, rows and bytes; written last

So whoever reads waits for the manifest. What begins with an underscore is passed over by Spark, Hive, DuckDB's globs on
`part-*` and pyarrow's data sets. Neither record holds an attribute of an object, a filter or a query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final

from airflow_provider_persona.bulk.store import names_in, shown, write_whole
from airflow_provider_persona.bulk.whole_file import make_folder, put_whole
from airflow_provider_persona.transfers.listing import Mark

if TYPE_CHECKING:
    from airflow_provider_persona.bulk.store import StorePath
    from airflow_provider_persona.transfers.part_files import FileFormat

_FORMAT: Final = 1
_PROGRESS, _MANIFEST = "_progress.json", "_manifest.json"
_PART = re.compile(r"part-\d{5,}\.(jsonl|parquet)")


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an export."""

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export has come.

    :param export: fingerprint of what is read and how it is written.
    :param run: identity of the task's run.
    :param since: the mark that it reads up to, None for all.
    :param newest: the newest object it has seen, the mark for the next one.
    :param after: cursor of the page to go on with; None at the beginning.
    :param parts: the parts that are there.
    """

    export: str
    run: str
    since: Mark | None = None
    newest: Mark | None = None
    after: str | None = None
    parts: tuple[Part, ...] = field(default=())

    @property
    def rows(self) -> int:
        """Rows in all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def bytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.bytes for part in self.parts)


class ExportFolder:
    """The folder of an export.

    :param folder: where.
    :param kind: format of the parts.
    """

    def __init__(self, folder: StorePath, kind: FileFormat) -> None:
        self._folder = folder
        self._kind = kind

    @property
    def uri(self) -> str:
        """Address of the folder."""
        return shown(self._folder)

    @property
    def manifest_uri(self) -> str:
        """Address of the manifest."""
        return shown(self._folder / _MANIFEST)

    def prepare(self) -> None:
        """Make the folder and try that it can be written to.

        :raises StoreError: when it cannot.
        """
        make_folder(self._folder)

    def interrupted(self, export: str, run: str) -> Progress | None:
        """Return how far an earlier attempt of this run had come, None when there was none."""
        return _of_run(self._read(_PROGRESS), export, run)

    def since_of(self, export: str, run: str) -> tuple[bool, Mark | None]:
        """Return whether this run has a whole export here already, and the mark that it had read up to."""
        found = _of_run(self._read(_MANIFEST), export, run)
        return found is not None, found.since if found else None

    def clear(self) -> None:
        """Remove what an earlier export left: the manifest first, so that it is not taken for whole meanwhile."""
        names = names_in(self._folder)
        for name in [_MANIFEST, _PROGRESS, *(name for name in names if _PART.fullmatch(name))]:
            if name in names:
                (self._folder / name).unlink(missing_ok=True)

    def put(self, spool: IO[bytes], rows: int, progress: Progress) -> Progress:
        """Put a spool in place as the next part, and return the progress with it, which is not recorded yet."""
        name = f"part-{len(progress.parts) + 1:05d}.{self._kind}"
        size = put_whole(spool, self._folder / name)
        return replace(progress, parts=(*progress.parts, Part(name, rows, size)))

    def record(self, progress: Progress) -> None:
        """Record progress, so that a killed attempt can be gone on with from here."""
        self._write(_PROGRESS, _to_json(progress))

    def complete(self, progress: Progress) -> None:
        """Write the manifest, and remove the record of progress and parts that are not in it.

        Such a part stays when an attempt was killed between putting and recording it, and the next one needed fewer.
        """
        recorded = {part.name for part in progress.parts}
        for name in names_in(self._folder):
            if _PART.fullmatch(name) and name not in recorded:
                (self._folder / name).unlink(missing_ok=True)
        finished = {
            **_to_json(progress),
            "file_format": str(self._kind),
            "rows": progress.rows,
            "bytes": progress.bytes,
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        del finished["after"]
        self._write(_MANIFEST, finished)
        (self._folder / _PROGRESS).unlink(missing_ok=True)

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        write_whole(self._folder / name, [json.dumps(value).encode()])

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self._folder / name).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):  # a damaged record: begin anew
            return None


def _to_json(progress: Progress) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "export": progress.export,
        "run": progress.run,
        "since": progress.since.to_json() if progress.since else None,
        "newest": progress.newest.to_json() if progress.newest else None,
        "after": progress.after,
        "parts": [asdict(part) for part in progress.parts],
    }


def _of_run(found: Any, export: str, run: str) -> Progress | None:
    if not isinstance(found, Mapping):
        return None
    if (found.get("format"), found.get("export"), found.get("run")) != (_FORMAT, export, run):
        return None
    try:
        parts = tuple(Part(**part) for part in found["parts"])
    except (KeyError, TypeError):
        return None
    return Progress(
        export, run, Mark.from_json(found.get("since")), Mark.from_json(found.get("newest")), found.get("after"), parts
    )
