"""The catalogue: which operations Persona's API has, and how a call to one becomes a `Request`.

The facts are data (`operations.json`); this module looks them up and checks what the caller gives. `bind` is called
once a row by the bulk engine, so what follows from the catalogue alone is worked out once per operation.

Files go as JSON, `{"data": base64, "filename": name}` under the key that takes them, also where Persona would accept
multipart (`Operation.multipart`): it takes both, and a JSON body can be repeated and is the same on every attempt.
"""

from __future__ import annotations

import difflib
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

from airflow_provider_persona.api.messages import API_PREFIX, Request

_log = logging.getLogger(__name__)

_PATH_PARAMETER = re.compile(r"\{([a-z0-9-]+)\}")
_UNSAFE_IN_PATH = re.compile(r"[^A-Za-z0-9_.~:-]")
_LEAVES_SEGMENT = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
_ANY: Final[Mapping[str, Any]] = {}
"""The known keys below a value that is not looked into."""
_ABSENT: Final[Any] = object()
_ALWAYS_KNOWN: Final = ("data.type", "data.id")
"""Members of every object, whether or not an operation reads them."""


class AnswerKind(StrEnum):
    """What a successful answer holds."""

    OBJECT = "object"
    """JSON with one object under `data`."""
    COLLECTION = "collection"
    """JSON with a list of objects under `data`."""
    PLAIN = "plain"
    """JSON without `data`."""
    FILE = "file"
    """Bytes that are no JSON, a PDF for example."""


class BadCallError(ValueError):
    """A call that cannot be made: an unknown operation, or a parameter that is missing or unsafe."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of Persona's API.

    :param operation_id: Persona's name for it, for example `set-status-for-a-case`.
    :param resource: what it is about, for example `cases` or `api-keys`.
    :param method: HTTP method.
    :param path: path template below `/api/v1`, for example `/cases/{case-id}/set-status`.
    :param summary: what it does, in a sentence.
    :param query: query parameters it declares; `fields[TYPE]` stands for `fields[case]` and the like.
    :param body: body keys that it knows, dotted; with `.*` at the end when any keys may follow there.
    :param required: body keys that must be there, dotted; `a|b` when one of several will do. Stricter than
        Persona's own specification, which marks nearly every body optional even where an empty one makes no sense.
    :param nullable: body keys that must be there too, dotted, but may be null.
    :param required_query: query parameters that must be there.
    :param success: statuses of success.
    :param answer: kind of the answer.
    :param paged: whether the answer comes in cursor pages.
    :param repeatable: whether doing it twice leaves the same state as doing it once.
    :param appends: body keys, dotted, whose values are added to what is there: with one of them it is not repeatable.
    :param secrets: places in the answer, dotted, that hold a secret or a link that lets in whoever has it.
    :param multipart: whether Persona takes the body as multipart too.
    :param form: whether Persona wants the body form-encoded.
    :param since: first date at which Persona's specification had it.
    :param withdrawn: what to know when it is not in the specification of August 2026, else None.
    :param restricted: what to know when not every key or account may call it, else None.
    :param note: what a caller should know beside the summary, else None.
    """

    operation_id: str
    resource: str
    method: str
    path: str
    summary: str
    query: tuple[str, ...]
    body: tuple[str, ...]
    required: tuple[str, ...]
    nullable: tuple[str, ...]
    required_query: tuple[str, ...]
    success: frozenset[int]
    answer: AnswerKind
    paged: bool
    repeatable: bool
    appends: tuple[str, ...]
    secrets: tuple[str, ...]
    multipart: bool
    form: bool
    since: str | None
    withdrawn: str | None
    restricted: str | None
    note: str | None
    path_parameters: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """The names in the path template, in order."""
    _pieces: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _needs: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = field(init=False, repr=False, compare=False)
    _must_hold: tuple[tuple[str, tuple[str, ...]], ...] = field(init=False, repr=False, compare=False)
    _known: Mapping[str, Any] = field(init=False, repr=False, compare=False)
    _appended: tuple[tuple[str, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        pieces = _PATH_PARAMETER.split(API_PREFIX + self.path)
        put(self, "path_parameters", tuple(pieces[1::2]))
        put(self, "_pieces", tuple(pieces[::2]))
        needs = [(wanted, tuple(tuple(key.split(".")) for key in wanted.split("|"))) for wanted in self.required]
        put(self, "_needs", tuple(needs))
        put(self, "_must_hold", tuple((key, tuple(key.split("."))) for key in self.nullable))
        put(self, "_known", _tree(self.body + _ALWAYS_KNOWN) if self.body else _ANY)
        put(self, "_appended", tuple(tuple(key.split(".")) for key in self.appends))

    def bind(
        self,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Request:
        """Make the request of one call.

        A body key that the operation does not know is sent all the same (Persona may have learnt it since) and
        warned of once in the life of the process.

        :param path: a value for each path parameter, for example `{"case-id": "case_…"}`.
        :param query: query parameters; a list or tuple is joined with commas, None is left out.
        :param body: the body; dates in it are sent as ISO 8601, decimals as numbers.
        :raises BadCallError: when a path parameter is missing, unknown or unsafe in a path, a body key or query
            parameter is missing, or the body holds what cannot be sent.
        """
        if self._needs or self._must_hold:
            self._check_required(body)
        if body:
            self._warn_of_unknown(body, self._known, "")
        pairs = tuple(_query_pairs(query)) if query else ()
        if self.required_query:
            self._check_query(pairs)
        appends = self._appended and any(_has(body, key) for key in self._appended)
        request = Request(
            operation_id=self.operation_id,
            method=self.method,
            path=self._fill_path(path or {}),
            query=pairs,
            body=body,
            success=self.success,
            repeatable=self.repeatable and not appends,
            binary=self.answer is AnswerKind.FILE,
            form=self.form,
        )
        try:
            request.content()
        except (TypeError, ValueError, RecursionError) as error:
            # Without its text, which may show the value.
            raise BadCallError(
                f"the body of {self.operation_id} holds what cannot be sent ({type(error).__name__}): give texts, "
                f"finite numbers, dates, {'and nothing nested' if self.form else 'lists and mappings with text keys'}"
            ) from None
        return request

    def check(self, path: Iterable[str] = (), query: Iterable[str] = (), body: Mapping[str, Any] | None = None) -> None:
        """Check by names alone what will be bound later, at Dag parse for example, when values are still templates.

        :param path: names of the path parameters that will be given.
        :param query: names of the query parameters that will be given.
        :param body: the body, whose values may be templates.
        :raises BadCallError: when a path parameter is missing or unknown, or a body key or query parameter is missing.
        """
        self._check_path_names(path)
        self._check_required(body)
        self._check_query([(name, "") for name in query])

    def _fill_path(self, given: Mapping[str, str]) -> str:
        names, pieces = self.path_parameters, self._pieces
        if len(given) != len(names) or any(given.get(name) in (None, "") for name in names):
            self._check_path_names([name for name, value in given.items() if value not in (None, "")])
        filled = pieces[0]
        for name, following in zip(names, pieces[1:], strict=True):
            filled += path_segment(given[name], name) + following
        return filled

    def _check_path_names(self, given: Iterable[str]) -> None:
        there = set(given)
        missing = [name for name in self.path_parameters if name not in there]
        unknown = sorted(there.difference(self.path_parameters))
        if missing or unknown:
            what = f"lacks {', '.join(missing)}" if missing else f"does not know {', '.join(unknown)}"
            raise BadCallError(f"{self.operation_id} {what}; its path is {self.path}")

    def _check_required(self, body: Mapping[str, Any] | None) -> None:
        missing = [wanted for wanted, keys in self._needs if not any(_has(body, key) for key in keys)]
        missing += [wanted for wanted, key in self._must_hold if _at(body, key) is _ABSENT]
        if missing:
            raise BadCallError(f"{self.operation_id} needs {', '.join(missing)} in its body")

    def _check_query(self, given: Sequence[tuple[str, str]]) -> None:
        missing = [name for name in self.required_query if not any(name == each for each, _ in given)]
        if missing:
            raise BadCallError(f"{self.operation_id} needs {', '.join(missing)} in its query")

    def _warn_of_unknown(self, given: Mapping[str, Any], known: Mapping[str, Any], above: str) -> None:
        for key, value in given.items():
            below = known.get(key)
            if below is None and (below := known.get(_kebab(str(key)))) is None:
                _warn_once(self.operation_id, f"{above}{key}", tuple(f"{above}{name}" for name in known))
            elif below and isinstance(value, Mapping):
                self._warn_of_unknown(value, below, f"{above}{key}.")


def path_segment(value: str, name: str) -> str:
    """Return `value` as one segment of a path.

    :param name: the parameter. Unless it is an id's, its value is a token or a file's name: that is percent-encoded,
        and shown in no error.
    :raises BadCallError: when it holds anything that could leave its segment (slash, dot-dot; in an id also `?`,
        space, …). Persona's ids are opaque and may grow, so only what a path cannot carry is refused.
    """
    is_id = name.endswith(("-id", "_id", " id"))
    unsafe = _UNSAFE_IN_PATH if is_id else _LEAVES_SEGMENT
    if not isinstance(value, str) or not value or value.strip(".") == "" or unsafe.search(value):
        if is_id:
            raise BadCallError(f"{name} cannot be put into a path: {_shown(value)}; give the bare id, like case_…")
        raise BadCallError(f"{name} cannot be put into a path: it is a text without slashes and control characters")
    return quote(value, safe="")


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else type(value).__name__
    return repr(text if len(text) <= 40 else text[:37] + "…")


def _tree(dotted: Iterable[str]) -> Mapping[str, Any]:
    """Return keys as nested mappings; one that is not looked into ends in an empty mapping."""
    tree: dict[str, Any] = {}
    for keys in dotted:
        node = tree
        for key in keys.removesuffix(".*").split("."):
            node = node.setdefault(_kebab(key), {})
    return tree


def _kebab(key: str) -> str:
    """Return a key in kebab-case: Persona takes camel, kebab and snake case (docs.withpersona.com/response-body)."""
    return _HUMP.sub(r"-\1", key).replace("_", "-").lower()


def _has(body: Any, keys: tuple[str, ...]) -> bool:
    found = _at(body, keys)
    return found is not None and found is not _ABSENT


def _at(body: Any, keys: tuple[str, ...]) -> Any:
    """Return what a body holds under a key, in whatever case it is written; `_ABSENT` when it does not have the key."""
    found = body
    for key in keys:
        if not isinstance(found, Mapping):
            return _ABSENT
        inner = found.get(key, _ABSENT)
        if inner is _ABSENT or inner is None:
            wanted = _kebab(key)
            spelt = [value for name, value in found.items() if _kebab(str(name)) == wanted]
            inner = next((value for value in spelt if value is not None), None if spelt else inner)
        found = inner
    return found


_warned: set[tuple[str, str]] = set()


def _warn_once(operation_id: str, key: str, known: tuple[str, ...]) -> None:
    if (operation_id, key) in _warned:
        return
    _warned.add((operation_id, key))
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    hint = f"; did you mean {near[0]}?" if near else ""
    _log.warning("%s knows no body key %s%s It is sent as it is.", operation_id, key, hint or ".")


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
        resource=entry["resource"],
        method=entry["method"],
        path=entry["path"],
        summary=entry["summary"],
        query=tuple(entry["query"]),
        body=tuple(entry["body"]),
        required=tuple(entry["required"]),
        nullable=tuple(entry.get("nullable", ())),
        required_query=tuple(entry.get("required_query", ())),
        success=frozenset(entry["success"]),
        answer=AnswerKind(entry["answer"]),
        paged=entry["paged"],
        repeatable=entry["repeatable"],
        appends=tuple(entry.get("appends", ())),
        secrets=tuple(entry.get("secrets", ())),
        multipart=entry.get("multipart", False),
        form=entry.get("form", False),
        since=entry["since"],
        withdrawn=entry["withdrawn"],
        restricted=entry.get("restricted"),
        note=entry.get("note"),
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
    """Return the operation that a method and a path below `/api/v1` call, or None when it is none of the catalogue.

    The one call that the catalogue has under two ids, `POST /reports`, is `create-a-report`.
    """
    segments = path.strip("/").split("/")
    fitting = [each for each in _of_shape(method, len(segments)) if all(map(_fits, each[1], segments))]
    return min(fitting, key=_openness)[0] if fitting else None


@cache
def _of_shape(method: str, segments: int) -> tuple[tuple[Operation, tuple[str, ...]], ...]:
    split = ((each, tuple(each.path.strip("/").split("/"))) for each in catalogue().values() if each.method == method)
    return tuple((each, template) for each, template in split if len(template) == segments)


def _openness(found: tuple[Operation, tuple[str, ...]]) -> int:
    return sum(segment.startswith("{") for segment in found[1])


def _fits(template: str, segment: str) -> bool:
    return template == segment or (template.startswith("{") and segment != "search")
