"""A change of a case: its wanted state, and the calls that bring the case there.

Only `set-status` changes a status. `PATCH` changes fields, queue, SLA and attachments, and silently ignores a status.
Assignee, tags and objects have calls of their own (Persona's published specification of the case operations).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from airflow_provider_persona.api.models import Case
from airflow_provider_persona.api.object_change import Change
from airflow_provider_persona.api.steps import Step, WayBack, holds, lacks

_step = partial(Step, "case")

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


class CaseChange(Change):
    """The wanted state of one case. What is not given stays as it is. Tags as for `Change`.

    :param status: label of the wanted status, spelt as on the case's template.
    :param fields: custom fields to set, by their configured names.
    :param case_queue_id: queue to put it in; None takes it out of its queue.
    :param sla_expires_in: seconds from now until the SLA expires, at most 90 days; None clears it.
    :param attachments: files to add.
    :param assignee: e-mail address of the dashboard user. Persona has no call to un-assign.
    :param add_objects: ids of Persona objects to attach.
    :param remove_objects: ids of Persona objects to detach.
    """

    resource_type = "case"
    tag_operations = ("set-tags", "add-tag", "remove-tag")

    status: str | None = Field(default=None, min_length=1)
    fields: dict[str, Any] = Field(default_factory=dict, repr=False)
    case_queue_id: str | None = None
    sla_expires_in: int | None = Field(default=None, gt=0, le=LONGEST_SLA)
    attachments: tuple[Attachment, ...] = ()
    assignee: str | None = Field(default=None, min_length=1, repr=False)
    add_objects: tuple[str, ...] = ()
    remove_objects: tuple[str, ...] = ()

    @field_validator("status", "assignee")
    @classmethod
    def _not_blank(cls, text: str | None) -> str | None:
        if text is not None and not text.strip():
            raise ValueError("it is blank")
        return text

    def _all_steps(self) -> Iterator[Step]:
        # The status comes last: it may start a workflow that needs the rest.
        given = self.model_fields_set
        if self.fields or self.attachments or {"case_queue_id", "sla_expires_in"} & given:
            yield _patch(self)
        if self.add_objects:
            yield _objects("add-persona-objects", self.add_objects)
        if self.remove_objects:
            yield _objects("remove-persona-objects", self.remove_objects)
        yield from self._tag_steps()
        if self.assignee is not None:
            yield _assign(self.assignee)
        if self.status is not None:
            yield _set_status(self.status)


def way_back(change: CaseChange, case: Case) -> WayBack:
    """Return what takes a change back, apart from its status.

    Tags are taken back one by one, so that those which others add meanwhile stay.

    :param change: the change.
    :param case: the case before it, with all that the change touches.
    """
    given = change.model_fields_set
    parts: dict[str, Any] = {}
    left: dict[str, Any] = {}
    obstacles: dict[str, str] = {}
    held = case.attributes.fields or {}
    if fields := {name: value for name, value in change.fields.items() if held.get(name) != value}:
        parts["fields"], left["fields"] = {name: held.get(name) for name in fields}, fields
    queue = next((pointer.id for pointer in case.related("case-queue")), None)
    if "case_queue_id" in given and queue != change.case_queue_id:
        parts["case_queue_id"], left["case_queue_id"] = queue, change.case_queue_id
    before = set(case.attributes.tags or ())
    after = before.union(change.add_tags) - set(change.remove_tags) if change.tags is None else set(change.tags)
    gone, new = sorted(before - after), sorted(after - before)
    parts |= {name: tags for name, tags in (("add_tags", gone), ("remove_tags", new)) if tags}
    assignee = case.attributes.assignee_id
    if change.assignee is not None and assignee is None:
        obstacles["assignee"] = "nobody was assigned, and Persona has no call to un-assign"
    elif change.assignee is not None and assignee is not None and assignee.lower() != change.assignee.lower():
        parts["assignee"], left["assignee"] = assignee, change.assignee
    if "sla_expires_in" in given:
        obstacles["sla_expires_in"] = "an SLA is set in seconds from now, so no call sets an earlier one again"
    if change.add_objects or change.remove_objects:
        obstacles["objects"] = "a case does not show all of its objects, so it is unknown which it had"
    return WayBack(parts, left, obstacles)


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

    # Each call adds the files again, and "seconds from now" is a new time on each call.
    is_never_shown = bool(change.attachments) or ("sla_expires_in" in given and change.sla_expires_in is not None)

    def shown(case: Case) -> bool:
        if is_never_shown:
            return False
        queues = [pointer.id for pointer in case.related("case-queue")]
        return (
            holds(case.attributes.fields, change.fields)
            and ("case_queue_id" not in given or queues == ([change.case_queue_id] if change.case_queue_id else []))
            and ("sla_expires_in" not in given or case.attributes.sla_expires_at is None)
        )

    def denied(case: Case) -> bool:
        return lacks(case.attributes.fields, change.fields)

    body: dict[str, Any] = {}
    if attributes:
        body["data"] = {"attributes": attributes}
    if meta:
        body["meta"] = meta
    shows_in = ("fields", "case-queue", "sla-expires-at")
    return _step("fields", "update-a-case", body, shown, shows_in, denied, absence_tells=not is_never_shown)


def _objects(operation_id: str, ids: tuple[str, ...]) -> Step:
    adds = operation_id.startswith("add")
    relationships = ("accounts", "inquiries", "reports", "verifications", "txns")

    def shown(case: Case) -> bool:
        # Documents, graph queries and others can be attached, but a case's relationships do not list them.
        attached = {pointer.id for name in relationships for pointer in case.related(name)}
        return adds and set(ids) <= attached

    body = {"meta": {"object-ids": list(ids)}}
    return _step("objects", operation_id, body, shown, relationships, is_denied_by=lambda _: False, absence_tells=False)


def _assign(email: str) -> Step:
    def shown(case: Case) -> bool:
        assignee = case.attributes.assignee_id
        return assignee is not None and assignee.lower() == email.lower()

    return _step("assignee", "assign-a-case", {"meta": {"user-email-address": email}}, shown, ("assignee-id",))


@lru_cache(maxsize=256)  # the rows of a run ask for a few statuses, each many times
def _set_status(status: str) -> Step:
    body = {"meta": {"status": status}}
    return _step("status", "set-status-for-a-case", body, lambda case: case.status == status, ("status",))
