"""Writes the objects of a read to parts in a folder, and continues an attempt that was interrupted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import IO, TYPE_CHECKING, Final

from airflow_provider_persona.api.errors import PersonaError
from airflow_provider_persona.export.columns import Columns
from airflow_provider_persona.export.folder import ExportFolder, ExportState
from airflow_provider_persona.export.job import ReadReport
from airflow_provider_persona.export.parts import FileFormat, PartWriter, part_writer
from airflow_provider_persona.storage.run_folders import fingerprint
from airflow_provider_persona.storage.whole_files import filling_scratch, scratch_file

if TYPE_CHECKING:
    from airflow_provider_persona.client import PersonaClient
    from airflow_provider_persona.export.job import ReadJob
    from airflow_provider_persona.export.listing import Mark, Page
    from airflow_provider_persona.storage.paths import StorePath

log = logging.getLogger(__name__)

_REFUSED: Final = (400, 404, 422)
"""Statuses that Persona may give for a cursor that it does not know any more."""


@dataclass(frozen=True, slots=True)
class FolderTarget:
    """A folder that gets the objects in parts.

    :param folder: its path.
    :param file_format: format of the parts.
    :param pages_per_part: pages of 100 objects in a part.
    """

    folder: StorePath
    file_format: FileFormat
    pages_per_part: int

    def fill(self, job: ReadJob, client: PersonaClient, since: Mark | None) -> ReadReport:
        """Read everything and write it; continue an interrupted attempt of the same run.

        :raises PersonaError: typed.
        :raises StoreError: when it cannot be written.
        """
        folder = ExportFolder(self.folder, self.file_format)
        columns = Columns(job.mapping)
        begun = self._begin(folder, job, since)
        try:
            state = self._export(job, client, folder, columns, begun)
        except PersonaError as error:
            # The object behind the kept cursor may be gone, and each further attempt would be refused as well.
            is_cursor = begun.after is not None and folder.interrupted(begun.export, begun.run) == begun
            if not is_cursor or error.status not in _REFUSED:
                raise
            log.warning("Persona refuses the page after the last part, so the export begins again: %s", error)
            begun = _begin_again(folder, begun.export, begun.run, begun.since)
            state = self._export(job, client, folder, columns, begun)
        log.info("%d rows in %d parts are at %s", state.rows, len(state.parts), folder.uri)
        is_resumed = begun.after is not None
        counts = {
            "rows": state.rows,
            "parts": len(state.parts),
            "bytes": state.bytes,
            "uri": folder.uri,
            "manifest": folder.manifest_uri,
            "resumed": is_resumed,
        }
        # The parts of an earlier attempt may have had the attributes of columns that were not seen now.
        return ReadReport(state.rows, counts, state.newest, () if is_resumed else columns.unseen)

    def _begin(self, folder: ExportFolder, job: ReadJob, mark: Mark | None) -> ExportState:
        """Return the state to continue from: that of an interrupted attempt, or a new one."""
        export = fingerprint(job.source, str(self.file_format), job.mapping, job.listing.fields)
        folder.prepare()
        interrupted = folder.interrupted(export, job.run)
        if interrupted is not None and interrupted.after is not None:
            log.info("Continuing after %d rows of an earlier attempt", interrupted.rows)
            return interrupted
        is_complete, since = folder.since_of(export, job.run)
        # Each attempt of a run goes back to the mark of its first one, also where the kept mark has moved since.
        if interrupted is not None:
            since = interrupted.since
        elif not is_complete:
            since = mark
        return _begin_again(folder, export, job.run, since)

    def _export(
        self, job: ReadJob, client: PersonaClient, folder: ExportFolder, columns: Columns, state: ExportState
    ) -> ExportState:
        is_first = state.after is None
        pages = job.listing.pages(client, since=state.since, after=state.after)  # one iterator for all parts
        page: Page | None = None
        while page is None or not page.is_last:
            rows = 0
            with _open_part(self.file_format, columns) as (scratch, writer):
                for page in islice(pages, self.pages_per_part):
                    # Of the first page only. A search that begins again shows newer objects first; with the older mark
                    # the next read brings those once more, and misses none.
                    if is_first and page.items and job.listing.bounded:
                        state = replace(state, newest=job.listing.mark_of(page.items[0]))
                    is_first = False
                    rows += len(page.items)
                    with filling_scratch():
                        writer.add(page.items)
                assert page is not None
                with filling_scratch():
                    writer.finish()
                # The part first, then the record of it: a part that nobody has recorded is written again.
                if rows:
                    state = folder.put(scratch, rows, state)
                state = replace(state, after=page.after)
            if page.after is not None:
                folder.record(state)
                log.info("%d rows so far, in %d parts", state.rows, len(state.parts))
        folder.complete(state)
        return state


def _begin_again(folder: ExportFolder, export: str, run: str, since: Mark | None) -> ExportState:
    """Empty the folder, and return the state of an export that has no part yet."""
    folder.clear()
    state = ExportState(export, run, since=since, newest=since)
    folder.record(state)
    return state


@contextmanager
def _open_part(file_format: FileFormat, columns: Columns) -> Iterator[tuple[IO[bytes], PartWriter]]:
    """Give a scratch file and what writes a part to it, which lets go of the file when that fails."""
    with scratch_file() as scratch:
        writer = part_writer(file_format, scratch, columns)
        try:
            yield scratch, writer
        except BaseException:
            writer.abandon()
            raise
