"""Operators on one case."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.operators.private_templates import PrivateTemplate, revealed
from airflow_provider_persona.task_failure import failing_for_good_when_useless_to_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.api.case_change import CaseChange
    from airflow_provider_persona.bulk.row_work import RowWork


class PersonaUpdateCaseOperator(BaseOperator):
    """Makes one case as wanted, with the least number of calls, and checks Persona's answers.

    What is not given stays as it is. The status is changed last. Without a guard nothing is read first, so one wanted
    status is one request; with a guard the case is read just before, and what is already so is not written.

    What `fields`, `attachments` and `assignee` render to is not kept by Airflow, because it may hold personal data.

    Returns to XCom: `id`, `status` (as Persona answered), `outcome` (`updated` or `unchanged`) and `request_ids`.

    :param case_id: id of the case (`case_…`).
    :param status: label of the wanted status, as the case's template has it.
    :param fields: custom fields to set, by their configured names.
    :param case_queue_id: queue to put it in.
    :param clear_case_queue: take it out of its queue.
    :param sla_expires_in: seconds from now until its SLA expires, at most 90 days.
    :param clear_sla: remove its SLA.
    :param attachments: files to add: mappings with `filename` and `data` (base64).
    :param assignee: e-mail address of the dashboard user to assign it to.
    :param tags: exactly these tags, or
    :param add_tags: these tags too, and
    :param remove_tags: not these tags.
    :param objects: ids of Persona objects to attach.
    :param remove_objects: ids of Persona objects to detach.
    :param only_from: change the case only while its status is this one, or one of these; otherwise the task is skipped.
    :param never_from: never change it from this status, or these; the task is skipped.
    :param persona_conn_id: connection of type `persona`.
    """

    template_fields: Sequence[str] = (
        "case_id",
        "status",
        "fields",
        "case_queue_id",
        "sla_expires_in",
        "attachments",
        "assignee",
        "tags",
        "add_tags",
        "remove_tags",
        "objects",
        "remove_objects",
        "only_from",
        "never_from",
        "persona_conn_id",
    )
    fields = PrivateTemplate()
    attachments = PrivateTemplate()
    assignee = PrivateTemplate()
    ui_color = "#dce6ff"

    def __init__(
        self,
        *,
        case_id: str,
        status: str | None = None,
        fields: Mapping[str, Any] | None = None,
        case_queue_id: str | None = None,
        clear_case_queue: bool = False,
        sla_expires_in: int | str | None = None,
        clear_sla: bool = False,
        attachments: Sequence[Mapping[str, str]] | None = None,
        assignee: str | None = None,
        tags: Sequence[str] | None = None,
        add_tags: Sequence[str] | None = None,
        remove_tags: Sequence[str] | None = None,
        objects: Sequence[str] | None = None,
        remove_objects: Sequence[str] | None = None,
        only_from: str | Sequence[str] | None = None,
        never_from: str | Sequence[str] | None = None,
        persona_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.case_id = case_id
        self.status = status
        self.fields = fields
        self.case_queue_id = case_queue_id
        self.clear_case_queue = clear_case_queue
        self.sla_expires_in = sla_expires_in
        self.clear_sla = clear_sla
        self.attachments = attachments
        self.assignee = assignee
        self.tags = tags
        self.add_tags = add_tags
        self.remove_tags = remove_tags
        self.objects = objects
        self.remove_objects = remove_objects
        self.only_from = only_from
        self.never_from = never_from
        self.persona_conn_id = persona_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the case as wanted.

        :raises AirflowSkipException: when a guard forbids it.
        :raises AirflowFailException: when it cannot be done and a retry would not help.
        :raises PersonaError: when a retry may help.
        """
        from airflow_provider_persona.bulk.outcomes import RowOutcome

        with failing_for_good_when_useless_to_retry():
            work = self._change_case(self._change(), context)
            if work.error is not None:
                raise work.error
        if work.outcome is RowOutcome.SKIPPED_GUARD:
            raise AirflowSkipException(f"{self.case_id} was left as it is: {work.reason}")
        self.log.info("%s: %s, status %s %s", self.case_id, work.outcome, work.status, work.reason)
        return {
            "id": self.case_id,
            "status": work.status,
            "outcome": str(work.outcome),
            "request_ids": list(work.request_ids),
        }

    def _change(self) -> CaseChange:
        from airflow_provider_persona.api.case_change import CaseChange
        from airflow_provider_persona.api.errors import PersonaSettingsError

        given: dict[str, Any] = {
            "status": self.status,
            "fields": revealed(self.fields),
            "case_queue_id": self.case_queue_id,
            "sla_expires_in": self.sla_expires_in,
            "attachments": revealed(self.attachments),
            "assignee": revealed(self.assignee),
            "tags": self.tags,
            "add_tags": self.add_tags,
            "remove_tags": self.remove_tags,
            "add_objects": self.objects,
            "remove_objects": self.remove_objects,
        }
        wanted = {name: value for name, value in given.items() if value is not None}
        if self.clear_case_queue:
            wanted["case_queue_id"] = None
        if self.clear_sla:
            wanted["sla_expires_in"] = None
        change = CaseChange(**wanted)
        if change.is_empty:
            raise PersonaSettingsError(
                f"{self.task_id} asks for no change of {self.case_id}; give status, fields or others"
            )
        return change

    def _change_case(self, change: CaseChange, context: Context) -> RowWork:
        from airflow_provider_persona.api.operations import path_segment
        from airflow_provider_persona.bulk.case_writer import CaseWriter
        from airflow_provider_persona.bulk.guards import Guards
        from airflow_provider_persona.bulk.plan import Planned, PlanRow
        from airflow_provider_persona.bulk.row_work import RowContext
        from airflow_provider_persona.bulk.rows import Wish
        from airflow_provider_persona.hooks.persona import PersonaHook

        path_segment(self.case_id, "case_id")
        hook = PersonaHook(self.persona_conn_id)
        guards = Guards.of(self.only_from, self.never_from)
        ti = context["ti"]
        # Each try has keys of its own: a failure that Persona keeps under a key must not answer to the next try.
        identity = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}/{ti.try_number}"
        client = hook.async_client(connections=1)

        async def change_case() -> RowWork:
            async with client:
                writer = CaseWriter(client, identity, guards=guards, compare=False, dry_run=False)
                row = PlanRow(1, self.case_id, Planned.CHANGE, Wish(self.case_id, change))
                return await writer.settle(row, RowContext(in_doubt=ti.try_number > 1))

        return asyncio.run(change_case())
