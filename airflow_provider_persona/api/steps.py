"""The steps of a change: calls that bring an object to its wanted state, each with a check of Persona's answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
            # Sorted: a set has another order in each process, and the query is part of the idempotency key.
            query = {f"fields[{self.resource_type}]": ",".join(sorted(shown))}
            request_of = self._requests_of[with_time] = operation(self.operation_id).bind_to(query, self.body)
        return request_of(object_id)


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
