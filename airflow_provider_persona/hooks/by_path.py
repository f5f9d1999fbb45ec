"""Calls by path, as an `HttpHook` takes them: from its arguments to a request, and the answer back."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from airflow_provider_persona.api.errors import PersonaSettingsError
from airflow_provider_persona.api.messages import API_PREFIX, Request, Response
from airflow_provider_persona.api.operations import matching

if TYPE_CHECKING:
    import requests


def request_of(method: str, endpoint: str, data: Any, *, host: str, any_status: bool, **kwargs: Any) -> Request:
    """Return the request that a call by path means.

    :param method: HTTP method.
    :param endpoint: path with or without `/api/v1`, and query if need be.
    :param data: for GET the query; otherwise the JSON body, as a mapping or as JSON text.
    :param host: the connection's host, which the endpoint must not leave.
    :param any_status: whether answers of any status count as success.
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
    known = matching(method, parts.path.removeprefix(API_PREFIX))
    return Request(
        operation_id=known.operation_id if known else f"{method} {parts.path}",
        method=method,
        path=parts.path,
        query=tuple(query),
        body=body,
        success=frozenset(range(200, 600)) - {429} if any_status else frozenset(range(200, 300)),
        repeatable=known.repeatable if known else method in ("GET", "HEAD"),
        binary=True,
        form=known is not None and known.form,
    )


def api_path(endpoint: str, host: str) -> SplitResult:
    """Return an endpoint's path below `/api/v1`, and its query.

    :raises PersonaSettingsError: when it leads to another host, or out of the API.
    """
    parts = urlsplit(endpoint)
    if (parts.scheme or parts.netloc) and f"{parts.scheme}://{parts.netloc}" != host:
        raise PersonaSettingsError(
            "the endpoint is on another host than the connection's; the API key stays on its host"
        )
    if any(segment in (".", "..") for segment in parts.path.split("/")):
        raise PersonaSettingsError("the endpoint must not hold . or .. between slashes")
    path = "/" + parts.path.lstrip("/")
    if not path.startswith(f"{API_PREFIX}/"):
        path = API_PREFIX + path
    return parts._replace(scheme="", netloc="", path=path, fragment="")


def _pairs(given: Any) -> list[tuple[str, str]]:
    if not given:
        return []
    if isinstance(given, str):
        return parse_qsl(given, keep_blank_values=True)
    pairs = given.items() if isinstance(given, Mapping) else given
    return [(str(name), str(value)) for name, value in pairs if value is not None]


def _json_body(given: Any) -> Mapping[str, Any] | None:
    if not given:
        return None
    if isinstance(given, str | bytes):
        try:
            given = json.loads(given)
        except ValueError:
            given = None
    if not isinstance(given, Mapping):
        raise PersonaSettingsError("Persona takes JSON objects; give data as a mapping or as the text of a JSON object")
    return given


def as_requests_response(response: Response, url: str) -> requests.Response:
    """Return an answer in the form in which the stock operators take it."""
    import http

    import requests
    from requests.structures import CaseInsensitiveDict

    made = requests.Response()
    made.status_code = response.status
    made.headers = CaseInsensitiveDict(response.headers)
    made.url = url
    made.raw = io.BytesIO(response.content)
    made.encoding = "utf-8"
    made.reason = http.HTTPStatus(response.status).phrase if response.status in set(http.HTTPStatus) else ""
    return made
