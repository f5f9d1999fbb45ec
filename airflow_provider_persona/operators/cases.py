"""Operators on one case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.links import PersonaObjectLink
from airflow_provider_persona.tasks.airflow_arguments import TypedOperator
from airflow_provider_persona.tasks.arguments import JsonObject, Names, Number, Text, as_mappings
from airflow_provider_persona.tasks.call_arguments import DeclaresArguments
from airflow_provider_persona.tasks.declared_arguments import Argument, argument, values_of
from airflow_provider_persona.tasks.failure import at_work
from airflow_provider_persona.tasks.identity import TaskIdentity
from airflow_provider_persona.tasks.lineage import TaskDeed
from airflow_provider_persona.tasks.openlineage import tell_openlineage
from airflow_provider_persona.tasks.stopping import end_task, stop_of
from airflow_provider_persona.tasks.tag_calls import ADD_DOC, ALL_DOC, REMOVE_DOC
from airflow_provider_persona.version_compat import AirflowSkipException

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.api.case_change import CaseChange
    from airflow_provider_persona.bulk.apply.row_work import RowWork


_PARTS: Final = {
    **{name: name for name in ("status", "fields", "case_queue_id", "sla_expires_in", "attachments", "assignee")},
    **{name: name for name in ("tags", "add_tags", "remove_tags", "remove_objects")},
    "objects": "add_objects",
}
"""From our names of arguments to what `CaseChange` calls them."""


class PersonaUpdateCaseOperator(TypedOperator, metaclass=DeclaresArguments):
    """Updates one case with as few calls as possible, and checks Persona's answers.

    What is not given stays as it is. The status is changed last. Without a guard nothing is read first, so one wanted
    status is one request; with a guard the case is read just before, and what is already right is not written.

    Airflow does not keep what `fields`, `attachments` and `assignee` render to, because it may hold personal data.

    Returns to XCom: `id`, `status` (as Persona answered), `outcome` (`updated` or `unchanged`) and `request_ids`.
    """

    arguments: ClassVar[Mapping[str, Argument]]
    ui_color = "#dce6ff"
    operator_extra_links = (PersonaObjectLink(),)
    on_kill = end_task
    get_openlineage_facets_on_complete = tell_openlineage
    deed: TaskDeed | None = None

    case_id: Text = argument("id of the case (`case_…`).")
    status: Text | None = argument("label of the wanted status, as the case's template has it.", default=None)
    fields: JsonObject | None = argument("custom fields to set, by their configured names.", default=None, private=True)
    case_queue_id: Text | None = argument("queue to put it in.", default=None)
    clear_case_queue: bool = argument("take it out of its queue.", default=False, is_template=False)
    sla_expires_in: Number | None = argument(
        "seconds, or a timedelta, from now until its SLA expires, at most 90 days.", default=None
    )
    clear_sla: bool = argument("remove its SLA.", default=False, is_template=False)
    attachments: Sequence[Mapping[str, str]] | Text | None = argument(
        "files to add: mappings with `filename` and `data` (base64).", default=None, private=True, reader=as_mappings
    )
    assignee: Text | None = argument(
        "e-mail address of the dashboard user to assign it to.", default=None, private=True
    )
    tags: Names | None = argument(ALL_DOC, default=None)
    add_tags: Names | None = argument(ADD_DOC, default=None)
    remove_tags: Names | None = argument(REMOVE_DOC, default=None)
    objects: Names | None = argument("ids of Persona objects to attach.", default=None)
    remove_objects: Names | None = argument("ids of Persona objects to detach.", default=None)
    only_from: Text | Sequence[str] | None = argument(
        "change the case only while its status is this one, or one of these; otherwise the task is skipped.",
        default=None,
    )
    never_from: Text | Sequence[str] | None = argument(
        "never change it from this status, or these; the task is skipped.", default=None
    )
    persona_conn_id: Text = argument("connection of type `persona`.", default=DEFAULT_CONN_ID)

    def check_arguments(self) -> None:
        """Check nothing: what is wanted of the case is known when the task runs."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the case as wanted.

        :raises AirflowSkipException: when a guard forbids it.
        :raises AirflowFailException: when it cannot be done and a retry would not help.
        :raises PersonaError: when a retry may help.
        """
        from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome

        with at_work(self):
            given = values_of(self)
            work = self._change_case(given, self._change(given), context)
            if work.error is not None:
                raise work.error
        case_id = given["case_id"]
        if work.outcome is RowOutcome.SKIPPED_GUARD:
            raise AirflowSkipException(f"{case_id} was left as it is: {work.reason}")
        self.log.info("%s: %s, status %s %s", case_id, work.outcome, work.status, work.reason)
        return {
            "id": case_id,
            "status": work.status,
            "outcome": str(work.outcome),
            "request_ids": list(work.request_ids),
        }

    def _change(self, given: Mapping[str, Any]) -> CaseChange:
        from airflow_provider_persona.api.case_change import CaseChange
        from airflow_provider_persona.api.errors import PersonaSettingsError

        wanted = {part: given[name] for name, part in _PARTS.items() if given[name] is not None}
        if given["clear_case_queue"]:
            wanted["case_queue_id"] = None
        if given["clear_sla"]:
            wanted["sla_expires_in"] = None
        change = CaseChange(**wanted)
        if change.is_empty:
            raise PersonaSettingsError(
                f"{self.task_id} asks for no change of {given['case_id']}; give status, fields or others"
            )
        return change

    def _change_case(self, given: Mapping[str, Any], change: CaseChange, context: Context) -> RowWork:
        from airflow_provider_persona.api.dashboard import address_of_id
        from airflow_provider_persona.api.operations import path_segment
        from airflow_provider_persona.bulk.apply.object_writer import ObjectWriter
        from airflow_provider_persona.bulk.apply.row_work import RowContext
        from airflow_provider_persona.bulk.plan.file import Planned, PlanRow
        from airflow_provider_persona.bulk.plan.guards import Guards
        from airflow_provider_persona.bulk.subjects.kinds import CASE
        from airflow_provider_persona.bulk.subjects.subject import ObjectUpdate
        from airflow_provider_persona.hooks.persona import PersonaHook

        case_id: str = given["case_id"]
        path_segment(case_id, "case_id")
        hook = PersonaHook(given["persona_conn_id"])
        PersonaObjectLink.push(context, address_of_id(case_id, hook.settings.dashboard_url))
        guards = Guards.of(given["only_from"], given["never_from"])
        ti = context["ti"]
        # Each try has keys of its own: a failure that Persona keeps under a key must not answer to the next try.
        identity = f"{TaskIdentity.of(ti)}/{ti.try_number}"
        client, stop = hook.async_client(connections=1), stop_of(self)
        client.heed(stop.cancellation)

        async def change_case() -> RowWork:
            async with client:
                writer = ObjectWriter(client, CASE, identity, guards=guards)
                row = PlanRow(1, case_id, Planned.CHANGE, ObjectUpdate(CASE, case_id, change))
                return await writer.settle(row, RowContext(in_doubt=ti.try_number > 1))

        try:
            return stop.run_coroutine(change_case)
        finally:
            self.deed = TaskDeed("case", client.environment.seen, wrote=True)
