"""What should be true of a case, the calls that make it so, and whether an answer shows it.

A status changes by `set-status` only: `PATCH` changes fields, queue, SLA and attachments and silently ignores a status.
Assignee, tags and objects have calls of their own (Persona's published specification of the case operations).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.messages import Request
from airflow_provider_persona.api.models import Case
from airflow_provider_persona.api.operations import operation

LONGEST_SLA = 90 * 24 * 3600
"""Seconds; Persona refuses more (docs.withpersona.com, create and update a case)."""


class Attachment(BaseModel):
    """A file to add to a case.

    :param filename: its name.
    :param data: its content, base64.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    filename: str = Field(min_length=1)
    data: str = Field(min_length=1, repr=False)


class CaseChange(BaseModel):
    """What should be true of one case. What is not given stays as it is.

    :param status: label of the wanted status, as the template has it; compared as given.
    :param fields: custom fields to set, by their configured names.
    :param case_queue_id: queue to put it in; None takes it out of its queue.
    :param sla_expires_in: seconds from now until the SLA expires, at most 90 days; None clears it.
    :param attachments: files to add.
    :param assignee: e-mail address of the dashboard user. Persona has no call to un-assign.
    :param tags: exactly these tags, or
    :param add_tags: these tags too, and
    :param remove_tags: not these tags.
    :param add_objects: ids of Persona objects to attach.
    :param remove_objects: ids of Persona objects to detach.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    status: str | None = Field(default=None, min_length=1)
    fields: dict[str, Any] = Field(default_factory=dict, repr=False)
    case_queue_id: str | None = None
    sla_expires_in: int | None = Field(default=None, gt=0, le=LONGEST_SLA)
    attachments: tuple[Attachment, ...] = ()
    assignee: str | None = Field(default=None, min_length=1, repr=False)
    tags: tuple[str, ...] | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    add_objects: tuple[str, ...] = ()
    remove_objects: tuple[str, ...] = ()

    @field_validator("status", "assignee")
    @classmethod
    def _not_blank(cls, text: str | None) -> str | None:
        if text is not None and not text.strip():
            raise ValueError("it is blank")
        return text

    @model_validator(mode="after")
    def _tags_make_sense(self) -> CaseChange:
        if self.tags is not None and (self.add_tags or self.remove_tags):
            raise ValueError("tags replaces all tags; give either tags, or add_tags and remove_tags")
        if set(self.add_tags) & set(self.remove_tags):
            raise ValueError("the same tag is to be added and removed")
        return self

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing."""
        return not any(True for _ in _parts(self))

    def steps(self, current: Case | None = None) -> tuple[Step, ...]:
        """Return what to call, in order; the status comes last, since it may set off what depends on the rest.

        :param current: the case as just read, to leave out what is already so; None to assume nothing.
        """
        return tuple(step for step in _parts(self) if current is None or not step.is_shown_by(current))


@dataclass(frozen=True, slots=True)
class Step:
    """One call that makes a part of a change true.

    :param part: what it changes, for messages: `status`, `tags`, `fields`, …
    :param operation_id: the operation that does it.
    :param body: its body.
    :param is_shown_by: tells whether a case that was read already is as wanted, so that the call can be left out.
    :param shows_in: attributes and relationships of the case in which the part shows.
    :param is_denied_by: tells whether the case in the call's answer is not as wanted; by default, when it does not
        show it.
    :param absence_tells: whether a case that does not show it proves that it was not done. Documents can be attached
        to a case but do not show in it; a time that counts from now shows as another time on each reading.
    """

    part: str
    operation_id: str
    body: Mapping[str, Any] = field(repr=False)
    is_shown_by: Callable[[Case], bool]
    shows_in: tuple[str, ...]
    is_denied_by: Callable[[Case], bool] | None = None
    absence_tells: bool = True

    def check(self, answered: Case, request_id: str | None = None) -> None:
        """Make sure that the answer to the call shows what was asked for.

        :raises PersonaAnswerError: when it does not, although Persona said that all was well.
        """
        denied = self.is_denied_by(answered) if self.is_denied_by else not self.is_shown_by(answered)
        if denied:
            trace = f" [{request_id}]" if request_id else ""
            raise PersonaAnswerError(
                f"Persona accepted {self.operation_id}, but its answer does not show the wanted {self.part}{trace}; "
                "look at the case before trying again",
                request_id=request_id,
                operation_id=self.operation_id,
            )

    def request(self, case_id: str) -> Request:
        """Return the call for one case, asking for no more in the answer than the status and what shows the part.

        :raises BadCallError: when the id cannot be put into a path.
        """
        return operation(self.operation_id).bind(
            path={"case-id": case_id}, query={"fields[case]": sorted({"status", *self.shows_in})}, body=self.body
        )


def _parts(change: CaseChange) -> Iterator[Step]:
    given = change.model_fields_set
    if change.fields or change.attachments or {"case_queue_id", "sla_expires_in"} & given:
        yield _patch(change)
    if change.add_objects:
        yield _objects("add-persona-objects", change.add_objects)
    if change.remove_objects:
        yield _objects("remove-persona-objects", change.remove_objects)
    yield from _tags(change)
    if change.assignee is not None:
        yield _assign(change.assignee)
    if change.status is not None:
        yield _set_status(change.status)


def _patch(change: CaseChange) -> Step:
    given = change.model_fields_set
    attributes: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    if change.fields:
        attributes["fields"] = dict(change.fields)
    if change.attachments:
        attributes["attachments"] = [attachment.model_dump() for attachment in change.attachments]
    if "case_queue_id" in given:
        attributes["case-queue-id"] = change.case_queue_id
    if "sla_expires_in" in given:
        meta["sla-expires-in-seconds"] = change.sla_expires_in

    # Files are added each time, and a time from now is another each time.
    is_never_shown = bool(change.attachments) or ("sla_expires_in" in given and change.sla_expires_in is not None)

    def shown(case: Case) -> bool:
        if is_never_shown:
            return False
        queues = [pointer.id for pointer in case.related("case-queue")]
        return (
            _holds(case.attributes.fields, change.fields)
            and ("case_queue_id" not in given or queues == ([change.case_queue_id] if change.case_queue_id else []))
            and ("sla_expires_in" not in given or case.attributes.sla_expires_at is None)
        )

    def denied(case: Case) -> bool:
        # A value may come back in another spelling (dates, numbers); a field that is missing was not taken.
        return not set(change.fields) <= set(case.attributes.fields or ())

    body: dict[str, Any] = {}
    if attributes:
        body["data"] = {"attributes": attributes}
    if meta:
        body["meta"] = meta
    shows_in = ("fields", "case-queue", "sla-expires-at")
    return Step("fields", "update-a-case", body, shown, shows_in, denied, absence_tells=not is_never_shown)


def _holds(fields: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    return all(fields is not None and name in fields and fields[name] == value for name, value in wanted.items())


def _objects(operation_id: str, ids: tuple[str, ...]) -> Step:
    adds = operation_id.startswith("add")
    relationships = ("accounts", "inquiries", "reports", "verifications", "txns")

    def shown(case: Case) -> bool:
        # Documents, graph queries and others can be attached but are not among a case's relationships.
        attached = {pointer.id for name in relationships for pointer in case.related(name)}
        return adds and set(ids) <= attached

    body = {"meta": {"object-ids": list(ids)}}
    return Step("objects", operation_id, body, shown, relationships, is_denied_by=lambda _: False, absence_tells=False)


def _tags(change: CaseChange) -> Iterator[Step]:
    if change.tags is not None:
        wanted = set(change.tags)
        body = {"meta": {"tag-name": list(change.tags)}}
        yield Step("tags", "set-tags", body, lambda case: set(case.attributes.tags or ()) == wanted, ("tags",))
    for tag in change.add_tags:
        yield _tag("add-tag", tag, present=True)
    for tag in change.remove_tags:
        yield _tag("remove-tag", tag, present=False)


def _tag(operation_id: str, tag: str, *, present: bool) -> Step:
    def shown(case: Case) -> bool:
        tags = case.attributes.tags
        return tags is not None and (tag in tags) is present

    return Step("tags", operation_id, {"meta": {"tag-name": tag}}, shown, ("tags",))


def _assign(email: str) -> Step:
    def shown(case: Case) -> bool:
        assignee = case.attributes.assignee_id
        return assignee is not None and assignee.lower() == email.lower()

    return Step("assignee", "assign-a-case", {"meta": {"user-email-address": email}}, shown, ("assignee-id",))


def _set_status(status: str) -> Step:
    body = {"meta": {"status": status}}
    return Step("status", "set-status-for-a-case", body, lambda case: case.status == status, ("status",))
