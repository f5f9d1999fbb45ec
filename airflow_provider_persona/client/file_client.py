"""`FileClient`: answers that are files, streamed to a file as they arrive instead of being kept in memory."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.messages import Outcome, Request
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client.blocking import PersonaClient

if TYPE_CHECKING:
    import requests

_CHUNK = 64 * 1024


class FileClient(PersonaClient):
    """A client that writes the successful answer to a binary request to a file.

    :param settings: where and as whom.
    :param sink: a file open for writing; it is emptied before each attempt.
    :param limit: bytes that the file may have at most.
    :param options: as for `PersonaClient`.
    """

    def __init__(self, settings: PersonaSettings, sink: IO[bytes], limit: int, **options: Any) -> None:
        super().__init__(settings, **options)
        self._sink = sink
        self._limit = limit
        self._request: Request | None = None

    def _transmit(self, request: Request, *args: Any, **kwargs: Any) -> Outcome:
        self._request = request
        return super()._transmit(request, *args, **kwargs)

    def _read(self, answer: requests.Response, deadline: float) -> bytes:
        request = self._request
        if request is None or not request.binary or not 200 <= answer.status_code < 300:
            return super()._read(answer, deadline)
        self._sink.seek(0)
        self._sink.truncate()
        self._require_room(request, int(answer.headers.get("Content-Length") or 0))
        written = 0
        while chunk := answer.raw.read1(_CHUNK, decode_content=True):
            written += len(chunk)
            self._require_room(request, written)
            self._sink.write(chunk)
            if self._clock() > deadline:
                raise TimeoutError("no full answer in time")
        return b""

    def _require_room(self, request: Request, size: int) -> None:
        if size > self._limit:
            raise PersonaAnswerError(
                f"the file that {request.operation_id} answers with is larger than {self._limit} bytes; "
                "raise max_bytes if it is meant to be",
                operation_id=request.operation_id,
            )
