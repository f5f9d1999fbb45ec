"""The catalogue: the operations of Persona's API, and how a call of one becomes a `Request`.

The facts are data (`operations.json`). This module looks them up, and checks the arguments of a call. The bulk engine
calls `bind` for each row, so everything that depends on the operation alone is computed once.

A file is sent as JSON, `{"data": base64, "filename": name}`, also where Persona takes multipart as well
(`Operation.multipart`): a JSON body is the same in every attempt.
"""

from __future__ import annotations

import difflib
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

from airflow_provider_persona.api.answers import DATA_OF, WITH_ANOTHER, AnswerKind
from airflow_provider_persona.api.body_keys import ABSENT, has, kebab, tree_of, value_at
from airflow_provider_persona.api.errors import ProviderError
from airflow_provider_persona.api.messages import API_PREFIX, Request, only_reads
from airflow_provider_persona.api.own_headers import wrong_names, wrong_value

_log = logging.getLogger(__name__)

_PATH_PARAMETER = re.compile(r"\{([a-z0-9-]+)\}")
_LONGEST_ID = 500
_UNSAFE_IN_PATH = re.compile(r"[^A-Za-z0-9_.~:-]")
_LEAVES_SEGMENT = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ANY: Final[Mapping[str, Any]] = {}
"""The known keys of a value that may hold any key."""
_ALWAYS_KNOWN: Final = ("data.type", "data.id")
"""Members that every object may have, whether or not an operation uses them."""


class BadCallError(ProviderError, ValueError):
    """A call cannot be made: the operation is unknown, or a parameter is missing or unsafe."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of Persona's API.

    :param operation_id: Persona's name for it, for example `set-status-for-a-case`.
    :param resource: the resource that it belongs to, for example `cases` or `api-keys`.
    :param method: HTTP method.
    :param path: path template below the prefix, for example `/cases/{case-id}/set-status`.
    :param summary: what it does, in a sentence.
    :param query: its query parameters; `fields[TYPE]` stands for `fields[case]` and the like.
    :param body: its body keys, dotted; `.*` at the end means that any keys may follow there.
    :param required: body keys that must be there, dotted; `a|b` means one of the two. Persona's specification marks
        nearly every body as optional, even where an empty one makes no sense; this list is stricter.
    :param success: statuses of success.
    :param answer: kind of the answer.
    :param paged: whether the answer comes in cursor pages.
    :param repeatable: whether two such calls leave the same state as one.
    :param since: first date of Persona's specification with it.
    :param withdrawn: advice when the specification of August 2026 does not have it, else None.
    :param prefix: beginning of the path; `/api/v1` but for relays.
    :param nullable: body keys that must be there, dotted, and may be null.
    :param headers: headers that it needs and others do not: the beginning of the value of each, by name.
    :param required_query: query parameters that must be there.
    :param appends: body keys, dotted, that add their values to the present ones; a call with one is not repeatable.
    :param secrets: places in the answer, dotted, that hold a secret, or a link that needs no further login.
    :param multipart: whether Persona takes the body as multipart, too.
    :param form: whether Persona wants the body form-encoded.
    :param restricted: advice when not every key or account may call it, else None.
    :param note: further advice for callers, or None.
    """

    operation_id: str
    resource: str
    method: str
    path: str
    summary: str
    query: tuple[str, ...]
    body: tuple[str, ...]
    required: tuple[str, ...]
    success: frozenset[int]
    answer: AnswerKind
    paged: bool
    repeatable: bool
    since: str | None
    withdrawn: str | None
    prefix: str = API_PREFIX
    nullable: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    required_query: tuple[str, ...] = ()
    appends: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    multipart: bool = False
    form: bool = False
    restricted: str | None = None
    note: str | None = None
    path_parameters: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """The names in the path template, in order."""
    _pieces: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _needs: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = field(init=False, repr=False, compare=False)
    _must_hold: tuple[tuple[str, tuple[str, ...]], ...] = field(init=False, repr=False, compare=False)
    _known: Mapping[str, Any] = field(init=False, repr=False, compare=False)
    _appended: tuple[tuple[str, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__  # the class is frozen
        pieces = _PATH_PARAMETER.split(self.prefix + self.path)
        put(self, "path_parameters", tuple(pieces[1::2]))
        put(self, "_pieces", tuple(pieces[::2]))
        needs = [(wanted, tuple(tuple(key.split(".")) for key in wanted.split("|"))) for wanted in self.required]
        put(self, "_needs", tuple(needs))
        put(self, "_must_hold", tuple((key, tuple(key.split("."))) for key in self.nullable))
        put(self, "_known", tree_of(self.body + _ALWAYS_KNOWN) if self.body else _ANY)
        put(self, "_appended", tuple(tuple(key.split(".")) for key in self.appends))

    def bind(
        self,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> Request:
        """Make the request of one call.

        An unknown body key is sent, because Persona may take it by now. The log has one warning for each.

        :param path: a value for each path parameter, for example `{"case-id": "case_…"}`.
        :param query: query parameters; a list or tuple is joined with commas, None is left out.
        :param body: the body; dates in it are sent as ISO 8601, decimals as numbers.
        :param headers: a value for each header of the operation's own.
        :raises BadCallError: when a path parameter is missing, unknown or unsafe, a body key, query parameter
            or header is missing, or query, body or a header holds a value that cannot be sent.
        """
        if self._needs or self._must_hold:
            self._check_required(body)
        if body:
            self._warn_of_unknown(body, self._known, "")
        pairs = tuple(query_pairs(query.items())) if query else ()
        if self.required_query:
            self._check_query(pairs)
        request = Request(
            operation_id=self.operation_id,
            method=self.method,
            path=self._fill_path(path or {}),
            query=pairs,
            body=body,
            success=self.success,
            repeatable=self.repeatable and not self.appends_with(body),
            binary=self.answer is AnswerKind.FILE,
            form=self.form,
            own_headers=self._own_headers(headers or {}) if headers or self.headers else None,
            data=DATA_OF.get(self.answer),
            about=next(iter(path.values())) if path and self._answers_with_its_object else None,
        )
        check_content(request)
        return request

    def bind_to(
        self, query: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None
    ) -> Callable[[str], Request]:
        """Return what makes the request about one object, for calls that differ in their object only.

        Parameters as for `bind`. They are checked once, at the first object.
        """
        (parameter,) = self.path_parameters
        again: Callable[..., Request] | None = None

        def request_of(object_id: str) -> Request:
            nonlocal again
            if again is None:
                again = self.bind({parameter: object_id}, query, body).for_others()
            about = object_id if self._answers_with_its_object else None
            return again(self._fill_path({parameter: object_id}), about)

        return request_of

    def appends_with(self, body: Mapping[str, Any] | None) -> bool:
        """Whether a call with this body adds to what is there, so that it must not be repeated."""
        return any(has(body, key) for key in self._appended)

    @property
    def only_reads(self) -> bool:
        """Whether it changes nothing."""
        return only_reads(self.method, self.path)

    @property
    def _answers_with_its_object(self) -> bool:
        """Whether the answer is the object that the path names, and not a new one such as a clone."""
        is_of_one = self.answer is AnswerKind.OBJECT and len(self.path_parameters) == 1
        return is_of_one and self.operation_id not in WITH_ANOTHER

    def check(
        self,
        path: Iterable[str] = (),
        query: Iterable[str] = (),
        body: Mapping[str, Any] | None = None,
        headers: Iterable[str] = (),
    ) -> None:
        """Check the names of arguments before `bind`, for example when a Dag is parsed and values are still templates.

        :param path: names of the path parameters that will be given.
        :param query: names of the query parameters that will be given.
        :param body: the body; its values may be templates.
        :param headers: names of the headers that will be given.
        :raises BadCallError: when a path parameter is missing or unknown, or a body key, query parameter or
            header is missing.
        """
        self._check_path_names(path)
        self._check_required(body)
        self._check_query([(name, "") for name in query])
        if problem := wrong_names(self.headers, headers):
            raise BadCallError(f"{self.operation_id} {problem}")

    def _own_headers(self, given: Mapping[str, Any]) -> Mapping[str, str]:
        by_name = {str(name).lower(): value for name, value in given.items() if value is not None}
        if problem := wrong_names(self.headers, by_name) or wrong_value(self.headers, by_name):
            raise BadCallError(f"{self.operation_id} {problem}")
        return {name: by_name[name.lower()] for name in self.headers}

    def _fill_path(self, given: Mapping[str, str]) -> str:
        names, pieces = self.path_parameters, self._pieces
        if len(given) != len(names) or not all(map(given.get, names)):
            self._check_path_names([name for name, value in given.items() if value not in (None, "")])
        filled = pieces[0]
        for name, following in zip(names, pieces[1:], strict=True):
            filled += path_segment(given[name], name) + following
        return filled

    def _check_path_names(self, given: Iterable[str]) -> None:
        there = set(map(str, given))  # a Dag may write a number where a name is meant
        missing = [name for name in self.path_parameters if name not in there]
        unknown = sorted(there.difference(self.path_parameters))
        if missing or unknown:
            what = f"lacks {', '.join(missing)}" if missing else f"does not know {', '.join(unknown)}"
            raise BadCallError(f"{self.operation_id} {what}; its path is {self.path}")

    def _check_required(self, body: Mapping[str, Any] | None) -> None:
        missing = [wanted for wanted, keys in self._needs if not any(has(body, key) for key in keys)]
        missing += [wanted for wanted, key in self._must_hold if value_at(body, key) is ABSENT]
        if missing:
            raise BadCallError(f"{self.operation_id} needs {', '.join(missing)} in its body")

    def _check_query(self, given: Sequence[tuple[str, str]]) -> None:
        missing = [name for name in self.required_query if not any(name == each for each, _ in given)]
        if missing:
            raise BadCallError(f"{self.operation_id} needs {', '.join(missing)} in its query")

    def _warn_of_unknown(self, given: Mapping[str, Any], known: Mapping[str, Any], above: str) -> None:
        for key, value in given.items():
            below = known.get(key)
            if below is None and (below := known.get(kebab(str(key)))) is None:
                _warn_once(self.operation_id, f"{above}{key}", tuple(f"{above}{name}" for name in known))
            elif below and isinstance(value, Mapping):
                self._warn_of_unknown(value, below, f"{above}{key}.")


def check_content(request: Request) -> None:
    """Check that query and body can be sent.

    :raises BadCallError: when they hold a value that cannot be.
    """
    part = "query"
    try:
        _ = request.target
        part = "body"
        request.content()
    except (TypeError, ValueError, RecursionError) as error:
        # The error's own text may show the value, so it is left out.
        raise BadCallError(
            f"the {part} of {request.operation_id} holds a value that cannot be sent ({type(error).__name__}): give "
            f"text, finite numbers, dates, {'nothing nested' if request.form else 'lists and mappings with text keys'}"
        ) from None


def path_segment(value: str, name: str) -> str:
    """Return a value as one segment of a path.

    :param value: the value. Persona's ids may grow and change, so only characters that a path cannot hold are refused.
    :param name: name of the parameter. A parameter that is no id holds a token or the name of a file: its value is
        percent-encoded, and no error shows it.
    :raises BadCallError: when it could leave its segment (a slash, dots only; in an id also `?` …), or is a long id.
    """
    is_id = name.endswith(("-id", "_id", " id"))
    unsafe = _UNSAFE_IN_PATH if is_id else _LEAVES_SEGMENT
    is_text = isinstance(value, str) and value.strip(".") != "" and not (is_id and len(value) > _LONGEST_ID)
    if not is_text or unsafe.search(value):
        if is_id:
            raise BadCallError(f"{name} cannot be put into a path: {_shown(value)}; give the bare id, like case_…")
        raise BadCallError(f"{name} cannot be put into a path: it is a text without slashes and control characters")
    return quote(value, safe="")


def is_path_id(text: str) -> bool:
    """Whether an id of an answer can be put into a path."""
    try:
        return bool(path_segment(text, "object-id"))
    except BadCallError:
        return False


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else type(value).__name__
    return repr(text if len(text) <= 40 else text[:37] + "…")


@cache
def _warn_once(operation_id: str, key: str, known: tuple[str, ...]) -> None:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    hint = f"; did you mean {near[0]}?" if near else ""
    _log.warning("%s knows no body key %s%s It is sent as it is.", operation_id, key, hint or ".")


def query_pairs(parameters: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, str]]:
    """Yield query parameters as text. A list or tuple is joined with commas, None is left out."""
    for name, value in parameters:
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
    """Return all operations by their ids."""
    text = resources.files(__package__).joinpath("operations.json").read_text("utf-8")
    return {entry["id"]: _from_entry(**entry) for entry in json.loads(text)}


def _from_entry(id: str, success: list[int], answer: str, **facts: Any) -> Operation:  # noqa: A002 - its name in the file
    frozen: dict[str, Any] = {name: tuple(fact) if isinstance(fact, list) else fact for name, fact in facts.items()}
    return Operation(operation_id=id, success=frozenset(success), answer=AnswerKind(answer), **frozen)


def operation(operation_id: str) -> Operation:
    """Return the operation of that id.

    :raises BadCallError: when there is none; it names similar ids.
    """
    if not isinstance(operation_id, str):
        raise BadCallError(
            f"operation_id is a text like list-all-cases, not a value of type {type(operation_id).__name__}"
        )
    try:
        return catalogue()[operation_id]
    except KeyError:
        near = difflib.get_close_matches(operation_id, catalogue(), n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise BadCallError(f"Persona has no operation {operation_id!r} that we know{hint}") from None


def matching(method: str, path: str) -> Operation | None:
    """Return the operation that a method and a path below its prefix call, or None when the catalogue has none.

    The catalogue has one call under two ids, `POST /reports`; this returns `create-a-report`.
    """
    segments = path.strip("/").split("/")
    fitting = [each for each, template in _of_shape(method, len(segments)) if all(map(_fits, template, segments))]
    # A path that is spelt out wins over one with a parameter in the same place.
    return min(fitting, key=lambda each: len(each.path_parameters), default=None)


@cache
def prefixes() -> tuple[str, ...]:
    """Return every beginning that paths of operations have."""
    return tuple(dict.fromkeys(each.prefix for each in catalogue().values()))


@cache
def _of_shape(method: str, segments: int) -> tuple[tuple[Operation, tuple[str, ...]], ...]:
    split = ((each, tuple(each.path.strip("/").split("/"))) for each in catalogue().values() if each.method == method)
    return tuple((each, template) for each, template in split if len(template) == segments)


def _fits(template: str, segment: str) -> bool:
    return template == segment or (template.startswith("{") and segment != "search")  # no object has that id
