"""A client for answers that are files: it writes them to a file as they arrive, instead of keeping them in memory.

Imported at the first call only, because `requests` takes long to import.
"""

from __future__ import annotations

from typing import IO, Final

import requests

from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client.answer_body import UNPACKED, copy_body
from airflow_provider_persona.client.blocking import PersonaClient
from airflow_provider_persona.client.requests_transport import RequestsTransport
from airflow_provider_persona.client.transport import Sending
from airflow_provider_persona.client.wire import Wire

FILE_SECONDS: Final = 300.0
"""Seconds that a file may take to arrive by default; the read timeout is meant for answers."""


def file_client(
    settings: PersonaSettings,
    sink: IO[bytes],
    limit: int,
    *,
    seconds: float = FILE_SECONDS,
    policy: RetryPolicy | None = None,
) -> PersonaClient:
    """Return a client that writes the successful answer to a binary request to a file.

    :param settings: settings of the connection.
    :param sink: a file open for writing; it is emptied before each attempt.
    :param limit: bytes that the file may have at most.
    :param seconds: seconds from the first byte of the answer until the whole file must have arrived. No silence in
        between may be longer than the settings' read timeout.
    :param policy: attempts and delays.
    """
    return PersonaClient(settings, policy=policy, transport=_FileTransport(settings, sink, limit, seconds))


class _FileTransport(RequestsTransport):
    """Writes the body of a successful answer to a binary request to a file; other answers are read as usual."""

    def __init__(self, settings: PersonaSettings, sink: IO[bytes], limit: int, seconds: float) -> None:
        super().__init__(settings)
        self._sink = sink
        self._limit = limit
        self._seconds = seconds

    def headers_for(self, sending: Sending) -> dict[str, str]:
        """Ask for a file as it is, since its length on arrival is compared with the promised one."""
        return UNPACKED if sending.request.binary else {}

    def received(self, answer: requests.Response, sending: Sending, wire: Wire) -> Response:
        """Read an answer in full, a file into the sink."""
        if not sending.request.binary or not 200 <= answer.status_code < 300:
            return super().received(answer, sending, wire)
        wire.extend(self._seconds)  # only now: the beginning of the answer had to come by the usual deadline
        operation_id = sending.request.operation_id
        what = f"the file that {operation_id} answers with"
        copy_body(answer, self._sink, wire=wire, limit=self._limit, what=what, operation_id=operation_id)
        return Response(answer.status_code, dict(answer.headers))
