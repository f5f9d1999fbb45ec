"""What the engine knows of a kind of object: a table of facts and a few small functions.

Compare, guards, drift, verification, plan, ledger and revert are written once over these facts. The facts of each kind
stand in `kinds.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

from airflow_provider_persona.api.messages import Request
from airflow_provider_persona.api.object_change import Change
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.pagination import PAGE_SIZE
from airflow_provider_persona.api.steps import WayBack
from airflow_provider_persona.bulk.source.rows import ObjectKey, ValidRow

EXPECTED_STATUS = "expected_status"
"""Name of the column with the status that a row expects. It is a guard, and no part of the change."""

_AS_LEFT = "as_left"

_ALWAYS = ("status", "updated-at")


class PartType(StrEnum):
    """What a column holds."""

    STATUS = "status"
    """The label of a status; a row must have one where there is such a column."""
    VALUE = "value"
    """A text or a number; NULL or blank text means not given."""
    NAMES = "names"
    """A list of texts, a JSON array, or names separated by commas."""
    OBJECT = "object"
    """A mapping, or the text of a JSON object."""
    FLAG = "flag"
    """True or false (also 1 or 0, and the words); false and NULL mean not given."""


_SAMPLES: Mapping[PartType, Any] = {
    PartType.STATUS: "x",
    PartType.VALUE: "1",
    PartType.NAMES: ("x",),
    PartType.OBJECT: {"x": 1},
    PartType.FLAG: True,
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a change, and the column that gives it.

    :param type: what the column holds.
    :param is_private: whether it may hold personal data; it then stands in no plan and no ledger.
    :param valid_with: parts that make a valid change together with it, for an example of one; None where any value of
        the type makes one by itself.
    :param no_way_back: why no call takes it back, for people who approve or revert a plan; empty where one does, or
        where nobody needs a warning.
    :param is_all_without: whether a change without it concerns all there is. Then NULL in its column means none, and
        not that it is left out: a query that finds nothing often gives NULL, and all would be changed.
    """

    type: PartType
    is_private: bool = False
    valid_with: Mapping[str, Any] | None = None
    no_way_back: str = ""
    is_all_without: bool = False


@runtime_checkable
class CallRow(ValidRow, Protocol):
    """A valid row that makes one call."""

    def request(self) -> Request:
        """Return the call."""


class Subject(Protocol):
    """What rows can be about: a kind of object that is changed, or an operation that is called."""

    @property
    def name(self) -> str:
        """What one such thing is called in messages, for example `case`."""

    @property
    def only_row_per(self) -> str | None:
        """Name of the object that may appear in only one row, or None when it may appear in several."""

    def row_from_plan(self, object_id: str | None, shown: Mapping[str, Any], private: Mapping[str, Any]) -> ValidRow:
        """Return what a row asked for, from the two parts that `ValidRow.written` gave."""


@dataclass(frozen=True, slots=True)
class ObjectState:
    """An object as it was read.

    :param id: its id.
    :param status: its status; None when it has none or it was not read.
    :param updated_at: when it was last changed, ISO 8601, or None when that was not read.
    :param resource: the object as its kind reads it, for `Step.is_shown_by`; None when there is no such object.
    """

    id: str
    status: str | None = None
    updated_at: str | None = None
    resource: Any = field(default=None, repr=False)

    def hidden(self, names: Iterable[str]) -> list[str]:
        """Return those of some attributes that the object does not show, as those on a key's attribute blocklist.

        Null is a value, except of the status, which each object has. Relationships are not looked at.
        """
        attributes = getattr(self.resource, "attributes", None)
        if attributes is None:
            return []
        shown = attributes.model_fields_set - ({"status"} if self.status is None else set())
        hidden = set(type(attributes).model_fields) - shown
        return sorted(name for name in names if name.replace("-", "_") in hidden)


def _each_way_back_is_open(_before: str | None, _after: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class StatusLabels:
    """Where it can be found out which statuses a kind of object has.

    :param known: statuses of Persona's own; Persona may add more.
    :param template: relationship to the template, where users name statuses as they like; else empty, as the next two.
    :param template_operation: the operation that reads one template.
    :param template_attribute: attribute of the template that lists statuses.
    """

    template: str = ""
    template_operation: str = ""
    template_attribute: str = ""
    known: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MatchKey:
    """A key other than its id by which Persona's list finds an object (filters of the published specification).

    :param shown_in: attribute or relationship in which an object shows the key; empty where it shows it nowhere.
    :param takes_several: whether the filter takes several values, with commas between them.
    """

    shown_in: str = ""
    takes_several: bool = False


@dataclass(frozen=True, slots=True)
class MatchFacts:
    """How a kind of object can be found by other keys than its id.

    :param keys: the keys, by the names of the list's filters.
    :param template: relationship to what the object was made from, by which one of several can be chosen.
    :param status: attribute with its status, for the same.
    """

    keys: Mapping[str, MatchKey]
    template: str
    status: str = "status"


@dataclass(frozen=True, slots=True)
class ObjectSubject:
    """A kind of object that a run can change.

    :param name: what one is called, in Persona's sparse fields too: `case`.
    :param plural: what several are called: `cases`.
    :param parts: parts of a change, by the names of their columns.
    :param change: makes a change of its parts; raises pydantic's `ValidationError` when a part is wrong.
    :param list_operation: the operation that lists such objects, 100 a page, newest first; None when there is none.
    :param read_operation: the operation that reads one.
    :param from_resource: reads a resource of an answer; takes the resource and the operation's id for errors.
    :param status_labels: where to find which statuses there are; None where nobody can misspell one unnoticed.
    :param no_way_back: takes a status, None when it is unknown, and the status that came after it; returns why no call
        takes an object back there, or an empty text where one does.
    :param match: how one can be found by another key than its id.
    :param way_back: takes a change and the object before it; returns what takes the change back, apart from the status.
        None where only a status is taken back.
    """

    name: str
    plural: str
    parts: Mapping[str, Part]
    change: Callable[..., Change]
    list_operation: str | None
    read_operation: str
    from_resource: Callable[[Any, str], Any]
    match: MatchFacts
    status_labels: StatusLabels | None = None
    no_way_back: Callable[[str | None, str], str] = _each_way_back_is_open
    way_back: Callable[[Any, Any], WayBack] | None = None

    @property
    def only_row_per(self) -> str | None:
        """Name of the object that may appear in only one row: two rows could contradict one another."""
        return self.name

    @property
    def id_column(self) -> str:
        """Name of the column with the object's id."""
        return f"{self.name}_id"

    @property
    def has_status(self) -> bool:
        """Whether such objects have a status that a run can change. Guards and revert need one."""
        return "status" in self.parts

    @property
    def column_names(self) -> tuple[str, ...]:
        """Our names of the columns."""
        guard = (EXPECTED_STATUS,) if self.has_status else ()
        return (self.id_column, *guard, *self.parts)

    def row_from_plan(
        self, object_id: str | None, shown: Mapping[str, Any], private: Mapping[str, Any]
    ) -> ObjectUpdate:
        """Return what a row asked for, from the two parts that `ObjectUpdate.written` gave."""
        assert object_id is not None
        parts = {**shown, **private}
        expected, left = parts.pop(EXPECTED_STATUS, None), parts.pop(_AS_LEFT, None)
        return ObjectUpdate(
            self, object_id, self.change_of(parts), expected, None if left is None else self.change(**left)
        )

    def change_of(self, parts: Mapping[str, Any]) -> Change:
        """Return the change that some parts ask for. Rows that ask for the same status, and no more, share it.

        :param parts: the parts by their names.
        :raises ValidationError: pydantic's, when a part is wrong.
        """
        status = parts.get("status")
        if len(parts) == 1 and isinstance(status, str):
            return _status_change(self.change, status)
        return self.change(**parts)

    def attributes_of(self, parts: Iterable[str]) -> list[str]:
        """Return the attributes to read, so that the status and the given parts of a change show."""
        shows = set(_ALWAYS)
        for name in set(parts) & set(self.parts):
            for step in self.change(**(self.parts[name].valid_with or {name: _SAMPLES[self.parts[name].type]})).steps():
                shows.update(step.shows_in)
        return sorted(shows)

    @property
    def has_irreversible(self) -> bool:
        """Whether some changes of such objects cannot be taken back."""
        return self.no_way_back is not _each_way_back_is_open or any(part.no_way_back for part in self.parts.values())

    def irreversible(self, before: str | None, parts: Mapping[str, Any]) -> str:
        """Return why what a row asks for cannot be taken back, or an empty text where it can.

        :param before: the object's status, None when it is unknown.
        :param parts: the parts that the row gives, by their names.
        """
        reasons = [self.parts[name].no_way_back for name in parts if name in self.parts]
        if "status" in parts:
            reasons.append(self.no_way_back(before, parts["status"]))
        return "; ".join(sorted(filter(None, reasons)))

    def list_request(
        self, attributes: Iterable[str], after: str | None = None, filters: Mapping[str, str] | None = None
    ) -> Request:
        """Return the request of a page of the list.

        :param attributes: attributes to read.
        :param after: id of the object before the page, or None for the first page.
        :param filters: from names of filters to values; None to list all.
        """
        query = {"page[size]": PAGE_SIZE, self.sparse: list(attributes), "page[after]": after or None}
        query |= {f"filter[{name}]": value for name, value in (filters or {}).items()}
        assert self.list_operation is not None  # else a job is compared by single reads only
        return operation(self.list_operation).bind(query=query)

    def read_request(self, object_id: str, attributes: Iterable[str]) -> Request:
        """Return the request that reads one object.

        :param object_id: its id.
        :param attributes: attributes to read.
        """
        called = operation(self.read_operation)
        (parameter,) = called.path_parameters
        return called.bind({parameter: object_id}, {self.sparse: list(attributes)})

    def read(self, resource: Any, operation_id: str) -> ObjectState:
        """Return the object that a resource of an answer holds.

        :param resource: the resource, parsed.
        :param operation_id: the operation that was called, for the error.
        :raises PersonaAnswerError: when it holds no such object.
        """
        found = self.from_resource(resource, operation_id)
        status = found.attributes.status if self.has_status else None
        updated = getattr(found.attributes, "updated_at", None)  # a report does not say when it was changed
        return ObjectState(found.id, status, None if updated is None else updated.isoformat(), found)

    def read_answer(self, answer: Any, operation_id: str) -> ObjectState:
        """Return the object in the answer to a call about one object; the client takes no answer about another one.

        :param answer: the answer, parsed.
        :param operation_id: the operation that was called, for the error.
        :raises PersonaAnswerError: when the answer holds no such object.
        """
        return self.read(answer.get("data") if isinstance(answer, Mapping) else None, operation_id)

    @property
    def sparse(self) -> str:
        """Name of the query parameter that says which attributes to read."""
        return f"fields[{self.name}]"


@lru_cache(maxsize=256)  # the rows of a run ask for a few statuses, each many times
def _status_change(change: Callable[..., Change], status: str) -> Change:
    return change(status=status)


@dataclass(frozen=True, slots=True)
class ObjectUpdate:
    """A valid row that changes an object.

    :param subject: the kind of object.
    :param object_id: the object; empty while it is still to be found by its key.
    :param change: what should be true of it.
    :param expected_status: change it only while its status is this one.
    :param left: change it only while it is as this change left it; None where that does not matter.
    :param key: how the row names the object, if not by id.
    """

    subject: ObjectSubject = field(repr=False)
    object_id: str
    change: Change
    expected_status: str | None = None
    left: Change | None = None
    key: ObjectKey | None = None

    def is_as_left(self, resource: Any) -> bool:
        """Whether an object, as just read, is as an earlier change left it, where that matters."""
        return self.left is None or not any(step.absence_tells for step in self.left.steps(resource))

    def written(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the part that a plan may show, and the part that may hold personal data and so must not show."""
        parts = self.change.model_dump(mode="json", exclude_unset=True)
        private = {name for name, part in self.subject.parts.items() if part.is_private}
        shown = {name: value for name, value in parts.items() if name not in private}
        if self.expected_status is not None:
            shown[EXPECTED_STATUS] = self.expected_status
        hidden = {name: value for name, value in parts.items() if name in private}
        if self.left is not None:
            hidden[_AS_LEFT] = self.left.model_dump(mode="json", exclude_unset=True)
        return shown, hidden
