"""From the files of an object (a document, a case's attachments, …) to a folder or an object store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.tasks.airflow_arguments import TypedOperator
from airflow_provider_persona.tasks.arguments import JsonObject, Names, Text, as_seconds, check_whole
from airflow_provider_persona.tasks.call_arguments import DeclaresArguments, check_once
from airflow_provider_persona.tasks.declared_arguments import Argument, argument, given_to, values_of
from airflow_provider_persona.tasks.failure import at_work
from airflow_provider_persona.tasks.files import MAX_BYTES
from airflow_provider_persona.tasks.lineage import TaskDeed, kind_of_operation
from airflow_provider_persona.tasks.openlineage import folder_at, lineage_of
from airflow_provider_persona.tasks.stopping import end_task, stop_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class PersonaFilesToObjectStorageOperator(TypedOperator, metaclass=DeclaresArguments):
    """Reads an object and downloads its files, in one task, since the links to them expire after some hours.

    The API key goes to Persona's own host only, never to the host of the files. Each file is there whole or not at
    all; local ones are readable by their owner only. They are named by object and number (`doc_…-1.pdf`), because
    Persona's own file names may be names of people; the number counts all files of the object, also those that are not
    wanted. For printed PDFs use `PersonaOperator` with `output_path`: there the answer itself is the file.

    Objects also hold texts that outsiders have typed in. So links are followed to Persona's own hosts only
    (`withpersona.com` and its subdomains, and the connection's host), and other addresses are ignored. A text that
    looks like such a link, in an attribute where Persona keeps no link, is tried, and ignored with a warning when there
    is no file behind it; name that attribute in `attributes` if the file must be there.

    Returns to XCom: `count`, `bytes`, and for each file `uri`, `bytes`, `content_type` and its `attribute`.
    """

    arguments: ClassVar[Mapping[str, Argument]]
    ui_color = "#dce6ff"
    on_kill = end_task
    deed: TaskDeed | None = None

    operation_id: str = argument(
        "an operation that reads one object, like `retrieve-a-document` or `retrieve-case`.", is_template=False
    )
    path: JsonObject = argument('values of the path\'s parameters, like `{"document-id": "doc_…"}`.')
    output_path: Text = argument("the folder: a local path, or an address in an object store.")
    attributes: Names | None = argument(
        'attributes to look for links in, dotted, like `["attachments"]` or `["fields.selfie"]`; by default all.',
        default=None,
    )
    content_types: Sequence[str] | None = argument(
        'media types that are accepted, like `["application/pdf", "image/*"]`; by default any but pages and JSON.',
        default=None,
        is_template=False,
    )
    file_hosts: Names = argument(
        'hosts, beside Persona\'s own, that links may lead to, like `["files.example.com"]`, where a gateway of yours '
        "serves the files. Subdomains are not included; name a port other than 443, `files.example.com:8443`.",
        default=(),
    )
    max_bytes: int = argument("bytes that each file may have at most.", default=MAX_BYTES, is_template=False)
    max_files: int = argument("files that the object may have at most.", default=100, is_template=False)
    timeout: float | timedelta = argument(
        "seconds, or a timedelta, that each download may take.", default=300.0, is_template=False
    )
    persona_conn_id: Text = argument("connection of type `persona`.", default=DEFAULT_CONN_ID)

    def check_arguments(self) -> None:
        """Check what stands in the Dag.

        :raises BadCallError: when there is no such operation, or a path parameter is missing.
        :raises ValueError: when `max_files` makes no sense.
        """
        from airflow_provider_persona.export.files import check_files_operation

        as_seconds(self.timeout, "timeout")
        check_whole(self.max_files, "max_files", "files")
        check_files_operation(self.operation_id, self.path)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's signature
        """Return inputs, outputs and counts for OpenLineage, after success and after failure."""
        return lineage_of(self.deed, targets=[folder_at(given_to(self)["output_path"])])

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - the parent's parameter
        """Read the object, and download.

        :raises AirflowFailException: when a retry would fail in the same way.
        :raises PersonaError: when a retry may help.
        """
        from airflow_provider_persona.export.files import FilesJob
        from airflow_provider_persona.hooks.persona import PersonaHook
        from airflow_provider_persona.tasks.state_path import store_path

        with at_work(self):
            check_once(self)
            given = values_of(self) | {"timeout": as_seconds(self.timeout, "timeout")}
            folder = store_path(given.pop("output_path"))  # the rest of the arguments are those of `FilesJob`
            given["file_hosts"] = given["file_hosts"] or ()  # a template may have rendered to nothing
            with PersonaHook(given.pop("persona_conn_id")) as hook:
                files = FilesJob(folder=folder, **given).fetch(stop_of(self).hold(hook.client))
                kind = kind_of_operation(self.operation_id)
                self.deed = TaskDeed(kind, hook.client.environment.seen, rows=1)
        return {"count": len(files), "bytes": sum(file["bytes"] for file in files), "files": files}
