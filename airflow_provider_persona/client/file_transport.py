"""Sends requests with `requests` and writes files in the answers to a file. Imported at the first call only."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.client.file_body import UNPACKED, copy_body
from airflow_provider_persona.client.requests_transport import RequestsTransport

if TYPE_CHECKING:
    import requests

    from airflow_provider_persona.api.settings import PersonaSettings
    from airflow_provider_persona.client.transport import Sending
    from airflow_provider_persona.client.wire import Wire


class FileTransport(RequestsTransport):
    """Writes the body of a successful answer to a binary request to a file; other answers are read as usual.

    :param settings: settings of the connection.
    :param sink: a file open for writing; it is emptied before each attempt.
    :param limit: bytes that the file may have at most.
    :param seconds: seconds from the first byte of the answer until the whole file must have arrived.
    """

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
        wire.extend(self._seconds)
        copy_body(
            answer,
            self._sink,
            wire=wire,
            limit=self._limit,
            what=f"the file that {sending.request.operation_id} answers with",
            operation_id=sending.request.operation_id,
        )
        return Response(answer.status_code, dict(answer.headers))
