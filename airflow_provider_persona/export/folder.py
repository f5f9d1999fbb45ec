"""The folder of an export: parts, the state of an unfinished export, and a manifest once it is complete.

    part-00001.jsonl, part-00002.jsonl, …   the objects, each file whole
    _progress.json                          until it is complete: the parts so far, and the page to continue with
    _manifest.json                          when it is complete: parts, rows and bytes; written last

So a reader waits for the manifest. Spark, Hive, DuckDB's globs on `part-*` and pyarrow's data sets ignore names that
begin with an underscore. Neither record holds an attribute of an object, a filter or a query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final

from airflow_provider_persona.export.listing import Mark
from airflow_provider_persona.storage.paths import cannot_read, names_in, prepare_folder, read_regular, remove, shown
from airflow_provider_persona.storage.whole_files import put_whole, write_whole

if TYPE_CHECKING:
    from airflow_provider_persona.export.parts import FileFormat
    from airflow_provider_persona.storage.paths import StorePath

_FORMAT: Final = 1
_STATE, _MANIFEST = "_progress.json", "_manifest.json"
_PART = re.compile(r"part-\d{5,}\.(jsonl|parquet)")


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an export."""

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ExportState:
    """The state of an export: its parts, and where it continues.

    :param export: fingerprint of what is read and how it is written.
    :param run: identity of the task's run.
    :param since: the mark that it reads back to; None to read all.
    :param newest: the newest object it has seen: the mark for the next read.
    :param after: cursor of the page to continue with; None at the beginning.
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

    :param folder: its path.
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
        prepare_folder(self._folder)

    def interrupted(self, export: str, run: str) -> ExportState | None:
        """Return the state that an interrupted attempt of this run left; None when there was none.

        A part that somebody has taken away or cut short since would be missing in a complete export, so the export
        begins again then.
        """
        state = _of_run(self._read(_STATE), export, run)
        return state if state is not None and all(map(self._holds, state.parts)) else None

    def _holds(self, part: Part) -> bool:
        path = self._folder / part.name
        try:
            return _PART.fullmatch(part.name) is not None and path.stat().st_size == part.bytes
        except FileNotFoundError:
            return False
        except Exception as error:  # fsspec's stores raise what their libraries raise
            raise cannot_read(path, error) from error

    def since_of(self, export: str, run: str) -> tuple[bool, Mark | None]:
        """Return whether this run has a complete export here already, and the mark that it had read back to."""
        found = _of_run(self._read(_MANIFEST), export, run)
        return found is not None, found.since if found else None

    def clear(self) -> None:
        """Remove an earlier export: the manifest first, so that nobody takes the rest for complete.

        :raises StoreError: when a file cannot be removed.
        """
        names = names_in(self._folder)
        for name in [_MANIFEST, _STATE, *(name for name in names if _PART.fullmatch(name))]:
            if name in names:
                remove(self._folder / name)

    def put(self, scratch: IO[bytes], rows: int, state: ExportState) -> ExportState:
        """Put a scratch file in place as the next part, and return the state with it, which is not recorded yet."""
        name = f"part-{len(state.parts) + 1:05d}.{self._kind}"
        size = put_whole(scratch, self._folder / name)
        return replace(state, parts=(*state.parts, Part(name, rows, size)))

    def record(self, state: ExportState) -> None:
        """Record the state, so that the next attempt can continue here when this one is killed."""
        self._write(_STATE, _to_json(state))

    def complete(self, state: ExportState) -> None:
        """Write the manifest, and remove the recorded state and parts that are not in the manifest.

        Such a part is left when an attempt was killed after it put the part in place and before it recorded it, and the
        next attempt needed fewer parts.
        """
        recorded = {part.name for part in state.parts}
        for name in names_in(self._folder):
            if _PART.fullmatch(name) and name not in recorded:
                remove(self._folder / name)
        finished = {
            **_to_json(state),
            "file_format": str(self._kind),
            "rows": state.rows,
            "bytes": state.bytes,
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        del finished["after"]
        # The manifest before the state goes: a kill in between leaves an export that is complete, and says so.
        self._write(_MANIFEST, finished)
        remove(self._folder / _STATE)

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        write_whole(self._folder / name, [json.dumps(value).encode()])

    def _read(self, name: str) -> Any:
        try:
            return json.loads(read_regular(self._folder / name))
        except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):  # a damaged record: begin again
            return None
        except Exception as error:  # fsspec's stores raise what their libraries raise
            raise cannot_read(self._folder / name, error) from error


def _to_json(state: ExportState) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "export": state.export,
        "run": state.run,
        "since": state.since.to_json() if state.since else None,
        "newest": state.newest.to_json() if state.newest else None,
        "after": state.after,
        "parts": [asdict(part) for part in state.parts],
    }


def _of_run(found: Any, export: str, run: str) -> ExportState | None:
    if not isinstance(found, Mapping):
        return None
    if (found.get("format"), found.get("export"), found.get("run")) != (_FORMAT, export, run):
        return None
    try:
        parts = tuple(Part(**part) for part in found["parts"])
    except (KeyError, TypeError):
        return None
    after = found.get("after")
    if not all(isinstance(text, str) for text in (after or "", *(part.name for part in parts))):
        return None
    since, newest = (Mark.from_json(found.get(name)) for name in ("since", "newest"))
    return ExportState(export, run, since, newest, after, parts)
