"""Requests to Persona, and what comes back: a response, or a failure on the way. All are values.

No sockets here: `client/` sends a `Request` and returns a `Response` or a `TransportFailure`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

API_PREFIX = "/api/v1"
"""Beginning of every path of the API, except those of relays; `Operation.prefix` has each."""

DEFAULT_HOST = "https://api.withpersona.com"
"""Persona's API. The older host, https://withpersona.com, seems to work too."""

DEFAULT_VERSION = "2025-12-08"
"""The version of the API that every request asks for; this package is written for it."""

_UNPARSED = object()
_LONGEST_ID = 200
"""Characters that an id in a header may have. It comes from outside, and goes into logs and ledgers."""


def canonical_json(value: Any) -> bytes:
    """Return a value as JSON bytes; equal values give equal bytes, whatever the order of their keys."""
    return _CANONICAL.encode(value).encode()


def compact_json(value: Any) -> str:
    """Return a value as JSON text without spaces, with its keys in their own order."""
    return _COMPACT.encode(value)


def json_content(body: Mapping[str, Any]) -> bytes:
    """Return a body as canonical JSON. Dates become ISO 8601, decimals become numbers.

    :raises ValueError: when a number is not finite, or a text is not valid Unicode.
    :raises TypeError: when JSON has no such type of value or key.
    """
    return _BODY.encode(body).encode()


def _as_json_has_it(value: Any) -> Any:
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


# Made once, because `json.dumps` makes a new encoder for each value, and a row of a bulk run has about seven values.
# Keys are sorted where the bytes are hashed: for idempotency keys and for the hash of a plan.
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_CANONICAL = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, sort_keys=True)
_BODY = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, sort_keys=True, allow_nan=False, default=_as_json_has_it
)


def form_content(body: Mapping[str, Any]) -> bytes:
    """Return a body form-encoded; equal bodies give equal bytes. None is left out.

    :raises TypeError: when a value is not text, a number, true or false.
    """
    return urlencode([(name, _form_text(body[name])) for name in sorted(body) if body[name] is not None]).encode()


def _form_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(f"a form has no {type(value).__name__}")


def only_reads(method: str, path: str) -> bool:
    """Whether a call changes nothing. Persona's searches are POST (published specification, `/cases/search`).

    :param method: its HTTP method.
    :param path: its path, or the template of its path.
    """
    return method in ("GET", "HEAD") or (method == "POST" and path.endswith("/search"))


@dataclass(frozen=True, slots=True)
class Request:
    """One call to Persona, ready to be sent.

    :param operation_id: the operation of the catalogue, for example `set-status-for-a-case`.
    :param method: `GET`, `POST`, `PATCH` or `DELETE`.
    :param path: path below the host, percent-encoded, starting with the prefix of its operation, like `/api/v1`.
    :param query: query parameters in the order in which they are sent, not yet encoded.
    :param body: the body, or None.
    :param success: the statuses that mean success.
    :param repeatable: whether two such requests leave the same state as one.
    :param binary: whether a successful answer is a file instead of JSON.
    :param form: whether the body is sent form-encoded instead of as JSON.
    :param own_headers: headers that its operation needs and others do not. Secrets: never log them.
    :param data: type of `data` in a successful answer: `dict` for one object, `list` for several; None where the answer
        has no `data`, or nothing is known of it.
    :param about: id of the object that a successful answer must be about, or None.
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
    own_headers: Mapping[str, str] | None = field(default=None, repr=False)
    data: type[dict[str, Any] | list[Any]] | None = None
    about: str | None = None
    _content: Any = field(default=_UNPARSED, init=False, repr=False, compare=False)

    @property
    def takes_idempotency_key(self) -> bool:
        """Whether Persona stores answers under idempotency keys: for POST only (docs.withpersona.com/idempotence)."""
        return self.method == "POST"

    @property
    def only_reads(self) -> bool:
        """Whether it changes nothing."""
        return only_reads(self.method, self.path)

    @property
    def brings_own_login(self) -> bool:
        """Whether it goes out under a login of its own instead of the connection's API key."""
        return self.own_headers is not None and "Authorization" in self.own_headers

    @property
    def target(self) -> str:
        """Path and query, encoded, as they are sent."""
        return f"{self.path}?{_encoded(self.query)}" if self.query else self.path

    def content(self) -> bytes | None:
        """Return the body as bytes, or None when there is none. It holds personal data: never log it.

        :raises ValueError: as `json_content`, unless `Operation.bind` made the request: it has checked the body.
        :raises TypeError: likewise.
        """
        if self._content is _UNPARSED:  # once, so that all attempts send the bytes that their key was made from
            encode = form_content if self.form else json_content
            object.__setattr__(self, "_content", None if self.body is None else encode(self.body))
        content: bytes | None = self._content
        return content

    def for_others(self) -> Callable[[str, str | None], Request]:
        """Return what makes the same request with another path and `about`. All share the body, and its bytes."""
        content = self.content()
        same = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        del same["path"], same["about"]

        def request(path: str, about: str | None) -> Request:
            other = Request(path=path, about=about, **same)
            object.__setattr__(other, "_content", content)
            return other

        return request

    def headers(self, idempotency_key: str | None) -> dict[str, str]:
        """Return the headers that only this request has."""
        headers = {"Accept": "*/*"} if self.binary else {}
        if self.body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded" if self.form else "application/json"
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        return {**headers, **(self.own_headers or {})}


@lru_cache(maxsize=256)
def _encoded(query: tuple[tuple[str, str], ...]) -> str:
    return urlencode(query)


def _lower(headers: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType({name.lower(): value for name, value in headers.items()})


_HALF = re.compile("[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _countable(text: str) -> int | None:
    return int(text) if len(text) <= _MOST_DIGITS else None


_MOST_DIGITS = 1000
"""Digits of a whole number. Python reads no more than 4,300, and then refuses the whole answer."""

_ANSWER = json.JSONDecoder(parse_constant=lambda _: None, parse_float=_finite, parse_int=_countable)

_DEEPEST = 300
"""Levels of an answer. Python parses more, and then fails at writing them: both count on its stack, which is fuller
by then. Persona's own answers have about ten."""


_NESTED = (dict, list)


def _is_deeper(value: Any, most: int) -> bool:
    """Whether a parsed value has more levels; without recursion."""
    level = [value] if isinstance(value, _NESTED) else []
    for _ in range(most):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, _NESTED)
        ]
        if not level:
            return False
    return bool(level)


def _parsed(text: str) -> Any:
    """Return what a JSON text holds, without what no file, database or XCom takes.

    Half of a character, which a program leaves that cuts a text in the middle of an emoji, becomes the sign for an
    unknown one. A number that JSON does not have (NaN, Infinity, 1e999) becomes null. So it costs its own value only.

    :raises ValueError: when it is not JSON, or is nested too deeply.
    """
    try:
        found = _ANSWER.decode(text)
    except RecursionError:  # no `ValueError`, and the callers handle those
        raise ValueError("nested too deeply") from None
    if text.count("{") + text.count("[") > _DEEPEST and _is_deeper(found, _DEEPEST):
        raise ValueError("nested too deeply")
    if not _ESCAPED_HALF.search(text):
        return found
    return json.loads(_HALF.sub("\ufffd", json.dumps(found, ensure_ascii=False)))


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that arrived in full.

    :param status: HTTP status.
    :param headers: headers; look them up in lower case.
    :param content: the body as bytes. Holds personal data: never log it.
    :param damage: why the body was not read, for example its size; None when it was read.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes = field(default=b"", repr=False)
    damage: str | None = None
    _parsed: Any = field(default=_UNPARSED, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", _lower(self.headers))

    def json(self) -> Any:
        """Return the body parsed as JSON.

        :raises ValueError: when it is not JSON, or is nested too deeply.
        """
        if self._parsed is _UNPARSED:
            # Decoded here, because `json.loads` would let halves of characters pass from bytes.
            parsed = _parsed(self.content.decode(json.detect_encoding(self.content)))
            object.__setattr__(self, "_parsed", parsed)
        return self._parsed

    @property
    def request_id(self) -> str | None:
        """The id of this call in Persona's API log (`req_…`), when the answer names a valid one."""
        return self._id("request-id")

    @property
    def environment_id(self) -> str | None:
        """The environment that answered (`env_…`), when the answer names a valid one."""
        return self._id("persona-environment-id")

    def _id(self, header: str) -> str | None:
        found = self.headers.get(header)
        return found if found and len(found) <= _LONGEST_ID and found.isascii() and found.isprintable() else None


class FailurePoint(StrEnum):
    """How far a request without an answer came."""

    NOT_SENT = "not_sent"
    """No connection was made, so Persona cannot have acted on it."""
    MAYBE_SENT = "maybe_sent"
    """It may have reached Persona, so the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class TransportFailure:
    """No complete answer arrived.

    :param point: how far the request came.
    :param reason: what happened, in a few words without an address, a body or a key.
    """

    point: FailurePoint
    reason: str


Outcome = Response | TransportFailure
