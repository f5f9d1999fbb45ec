"""Operators for single actions on cases. To make several changes of a case in one task: `PersonaUpdateCaseOperator`."""

from __future__ import annotations

from typing import Literal

from airflow_provider_persona.tasks.arguments import JsonObject, Names, Number, Text
from airflow_provider_persona.tasks.call_arguments import attribute, body, confirmation, path
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.tasks.tag_calls import ADD_DOC, ALL_DOC, REMOVE_DOC, tag_calls, tags_or_changes


class PersonaCreateCaseOperator(PersonaCallOperator):
    """Opens a case, and returns its id.

    Example: `PersonaCreateCaseOperator(task_id="open", case_template_id="ctmpl_…", object_ids=["inq_…"])`
    """

    operation_id = "create-a-case"
    case_template_id: Text = attribute("its template (`ctmpl_…`).")
    case_queue_id: Text | None = attribute("queue to put it in.", default=None)
    creator_email_address: Text | None = attribute(
        "dashboard user who counts as its creator.", default=None, private=True
    )
    fields: JsonObject | None = attribute("custom fields, by their configured names.", default=None, private=True)
    object_ids: Names | None = body("meta.object-ids", "Persona objects to attach.", default=None)
    sla_expires_in: Number | None = body(
        "meta.sla-expires-in-seconds", "seconds until its SLA expires, at most 90 days.", default=None
    )


class PersonaAssignCaseOperator(PersonaCallOperator):
    """Assigns a case to a dashboard user. Persona has no call that takes the assignment back.

    Example: `PersonaAssignCaseOperator(task_id="assign", case_id="case_…", assignee="{{ params.reviewer }}")`
    """

    operation_id = "assign-a-case"
    case_id: Text = path("case-id", "the case (`case_…`).")
    assignee: Text = body("meta.user-email-address", "the user's e-mail address.", private=True)


class PersonaTagCaseOperator(PersonaCallOperator):
    """Changes the tags of a case: one call to replace them all, or one for each tag added or removed.

    Example: `PersonaTagCaseOperator(task_id="tag", case_id="case_…", add_tags=["chargeback"], remove_tags=["new"])`
    """

    case_id: Text = path("case-id", "the case (`case_…`).")
    tags: Names | None = argument(ALL_DOC, default=None)
    add_tags: Names | None = argument(ADD_DOC, default=None)
    remove_tags: Names | None = argument(REMOVE_DOC, default=None)
    rules = (tags_or_changes,)
    calls_of = tag_calls("set-tags", "add-tag", "remove-tag")


class PersonaAddCaseObjectsOperator(PersonaCallOperator):
    """Attaches Persona objects to a case; those that are attached already stay so.

    Example: `PersonaAddCaseObjectsOperator(task_id="attach", case_id="case_…", object_ids=["inq_…"])`
    """

    operation_id = "add-persona-objects"
    case_id: Text = path("case-id", "the case (`case_…`).")
    object_ids: Names = body("meta.object-ids", 'ids of Persona objects, like `["inq_…", "rep_…"]`.')


class PersonaRemoveCaseObjectsOperator(PersonaCallOperator):
    """Detaches Persona objects from a case; those that are not attached are passed over.

    Example: `PersonaRemoveCaseObjectsOperator(task_id="detach", case_id="case_…", object_ids=["inq_…"])`
    """

    operation_id = "remove-persona-objects"
    case_id: Text = path("case-id", "the case (`case_…`).")
    object_ids: Names = body("meta.object-ids", 'ids of Persona objects, like `["inq_…", "rep_…"]`.')


class PersonaRedactCaseOperator(PersonaCallOperator):
    """Erases a case's personal data for ever; the objects attached to it keep theirs.

    Example: `PersonaRedactCaseOperator(task_id="erase", case_id="case_…", confirm=True)`
    """

    operation_id = "redact-a-case"
    case_id: Text = path("case-id", "the case (`case_…`).")
    confirm: Literal[True] = confirmation()
