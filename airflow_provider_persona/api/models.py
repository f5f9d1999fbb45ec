"""Cases, accounts, inquiries, transactions and reports as values, with the attributes that this provider uses.

New attributes, types and values are accepted, and so are longer ids and null in place of an object or a list. An
attribute of another type than documented makes its object unreadable (`PersonaAnswerError`), and no other object.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from airflow_provider_persona.api.document import Resource
from airflow_provider_persona.api.errors import PersonaAnswerError


def _kebab(name: str) -> str:
    return name.replace("_", "-")


def _texts(value: Any) -> Any:
    return [each for each in value if each is not None] if isinstance(value, list) else value


def is_label(text: str) -> bool:
    """Whether a text is short and plain enough for a status, which logs, ledgers and pages show."""
    return len(text) <= _LONGEST_LABEL and not _CONTROL.search(text)


def _label(value: str | None) -> str | None:
    if value is not None and not is_label(value):
        raise ValueError("it is no label")
    return value


_LONGEST_LABEL = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

_Status = Annotated[str | None, AfterValidator(_label)]
"""A status. Labels are shown in logs, ledgers and pages, so none may steer a terminal or turn the text around."""

_Tags = Annotated[list[str] | None, BeforeValidator(_texts)]
"""Tags, without null entries."""


class _Attributes(BaseModel):
    """The attributes of an object that have a meaning here. Others are kept as they came.

    All are optional, because a read asks for some only.
    """

    model_config = ConfigDict(extra="allow", alias_generator=_kebab, populate_by_name=True, hide_input_in_errors=True)

    tags: _Tags = None


class _WithFields(_Attributes):
    updated_at: datetime | None = None
    fields: dict[str, Any] | None = Field(default=None, repr=False)


class CaseAttributes(_WithFields):
    """Attributes of a case."""

    status: _Status = None
    name: str | None = None
    resolution: str | None = None
    created_at: datetime | None = None
    assigned_at: datetime | None = None
    resolved_at: datetime | None = None
    redacted_at: datetime | None = None
    sla_expires_at: datetime | None = None
    creator_id: str | None = None
    assignee_id: str | None = None
    resolver_id: str | None = None
    updater_id: str | None = None


class AccountAttributes(_WithFields):
    """Attributes of an account."""

    created_at: datetime | None = None


class InquiryAttributes(_WithFields):
    """Attributes of an inquiry."""

    status: _Status = None
    note: str | None = Field(default=None, repr=False)


class TransactionAttributes(_WithFields):
    """Attributes of a transaction."""

    status: _Status = None


class ReportAttributes(_Attributes):
    """Attributes of a report."""

    status: _Status = None
    has_match: bool | None = None
    is_recurring: bool | None = None


class _Resource(BaseModel):
    """An object of Persona.

    :param id: its id, of any form and length.
    :param relationships: its pointers to other objects.
    :param attributes: those that were asked for; each kind has its own.
    """

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    id: str
    type: Any = None
    relationships: dict[str, Any] = Field(default_factory=dict, repr=False)

    def related(self, name: str) -> list[Resource]:
        """Return the pointers of a relationship, for example `accounts` or `case-queue`; each has an id."""
        return Resource({"relationships": self.relationships}).related(name) or []

    @field_validator("attributes", "relationships", mode="before", check_fields=False)
    @classmethod
    def _null_is_empty(cls, value: Any) -> Any:
        return {} if value is None or isinstance(value, list) else value

    @field_validator("type")
    @classmethod
    def _of_this_kind(cls, value: Any) -> Any:
        """Refuse another kind of object. Types may be compound, like `report/watchlist`."""
        if isinstance(value, str) and value.partition("/")[0] != cls.__name__.lower():
            raise ValueError("it is another kind")
        return value

    @classmethod
    def from_resource(cls, resource: Any, operation_id: str | None = None) -> Self:
        """Return the object that a part of an answer describes.

        :param resource: the part, as parsed from JSON.
        :param operation_id: the operation that was called, for the error.
        :raises PersonaAnswerError: when it cannot be read. It names the place in the answer, never a value.
        """
        kind = cls.__name__.lower()
        try:
            return cls.model_validate(resource)
        except ValidationError as error:
            places = ", ".join(".".join(map(str, fault["loc"])) or "data" for fault in error.errors())
            raise PersonaAnswerError(
                f"the answer to {operation_id or f'a {kind} operation'} does not look like a {kind} (at {places})",
                operation_id=operation_id,
            ) from None


class Case(_Resource):
    """A case."""

    attributes: CaseAttributes = Field(default_factory=CaseAttributes)

    @property
    def status(self) -> str | None:
        """The label of the case's status, as its template has it; None when it was not read."""
        return self.attributes.status

    @property
    def is_resolved(self) -> bool:
        """Whether the case has a time of resolution, the only sign that its status may be a final one."""
        return self.attributes.resolved_at is not None


class Account(_Resource):
    """An account."""

    attributes: AccountAttributes = Field(default_factory=AccountAttributes)


class Inquiry(_Resource):
    """An inquiry."""

    attributes: InquiryAttributes = Field(default_factory=InquiryAttributes)

    @property
    def status(self) -> str | None:
        """The inquiry's status, one of Persona's own words; None when it was not read."""
        return self.attributes.status


class Transaction(_Resource):
    """A transaction."""

    attributes: TransactionAttributes = Field(default_factory=TransactionAttributes)


class Report(_Resource):
    """A report of any type."""

    attributes: ReportAttributes = Field(default_factory=ReportAttributes)
