"""Operators on one case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.links import PersonaObjectLink
from airflow_provider_persona.tasks.argument_groups import kept, kept_for_all
from airflow_provider_persona.tasks.failure import fail_without_retry
from airflow_provider_persona.tasks.identity import TaskIdentity
from airflow_provider_persona.tasks.lineage import TaskDeed
from airflow_provider_persona.tasks.nested_templates import render_nested
from airflow_provider_persona.tasks.private_templates import PrivateTemplate, revealed
from airflow_provider_persona.tasks.retry_policy import take_default_policy
from airflow_provider_persona.tasks.stopping import end_task, stop_of
from airflow_provider_persona.version_compat import AirflowSkipException, BaseOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.api.case_change import CaseChange
    from airflow_provider_persona.bulk.apply.row_work import RowWork


class PersonaUpdateCaseOperator(BaseOperator):
    """Updates one case with as few calls as possible, and checks Persona's answers.

    What is not given stays as it is. The status is changed last. Without a guard nothing is read first, so one wanted
    status is one request; with a guard the case is read just before, and what is already right is not written.

    What `fields`, `attachments` and `assignee` render to is not kept by Airflow, because it may hold personal data.

    Returns to XCom: `id`, `status` (as Persona answered), `outcome` (`updated` or `unchanged`) and `request_ids`.

    :param case_id: id of the case (`case_…`).
    :param status: label of the wanted status, as the case's template has it.
    :param fields: custom fields to set, by their configured names.
    :param case_queue_id: queue to put it in.
    :param clear_case_queue: take it out of its queue.
    :param sla_expires_in: seconds, or a timedelta, from now until its SLA expires, at most 90 days.
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
    operator_extra_links = (PersonaObjectLink(),)
    on_kill = end_task

    def __init__(
        self,
        *,
        case_id: str,
        status: str | None = None,
        fields: Mapping[str, Any] | None = None,
        case_queue_id: str | None = None,
        clear_case_queue: bool = False,
        sla_expires_in: int | str | timedelta | None = None,
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
        self.fields = kept(self, fields)
        self.case_queue_id = case_queue_id
        self.clear_case_queue = clear_case_queue
        self.sla_expires_in = sla_expires_in
        self.clear_sla = clear_sla
        self.attachments = kept(self, attachments)
        self.assignee = assignee
        self.tags = kept(self, tags)
        self.add_tags = kept(self, add_tags)
        self.remove_tags = kept(self, remove_tags)
        self.objects = kept(self, objects)
        self.remove_objects = kept(self, remove_objects)
        self.only_from = kept(self, only_from)
        self.never_from = kept(self, never_from)
        self.persona_conn_id = persona_conn_id
        self.deed: TaskDeed | None = None
        take_default_policy(self)

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Give arguments to all tasks that `expand` makes, as for every operator; a generator serves each of them."""
        return super().partial(**kept_for_all(kwargs))

    def render_template(self, content: Any, context: Any, jinja_env: Any = None, seen_oids: Any = None) -> Any:
        """Render what a template field holds, as Airflow does; texts within it stay texts."""
        return render_nested(self, super().render_template, content, context, jinja_env, seen_oids)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's signature
        """Return what OpenLineage is told, after success and after failure."""
        from airflow_provider_persona.tasks.openlineage import lineage_of

        return lineage_of(self.deed)

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the case as wanted.

        :raises AirflowSkipException: when a guard forbids it.
        :raises AirflowFailException: when it cannot be done and a retry would not help.
        :raises PersonaError: when a retry may help.
        """
        from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome

        with stop_of(self).heeded(), fail_without_retry():
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

        expires_in = self.sla_expires_in
        given: dict[str, Any] = {
            "status": self.status,
            "fields": revealed(self.fields),
            "case_queue_id": self.case_queue_id,
            "sla_expires_in": expires_in.total_seconds() if isinstance(expires_in, timedelta) else expires_in,
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
        from airflow_provider_persona.api.dashboard import address_of_id
        from airflow_provider_persona.api.operations import path_segment
        from airflow_provider_persona.bulk.apply.object_writer import ObjectWriter
        from airflow_provider_persona.bulk.apply.row_work import RowContext
        from airflow_provider_persona.bulk.plan.file import Planned, PlanRow
        from airflow_provider_persona.bulk.plan.guards import Guards
        from airflow_provider_persona.bulk.subjects.kinds import CASE
        from airflow_provider_persona.bulk.subjects.subject import ObjectUpdate
        from airflow_provider_persona.hooks.persona import PersonaHook

        path_segment(self.case_id, "case_id")
        hook = PersonaHook(self.persona_conn_id)
        PersonaObjectLink.push(context, address_of_id(self.case_id, hook.settings.dashboard_url))
        guards = Guards.of(self.only_from, self.never_from)
        ti = context["ti"]
        # Each try has keys of its own: a failure that Persona keeps under a key must not answer to the next try.
        identity = f"{TaskIdentity.of(ti)}/{ti.try_number}"
        client, stop = hook.async_client(connections=1), stop_of(self)
        client.heed(stop.cancellation)

        async def change_case() -> RowWork:
            async with client:
                writer = ObjectWriter(client, CASE, identity, guards=guards)
                row = PlanRow(1, self.case_id, Planned.CHANGE, ObjectUpdate(CASE, self.case_id, change))
                return await writer.settle(row, RowContext(in_doubt=ti.try_number > 1))

        try:
            return stop.run_coroutine(change_case)
        finally:
            self.deed = TaskDeed("case", client.environment.seen, wrote=True)
