"""The border between the request loop and the network: a transport sends one request once.

A transport decides nothing. `client/conversation.py` decides whether and when a request is sent (again).
`client/requests_transport.py` and `client/aiohttp_transport.py` are the real ones; tests pass one that calls the
simulator's application in memory.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from airflow_provider_persona.api.messages import Outcome, Request
from airflow_provider_persona.client.answer_body import BrokenOffError

USER_AGENT: Final = "airflow-provider-persona"


@dataclass(frozen=True, slots=True)
class Sending:
    """One request, and what a transport needs to send it once.

    :param request: the request.
    :param key: its idempotency key, or None.
    :param connect_timeout: seconds to make a connection, if one has to be made. A guarded write must leave within a
        second of the guard's read, so it gets less than the settings' value.
    :param read_timeout: seconds from sending to the end of the answer.
    :param headers: further headers of this request; they never replace the headers of the settings.
    """

    request: Request
    key: str | None
    connect_timeout: float
    read_timeout: float
    headers: Mapping[str, str] = field(default_factory=dict)


class TooLateError(TimeoutError):
    """The whole answer did not arrive in time."""

    def __init__(self) -> None:
        super().__init__("no full answer in time")


_WORDS: Final[Mapping[type[Exception], str]] = {
    ConnectionRefusedError: "the connection was refused",
    socket.gaierror: "the name of the host is unknown",
    ssl.SSLCertVerificationError: "the certificate is not trusted; name trusted ones in the extra `verify`",
}
"""What is said of errors below those of `requests` and aiohttp, so that it does not depend on the client."""


def reason_of(error: Exception) -> str:
    """Say what went wrong with a request. The texts of foreign errors hold addresses with queries and are left out."""
    cause: BaseException = error
    for _ in range(3):  # requests' error holds urllib3's, which holds the reason or the cause
        inner = getattr(cause, "reason", None) or next(iter(cause.args), None)
        if not isinstance(inner, BaseException):
            break
        cause = inner
    for own in (cause, cause.__cause__):
        if isinstance(own, TooLateError | BrokenOffError):
            return str(own)
        if words := next((words for kind, words in _WORDS.items() if isinstance(own, kind)), None):
            return words
    return type(cause).__name__


class Transport(Protocol):
    """Sends requests for the blocking client; several threads may use it at once."""

    def transmit(self, sending: Sending) -> Outcome:
        """Send a request once, and return its answer or how far it came."""

    def close(self) -> None:
        """Close the connections. The transport can be used again."""


class AsyncTransport(Protocol):
    """Sends requests for the asynchronous client, many at a time on one event loop."""

    async def transmit(self, sending: Sending) -> Outcome:
        """Send a request once, and return its answer or how far it came."""

    async def close(self) -> None:
        """Close the connections. The transport can be used again."""
