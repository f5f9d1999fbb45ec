"""One call to the simulated API, taken apart: what was asked, by which key, in which shape the answer shall come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from persona_simulator.config import (
    API_VERSIONS,
    ApiKey,
    Inflection,
    SimulatorConfig,
)
from persona_simulator.inflection import kebab
from persona_simulator.multipart import MULTIPART, parse_multipart
from persona_simulator.problems import bad_request
from persona_simulator.rendering import AnswerStyle

T = TypeVar("T")

_WORDS: Final[Mapping[type, str]] = {str: "a string", dict: "a hash", list: "an array"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    :param operation: id of the operation.
    :param subject: the id in the path, or an empty text.
    :param query: query parameters, names in kebab-case.
    :param body: the JSON body with keys in kebab-case, those inside `fields` as they came.
    :param style: the shape of the answer.
    :param key: the key that was used.
    :param now: simulated time in epoch seconds.
    :param config: the rules of the environment.
    :param headers: the headers, with names in lower case.
    """

    operation: str
    subject: str
    query: Mapping[str, str]
    body: Mapping[str, Any]
    style: AnswerStyle
    key: ApiKey
    now: float
    config: SimulatorConfig
    headers: Mapping[bytes, bytes]

    def find(self, *path: str) -> Any:
        """Return what the body holds at `path`, or None."""
        found: Any = self.body
        for name in path:
            if not isinstance(found, Mapping):
                return None
            found = found.get(name)
        return found

    def has(self, *path: str) -> bool:
        """Whether the body has the key at `path`, be it null."""
        found: Any = self.body
        for name in path:
            if not isinstance(found, Mapping) or name not in found:
                return False
            found = found[name]
        return True

    def need(self, kind: type[T], *path: str) -> T:
        """Return what the body holds at `path`.

        :raises RefusedError: 400 when it is missing or not a `kind`.
        """
        found = self.find(*path)
        if found is None:
            raise bad_request(f"{_named(path)} is missing")
        return _checked(found, kind, path)

    def may(self, kind: type[T], *path: str) -> T | None:
        """Return what the body holds at `path`, None when it is missing or null.

        :raises RefusedError: 400 when it is not a `kind`.
        """
        found = self.find(*path)
        return None if found is None else _checked(found, kind, path)

    def texts(self, *path: str) -> list[str] | None:
        """Return the list of texts at `path`, None when it is missing or null.

        :raises RefusedError: 400 when it is something else.
        """
        found = self.may(list, *path)
        if found is not None and not all(isinstance(item, str) for item in found):
            raise bad_request(f"{_named(path)} must be an array of strings")
        return found


def _checked(found: Any, kind: type[T], path: tuple[str, ...]) -> T:
    if not isinstance(found, kind):
        raise bad_request(f"{_named(path)} must be {_WORDS.get(kind, kind.__name__)}")
    return found


def _named(path: tuple[str, ...]) -> str:
    return ".".join(name.replace("-", "_") for name in path)


def parse_query(query: bytes) -> Mapping[str, str]:
    """Return the parameters of a query string, names in kebab-case."""
    if not query:
        return {}
    return {kebab(name): value for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True)}


def parse_body(body: bytes, content_type: bytes = b"") -> Mapping[str, Any]:
    """Return a JSON body, a form or a body in parts with its keys in kebab-case; an empty body is an empty object.

    :raises RefusedError: 400 when it is not a JSON object.
    """
    if not body:
        return {}
    if content_type.startswith(b"application/x-www-form-urlencoded"):
        return parse_query(body)
    parsed = parse_multipart(body, content_type) if content_type.startswith(MULTIPART) else _json(body)
    if not isinstance(parsed, dict):
        raise bad_request("The request body must be a JSON object")
    try:
        result: Mapping[str, Any] = _kebab_keys(parsed)
    except RecursionError:
        raise bad_request("The request body is nested too deep") from None
    return result


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise bad_request("The request body is not valid JSON") from None


def _kebab_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {kebab(key): inner if key == "fields" else _kebab_keys(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_kebab_keys(inner) for inner in value]
    return value


def answer_style(headers: Mapping[bytes, bytes], query: Mapping[str, str], key: ApiKey, now: float) -> AnswerStyle:
    """Return the shape in which the answer was asked for.

    :raises RefusedError: 400 for a version or an inflection that does not exist.
    """
    version = headers.get(b"persona-version", b"").decode("latin-1") or key.version
    if version not in API_VERSIONS:
        raise bad_request(f"Persona-Version {version} is not a valid API version")
    inflection = key.inflection
    if asked := headers.get(b"key-inflection", b"").decode("latin-1"):
        if asked not in set(Inflection):
            raise bad_request("Key-Inflection must be one of: camel, kebab, snake")
        inflection = Inflection(asked)
    origin = f"http://{headers.get(b'host', b'').decode('latin-1')}"
    if not query:
        return AnswerStyle(version, inflection, origin=origin, now=now)
    sparse = {
        name[7:-1]: frozenset(_attribute(each.strip()) for each in value.split(","))
        for name, value in query.items()
        if name.startswith("fields[") and name.endswith("]")
    }
    return AnswerStyle(version, inflection, sparse, _inclusions(query.get("include")), origin, now)


def _attribute(name: str) -> str:
    return name if name.startswith("fields.") else kebab(name)


def _inclusions(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    paths = [kebab(path.strip()) for path in text.split(",") if path.strip()]
    return tuple(dict.fromkeys(path.partition(".")[0] for path in paths))
