"""Sends requests with aiohttp, for the asynchronous client. Imported at the first call only."""

from __future__ import annotations

import io
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from airflow_provider_persona.api.messages import FailurePoint, Outcome, Response, TransportFailure
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client.answer_body import ACCEPTED, AnswerBody, UnusableBodyError
from airflow_provider_persona.client.network import network_of
from airflow_provider_persona.client.transport import USER_AGENT, Sending, reason_of

_LONGEST_LINE: Final = 65_536
"""Bytes of a status line or header. `http.client` takes as many, and the two clients must not differ."""

_LARGEST_PIECE: Final = 2**20
"""Bytes of the largest body that is handed over whole. While aiohttp writes such a body, nothing else runs."""


class AiohttpTransport:
    """Sends requests on one pooled session, made at the first call.

    :param settings: settings of the connection.
    :param connections: how many connections may be open at once.
    """

    def __init__(self, settings: PersonaSettings, connections: int) -> None:
        self._settings = settings
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._headers: dict[str, str] = {}
        self._proxy: URL | None = None
        self._proxy_headers: dict[str, str] = {}

    async def close(self) -> None:
        """Close the connections. The transport can be used again."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def transmit(self, sending: Sending) -> Outcome:
        """Send a request once, and return its answer or how far it came."""
        session = self._session or self._new_session()
        request, wire = sending.request, _Wire()
        token = _current.set(wire)
        content = request.content()
        try:
            async with session.request(
                request.method,
                URL(self._settings.host + request.target, encoded=True),  # as it is: the idempotency key covers it
                data=content if content is None or len(content) <= _LARGEST_PIECE else io.BytesIO(content),
                # The last one wins. The caller's come first, so that they replace neither the key nor the version.
                headers={**sending.headers, **self._headers, **request.headers(sending.key)},
                timeout=aiohttp.ClientTimeout(
                    # `sock_read` begins anew with each byte, so it alone would let an answer trickle in for ever.
                    total=sending.connect_timeout + sending.read_timeout,
                    connect=sending.connect_timeout,
                    sock_read=sending.read_timeout,
                ),
                allow_redirects=False,
                proxy=self._proxy,
                proxy_headers=self._proxy_headers,
            ) as answer:
                return await _received(answer, is_file=request.binary)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            point = FailurePoint.MAYBE_SENT if wire.is_written else FailurePoint.NOT_SENT
            return TransportFailure(point, reason_of(error))
        finally:
            _current.reset(token)

    def _new_session(self) -> aiohttp.ClientSession:
        network = network_of(self._settings)
        if network.proxy is not None:
            parts = urlsplit(network.proxy)
            self._proxy = URL(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
            self._proxy_headers = network.proxy_headers()
        tunnels = self._settings.host.startswith("https:")
        self._headers = {
            **ACCEPTED,
            **self._settings.headers(),
            "Authorization": self._settings.authorization(),
            # The proxy's login goes with the CONNECT request where there is one, so that Persona never sees it.
            **({} if tunnels else self._proxy_headers),
        }
        self._session = aiohttp.ClientSession(
            # Connections should outlive the wait for the next window, a minute at most; aiohttp's default is 15 s.
            connector=_Connector(limit=self._connections, ssl=network.ssl_context(), keepalive_timeout=60),
            headers={"User-Agent": USER_AGENT},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # see `answer_body.py`
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
        )
        # aiohttp would send a GET or DELETE again by itself, past the budget, the breaker and the count of requests.
        self._session._retry_connection = False  # noqa: SLF001 - there is no public way
        return self._session


class _Wire:
    """One request under way, and whether a part of it was written. Before that Persona cannot have acted on it."""

    is_written = False


_current: ContextVar[_Wire | None] = ContextVar("persona_aiohttp_wire", default=None)
"""The request of this task. aiohttp's traces could hand it down too, at a tenth of the CPU time of a request."""


class _Connector(aiohttp.TCPConnector):
    async def connect(self, *args: Any, **options: Any) -> Any:
        """Return a connection, through the proxy if there is one. aiohttp writes the request as soon as it has it."""
        connection = await super().connect(*args, **options)
        wire = _current.get()  # set after `connect`: while it connects, nothing of the request has left
        if wire is not None:
            wire.is_written = True
        return connection


async def _received(answer: aiohttp.ClientResponse, *, is_file: bool) -> Response:
    headers = _joined(answer)
    try:
        body = AnswerBody(headers.get("content-encoding"), is_file=is_file)
        async for piece in answer.content.iter_any():
            body.add(piece)
        return Response(answer.status, headers, body.content())
    except UnusableBodyError as error:
        return Response(answer.status, headers, damage=f"it {error}")


def _joined(answer: aiohttp.ClientResponse) -> dict[str, str]:
    """Return the headers with repeated ones joined, as `requests` gives them."""
    headers: dict[str, str] = {}
    for name, value in answer.headers.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    return headers
