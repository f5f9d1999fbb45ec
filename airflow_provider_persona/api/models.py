"""Persona's objects as values, tolerant of new attributes, types and values, and of longer ids."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from airflow_provider_persona.api.errors import PersonaAnswerError


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class _Attributes(BaseModel):
    model_config = ConfigDict(extra="allow", alias_generator=_kebab, populate_by_name=True, hide_input_in_errors=True)


class ResourceId(BaseModel):
    """A pointer to another object."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str
    id: str


class CaseAttributes(_Attributes):
    """The attributes of a case that have a meaning here; the rest is kept. All are optional: reads are sparse."""

    status: str | None = None
    name: str | None = None
    resolution: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    assigned_at: datetime | None = None
    resolved_at: datetime | None = None
    redacted_at: datetime | None = None
    sla_expires_at: datetime | None = None
    creator_id: str | None = None
    assignee_id: str | None = None
    resolver_id: str | None = None
    updater_id: str | None = None
    tags: list[str] | None = None
    fields: dict[str, Any] | None = Field(default=None, repr=False)


class Case(BaseModel):
    """A case.

    :param id: opaque, like `case_…`; may grow.
    :param attributes: what was asked for of it.
    :param relationships: pointers to accounts, inquiries, reports and so on, as they came.
    """

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    id: str
    attributes: CaseAttributes = Field(default_factory=CaseAttributes)
    relationships: dict[str, Any] = Field(default_factory=dict, repr=False)

    @property
    def status(self) -> str | None:
        """The label of the case's status, as configured on its template; None when it was not read."""
        return self.attributes.status

    @property
    def is_resolved(self) -> bool:
        """Whether the case has a time of resolution, the stand-in for "its status is an end status"."""
        return self.attributes.resolved_at is not None

    def related(self, name: str) -> list[ResourceId]:
        """Return the pointers under one relationship, for example `accounts` or `case-queue`."""
        relationship = self.relationships.get(name)
        data = relationship.get("data") if isinstance(relationship, Mapping) else None
        pointers = data if isinstance(data, list) else [data] if data else []
        return [ResourceId.model_validate(pointer) for pointer in pointers]

    @classmethod
    def from_resource(cls, resource: Any, operation_id: str = "a case operation") -> Case:
        """Return the case that a JSON:API resource describes.

        :raises PersonaAnswerError: when it is none. The message names the place, never a value.
        """
        try:
            return cls.model_validate(resource)
        except ValidationError as error:
            places = ", ".join(".".join(map(str, fault["loc"])) or "data" for fault in error.errors())
            raise PersonaAnswerError(
                f"the answer to {operation_id} does not look like a case (at {places})", operation_id=operation_id
            ) from None
