"""What goes to Persona and what comes back, as values: requests, responses and failures of the way between.

No sockets here: floor 2 turns a `Request` into bytes and bytes into a `Response` or a `TransportFailure`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

API_PREFIX = "/api/v1"
"""Every path of the API starts so; `links.next` already holds it (docs.withpersona.com/pagination)."""

DEFAULT_HOST = "https://api.withpersona.com"
"""Where Persona's API is today; the older host https://withpersona.com seems to work too."""

DEFAULT_VERSION = "2025-12-08"
"""The version of the API that this package is written for, sent with every request."""

_UNPARSED = object()


def canonical_json(value: Any) -> bytes:
    """Return `value` as JSON bytes that are the same for equal values, whatever their key order."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def json_content(body: Mapping[str, Any]) -> bytes:
    """Return a body as canonical JSON. Dates become ISO 8601, decimals numbers, as in the rows of the bulk path.

    :raises ValueError: when a number is not finite, or a text no valid Unicode.
    :raises TypeError: when a value, or a key, is nothing that JSON has.
    """
    text = json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_as_json_has_it
    )
    return text.encode()


def _as_json_has_it(value: Any) -> Any:
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


def form_content(body: Mapping[str, Any]) -> bytes:
    """Return a body form-encoded, the same for equal bodies; what is None is left out.

    :raises TypeError: when a value is more than a text, a number or a truth value.
    """
    return urlencode([(name, _form_text(body[name])) for name in sorted(body) if body[name] is not None]).encode()


def _form_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(f"a form has no {type(value).__name__}")


@dataclass(frozen=True, slots=True)
class Request:
    """One call to Persona, ready to be sent.

    :param operation_id: the operation of the catalogue, for example `set-status-for-a-case`.
    :param method: `GET`, `POST`, `PATCH` or `DELETE`.
    :param path: path below the host, percent-encoded, starting with `/api/v1/`.
    :param query: pairs in the order in which they are sent, not yet encoded.
    :param body: what is sent as JSON, or None.
    :param form: whether it is sent form-encoded instead.
    :param success: the statuses that mean success.
    :param repeatable: whether doing it twice leaves the same state as doing it once.
    :param binary: whether a successful answer is a file, not JSON.
    """

    operation_id: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    success: frozenset[int] = frozenset({200})
    repeatable: bool = True
    binary: bool = False
    form: bool = False
    _content: Any = field(default=_UNPARSED, init=False, repr=False, compare=False)

    @property
    def takes_idempotency_key(self) -> bool:
        """Whether Persona keeps the answer under a key: for POST only (docs.withpersona.com/idempotence)."""
        return self.method == "POST"

    @property
    def target(self) -> str:
        """Path and query as they stand on the wire, below the host."""
        return f"{self.path}?{_encoded(self.query)}" if self.query else self.path

    def content(self) -> bytes | None:
        """Return the body as bytes, made once, or None when there is none. Holds personal data: never log it.

        :raises ValueError: when the body cannot be written so. What `Operation.bind` made has been checked.
        :raises TypeError: likewise.
        """
        if self._content is _UNPARSED:
            encode = form_content if self.form else json_content
            object.__setattr__(self, "_content", None if self.body is None else encode(self.body))
        content: bytes | None = self._content
        return content

    def headers(self, idempotency_key: str | None) -> dict[str, str]:
        """Return the headers of this request alone, beside those of every request."""
        headers = {"Accept": "*/*"} if self.binary else {}
        if self.body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded" if self.form else "application/json"
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        return headers


@lru_cache(maxsize=256)
def _encoded(query: tuple[tuple[str, str], ...]) -> str:
    return urlencode(query)


def _lower(headers: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType({name.lower(): value for name, value in headers.items()})


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that arrived in full.

    :param status: HTTP status.
    :param headers: headers; look them up in lower case.
    :param content: the body as bytes. Holds personal data: never log it.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes = field(default=b"", repr=False)
    _parsed: Any = field(default=_UNPARSED, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", _lower(self.headers))

    def json(self) -> Any:
        """Return the body parsed as JSON; it is parsed once.

        :raises ValueError: when it is not JSON.
        """
        if self._parsed is _UNPARSED:
            object.__setattr__(self, "_parsed", json.loads(self.content))
        return self._parsed

    @property
    def request_id(self) -> str | None:
        """The id of Persona's API log for this call (`req_…`), when the answer names one."""
        return self.headers.get("request-id")

    @property
    def environment_id(self) -> str | None:
        """The environment that answered (`env_…`), when the answer names one."""
        return self.headers.get("persona-environment-id")


class FailurePoint(StrEnum):
    """How far a request that got no answer may have come."""

    NOT_SENT = "not_sent"
    """The connection was never made: Persona cannot have acted on it."""
    MAYBE_SENT = "maybe_sent"
    """It may have reached Persona: the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class TransportFailure:
    """No (complete) answer arrived.

    :param point: whether Persona may have acted on the request.
    :param reason: what happened, in a few words without addresses of bodies or keys.
    """

    point: FailurePoint
    reason: str


Outcome = Response | TransportFailure
