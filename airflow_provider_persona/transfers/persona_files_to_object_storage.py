"""From the files of an object (a document, a case's attachments, …) to a folder or an object store."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.task_failure import failing_for_good_when_useless_to_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.bulk.store import StorePath
    from airflow_provider_persona.client.file_links import FileLinks
    from airflow_provider_persona.hooks.persona import PersonaHook

MAX_BYTES: Final = 100_000_000
"""Bytes that a file may have unless the user says otherwise. Persona's own limit for an upload is a tenth of it."""

_OF_A_FILE: Final = re.compile(
    r"(^|\.)((normalized-)?url|([a-z-]+-)?(photo|image|video|audio)-urls?(\.\d+)?|original-urls\.\d+)$"
)
"""Where Persona's answers have links to files, like `attachments.0.url`, `selfie-photo-url`, `fields.selfie.value.url`.

Not `website-url` and its like, which people give."""
_CUSTOM_FIELD: Final = re.compile(r"fields\.[^.]+")


@dataclass(frozen=True, slots=True)
class _FoundLink:
    """A value that is, or looks like, a link to a file.

    :param place: the dotted name of its attribute.
    :param url: the link.
    :param is_sure: whether a file must be there; elsewhere a person may have typed the text in.
    :param name: what the file is called, without suffix.
    """

    place: str
    url: str
    is_sure: bool
    name: str


class PersonaFilesToObjectStorageOperator(BaseOperator):
    """Reads an object and downloads its files, in one task, since the links to them end after some hours.

    The API key goes to Persona's own host only, never to the host of the files. Each file is there whole or not at
    all; local ones are readable by their owner only. They are named by object and number (`doc_…-1.pdf`), because
    Persona's own names of files may be people's names; the number counts all files of the object, whichever of them
    are wanted. Printed PDFs are answers themselves: take `PersonaOperator` with `output_path` for those.

    Objects also hold texts that people outside typed in. So links are followed to Persona's own hosts only
    (`withpersona.com` and below it, and the connection's host), and other addresses are passed over. A text that looks
    like such a link, in an attribute where Persona keeps none, is tried, and passed over with a warning when there is
    no file behind it; name that attribute in `attributes` if it must be there.

    Returns to XCom: `count`, `bytes`, and for each file `uri`, `bytes`, `content_type` and its `attribute`.

    :param operation_id: an operation that reads one object, like `retrieve-a-document` or `retrieve-case`.
    :param path: values of the path's parameters, like `{"document-id": "doc_…"}`.
    :param output_path: the folder: a local path, or an address in an object store.
    :param attributes: attributes to look for links in, dotted, like `["attachments"]` or `["fields.selfie"]`; by
        default all.
    :param content_types: media types that are accepted, like `["application/pdf", "image/*"]`; by default any but
        pages and JSON.
    :param file_hosts: hosts, beside Persona's own, that links may lead to, like `["files.example.com"]`, where a
        gateway of yours serves the files. Not those below them; a port other than https's is named,
        `files.example.com:8443`.
    :param max_bytes: bytes that each file may have at most.
    :param max_files: files that the object may have at most.
    :param timeout: seconds that each download may take.
    :param persona_conn_id: connection of type `persona`.
    :raises BadCallError: at Dag parse, when there is no such operation, or a path parameter is missing.
    """

    template_fields: Sequence[str] = ("path", "output_path", "attributes", "file_hosts", "persona_conn_id")
    ui_color = "#dce6ff"

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
        self.file_hosts = file_hosts
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
        from airflow_provider_persona.client.file_links import FileLinks
        from airflow_provider_persona.hooks.persona import PersonaHook
        from airflow_provider_persona.state_root import store_path

        with failing_for_good_when_useless_to_retry():
            folder = store_path(self.output_path)
            with PersonaHook(self.persona_conn_id) as hook:
                links = FileLinks(hook.settings, self.file_hosts)
                make_folder(folder)
                object_id, found = self._links(hook, links)
                fetched = [self._fetch(link, object_id, links, folder) for link in found]
        files = [file for file in fetched if file is not None]
        self.log.info("%s has %d files, now in %s", object_id, len(files), self.output_path)
        return {"count": len(files), "bytes": sum(file["bytes"] for file in files), "files": files}

    def _links(self, hook: PersonaHook, links: FileLinks) -> tuple[str, list[_FoundLink]]:
        """Read the object; return its id, and the links to its files, those first that are certain to be some."""
        from airflow_provider_persona.api.errors import PersonaAnswerError
        from airflow_provider_persona.api.operations import operation

        query = {"include": ""} if "include" in operation(self.operation_id).query else None
        data = hook.call(self.operation_id, path=self.path, query=query).json().get("data")
        if not isinstance(data, Mapping) or not isinstance(data.get("id"), str):
            raise PersonaAnswerError(
                f"the answer to {self.operation_id} holds no object", operation_id=self.operation_id
            )
        places = sorted(_places(data.get("attributes"), links), key=lambda found: not _is_of_a_file(found[0]))
        found = [
            _FoundLink(place, url, self._is_sure(place), f"{data['id']}-{number}")
            for number, (place, url) in enumerate(places, start=1)
            if self._is_wanted(place)
        ]
        sure = sum(link.is_sure for link in found)
        if sure > self.max_files:
            raise PersonaAnswerError(
                f"{data['id']} has {sure} files, more than {self.max_files}; raise max_files if all are wanted"
            )
        return data["id"], found[: self.max_files]

    def _is_wanted(self, place: str) -> bool:
        return self.attributes is None or any(f"{place}.".startswith(f"{wanted}.") for wanted in self.attributes)

    def _is_sure(self, place: str) -> bool:
        return _is_of_a_file(place) or place in (self.attributes or ())

    def _fetch(self, link: _FoundLink, object_id: str, links: FileLinks, folder: StorePath) -> dict[str, Any] | None:
        """Download one file; None when the link was none."""
        from airflow_provider_persona.api.errors import PersonaError
        from airflow_provider_persona.bulk.run import run_folder
        from airflow_provider_persona.bulk.store import shown
        from airflow_provider_persona.bulk.whole_file import put_whole, spool
        from airflow_provider_persona.client.download import download

        with spool() as file:
            try:
                got = download(
                    link.url,
                    file,
                    links.settings,
                    limit=self.max_bytes,
                    what=f"{link.place} of {object_id}",
                    content_types=self.content_types,
                    file_hosts=links.hosts,
                    timeout=self.timeout,
                )
            except PersonaError as error:
                if link.is_sure:
                    raise
                self.log.warning("Passed over a text that looks like a link to a file: %s", error)
                return None
            target = run_folder(folder, [link.name + (mimetypes.guess_extension(got.content_type) or "")])
            put_whole(file, target)
        return {"uri": shown(target), "bytes": got.size, "content_type": got.content_type, "attribute": link.place}


def _places(value: Any, links: FileLinks, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted places and the texts of all links in an object's attributes."""
    if isinstance(value, Mapping | list):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, inner in pairs:
            yield from _places(inner, links, f"{place}.{name}" if place else str(name))
    elif links.is_link(value):
        yield place, value


def _is_of_a_file(place: str) -> bool:
    """Whether Persona keeps a link to a file there. What stands in a custom field itself may be any text."""
    return bool(_OF_A_FILE.search(place)) and not _CUSTOM_FIELD.fullmatch(place)


def _check(operation_id: str, path: Any) -> None:
    from airflow_provider_persona.api.operations import AnswerKind, BadCallError, operation

    found = operation(operation_id)
    if found.method != "GET" or found.answer is not AnswerKind.OBJECT:
        raise BadCallError(f"{operation_id} does not read one object; take one like retrieve-a-document")
    if isinstance(path, Mapping):
        found.check(path)
