"""Stored files and the signed links to them, which lead to this server under a path that is not the API's.

Persona keeps files on another host, which must not get the key (docs.withpersona.com/downloading-files). Here that host
is a path of its own, and a request to it that carries a key is refused and remembered.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

SIGNED_PREFIX: Final = "/signed-files/"
VERSION_OF_SIGNED_LINKS: Final = "2023-01-05"
_BLOCK: Final = 65_536
_TYPES: Final[Mapping[str, str]] = {
    "pdf": "application/pdf",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "mp4": "video/mp4",
}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file.

    :param file_id: its id in links.
    :param size: bytes.
    :param content_type: media type.
    :param content: its bytes; None makes filler of that size, block by block.
    :param declares_length: whether a download says how long it is.
    """

    file_id: str
    filename: str
    size: int
    content_type: str
    content: bytes | None = None
    declares_length: bool = True

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes in blocks."""
        if self.content is not None:
            yield self.content
            return
        filler = bytes(range(256)) * (_BLOCK // 256)
        for start in range(0, self.size, _BLOCK):
            yield filler[: self.size - start]


@dataclass(slots=True)
class Download:
    """One request for a signed link: which file, what it was answered, and whether it carried a key."""

    file_id: str
    status: int
    carried_key: bool


class FileStore:
    """All files of the environment; `seconds` is how long a link to one works."""

    def __init__(self) -> None:
        self.seconds = 6 * 3600.0
        self.downloads: list[Download] = []
        self._files: dict[str, StoredFile] = {}

    def store(
        self,
        filename: str,
        content: bytes | None,
        *,
        size: int | None = None,
        content_type: str | None = None,
        declares_length: bool = True,
    ) -> StoredFile:
        """Keep a file and return it.

        :param content: its bytes; None with a `size` makes filler.
        :param content_type: media type; None takes it from the name.
        """
        kind = content_type or _TYPES.get(filename.rpartition(".")[2].lower(), "application/octet-stream")
        length = len(content) if content is not None else size or 0
        file = StoredFile(f"file{len(self._files) + 1:06d}", filename, length, kind, content, declares_length)
        self._files[file.file_id] = file
        return file

    def get(self, file_id: str) -> StoredFile | None:
        """Return the file of that id."""
        return self._files.get(file_id)

    def link(self, file: StoredFile, *, origin: str, version: str, now: float) -> str:
        """Return where the file can be downloaded: signed, or through the API as in older versions."""
        name = quote(file.filename, safe="")
        if version < VERSION_OF_SIGNED_LINKS:
            return f"{origin}/api/v1/files/{file.file_id}/{name}"
        until = int(now + self.seconds)
        return f"{origin}{SIGNED_PREFIX}{file.file_id}/{name}?access_token={until}.{_signature(file.file_id, until)}"

    def opened_by(self, path: str, token: str, *, carried_key: bool, now: float) -> StoredFile | int:
        """Return the file behind a signed link, or the status of the refusal: 400 with a key, 403 when it has ended."""
        file_id = path.removeprefix(SIGNED_PREFIX).partition("/")[0]
        file, (until, _, signature) = self._files.get(file_id), token.partition(".")
        good = hmac.compare_digest(signature, _signature(file_id, int(until) if until.isdecimal() else 0))
        if carried_key:
            answer: StoredFile | int = 400
        elif file is None:
            answer = 404
        else:
            answer = file if good and now < int(until) else 403
        self.downloads.append(Download(file_id, answer if isinstance(answer, int) else 200, carried_key))
        return answer


def _signature(file_id: str, until: int) -> str:
    return hmac.new(b"simulator", f"{file_id}:{until}".encode(), hashlib.sha256).hexdigest()[:32]


def printed(title: str, lines: list[str]) -> bytes:
    """Return a small PDF of one page with some lines of plain text."""
    text = "".join(f"({line}) Tj T* " for line in [title, *lines])
    stream = f"BT /F1 12 Tf 14 TL 50 780 Td {text}ET".encode("latin-1", "replace")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Font << /F1 5 0 R >> >>",
    ]
    document, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(document))
        document += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(document)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    document += b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
    return document + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, start)
