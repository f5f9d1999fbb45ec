"""Stored files behind the links that Persona's answers hold, streamed to a file as they arrive.

The links lead to another host (files.withpersona.com) and carry a token of their own that ends after hours
(docs.withpersona.com/downloading-files). So they are followed without the API key, over https only, and no redirect is
followed. Links of older versions lead to the API itself, which wants the key; they get it, and no other address does.
"""

from __future__ import annotations

import fnmatch
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaError,
    PersonaServerError,
    PersonaTransportError,
)
from airflow_provider_persona.api.messages import API_PREFIX, Request
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.client.file_client import FileClient
from airflow_provider_persona.client.wire_log import hide_queries

if TYPE_CHECKING:
    import requests

    from airflow_provider_persona.api.settings import PersonaSettings

_CHUNK: Final = 64 * 1024
_FILES: Final = f"{API_PREFIX}/files/"
_NO_FILE: Final = ("application/json", "text/html")
"""Types of answers that tell of a failure, whatever their status says."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What arrived.

    :param size: bytes.
    :param content_type: media type in small letters, without parameters; empty when none was named.
    """

    size: int
    content_type: str


def is_file_link(value: Any, settings: PersonaSettings) -> bool:
    """Whether a value in an answer is a link to a stored file, and not to some page of the web.

    Signed links carry an `access_token`; older ones lead to `/api/v1/files/` on the API's own host.
    """
    if not isinstance(value, str) or "://" not in value:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return "access_token" in dict(parse_qsl(parts.query)) or _needs_key(parts, settings)


def download(
    url: str,
    sink: IO[bytes],
    settings: PersonaSettings,
    *,
    limit: int,
    what: str = "a file",
    content_types: Sequence[str] | None = None,
    timeout: float = 300.0,
    policy: RetryPolicy | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
) -> Downloaded:
    """Fetch the file behind a link.

    :param url: the link, as an answer gave it. It is a secret as long as it works: it stands in no log and no error.
    :param sink: a file open for writing; it is emptied before each attempt.
    :param settings: of the connection whose answer held the link; for its proxies and certificates.
    :param limit: bytes that the file may have at most.
    :param what: what it is, for errors, like `attachments.0.url of case_…`.
    :param content_types: media types that are accepted, like `image/*`; by default all but pages and JSON, which is
        how failures look.
    :param timeout: seconds until the file must be there in full.
    :param policy: attempts and delays.
    :raises PersonaAnswerError: when the link cannot be followed, has ended, leads elsewhere, or what comes is too
        large, of another type or empty.
    :raises PersonaTransportError: when no full answer came; `PersonaServerError` when the host failed.
    """
    parts = _checked(url, settings, what)
    hide_queries(parts.hostname or "")
    attempts = policy or RetryPolicy()
    if _needs_key(parts, settings):
        return _from_the_api(parts, sink, settings, limit, what, content_types, timeout, attempts)
    fetch = _Fetch(url, sink, settings, limit, what, content_types, timeout, clock)
    for delay in attempts.delays:
        try:
            return fetch.once()
        except (PersonaServerError, PersonaTransportError):
            sleep(delay * (1 + attempts.jitter * chance()))
    return fetch.once()


def _from_the_api(
    parts: SplitResult,
    sink: IO[bytes],
    settings: PersonaSettings,
    limit: int,
    what: str,
    content_types: Sequence[str] | None,
    timeout: float,
    policy: RetryPolicy,
) -> Downloaded:
    request = Request("download-a-file", "GET", parts.path, tuple(parse_qsl(parts.query)), binary=True)
    with FileClient(settings, sink, limit, policy=policy) as client:
        content_type = _type_of(client.send(request, timeout=timeout).headers.get("content-type"))
    _check_type(content_type, content_types, what)
    return _whole(sink.tell(), content_type, what)


class _Fetch:
    """One link and all that is needed to follow it."""

    def __init__(
        self,
        url: str,
        sink: IO[bytes],
        settings: PersonaSettings,
        limit: int,
        what: str,
        content_types: Sequence[str] | None,
        timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self._url = url
        self._sink = sink
        self._settings = settings
        self._limit = limit
        self._what = what
        self._content_types = content_types
        self._timeout = timeout
        self._clock = clock

    def once(self) -> Downloaded:
        import requests
        import urllib3

        deadline = self._clock() + self._timeout
        settings = self._settings
        try:
            with (
                _keyless_session(settings) as session,
                session.get(
                    self._url,
                    timeout=(settings.connect_timeout, min(settings.read_timeout, self._timeout)),
                    verify=settings.verify,
                    allow_redirects=False,
                    stream=True,
                ) as answer,
            ):
                return self._received(answer, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            name = "took too long" if isinstance(error, TimeoutError) else type(error).__name__
            failure = PersonaTransportError(f"{self._what} could not be downloaded ({name}); check proxy and network")
        raise failure  # outside, so that no trace shows the link, which the causes' texts hold

    def _received(self, answer: requests.Response, deadline: float) -> Downloaded:
        if answer.status_code != 200:
            raise _refusal(answer.status_code, self._what)
        content_type = _type_of(answer.headers.get("Content-Type"))
        _check_type(content_type, self._content_types, self._what)
        promised = answer.headers.get("Content-Length", "")
        length = int(promised) if promised.isdecimal() and "Content-Encoding" not in answer.headers else None
        self._require_room(length or 0)
        self._sink.seek(0)
        self._sink.truncate()
        size = 0
        while chunk := answer.raw.read1(_CHUNK, decode_content=True):
            size += len(chunk)
            self._require_room(size)
            self._sink.write(chunk)
            if self._clock() > deadline:
                raise TimeoutError
        if length is not None and size != length:
            raise PersonaTransportError(f"{self._what} broke off after {size} of {length} bytes")
        return _whole(size, content_type, self._what)

    def _require_room(self, size: int) -> None:
        if size > self._limit:
            raise PersonaAnswerError(
                f"{self._what} is larger than {self._limit} bytes; raise max_bytes if it is meant to be"
            )


def _checked(url: str, settings: PersonaSettings, what: str) -> SplitResult:
    """Take a link apart.

    :raises PersonaAnswerError: when it is not https. Plain http is for a Persona on this machine, a simulated one.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    ours = urlsplit(settings.host)
    is_simulated = ours.scheme == "http" and ours.hostname == host  # settings take http for loopback only
    if not host or "@" in parts.netloc or not (parts.scheme == "https" or (parts.scheme == "http" and is_simulated)):
        raise PersonaAnswerError(f"the link to {what} is not https, so it is not followed")
    return parts


def _needs_key(parts: SplitResult, settings: PersonaSettings) -> bool:
    return f"{parts.scheme}://{parts.netloc}" == settings.host and parts.path.startswith(_FILES)


def _keyless_session(settings: PersonaSettings) -> requests.Session:
    """Return a session that sends no key, no cookie and no login of netrc."""
    from urllib.request import getproxies

    import requests

    session = requests.Session()
    session.trust_env = False  # netrc's logins come with it
    session.headers["User-Agent"] = "airflow-provider-persona"
    proxies = settings.proxies if settings.proxies is not None else getproxies()
    session.proxies.update(proxies)
    if bypassed := None if settings.proxies is not None else proxies.get("no"):
        session.proxies["no_proxy"] = bypassed
    return session


def _refusal(status: int, what: str) -> PersonaError:
    if status in (408, 429) or status >= 500:
        return PersonaServerError(f"the host of files answered {status} to {what}", status=status)
    if 300 <= status < 400:
        return PersonaAnswerError(f"the link to {what} redirects ({status}), which is not followed", status=status)
    if status in (401, 403, 404, 410):
        return PersonaAnswerError(
            f"the link to {what} does not work (any more): status {status}. Links end after hours: read the object "
            "again, in the task that downloads",
            status=status,
            retryable=True,
        )
    return PersonaAnswerError(f"the host of files answered {status} to {what}", status=status)


def _check_type(content_type: str, accepted: Sequence[str] | None, what: str) -> None:
    if accepted is None:
        fits = content_type not in _NO_FILE
    else:
        fits = any(fnmatch.fnmatchcase(content_type, pattern.lower()) for pattern in accepted)
    if not fits:
        wanted = f"; {', '.join(accepted)} is wanted" if accepted else ", which is no file"
        raise PersonaAnswerError(f"{what} came as {content_type or 'something of no named type'}{wanted}")


def _type_of(header: str | None) -> str:
    return (header or "").partition(";")[0].strip().lower()


def _whole(size: int, content_type: str, what: str) -> Downloaded:
    if not size:
        raise PersonaAnswerError(f"{what} is empty")
    return Downloaded(size, content_type)
