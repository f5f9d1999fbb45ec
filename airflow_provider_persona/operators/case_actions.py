"""Operators for single actions on cases. To make a case as wanted in one task: `cases.PersonaUpdateCaseOperator`.

Every operator takes the parameters of `PersonaCallOperator` too: `result` and `persona_conn_id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider_persona.operators.named import NamedOperator, RedactOperator, TagOperator


class PersonaCreateCaseOperator(NamedOperator):
    """Opens a case, and returns its id.

    Example: `PersonaCreateCaseOperator(task_id="open", case_template_id="ctmpl_…", object_ids=["inq_…"])`

    :param case_template_id: its template (`ctmpl_…`).
    :param case_queue_id: queue to put it in.
    :param creator_email_address: dashboard user who counts as its creator. Not kept by Airflow.
    :param fields: custom fields, by their configured names. Not kept by Airflow.
    :param object_ids: Persona objects to attach.
    :param sla_expires_in: seconds until its SLA expires, at most 90 days.
    """

    operation_id = "create-a-case"
    numbers = ("sla_expires_in",)
    private = ("creator_email_address", "fields")
    mappings = ("fields",)
    name_lists = ("object_ids",)
    in_body: ClassVar = {
        "data.attributes.case-template-id": "case_template_id",
        "data.attributes.case-queue-id": "case_queue_id",
        "data.attributes.creator-email-address": "creator_email_address",
        "data.attributes.fields": "fields",
        "meta.object-ids": "object_ids",
        "meta.sla-expires-in-seconds": "sla_expires_in",
    }

    def __init__(
        self,
        *,
        case_template_id: str,
        case_queue_id: str | None = None,
        creator_email_address: str | None = None,
        fields: Mapping[str, Any] | None = None,
        object_ids: Sequence[str] | None = None,
        sla_expires_in: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.case_template_id = case_template_id
        self.case_queue_id = case_queue_id
        self.creator_email_address = creator_email_address
        self.fields = fields
        self.object_ids = object_ids
        self.sla_expires_in = sla_expires_in


class CaseOperator(NamedOperator):
    """What the operators on one case share.

    :param case_id: the case (`case_…`).
    """

    in_path: ClassVar = {"case-id": "case_id"}

    def __init__(self, *, case_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.case_id = case_id


class PersonaAssignCaseOperator(CaseOperator):
    """Assigns a case to a dashboard user. No call of Persona takes that back.

    Example: `PersonaAssignCaseOperator(task_id="assign", case_id="case_…", assignee="{{ params.reviewer }}")`

    :param case_id: the case (`case_…`).
    :param assignee: the user's e-mail address. Not kept by Airflow.
    """

    operation_id = "assign-a-case"
    private = ("assignee",)
    in_body: ClassVar = {"meta.user-email-address": "assignee"}

    def __init__(self, *, assignee: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.assignee = assignee


class PersonaTagCaseOperator(CaseOperator, TagOperator):
    """Changes the tags of a case.

    Example: `PersonaTagCaseOperator(task_id="tag", case_id="case_…", add_tags=["chargeback"], remove_tags=["new"])`

    :param case_id: the case (`case_…`).
    :param tags: exactly these tags, or
    :param add_tags: these tags too, and
    :param remove_tags: not these tags.
    """

    set_operation = "set-tags"
    add_operation = "add-tag"
    remove_operation = "remove-tag"


class CaseObjectsOperator(CaseOperator):
    """What attaching and detaching share.

    :param object_ids: ids of Persona objects, like `["inq_…", "rep_…"]`.
    """

    name_lists = ("object_ids",)
    in_body: ClassVar = {"meta.object-ids": "object_ids"}

    def __init__(self, *, object_ids: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.object_ids = object_ids


class PersonaAddCaseObjectsOperator(CaseObjectsOperator):
    """Attaches Persona objects to a case; those that are attached already stay so.

    Example: `PersonaAddCaseObjectsOperator(task_id="attach", case_id="case_…", object_ids=["inq_…"])`

    :param case_id: the case (`case_…`).
    :param object_ids: ids of Persona objects.
    """

    operation_id = "add-persona-objects"


class PersonaRemoveCaseObjectsOperator(CaseObjectsOperator):
    """Detaches Persona objects from a case; those that are not attached are passed over.

    Example: `PersonaRemoveCaseObjectsOperator(task_id="detach", case_id="case_…", object_ids=["inq_…"])`

    :param case_id: the case (`case_…`).
    :param object_ids: ids of Persona objects.
    """

    operation_id = "remove-persona-objects"


class PersonaRedactCaseOperator(CaseOperator, RedactOperator):
    """Erases a case's personal data for ever; the objects attached to it keep theirs.

    Example: `PersonaRedactCaseOperator(task_id="erase", case_id="case_…", confirm=True)`

    :param case_id: the case (`case_…`).
    :param confirm: must be True, since it cannot be undone.
    """

    operation_id = "redact-a-case"
