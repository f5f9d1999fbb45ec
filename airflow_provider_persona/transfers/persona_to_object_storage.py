"""From any list or search of Persona to files in a folder or an object store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.task_failure import failing_for_good_when_useless_to_retry
from airflow_provider_persona.transfers.persona_reads import PersonaReadOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.hooks.persona import PersonaHook
    from airflow_provider_persona.transfers.columns import Columns
    from airflow_provider_persona.transfers.export_folder import ExportFolder, Progress
    from airflow_provider_persona.transfers.listing import Listing, Mark, Page
    from airflow_provider_persona.transfers.part_files import FileFormat, PartWriter


class PersonaToObjectStorageOperator(PersonaReadOperator):
    """Writes any list or search of Persona to files, page by page, with no more in memory than some pages.

    `output_path` becomes a folder with `part-00001.jsonl`, … and, once all is there, `_manifest.json`; wait for the
    manifest before you read. Give each run, and each mapped task, a folder of its own, like
    `s3://bucket/cases/{{ ds }}`: what an earlier export left there is removed first.

    An attempt that was killed is gone on with by the next one of the same run, from the last part that was finished
    (`pages_per_part` pages at most are read again); progress is recorded in the folder, in `_progress.json`. A cleared
    task of an incremental read begins again from where it had begun, up to the present.

    JSON Lines hold each object as Persona gave it, or the `columns` when they are given. Parquet holds the columns, or
    `id`, `type`, `attributes` and `relationships`, all as text, with JSON where the value is no text. It needs pyarrow
    (the extra `parquet`). Local files are readable by their owner only.

    Returns to XCom: counts (`rows`, `parts`, `bytes`, `requests`), the addresses of folder and manifest, and whether an
    earlier attempt was gone on with; never a row.

    :param output_path: the folder: a local path, or an address in an object store.
    :param file_format: `jsonl` or `parquet`.
    :param pages_per_part: pages of 100 objects in a file, 1 or more.

    The other parameters are those of `PersonaReadOperator`.
    """

    template_fields: Sequence[str] = ("output_path", *PersonaReadOperator.template_fields)

    def __init__(
        self, *, output_path: str, file_format: str = "jsonl", pages_per_part: int = 50, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        self.file_format = file_format
        self.pages_per_part = pages_per_part
        if file_format not in ("jsonl", "parquet") or pages_per_part < 1:
            raise ValueError("file_format is jsonl or parquet, and pages_per_part 1 or more")

    def execute(self, context: Context) -> dict[str, Any]:
        """Read and write.

        :raises AirflowOptionalProviderFeatureException: when Parquet is wanted and pyarrow is missing.
        :raises AirflowFailException: when it failed in a way that a retry would meet again.
        :raises PersonaError: when a retry may help.
        """
        from airflow_provider_persona.hooks.persona import PersonaHook
        from airflow_provider_persona.state_root import store_path
        from airflow_provider_persona.transfers.columns import Columns
        from airflow_provider_persona.transfers.export_folder import ExportFolder
        from airflow_provider_persona.transfers.part_files import FileFormat, need_library

        with failing_for_good_when_useless_to_retry():
            kind = FileFormat(self.file_format)
            need_library(kind)
            columns = Columns(self.columns)
            listing = self.listing(columns)
            listing.request()  # a call that cannot be made must not cost the export that is there
            marks = self.marks(context, listing)
            folder = ExportFolder(store_path(self.output_path), kind)
            with PersonaHook(self.persona_conn_id, reserve=self.reserve) as hook:
                progress, resumed = self._begin(folder, listing, context, marks.read() if marks else None)
                progress = self._export(hook, listing, folder, columns, progress)
                requests = hook.client.usage.requests
            if marks and progress.newest:
                marks.write(progress.newest)
        if not resumed:  # else the columns may have been seen in the parts that were there
            self.warn_of_unseen(columns, progress.rows)
        self.log.info("%d rows in %d parts are at %s", progress.rows, len(progress.parts), folder.uri)
        return {
            "rows": progress.rows,
            "parts": len(progress.parts),
            "bytes": progress.bytes,
            "requests": requests,
            "uri": folder.uri,
            "manifest": folder.manifest_uri,
            "resumed": resumed,
        }

    def _begin(
        self, folder: ExportFolder, listing: Listing, context: Context, mark: Mark | None
    ) -> tuple[Progress, bool]:
        """Return the progress to go on from, and whether it is an earlier attempt's."""
        from airflow_provider_persona.bulk.run import fingerprint
        from airflow_provider_persona.transfers.export_folder import Progress

        ti = context["ti"]
        run = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"
        export = fingerprint(self.source(listing), self.file_format, self.columns, listing.fields)
        folder.prepare()
        interrupted = folder.interrupted(export, run)
        if interrupted is not None and interrupted.after is not None:
            self.log.info("Going on after %d rows of an earlier attempt", interrupted.rows)
            return interrupted, True
        is_whole, since = folder.since_of(export, run)
        if interrupted is not None:
            since = interrupted.since
        elif not is_whole:
            since = mark
        folder.clear()
        progress = Progress(export, run, since=since, newest=since)
        folder.record(progress)
        return progress, False

    def _export(
        self, hook: PersonaHook, listing: Listing, folder: ExportFolder, columns: Columns, progress: Progress
    ) -> Progress:
        is_first = progress.after is None
        pages = listing.pages(hook.client, since=progress.since, after=progress.after)
        page: Page | None = None
        while page is None or not page.is_last:
            with _spooled(folder, columns, self.file_format) as part:
                for page in pages:
                    if is_first and page.items and listing.bounded:
                        progress = replace(progress, newest=listing.mark_of(page.items[0]))
                    is_first = False
                    part.add(page)
                    if page.is_last or part.pages >= self.pages_per_part:
                        break
                assert page is not None
                progress = replace(part.put(progress), after=page.after)
            if page.after is not None:
                folder.record(progress)
                self.log.info("%d rows so far, in %d parts", progress.rows, len(progress.parts))
        folder.complete(progress)
        return progress


@dataclass(slots=True)
class _OpenPart:
    """A part that is being written."""

    folder: ExportFolder
    spool: Any
    writer: PartWriter
    rows: int = 0
    pages: int = 0

    def add(self, page: Page) -> None:
        """Write a page."""
        items: list[Mapping[str, Any]] = page.items
        self.writer.add(items)
        self.rows += len(items)
        self.pages += 1

    def put(self, progress: Progress) -> Progress:
        """Put it in place, unless it is empty."""
        self.writer.finish()
        return self.folder.put(self.spool, self.rows, progress) if self.rows else progress


@contextmanager
def _spooled(folder: ExportFolder, columns: Columns, file_format: str) -> Iterator[_OpenPart]:
    from airflow_provider_persona.bulk.whole_file import spool
    from airflow_provider_persona.transfers.part_files import FileFormat, part_writer

    kind: FileFormat = FileFormat(file_format)
    with spool() as file:
        writer = part_writer(kind, file, columns)
        try:
            yield _OpenPart(folder, file, writer)
        except BaseException:
            writer.abandon()
            raise
