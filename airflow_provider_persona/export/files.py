"""The files of one object: finds the links to them in the object's attributes, and downloads them to a folder."""

from __future__ import annotations

import logging
import mimetypes
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_persona.api.answers import AnswerKind
from airflow_provider_persona.api.document import Document
from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaError
from airflow_provider_persona.api.operations import BadCallError, operation

if TYPE_CHECKING:
    from airflow_provider_persona.client import PersonaClient
    from airflow_provider_persona.client.file_links import FileLinks
    from airflow_provider_persona.storage.paths import StorePath

log = logging.getLogger(__name__)

_OF_A_FILE: Final = re.compile(
    r"(^|\.)((normalized-)?url|([a-z-]+-)?(photo|image|video|audio)-urls?(\.\d+)?|original-urls\.\d+)$"
)
"""Where Persona's answers have links to files, like `attachments.0.url`, `selfie-photo-url`, `fields.selfie.value.url`.

Not `website-url` and the like, which people type in."""
_CUSTOM_FIELD: Final = re.compile(r"fields\.[^.]+")


def check_files_operation(operation_id: str, path: Any) -> None:
    """Check that an operation reads one object, and its path where that is known when the Dag is parsed.

    :raises BadCallError: when it does not, or a path parameter is missing.
    """
    found = operation(operation_id)
    if found.method != "GET" or found.answer is not AnswerKind.OBJECT:
        raise BadCallError(f"{operation_id} does not read one object; take one like retrieve-a-document")
    if isinstance(path, Mapping):
        found.check(path)


@dataclass(frozen=True, slots=True)
class FilesJob:
    """Which files of which object are downloaded, and where to.

    :param operation_id: an operation that reads one object.
    :param path: values of the path's parameters.
    :param folder: the folder.
    :param attributes: attributes to look for links in, dotted; None for all.
    :param content_types: media types that are accepted; None for any but pages and JSON.
    :param file_hosts: hosts that links may lead to, beside Persona's own.
    :param max_bytes: bytes that each file may have at most.
    :param max_files: files that the object may have at most.
    :param timeout: seconds that each download may take.
    """

    operation_id: str
    path: Mapping[str, str]
    folder: StorePath
    attributes: Sequence[str] | None
    content_types: Sequence[str] | None
    file_hosts: Sequence[str]
    max_bytes: int
    max_files: int
    timeout: float

    def fetch(self, client: PersonaClient) -> list[dict[str, Any]]:
        """Read the object and download its files.

        :returns: `uri`, `bytes`, `content_type` and `attribute` of each file.
        :raises PersonaError: typed.
        :raises StoreError: when a file cannot be written.
        """
        from airflow_provider_persona.client.file_links import FileLinks
        from airflow_provider_persona.storage.paths import prepare_folder, shown

        links = FileLinks(client.settings, self.file_hosts)
        prepare_folder(self.folder)  # first: a folder that cannot be written to must cost no request
        object_id, found = self._links(client, links)
        files = [file for link in found if (file := self._download(link, object_id, links)) is not None]
        log.info("%s has %d files, now in %s", object_id, len(files), shown(self.folder))
        return files

    def _links(self, client: PersonaClient, links: FileLinks) -> tuple[str, list[_FoundLink]]:
        """Read the object; return its id and the links to its files, certain ones first."""
        read = operation(self.operation_id)
        request = read.bind(self.path, {"include": ""} if "include" in read.query else None)
        resource = Document.read(client.send(request), self.operation_id).resource
        if resource is None or resource.id is None:
            raise PersonaAnswerError(
                f"the answer to {self.operation_id} holds no object", operation_id=self.operation_id
            )
        places = sorted(_places(resource.attributes, links), key=lambda found: not _is_of_a_file(found[0]))
        found = [
            _FoundLink(place, url, self._is_certain(place), f"{resource.id}-{number}")
            for number, (place, url) in enumerate(places, start=1)
            if self._is_wanted(place)
        ]
        certain = sum(link.is_certain for link in found)
        if certain > self.max_files:
            raise PersonaAnswerError(
                f"{resource.id} has {certain} files, more than {self.max_files}; raise max_files if all are wanted"
            )
        return resource.id, found[: self.max_files]

    def _is_wanted(self, place: str) -> bool:
        return self.attributes is None or any(f"{place}.".startswith(f"{wanted}.") for wanted in self.attributes)

    def _is_certain(self, place: str) -> bool:
        return _is_of_a_file(place) or place in (self.attributes or ())

    def _download(self, link: _FoundLink, object_id: str, links: FileLinks) -> dict[str, Any] | None:
        """Download one file; None when the text turned out to be no link to a file."""
        from airflow_provider_persona.client.download import download
        from airflow_provider_persona.storage.paths import shown
        from airflow_provider_persona.storage.run_folders import run_folder
        from airflow_provider_persona.storage.whole_files import put_whole, scratch_file

        with scratch_file() as file:
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
                if link.is_certain:
                    raise
                log.warning("Passed over a text that looks like a link to a file: %s", error)
                return None
            name = link.name + (mimetypes.guess_extension(got.content_type) or "")
            target = run_folder(self.folder, [name])  # a name that is safe: the id comes from an answer
            put_whole(file, target)
        return {"uri": shown(target), "bytes": got.size, "content_type": got.content_type, "attribute": link.place}


@dataclass(frozen=True, slots=True)
class _FoundLink:
    """A value that is, or looks like, a link to a file.

    :param place: the dotted name of its attribute.
    :param url: the link.
    :param is_certain: whether a file must be there; elsewhere a person may have typed the text in.
    :param name: name of the file, without suffix.
    """

    place: str
    url: str
    is_certain: bool
    name: str


def _places(value: Any, links: FileLinks, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted places and the texts of all links in an object's attributes."""
    if isinstance(value, Mapping | list):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, inner in pairs:
            yield from _places(inner, links, f"{place}.{name}" if place else str(name))
    elif links.is_link(value):
        yield place, value


def _is_of_a_file(place: str) -> bool:
    """Whether Persona keeps a link to a file there. A custom field itself may hold any text."""
    return bool(_OF_A_FILE.search(place)) and not _CUSTOM_FIELD.fullmatch(place)
