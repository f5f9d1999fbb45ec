"""A client for answers that are files: it writes them to a file as they arrive, instead of keeping them in memory."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final

from airflow_provider_persona.client.blocking import PersonaClient

if TYPE_CHECKING:
    from airflow_provider_persona.api.retry import RetryPolicy
    from airflow_provider_persona.api.settings import PersonaSettings

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
    from airflow_provider_persona.client.file_transport import FileTransport  # `requests` takes long to import

    return PersonaClient(settings, policy=policy, transport=FileTransport(settings, sink, limit, seconds))
