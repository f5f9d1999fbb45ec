"""From the files of an object (a document, a case's attachments, …) to a folder or an object store."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.task_failure import failing_for_good_when_useless_to_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.api.settings import PersonaSettings
    from airflow_provider_persona.bulk.store import StorePath
    from airflow_provider_persona.hooks.persona import PersonaHook

MAX_BYTES: Final = 100_000_000
"""Bytes that a file may have unless the user says otherwise. Persona's own limit for an upload is a tenth of it."""


class PersonaFilesToObjectStorageOperator(BaseOperator):
    """Reads an object and downloads its files, in one task, since the links to them end after some hours.

    The API key goes to Persona's own host only, never to the host of the files. Each file is there whole or not at
    all; local ones are readable by their owner only. They are named by object and number (`doc_…-1.pdf`), because
    Persona's own names of files may be people's names. Printed PDFs are answers themselves: take `PersonaOperator`
    with `output_path` for those.

    Returns to XCom: `count`, `bytes`, and for each file `uri`, `bytes`, `content_type` and its `attribute`.

    :param operation_id: an operation that reads one object, like `retrieve-a-document` or `retrieve-case`.
    :param path: values of the path's parameters, like `{"document-id": "doc_…"}`.
    :param output_path: the folder: a local path, or an address in an object store.
    :param attributes: attributes to look for links in, dotted, like `["attachments"]` or `["fields.selfie"]`; by
        default all.
    :param content_types: media types that are accepted, like `["application/pdf", "image/*"]`; by default any but
        pages and JSON.
    :param max_bytes: bytes that each file may have at most.
    :param max_files: files that the object may have at most.
    :param timeout: seconds that each download may take.
    :param persona_conn_id: connection of type `persona`.
    :raises BadCallError: at Dag parse, when there is no such operation, or a path parameter is missing.
    """

    template_fields: Sequence[str] = ("path", "output_path", "attributes", "persona_conn_id")
    ui_color = "#dce6ff"

    def __init__(
        self,
        *,
        operation_id: str,
        path: Mapping[str, str],
        output_path: str,
        attributes: Sequence[str] | None = None,
        content_types: Sequence[str] | None = None,
        max_bytes: int = MAX_BYTES,
        max_files: int = 100,
        timeout: float = 300.0,
        persona_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.operation_id = operation_id
        self.path = path
        self.output_path = output_path
        self.attributes = attributes
        self.content_types = content_types
        self.max_bytes = max_bytes
        self.max_files = max_files
        self.timeout = timeout
        self.persona_conn_id = persona_conn_id
        _check(operation_id, path)

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - the parent's parameter
        """Read the object, and download.

        :raises AirflowFailException: when it failed in a way that a retry would meet again.
        :raises PersonaError: when a retry may help.
        """
        from airflow_provider_persona.bulk.whole_file import make_folder
        from airflow_provider_persona.hooks.persona import PersonaHook
        from airflow_provider_persona.state_root import store_path

        with failing_for_good_when_useless_to_retry():
            folder = store_path(self.output_path)
            make_folder(folder)
            with PersonaHook(self.persona_conn_id) as hook:
                object_id, links = self._links(hook)
                files = [
                    self._fetch(hook.settings, link, place, folder, f"{object_id}-{number}")
                    for number, (place, link) in enumerate(links, start=1)
                ]
        self.log.info("%s has %d files, now in %s", object_id, len(files), self.output_path)
        return {"count": len(files), "bytes": sum(file["bytes"] for file in files), "files": files}

    def _links(self, hook: PersonaHook) -> tuple[str, list[tuple[str, str]]]:
        """Read the object; return its id, and the places and links of its files."""
        from airflow_provider_persona.api.errors import PersonaAnswerError
        from airflow_provider_persona.api.operations import operation

        query = {"include": ""} if "include" in operation(self.operation_id).query else None
        data = hook.call(self.operation_id, path=self.path, query=query).json().get("data")
        if not isinstance(data, Mapping) or not isinstance(data.get("id"), str):
            raise PersonaAnswerError(
                f"the answer to {self.operation_id} holds no object", operation_id=self.operation_id
            )
        found = [
            (place, link)
            for place, link in _file_links(data.get("attributes"), hook.settings)
            if self.attributes is None or any(f"{place}.".startswith(f"{wanted}.") for wanted in self.attributes)
        ]
        if len(found) > self.max_files:
            raise PersonaAnswerError(
                f"{data['id']} has {len(found)} files, more than {self.max_files}; raise max_files if all are wanted"
            )
        return data["id"], found

    def _fetch(self, settings: PersonaSettings, link: str, place: str, folder: StorePath, name: str) -> dict[str, Any]:
        from airflow_provider_persona.bulk.run import run_folder
        from airflow_provider_persona.bulk.store import shown
        from airflow_provider_persona.bulk.whole_file import put_whole, spool
        from airflow_provider_persona.client.download import download

        with spool() as file:
            got = download(
                link,
                file,
                settings,
                limit=self.max_bytes,
                what=f"{place} of {name.rpartition('-')[0]}",
                content_types=self.content_types,
                timeout=self.timeout,
            )
            target = run_folder(folder, [name + (mimetypes.guess_extension(got.content_type) or "")])
            put_whole(file, target)
        return {"uri": shown(target), "bytes": got.size, "content_type": got.content_type, "attribute": place}


def _file_links(value: Any, settings: PersonaSettings, place: str = "") -> Iterator[tuple[str, str]]:
    from airflow_provider_persona.client.download import is_file_link

    if isinstance(value, Mapping | list):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, inner in pairs:
            yield from _file_links(inner, settings, f"{place}.{name}" if place else str(name))
    elif is_file_link(value, settings):
        yield place, value


def _check(operation_id: str, path: Any) -> None:
    from airflow_provider_persona.api.operations import AnswerKind, BadCallError, operation

    found = operation(operation_id)
    if found.method != "GET" or found.answer is not AnswerKind.OBJECT:
        raise BadCallError(f"{operation_id} does not read one object; take one like retrieve-a-document")
    if isinstance(path, Mapping):
        found.check(path)
