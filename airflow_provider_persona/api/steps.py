"""The steps of a change: calls that bring an object to its wanted state, each with a check of Persona's answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.messages import Request
from airflow_provider_persona.api.operations import operation


@dataclass(frozen=True, slots=True)
class Step:
    """One call that changes one part of an object. Two steps are equal when they make the same call.

    :param resource_type: Persona's name for the kind of object: `case`, `account`, …
    :param part: the part that it changes, for messages: `status`, `tags`, `fields`, …
    :param operation_id: the operation to call; its path has one parameter, the object's id.
    :param body: body of the call.
    :param is_shown_by: whether an object already has the wanted state, so that the call is not needed.
    :param shows_in: attributes and relationships to read for `is_shown_by`.
    :param is_denied_by: whether the object in the call's answer shows that the call had no effect; by default, whether
        it does not show the wanted state.
    :param absence_tells: whether an object without the wanted state proves that the call was not made. It proves
        nothing where a case does not show the change (attached documents), or where each call gives another state (a
        time that counts from now).
    """

    resource_type: str
    part: str
    operation_id: str
    body: Mapping[str, Any] = field(repr=False)
    is_shown_by: Callable[[Any], bool] = field(compare=False)
    shows_in: tuple[str, ...]
    is_denied_by: Callable[[Any], bool] | None = field(default=None, compare=False)
    absence_tells: bool = True
    _requests_of: dict[bool, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def check(self, answered: Any, request_id: str | None = None) -> None:
        """Check that the answer to the call shows the wanted state.

        :param answered: the object in the answer, as a model such as `Case`.
        :raises PersonaAnswerError: when it does not, although Persona answered with a success.
        """
        denied = self.is_denied_by(answered) if self.is_denied_by else not self.is_shown_by(answered)
        if denied:
            trace = f" [{request_id}]" if request_id else ""
            raise PersonaAnswerError(
                f"Persona accepted {self.operation_id}, but its answer does not show the wanted {self.part}{trace}; "
                f"look at the {self.resource_type} before trying again",
                request_id=request_id,
                operation_id=self.operation_id,
            )

    @property
    def may_be_made_anew(self) -> bool:
        """Whether the call may be made once more when nobody knows whether it was made."""
        return self.absence_tells or operation(self.operation_id).repeatable

    def request(self, object_id: str, *, with_time: bool = False) -> Request:
        """Return the request for one object. It asks for the status and what `check` needs.

        :param with_time: whether it asks for the time of the last change too. The query is part of the idempotency
            key, so a run asks for the same in all its attempts.
        :raises BadCallError: when the id cannot be part of a path.
        """
        request_of: Callable[[str], Request] | None = self._requests_of.get(with_time)
        if request_of is None:
            shown = {"status", *self.shows_in, *(("updated-at",) if with_time else ())}
            query = {f"fields[{self.resource_type}]": ",".join(sorted(shown))}
            request_of = self._requests_of[with_time] = operation(self.operation_id).bind_to(query, self.body)
        return request_of(object_id)


class Change(Protocol):
    """The wanted state of one object. What is not given stays as it is."""

    @property
    def status(self) -> str | None:
        """The wanted status, or None when the status stays as it is."""

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing."""

    def steps(self, current: Any = None) -> tuple[Step, ...]:
        """Return the calls to make, in order. The status comes last: it may start a workflow that needs the rest.

        :param current: the object as just read, to leave out what it already has; None to make all calls.
        """

    def model_dump(self, *, mode: str = ..., exclude_unset: bool = ...) -> dict[str, Any]:
        """Return the change as plain data (pydantic's method)."""


@dataclass(frozen=True, slots=True)
class WayBack:
    """What takes a change of an object back, apart from its status. It may hold personal data.

    :param parts: parts of the change that does, by their names.
    :param left: parts that the object has only while nobody has changed it since.
    :param obstacles: parts that cannot be taken back, each with the reason.
    """

    parts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    left: Mapping[str, Any] = field(default_factory=dict, repr=False)
    obstacles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TagOperations:
    """The operations that change the tags of a kind of object.

    :param resource_type: Persona's name for the kind of object.
    :param replace_all: id of the operation that replaces all tags.
    :param add: id of the operation that adds one.
    :param remove: id of the operation that removes one.
    """

    resource_type: str
    replace_all: str
    add: str
    remove: str

    def steps(self, tags: Iterable[str] | None, add_tags: Iterable[str], remove_tags: Iterable[str]) -> Iterator[Step]:
        """Yield the steps that change the tags of an object: one that replaces all tags, or one for each tag.

        :param tags: all tags that the object should have, or None.
        :param add_tags: tags to add.
        :param remove_tags: tags to remove.
        """
        if tags is not None:
            wanted = set(tags)
            yield self._step(self.replace_all, list(tags), lambda it: set(it.attributes.tags or ()) == wanted)
        for tag in add_tags:
            yield self._step(self.add, tag, partial(_has_tag, tag, present=True))
        for tag in remove_tags:
            yield self._step(self.remove, tag, partial(_has_tag, tag, present=False))

    def _step(self, operation_id: str, tag: str | list[str], shown: Callable[[Any], bool]) -> Step:
        return Step(self.resource_type, "tags", operation_id, {"meta": {"tag-name": tag}}, shown, ("tags",))


def check_tags(tags: Iterable[str] | None, add_tags: Iterable[str], remove_tags: Iterable[str]) -> None:
    """Check that the wanted tags do not contradict one another.

    :raises ValueError: when they do.
    """
    if tags is not None and (add_tags or remove_tags):
        raise ValueError("tags replaces all tags; give either tags, or add_tags and remove_tags")
    if set(add_tags) & set(remove_tags):
        raise ValueError("the same tag is to be added and removed")


def _has_tag(tag: str, it: Any, *, present: bool) -> bool:
    tags = it.attributes.tags
    return tags is not None and (tag in tags) is present


def lacks(fields: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Whether an object lacks one of the wanted custom fields.

    Values are not compared: Persona may spell one in another way (dates, numbers).
    """
    return not set(wanted) <= set(fields or ())


def holds(fields: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Whether an object's custom fields have the wanted values."""
    return all(fields is not None and name in fields and fields[name] == value for name, value in wanted.items())


def holds_typed(fields: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Whether custom fields that come back as `{"type": "string", "value": "…"}` have the wanted values."""
    return holds({name: _plain(field) for name, field in (fields or {}).items()}, wanted)


def _plain(field: Any) -> Any:
    return field.get("value") if isinstance(field, Mapping) and "value" in field else field
