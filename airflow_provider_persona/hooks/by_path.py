"""Calls by path: from the arguments of an `HttpHook` to a request, and from the answer to a `requests.Response`."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from airflow_provider_persona.api.errors import PersonaSettingsError
from airflow_provider_persona.api.messages import API_PREFIX, Request, Response
from airflow_provider_persona.api.operations import BadCallError, check_content, matching, prefixes, query_pairs
from airflow_provider_persona.api.settings import LONGEST_TIMEOUT, origin_of
from airflow_provider_persona.client.wire_log import shown_target

if TYPE_CHECKING:
    import requests


def request_of(
    method: str, endpoint: str, data: Any, *, host: str, options: Mapping[str, Any], **kwargs: Any
) -> Request:
    """Return the request of a call by path.

    :param method: HTTP method.
    :param endpoint: path, and query if need be; `/api/v1` may be left out.
    :param data: for GET the query; otherwise the JSON body, as a mapping or as JSON text.
    :param host: the connection's host, which the endpoint must not leave.
    :param options: `check_response` False lets answers of any status count as success.
    :param kwargs: `json` or `params`, as for `requests`.
    :raises PersonaSettingsError: when the call cannot be made.
    """
    parts = api_path(endpoint, host)
    body, query = _json_body(kwargs.pop("json", None)), parse_qsl(parts.query, keep_blank_values=True)
    for given in (kwargs.pop("params", None), data if method in ("GET", "HEAD") else None):
        query += _pairs(given)
    if method not in ("GET", "HEAD") and data:
        body = _json_body(data)
    if kwargs:
        raise PersonaSettingsError(f"a Persona connection takes json and params, not {', '.join(sorted(kwargs))}")
    below = next(parts.path.removeprefix(each) for each in prefixes() if parts.path.startswith(f"{each}/"))
    known = matching(method, below)
    if known is not None and known.headers:
        raise PersonaSettingsError(
            f"{known.operation_id} needs headers that a call by path does not send; call it by its name"
        )
    takes_any = options.get("check_response") is False
    request = Request(
        # It stands in errors and in the log, so what a path holds beside words and ids is left out of it.
        operation_id=known.operation_id if known else f"{method} {shown_target(parts.path)}",
        method=method,
        path=parts.path,
        query=tuple(query),
        body=body,
        # A limit is waited for in any case: who asks for answers of all statuses does not ask for less patience.
        success=frozenset(range(200, 600)) - {429} if takes_any else frozenset(range(200, 300)),
        repeatable=known.repeatable and not known.appends_with(body) if known else method in ("GET", "HEAD"),
        binary=True,  # the answer is handed over as it is, JSON or not
        form=known is not None and known.form,
    )
    try:
        check_content(request)
    except BadCallError as error:
        raise PersonaSettingsError(str(error)) from None
    return request


def api_path(endpoint: str, host: str) -> SplitResult:
    """Return an endpoint's path with `/api/v1`, and its query.

    :raises PersonaSettingsError: when it leads to another host, or out of the API.
    """
    try:
        parts = urlsplit(endpoint)
        is_own = not (parts.scheme or parts.netloc) or origin_of(parts) == origin_of(urlsplit(host))
    except ValueError:  # its text would show the endpoint
        is_own = False
    if not is_own:
        raise PersonaSettingsError(
            "the endpoint is on another host than the connection's; the API key stays on its host"
        )
    if any(unquote(segment) in (".", "..") for segment in parts.path.split("/")):  # `requests` writes %2e as a dot
        raise PersonaSettingsError("the endpoint must not hold . or .. between slashes")
    path = "/" + parts.path.lstrip("/")
    if not path.startswith(tuple(f"{each}/" for each in prefixes())):
        path = API_PREFIX + path
    return parts._replace(scheme="", netloc="", path=path, fragment="")


def sending_options(headers: Mapping[Any, Any] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `PersonaClient.send` takes beside the request: further headers, and the read timeout.

    :param headers: further headers of the call.
    :param options: `timeout` is seconds, or what `requests` takes as well: a pair of seconds, to connect and to read.
    :raises PersonaSettingsError: when a header cannot be sent, or the timeout is no number of seconds. It shows no
        value, which may be a secret.
    """
    return {"headers": _sendable(headers or {}), "timeout": _read_timeout(options.get("timeout"))}


def _read_timeout(given: Any) -> float | None:
    seconds = given[1] if isinstance(given, list | tuple) and len(given) == 2 else given
    if not seconds:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_TIMEOUT:
        raise PersonaSettingsError(f"timeout is a number of seconds, above 0 and at most {LONGEST_TIMEOUT:g}")
    return float(seconds)


def _sendable(given: Mapping[Any, Any]) -> dict[str, str]:
    headers = {str(name): str(value) for name, value in given.items()}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise PersonaSettingsError("a header cannot be sent: give printable text of Latin-1 without line breaks")
    return headers


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"([\x21-\x7e\xa0-\xff]([\t\x20-\x7e\xa0-\xff]*[\x21-\x7e\xa0-\xff])?)?")


def _pairs(given: Any) -> list[tuple[str, str]]:
    if not given:
        return []
    if isinstance(given, str):
        return parse_qsl(given, keep_blank_values=True)
    return list(query_pairs(given.items() if isinstance(given, Mapping) else given))


def _json_body(given: Any) -> Mapping[str, Any] | None:
    if not given:
        return None
    if isinstance(given, str | bytes):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            given = None
    if not isinstance(given, Mapping):
        raise PersonaSettingsError("Persona takes JSON objects; give data as a mapping or as the text of a JSON object")
    return given


def as_requests_response(response: Response, url: str) -> requests.Response:
    """Return an answer as the stock operators expect it."""
    import http

    import requests
    from requests.structures import CaseInsensitiveDict

    made = requests.Response()
    made.status_code = response.status
    made.headers = CaseInsensitiveDict(response.headers)
    made.url = url
    made.raw = io.BytesIO(response.content)  # unread, so that a caller may stream it as well as ask for `content`
    made.encoding = "utf-8"
    made.reason = http.HTTPStatus(response.status).phrase if response.status in set(http.HTTPStatus) else ""
    return made
