"""`FileClient`: answers that are files, streamed to a file as they arrive instead of being kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any, Final

from airflow_provider_persona.api.messages import Outcome, Request
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client.blocking import PersonaClient
from airflow_provider_persona.client.file_body import UNPACKED, copy_body

if TYPE_CHECKING:
    import requests

FILE_SECONDS: Final = 300.0
"""Seconds that a file may take to arrive unless the caller says otherwise; the read timeout is meant for answers."""


class FileClient(PersonaClient):
    """A client that writes the successful answer to a binary request to a file.

    :param settings: where and as whom.
    :param sink: a file open for writing; it is emptied before each attempt.
    :param limit: bytes that the file may have at most.
    :param seconds: seconds from the first byte of the answer until the file must be there in full. No silence in
        between may be longer than the settings' read timeout.
    :param options: as for `PersonaClient`.
    """

    def __init__(
        self,
        settings: PersonaSettings,
        sink: IO[bytes],
        limit: int,
        *,
        seconds: float = FILE_SECONDS,
        **options: Any,
    ) -> None:
        super().__init__(settings, **options)
        self._sink = sink
        self._limit = limit
        self._seconds = seconds
        self._request: Request | None = None

    def _transmit(self, request: Request, key: str | None, headers: Mapping[str, str], timeout: float) -> Outcome:
        self._request = request
        return super()._transmit(request, key, {**headers, **UNPACKED} if request.binary else headers, timeout)

    def _read(self, answer: requests.Response, deadline: float) -> bytes:
        request = self._request
        if request is None or not request.binary or not 200 <= answer.status_code < 300:
            return super()._read(answer, deadline)
        copy_body(
            answer,
            self._sink,
            limit=self._limit,
            deadline=self._clock() + self._seconds,
            clock=self._clock,
            what=f"the file that {request.operation_id} answers with",
            operation_id=request.operation_id,
        )
        return b""
