"""A change of an inquiry's status, fields, note and tags, and the calls that bring the inquiry there.

No call sets a status. Each status that a person or a program may bring about has one action that leads there, so a
wished status names its action (Persona's published specification of the inquiry operations). Two rules keep that plain:

- One action, never two: an expired inquiry that should be approved is not resumed first, because that would let the
  person behind it go on. Persona refuses the approval, and says so.
- Tags change by the calls for tags, though `PATCH` takes tags too: those calls can add or remove a single one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from pydantic import Field, field_validator, model_validator

from airflow_provider_persona.api.models import Inquiry
from airflow_provider_persona.api.object_change import Change
from airflow_provider_persona.api.steps import Step, holds_typed, lacks

_step = partial(Step, "inquiry")

ACTIONS: Final[Mapping[str, str]] = {
    "approved": "approve-an-inquiry",
    "declined": "decline-an-inquiry",
    "needs_review": "mark-an-inquiry-for-review",
    "expired": "expire-an-inquiry",
    "pending": "resume-an-inquiry",
}
"""Status -> the action that leads there. The other statuses (created, completed, failed) come about by themselves."""

_DECISIONS = ("approved", "declined")


class InquiryChange(Change):
    """The wanted state of one inquiry. What is not given stays as it is. Tags as for `Change`.

    :param status: the wanted status, one of `ACTIONS`.
    :param comment: what the audit trail says about a decision; goes with `approved` and `declined`. It changes nothing
        of an inquiry that is already decided so.
    :param fields: fields to set, by their configured names.
    :param note: the inquiry's note.
    """

    resource_type = "inquiry"
    tag_operations = ("inquiries-set-all-tags", "inquiries-add-tag", "inquiries-remove-tag")

    status: str | None = None
    comment: str | None = Field(default=None, min_length=1, repr=False)
    fields: dict[str, Any] = Field(default_factory=dict, repr=False)
    note: str | None = Field(default=None, repr=False)

    @field_validator("status")
    @classmethod
    def _has_an_action(cls, status: str | None) -> str | None:
        if status is not None and status not in ACTIONS:
            raise ValueError(f"no action leads there; there is one for {', '.join(ACTIONS)}")
        return status

    @model_validator(mode="after")
    def _makes_sense(self) -> InquiryChange:
        if self.comment is not None and self.status not in (None, *_DECISIONS):
            raise ValueError(f"a comment goes with {' or '.join(_DECISIONS)}; {self.status} takes none")
        return self

    def _all_steps(self) -> Iterator[Step]:
        # The status comes last, since a decision ends all progress.
        if self.fields or self.note is not None:
            yield _patch(self.fields, self.note)
        yield from self._tag_steps()
        if self.status is not None:
            yield _act(self.status, self.comment)


def _patch(fields: Mapping[str, Any], note: str | None) -> Step:
    attributes: dict[str, Any] = {"fields": dict(fields)} if fields else {}
    if note is not None:
        attributes["note"] = note

    def shown(inquiry: Inquiry) -> bool:
        return holds_typed(inquiry.attributes.fields, fields) and note in (None, inquiry.attributes.note)

    def denied(inquiry: Inquiry) -> bool:
        return lacks(inquiry.attributes.fields, fields) or note not in (None, inquiry.attributes.note)

    return _step("fields", "update-an-inquiry", {"data": {"attributes": attributes}}, shown, ("fields", "note"), denied)


def _act(status: str, comment: str | None) -> Step:
    body: dict[str, Any] = {} if comment is None else {"meta": {"comment": comment}}
    return _step("status", ACTIONS[status], body, lambda inquiry: inquiry.status == status, ("status",))
