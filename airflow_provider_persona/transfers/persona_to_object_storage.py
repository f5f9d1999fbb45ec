"""From any list or search of Persona to files in a folder or an object store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_persona.tasks.arguments import check_whole
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.tasks.failure import at_work
from airflow_provider_persona.tasks.openlineage import folder_at, lineage_of
from airflow_provider_persona.tasks.reads import PersonaReadOperator, require_parquet_library

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class PersonaToObjectStorageOperator(PersonaReadOperator):
    """Writes any list or search of Persona to files, page by page, with no more than some pages in memory.

    `output_path` becomes a folder with `part-00001.jsonl`, … and, when all parts are there, `_manifest.json`; wait for
    the manifest before you read. Give each run, and each mapped task, a folder of its own, like
    `s3://bucket/cases/{{ ds }}`: an earlier export in the folder is removed first.

    When an attempt is killed, the next one of the same run continues after the last part that was finished
    (`pages_per_part` pages at most are read again); the folder holds the state in `_progress.json`. A cleared task of
    an incremental read goes back to the same mark as before, and reads up to the present.

    JSON Lines hold each object as Persona gave it, or the `columns` when they are given. Parquet holds the columns, or
    `id`, `type`, `attributes` and `relationships`, all as text, with JSON where the value is no text. It needs pyarrow
    (the extra `parquet`). Local files are readable by their owner only.

    A search is begun again when its order changes while it is read, three times at most, and may bring objects again.

    Returns to XCom: counts (`rows`, `parts`, `bytes`, `requests`), the addresses of folder and manifest, and whether an
    earlier attempt was continued; never a row.
    """

    output_path: str = argument("the folder: a local path, or an address in an object store.")
    file_format: str = argument("`jsonl` or `parquet`.", default="jsonl", is_template=False)
    pages_per_part: int = argument("pages of 100 objects in a file, 1 or more.", default=50, is_template=False)

    def check_arguments(self) -> None:
        """Check what is known when the Dag is parsed.

        :raises BadCallError: when there is no such list, or a parameter or key is missing.
        :raises ValueError: when format or pages make no sense.
        """
        super().check_arguments()
        given = self.given()
        check_whole(given["pages_per_part"], "pages_per_part", "pages")
        if given["file_format"] not in ("jsonl", "parquet"):
            raise ValueError(f"file_format is jsonl or parquet, not {given['file_format']!r}")

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's signature
        """Return inputs, outputs and counts for OpenLineage, after success and after failure."""
        return lineage_of(self.deed, targets=[folder_at(self.given()["output_path"])])

    def execute(self, context: Context) -> dict[str, Any]:
        """Read and write.

        :raises AirflowOptionalProviderFeatureException: when Parquet is wanted and pyarrow is missing.
        :raises AirflowFailException: when a retry would fail in the same way.
        :raises PersonaError: when a retry may help.
        """
        from airflow_provider_persona.export.parts import FileFormat
        from airflow_provider_persona.export.to_folder import FolderTarget
        from airflow_provider_persona.tasks.state_path import store_path

        given = self.given()
        file_format = FileFormat(given["file_format"])
        if file_format is FileFormat.PARQUET:
            require_parquet_library()
        with at_work(self):
            job = self.job(context)  # an error in the arguments must not cost the export that is there
            return self.read(
                job, FolderTarget(store_path(given["output_path"]), file_format, given["pages_per_part"]), context
            )
