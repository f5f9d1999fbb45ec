"""Stored files behind the links that Persona's answers hold, streamed to a file as they arrive.

The links lead to another host (files.withpersona.com) and carry a token of their own that ends after hours
(docs.withpersona.com/downloading-files). So they are followed without the API key, over https only, and no redirect is
followed. Links of older versions lead to the API itself, which wants the key; they get it, and no other address does.
Which hosts are trusted stands in `file_links.py`.

Imported at the first call only, because `requests` takes long to import.
"""

from __future__ import annotations

import fnmatch
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Final
from urllib.parse import parse_qsl

import requests
import urllib3

from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaError,
    PersonaServerError,
    PersonaTransportError,
)
from airflow_provider_persona.api.messages import Request
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client.answer_body import UNPACKED, copy_body
from airflow_provider_persona.client.file_client import FILE_SECONDS, file_client
from airflow_provider_persona.client.file_links import FileLinks
from airflow_provider_persona.client.session import Session
from airflow_provider_persona.client.transport import reason_of
from airflow_provider_persona.client.wire import on_wire
from airflow_provider_persona.client.wire_log import hide_queries

_NO_FILE: Final = ("application/json", "text/html")
"""Types of answers that stand for a failure, whatever their status says."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What arrived.

    :param size: bytes.
    :param content_type: media type in small letters, without parameters; empty when none was named.
    """

    size: int
    content_type: str


def download(
    url: str,
    sink: IO[bytes],
    settings: PersonaSettings,
    *,
    limit: int,
    what: str = "a file",
    content_types: Sequence[str] | None = None,
    file_hosts: Sequence[str] = (),
    timeout: float = FILE_SECONDS,
    policy: RetryPolicy | None = None,
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
) -> Downloaded:
    """Fetch the file behind a link.

    :param url: the link, as an answer gave it. It is a secret as long as it works: it stands in no log and no error.
    :param sink: a file open for writing; it is emptied before each attempt.
    :param settings: of the connection that the link came from; for its proxies and certificates.
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
    hide_queries(parts.hostname or "")  # before the first request, since `urllib3` logs each address
    attempts = policy or RetryPolicy()
    if links.needs_key(parts):
        request = Request("download-a-file", "GET", parts.path, tuple(parse_qsl(parts.query)), binary=True)
        with file_client(settings, sink, limit, seconds=timeout, policy=attempts) as client:
            content_type = _type_of(client.send(request).headers.get("content-type"), content_types, what)
        return _whole(sink.tell(), content_type, what)
    fetch = partial(_fetch, url, sink, settings, limit, what, content_types, timeout)
    for delay in attempts.delays:
        try:
            return fetch()
        except (PersonaServerError, PersonaTransportError):
            sleep(delay * (1 + attempts.jitter * chance()))
    return fetch()


def _fetch(
    url: str,
    sink: IO[bytes],
    settings: PersonaSettings,
    limit: int,
    what: str,
    content_types: Sequence[str] | None,
    timeout: float,
) -> Downloaded:
    """Follow a link once, without the API key."""
    try:
        with (
            on_wire(timeout) as wire,
            Session(settings, sends_key=False) as session,
            session.get(
                url,
                headers=UNPACKED,
                timeout=(settings.connect_timeout, min(settings.read_timeout, timeout)),
                allow_redirects=False,
                stream=True,
            ) as answer,
        ):
            if answer.status_code != 200:
                raise _refusal(answer.status_code, what)
            content_type = _type_of(answer.headers.get("Content-Type"), content_types, what)
            size = copy_body(answer, sink, wire=wire, limit=limit, what=what)
            return _whole(size, content_type, what)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        # All three: `requests` wraps errors of a request, but here the body is read from `urllib3` and the socket.
        reason = reason_of(error)
        failure = PersonaTransportError(f"{what} could not be downloaded ({reason}); check proxy and network")
    raise failure  # outside, so that no trace shows the link, which the causes' texts hold


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


def _type_of(header: str | None, accepted: Sequence[str] | None, what: str) -> str:
    """Return the media type of an answer.

    :raises PersonaAnswerError: when it is not an accepted one.
    """
    content_type = (header or "").partition(";")[0].strip().lower()
    if accepted is None:
        fits = content_type not in _NO_FILE
    else:
        fits = any(fnmatch.fnmatchcase(content_type, pattern.lower()) for pattern in accepted)
    if not fits:
        wanted = f"; {', '.join(accepted)} is wanted" if accepted else ", which is no file"
        raise PersonaAnswerError(f"{what} came as {content_type or 'something of no named type'}{wanted}")
    return content_type


def _whole(size: int, content_type: str, what: str) -> Downloaded:
    if not size:
        raise PersonaAnswerError(f"{what} is empty")
    return Downloaded(size, content_type)
