"""JSON:API answers as values: the one place that looks into `data`, `attributes`, `relationships` and `links`.

How to use it:

    document = Document.read(response, operation_id)    # or Document(parsed_json)
    document.resource                                   # the object of a single read, or None
    document.resources                                  # the objects of a list; other entries are left out
    document.next_link                                  # text of `links.next`, or None

    resource = document.resource                        # or Resource(one_entry_of_a_list)
    resource.id, resource.type                          # text, or None where the answer has none
    resource.attribute("status")                        # None where it is missing or null
    resource.attribute("fields.risk.score", MISSING)    # MISSING where it is missing, None where it is null
    resource.text("status"), resource.time("created-at")  # None where it is missing or of another type
    resource.related("accounts")                        # pointers with id and type; None where the answer has none

Nothing here raises for an unexpected member. Persona may add members, send null, or change the type of a value. The
caller decides what that means for one object, and the rest of the answer stays usable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.messages import Response

MISSING: Final = object()
"""Stands for a member that is not there, which is not the same as null."""

_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Resource:
    """One object of an answer.

    :param members: the object as parsed from JSON. It may hold personal data, so `repr` hides it.
    """

    members: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str | None:
        """The id as text, also where it came as a number; None where it is missing, empty or of another type."""
        found = self.members.get("id")
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        return _text(found) or None

    @property
    def type(self) -> str | None:
        """The type, like `case` or `report/watchlist`; None where it is missing or not text."""
        return _text(self.members.get("type"))

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes; empty where they are missing, null or not an object."""
        return _mapping(self.members.get("attributes"))

    @property
    def relationships(self) -> Mapping[str, Any]:
        """The relationships; empty where they are missing, null or not an object."""
        return _mapping(self.members.get("relationships"))

    def attribute(self, path: str, default: Any = None) -> Any:
        """Return the value of an attribute.

        :param path: its name, with dots where it is inside another attribute, like `fields.risk_score`.
        :param default: what to return where the attribute is missing.
        """
        # The name of a custom field may hold dots: `fields.risk.score` can be the field `risk.score`.
        found = _below(self.attributes, path.split(".", 1)) if path.startswith("fields.") else MISSING
        if found is MISSING:
            found = _below(self.attributes, path.split("."))
        return default if found is MISSING else found

    def text(self, path: str) -> str | None:
        """Return the value of an attribute that is text; None where it is missing or of another type."""
        return _text(self.attribute(path))

    def time(self, path: str) -> datetime | None:
        """Return the value of an attribute that is a time, in UTC; None where it is missing or not a time."""
        return moment(self.attribute(path))

    def related(self, name: str) -> list[Resource] | None:
        """Return the pointers of a relationship, in order, each with id and type. Entries without an id are left out.

        :param name: the relationship, for example `accounts` or `case-queue`.
        :returns: None where the answer has no such relationship, or the relationship has no `data`.
        """
        data = _mapping(self.relationships.get(name)).get("data", MISSING)
        if data is MISSING:
            return None
        pointers = [Resource(_mapping(entry)) for entry in (data if isinstance(data, list) else [data])]
        return [pointer for pointer in pointers if pointer.id is not None]


@dataclass(frozen=True, slots=True)
class Document:
    """An answer of Persona's API.

    :param body: the answer as parsed from JSON. It may hold personal data, so `repr` hides it.
    """

    body: Any = field(repr=False)

    @classmethod
    def read(cls, response: Response, operation_id: str) -> Self:
        """Return the document that a response holds.

        :param operation_id: the operation that was called, for the error.
        :raises PersonaAnswerError: when the response is not JSON, or is nested too deeply.
        """
        try:
            return cls(response.json())
        except ValueError:
            raise PersonaAnswerError(
                f"the answer to {operation_id} cannot be read as JSON",
                status=response.status,
                request_id=response.request_id,
                operation_id=operation_id,
            ) from None

    @property
    def resource(self) -> Resource | None:
        """The object of a single read; None where the answer holds none, or a list."""
        data = _mapping(self.body).get("data")
        return Resource(data) if isinstance(data, Mapping) else None

    @property
    def entries(self) -> list[Any] | None:
        """The entries of a list; None where the answer holds no list."""
        data = _mapping(self.body).get("data")
        return data if isinstance(data, list) else None

    @property
    def resources(self) -> Iterator[Resource]:
        """The objects of a list. Other entries, like null, are left out."""
        return (Resource(entry) for entry in self.entries or () if isinstance(entry, Mapping))

    @property
    def next_link(self) -> str | None:
        """The link to the next page; None on the last page."""
        link = _mapping(_mapping(self.body).get("links")).get("next")
        return str(link) if link else None


_FIRST, _LAST = datetime(2, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""Python has no times far beyond these, so whoever goes a few minutes back or forth would meet its `OverflowError`."""


def moment(value: Any) -> datetime | None:
    """Return a time in UTC; None for anything that is not a time, and for the first and the last year that Python has.

    :param value: text in ISO 8601. Without an offset it counts as UTC.
    """
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        found = parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # OverflowError: the year 1 with an offset has no time in UTC
        return None
    return found if _FIRST <= found < _LAST else None


def _below(value: Any, keys: list[str]) -> Any:
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return MISSING
        value = value[key]
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else _NOTHING


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
