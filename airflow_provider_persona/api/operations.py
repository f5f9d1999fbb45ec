"""The catalogue: which operations Persona's API has, and how a call to one becomes a `Request`.

The facts are data (`operations.json`); this module looks them up and checks what the caller gives.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

from airflow_provider_persona.api.messages import API_PREFIX, Request

_PATH_PARAMETER = re.compile(r"\{([a-z0-9-]+)\}")
_UNSAFE_IN_PATH = re.compile(r"[^A-Za-z0-9_.~:-]")


class AnswerKind(StrEnum):
    """What a successful answer holds."""

    OBJECT = "object"
    COLLECTION = "collection"
    FILE = "file"


class BadCallError(ValueError):
    """A call that cannot be made: an unknown operation, or a parameter that is missing or unsafe."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of Persona's API.

    :param operation_id: Persona's name for it, for example `set-status-for-a-case`.
    :param method: HTTP method.
    :param path: path template below `/api/v1`, for example `/cases/{case-id}/set-status`.
    :param summary: what it does, in a sentence.
    :param query: query parameters it declares; `fields[TYPE]` stands for `fields[case]` and the like.
    :param required: body keys that must be there, dotted; `a|b` when one of several will do. Stricter than
        Persona's own specification, which marks nearly every body optional even where an empty one makes no sense.
    :param success: statuses of success.
    :param answer: kind of the answer.
    :param paged: whether the answer comes in cursor pages.
    :param repeatable: whether doing it twice leaves the same state as doing it once.
    :param since: first date at which Persona's specification had it.
    :param withdrawn: what to know when it has left the specification, else None.
    """

    operation_id: str
    method: str
    path: str
    summary: str
    query: tuple[str, ...]
    required: tuple[str, ...]
    success: frozenset[int]
    answer: AnswerKind
    paged: bool
    repeatable: bool
    since: str | None
    withdrawn: str | None

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """The names in the path template, in order."""
        return tuple(_PATH_PARAMETER.findall(self.path))

    def bind(
        self,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Request:
        """Make the request of one call.

        :param path: a value for each path parameter, for example `{"case-id": "case_…"}`.
        :param query: query parameters; a list or tuple is joined with commas, None is left out.
        :param body: the JSON body.
        :raises BadCallError: when a path parameter is missing, unknown or unsafe in a path, or a body key is missing.
        """
        self._check_body(body)
        return Request(
            operation_id=self.operation_id,
            method=self.method,
            path=API_PREFIX + self._fill_path(dict(path or {})),
            query=tuple(_query_pairs(query or {})),
            body=body,
            success=self.success,
            repeatable=self.repeatable and not _adds_attachments(body),
            binary=self.answer is AnswerKind.FILE,
        )

    def _fill_path(self, given: dict[str, str]) -> str:
        names = self.path_parameters
        missing = [name for name in names if given.get(name) in (None, "")]
        unknown = sorted(set(given) - set(names))
        if missing or unknown:
            what = f"lacks {', '.join(missing)}" if missing else f"does not know {', '.join(unknown)}"
            raise BadCallError(f"{self.operation_id} {what}; its path is {self.path}")
        return _PATH_PARAMETER.sub(lambda match: path_segment(given[match[1]], match[1]), self.path)

    def _check_body(self, body: Mapping[str, Any] | None) -> None:
        missing = [wanted for wanted in self.required if not any(_has(body, key) for key in wanted.split("|"))]
        if missing:
            raise BadCallError(f"{self.operation_id} needs {', '.join(missing)} in its body")


def path_segment(value: str, name: str) -> str:
    """Return `value` as one segment of a path.

    :raises BadCallError: when it holds anything that could leave its segment (slash, dot-dot, `?`, space, …).
        Persona's ids are opaque and may grow, so only what a path cannot carry is refused.
    """
    if not isinstance(value, str) or not value or value.strip(".") == "" or _UNSAFE_IN_PATH.search(value):
        raise BadCallError(f"{name} cannot be put into a path: {_shown(value)}; give the bare id, like case_…")
    return quote(value, safe="")


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else type(value).__name__
    return repr(text if len(text) <= 40 else text[:37] + "…")


def _has(body: Mapping[str, Any] | None, dotted: str) -> bool:
    found: Any = body
    for key in dotted.split("."):
        if not isinstance(found, Mapping) or found.get(key) is None:
            return False
        found = found[key]
    return True


def _adds_attachments(body: Mapping[str, Any] | None) -> bool:
    """Whether sending `body` twice may attach a file twice (PATCH adds to what is there)."""
    return _has(body, "data.attributes.attachments")


def _query_pairs(query: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in query.items():
        if value is None:
            continue
        if isinstance(value, list | tuple):
            yield name, ",".join(str(item) for item in value)
        elif isinstance(value, bool):
            yield name, str(value).lower()
        else:
            yield name, str(value)


@cache
def catalogue() -> Mapping[str, Operation]:
    """Return every operation by its id, read once from the package's data."""
    text = resources.files(__package__).joinpath("operations.json").read_text("utf-8")
    return {entry["id"]: _from_entry(entry) for entry in json.loads(text)}


def _from_entry(entry: Mapping[str, Any]) -> Operation:
    return Operation(
        operation_id=entry["id"],
        method=entry["method"],
        path=entry["path"],
        summary=entry["summary"],
        query=tuple(entry["query"]),
        required=tuple(entry["required"]),
        success=frozenset(entry["success"]),
        answer=AnswerKind(entry["answer"]),
        paged=entry["paged"],
        repeatable=entry["repeatable"],
        since=entry["since"],
        withdrawn=entry["withdrawn"],
    )


def operation(operation_id: str) -> Operation:
    """Return the operation of that id.

    :raises BadCallError: when there is none; the message names the nearest ids.
    """
    try:
        return catalogue()[operation_id]
    except KeyError:
        near = difflib.get_close_matches(operation_id, catalogue(), n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise BadCallError(f"Persona has no operation {operation_id!r} that we know{hint}") from None


def matching(method: str, path: str) -> Operation | None:
    """Return the operation that a method and a path below `/api/v1` call, or None when it is none of the catalogue."""
    segments = path.strip("/").split("/")
    for candidate in catalogue().values():
        template = candidate.path.strip("/").split("/")
        if candidate.method == method and len(template) == len(segments) and all(map(_fits, template, segments)):
            return candidate
    return None


def _fits(template: str, segment: str) -> bool:
    return template == segment or (template.startswith("{") and segment != "search")
