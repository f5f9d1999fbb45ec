"""From the files of an object (a document, a case's attachments, …) to a folder or an object store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.tasks.argument_groups import kept
from airflow_provider_persona.tasks.arguments import as_seconds
from airflow_provider_persona.tasks.failure import fail_without_retry
from airflow_provider_persona.tasks.files import MAX_BYTES
from airflow_provider_persona.tasks.lineage import TaskDeed, kind_of_operation
from airflow_provider_persona.tasks.retry_policy import take_default_policy
from airflow_provider_persona.tasks.stopping import end_task, stop_of
from airflow_provider_persona.version_compat import BaseOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class PersonaFilesToObjectStorageOperator(BaseOperator):
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

    :param operation_id: an operation that reads one object, like `retrieve-a-document` or `retrieve-case`.
    :param path: values of the path's parameters, like `{"document-id": "doc_…"}`.
    :param output_path: the folder: a local path, or an address in an object store.
    :param attributes: attributes to look for links in, dotted, like `["attachments"]` or `["fields.selfie"]`; by
        default all.
    :param content_types: media types that are accepted, like `["application/pdf", "image/*"]`; by default any but
        pages and JSON.
    :param file_hosts: hosts, beside Persona's own, that links may lead to, like `["files.example.com"]`, where a
        gateway of yours serves the files. Subdomains are not included; name a port other than 443,
        `files.example.com:8443`.
    :param max_bytes: bytes that each file may have at most.
    :param max_files: files that the object may have at most.
    :param timeout: seconds, or a timedelta, that each download may take.
    :param persona_conn_id: connection of type `persona`.
    :raises BadCallError: at Dag parse, when there is no such operation, or a path parameter is missing.
    """

    template_fields: Sequence[str] = ("path", "output_path", "attributes", "file_hosts", "persona_conn_id")
    ui_color = "#dce6ff"
    on_kill = end_task

    def __init__(
        self,
        *,
        operation_id: str,
        path: Mapping[str, str],
        output_path: str,
        attributes: Sequence[str] | None = None,
        content_types: Sequence[str] | None = None,
        file_hosts: Sequence[str] = (),
        max_bytes: int = MAX_BYTES,
        max_files: int = 100,
        timeout: float | timedelta = 300.0,
        persona_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.operation_id = operation_id
        self.path = path
        self.output_path = kept(self, output_path)
        self.attributes = attributes
        self.content_types = content_types
        self.file_hosts = file_hosts
        self.max_bytes = max_bytes
        self.max_files = max_files
        self.timeout = as_seconds(timeout, "timeout")
        self.persona_conn_id = persona_conn_id
        self.deed: TaskDeed | None = None
        take_default_policy(self)
        from airflow_provider_persona.export.files import check_files_operation

        check_files_operation(operation_id, path)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's signature
        """Return what OpenLineage is told, after success and after failure."""
        from airflow_provider_persona.tasks.openlineage import folder_at, lineage_of

        return lineage_of(self.deed, targets=[folder_at(self.output_path)])

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - the parent's parameter
        """Read the object, and download.

        :raises AirflowFailException: when a retry would fail in the same way.
        :raises PersonaError: when a retry may help.
        """
        from airflow_provider_persona.export.files import FilesJob
        from airflow_provider_persona.hooks.persona import PersonaHook
        from airflow_provider_persona.tasks.state_path import store_path

        with stop_of(self).heeded(), fail_without_retry(), PersonaHook(self.persona_conn_id) as hook:
            job = FilesJob(
                operation_id=self.operation_id,
                path=self.path,
                folder=store_path(self.output_path),
                attributes=self.attributes,
                content_types=self.content_types,
                file_hosts=self.file_hosts,
                max_bytes=self.max_bytes,
                max_files=self.max_files,
                timeout=self.timeout,
            )
            files = job.fetch(stop_of(self).hold(hook.client))
            kind = kind_of_operation(self.operation_id)
            self.deed = TaskDeed(kind, hook.client.environment.seen, rows=1)
        return {"count": len(files), "bytes": sum(file["bytes"] for file in files), "files": files}
