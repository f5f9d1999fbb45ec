"""Stored files behind the links that Persona's answers hold, streamed to a file as they arrive.

The links lead to another host (files.withpersona.com) and carry a token of their own that ends after hours
(docs.withpersona.com/downloading-files). So they are followed without the API key, over https only, and no redirect is
followed. Links of older versions lead to the API itself, which wants the key; they get it, and no other address does.
Which hosts are trusted stands in `file_links.py`.
"""

from __future__ import annotations

import fnmatch
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, parse_qsl

from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaError,
    PersonaServerError,
    PersonaTransportError,
)
from airflow_provider_persona.api.messages import Request
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.client.file_body import UNPACKED, BrokenOffError, copy_body
from airflow_provider_persona.client.file_client import FileClient
from airflow_provider_persona.client.file_links import FileLinks
from airflow_provider_persona.client.wire_log import hide_queries

if TYPE_CHECKING:
    import requests

    from airflow_provider_persona.api.settings import PersonaSettings

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


def is_file_link(value: Any, settings: PersonaSettings, file_hosts: Sequence[str] = ()) -> bool:
    """Whether a value in an answer is a link to a stored file that may be followed; see `FileLinks`."""
    return FileLinks(settings, file_hosts).is_link(value)


def download(
    url: str,
    sink: IO[bytes],
    settings: PersonaSettings,
    *,
    limit: int,
    what: str = "a file",
    content_types: Sequence[str] | None = None,
    file_hosts: Sequence[str] = (),
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
    :param file_hosts: hosts, beside Persona's own, that links may lead to, like `files.example.com`.
    :param timeout: seconds until the file must be there in full.
    :param policy: attempts and delays.
    :raises PersonaAnswerError: when the link cannot be followed, has ended, leads elsewhere, or what comes is too
        large, of another type or empty.
    :raises PersonaTransportError: when no full answer came; `PersonaServerError` when the host failed.
    """
    links = FileLinks(settings, file_hosts)
    parts = links.checked(url, what)
    hide_queries(parts.hostname or "")
    attempts = policy or RetryPolicy()
    if links.needs_key(parts):
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
    with FileClient(settings, sink, limit, seconds=timeout, policy=policy) as client:
        content_type = _type_of(client.send(request).headers.get("content-type"))
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
                    headers=UNPACKED,
                    timeout=(settings.connect_timeout, min(settings.read_timeout, self._timeout)),
                    verify=settings.verify,
                    allow_redirects=False,
                    stream=True,
                ) as answer,
            ):
                return self._received(answer, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            name = _said_of(error)
            failure = PersonaTransportError(f"{self._what} could not be downloaded ({name}); check proxy and network")
        raise failure  # outside, so that no trace shows the link, which the causes' texts hold

    def _received(self, answer: requests.Response, deadline: float) -> Downloaded:
        if answer.status_code != 200:
            raise _refusal(answer.status_code, self._what)
        content_type = _type_of(answer.headers.get("Content-Type"))
        _check_type(content_type, self._content_types, self._what)
        size = copy_body(answer, self._sink, limit=self._limit, deadline=deadline, clock=self._clock, what=self._what)
        return _whole(size, content_type, self._what)


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


def _said_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "took too long"
    return "broke off" if isinstance(error, BrokenOffError) else type(error).__name__


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
