"""What Airflow's database knows of a bulk task: its instance, XCom, task state, rendered arguments and approvals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_persona.tasks.arguments import read_back
from airflow_provider_persona.tasks.identity import TaskIdentity
from airflow_provider_persona.tasks.state import KEY as PROGRESS_KEY

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

BULK_OPERATORS: Final = (
    "PersonaApplyPlanOperator",
    "PersonaBulkUpdateCasesOperator",
    "PersonaPlanCaseUpdatesOperator",
    "PersonaPlanUpdatesOperator",
    "PersonaRevertPlanOperator",
    "SqlToPersonaAccountsOperator",
    "SqlToPersonaCasesOperator",
    "SqlToPersonaInquiriesOperator",
    "SqlToPersonaOperator",
    "SqlToPersonaReportsOperator",
    "SqlToPersonaTransactionsOperator",
)
"""Names under which Airflow keeps the tasks that the page of runs lists."""

_PLANNERS = ("PersonaPlanCaseUpdatesOperator", "PersonaPlanUpdatesOperator", "PersonaRevertPlanOperator")
_RESULT, _REPORT = "return_value", "report"
_NAMED_BY: Final = 12
"""Characters of a hash that name a plan to people, as in the guide to approvals."""
REVERT_DAG: Final = "persona_revert_run"
"""The example Dag that takes a run back, and its task that plans the way back."""
_REVERT_TASK: Final = "plan_the_way_back"
_LIVE = ("running", "queued", "restarting", "deferred")


@dataclass(frozen=True, slots=True)
class NamedPlan:
    """The plan that a task's records name.

    :param uri: address of its file.
    :param hash: its hash, or None where the record does not say it.
    """

    uri: str
    hash: str | None


@dataclass(frozen=True, slots=True)
class TaskRecords:
    """What the database knows of one task instance.

    :param address: which one.
    :param operator: name of its class.
    :param state: its state, None before it was scheduled.
    :param try_number: number of its last try.
    :param began: when that began, ISO 8601.
    :param ended: when that ended, ISO 8601.
    :param result: what it returned, or pushed as its report when it failed; empty for neither.
    :param progress: its checkpoint in the task's state store, as far as there is one (Airflow 3.3).
    :param rendered: its arguments as rendered.
    """

    address: TaskIdentity
    operator: str | None
    state: str | None
    try_number: int
    began: str | None
    ended: str | None
    result: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    rendered: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_live(self) -> bool:
        """Whether it is at work, or about to be."""
        return self.state in _LIVE

    @property
    def only_plans(self) -> bool:
        """Whether the task makes a plan and applies none."""
        if self.result:
            return "outcomes" in self.result
        return self.operator in _PLANNERS

    @property
    def plan(self) -> NamedPlan | None:
        """The plan that its records name: its own, or the one that it was given to apply."""
        # While it runs, what it returned is of an earlier try or of none, and its progress is the youngest record.
        records = (self.progress, self.result) if self.is_live else (self.result, self.progress)
        given = self.rendered.get("plan")
        for record in (*records, read_back(given) if isinstance(given, str) else given):
            if not isinstance(record, Mapping):
                continue
            uri = record.get("plan")
            if isinstance(uri, str) and uri:
                wanted = record.get("plan_hash") or record.get("hash")
                return NamedPlan(uri, wanted if isinstance(wanted, str) else None)
        return None

    @property
    def is_of_persona(self) -> bool:
        """Whether there is anything that a bulk task of Persona would have left."""
        return self.operator in BULK_OPERATORS or self.plan is not None


@dataclass(frozen=True, slots=True)
class Approval:
    """What a person was asked about a plan.

    :param task_id: the task that asked.
    :param subject: the question.
    :param chosen: what was chosen; empty while nobody has answered.
    :param by: who did, or None.
    :param at: when, ISO 8601, or None.
    """

    task_id: str
    subject: str
    chosen: tuple[str, ...]
    by: str | None
    at: str | None


def records_of(session: Session, address: TaskIdentity) -> TaskRecords | None:
    """Return what is known of a task instance, or None when there is none."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    columns = ("operator", "state", "try_number", "start_date", "end_date")
    found = session.execute(
        select(*(getattr(TaskInstance, name) for name in columns)).where(*_is(TaskInstance, address))
    ).first()
    if found is None:
        return None
    kept = dict(_xcoms(session, [address])).get(address, {})
    rendered = session.scalar(
        select(RenderedTaskInstanceFields.rendered_fields).where(*_is(RenderedTaskInstanceFields, address))
    )
    return _records(address, found, kept, _progress(session, address), rendered)


def list_records(
    session: Session, may_read: Callable[[str], bool], *, first: int, size: int, named: str = ""
) -> tuple[int, list[TaskRecords]]:
    """Return how many bulk tasks of some Dags were begun, and some of them with the last one first.

    :param session: a session of the database.
    :param may_read: whether the tasks of a Dag may be listed.
    :param first: how many to leave out.
    :param size: how many to return at most.
    :param named: a part of the Dag's id, or empty for all.
    """
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import func, select

    ti = TaskInstance
    dag_ids = session.scalars(select(ti.dag_id).where(ti.operator.in_(BULK_OPERATORS)).distinct())
    readable = sorted(dag_id for dag_id in dag_ids if named.lower() in dag_id.lower() and may_read(dag_id))
    rule = (ti.operator.in_(BULK_OPERATORS), ti.dag_id.in_(readable), ti.start_date.is_not(None))
    count = session.scalar(select(func.count()).select_from(ti).where(*rule)) or 0
    columns = (ti.operator, ti.state, ti.try_number, ti.start_date, ti.end_date)
    found = session.execute(
        select(*columns, ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        .where(*rule)
        .order_by(ti.start_date.desc(), ti.id)
        .offset(first)
        .limit(size)
    ).all()
    addresses = [TaskIdentity(*row[5:]) for row in found]
    kept = dict(_xcoms(session, addresses))
    # Only for those that have left nothing yet: it is a query for each.
    progress = [_progress(session, one) if one not in kept else None for one in addresses]
    listed = [
        _records(address, row, kept.get(address, {}), state, None)
        for address, row, state in zip(addresses, found, progress, strict=True)
    ]
    return count, listed


def approvals_of(session: Session, address: TaskIdentity, plan_hash: str) -> list[Approval]:
    """Return what people were asked about a plan in the same Dag run.

    :param session: a session of the database.
    :param address: a task of the run.
    :param plan_hash: the plan's hash. A question is about the plan when its text has the first characters of it.
    """
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    rule = (TaskInstance.dag_id == address.dag_id, TaskInstance.run_id == address.run_id)
    asked = session.execute(
        select(HITLDetail, TaskInstance.task_id).join(TaskInstance, TaskInstance.id == HITLDetail.ti_id).where(*rule)
    ).all()
    found = []
    for detail, task_id in asked:
        if plan_hash[:_NAMED_BY] not in f"{detail.subject} {detail.body} {detail.params}":
            continue
        who = getattr(detail, "responded_by", None) or {}
        at = detail.responded_at
        found.append(
            Approval(
                task_id,
                str(detail.subject),
                tuple(detail.chosen_options or ()),
                who.get("name") or who.get("id"),
                None if at is None else at.isoformat(),
            )
        )
    return found


def revert_dag(session: Session) -> dict[str, Any] | None:
    """Return what the tab needs to trigger the example Dag that takes a run back, or None where there is none."""
    from airflow.models.dag import DagModel
    from sqlalchemy import select

    # `has_import_errors` may be NULL, which is neither true nor false for a database.
    wanted = (DagModel.dag_id == REVERT_DAG, DagModel.is_stale.is_(False), DagModel.has_import_errors.is_not(True))
    paused = session.scalar(select(DagModel.is_paused).where(*wanted))
    return None if paused is None else {"dag_id": REVERT_DAG, "task_id": _REVERT_TASK, "is_paused": paused}


def _is(model: Any, address: TaskIdentity) -> tuple[Any, ...]:
    return (
        model.dag_id == address.dag_id,
        model.run_id == address.run_id,
        model.task_id == address.task_id,
        model.map_index == address.map_index,
    )


def _records(
    address: TaskIdentity, row: Any, kept: Mapping[str, Any], progress: Any, rendered: Mapping[str, Any] | None
) -> TaskRecords:
    operator, state, try_number, began, ended = row[:5]
    result = kept.get(_RESULT) or kept.get(_REPORT)
    return TaskRecords(
        address=address,
        operator=operator,
        state=None if state is None else str(getattr(state, "value", state)),
        try_number=try_number,
        began=None if began is None else began.isoformat(),
        ended=None if ended is None else ended.isoformat(),
        result=result if isinstance(result, Mapping) else {},
        progress=progress if isinstance(progress, Mapping) else {},
        rendered=rendered if isinstance(rendered, Mapping) else {},
    )


def _xcoms(session: Session, addresses: list[TaskIdentity]) -> Iterator[tuple[TaskIdentity, dict[str, Any]]]:
    """Yield what tasks returned and pushed as their report, as it stands in the database."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    found: dict[TaskIdentity, dict[str, Any]] = {}
    wanted = set(addresses)
    rows = session.execute(
        select(
            XComModel.dag_id, XComModel.run_id, XComModel.task_id, XComModel.map_index, XComModel.key, XComModel.value
        ).where(
            XComModel.dag_id.in_({one.dag_id for one in addresses}),
            XComModel.run_id.in_({one.run_id for one in addresses}),
            XComModel.task_id.in_({one.task_id for one in addresses}),
            XComModel.key.in_((_RESULT, _REPORT)),
        )
    )
    for *parts, key, value in rows:
        address = TaskIdentity(*parts)
        if address in wanted:  # the query takes each part by itself, so it also finds other pairs of Dag and run
            found.setdefault(address, {})[key] = _value(value)
    yield from found.items()


def _progress(session: Session, address: TaskIdentity) -> Any:
    """Return the checkpoint of a task, or None where there is none, or Airflow has no place for it (before 3.3)."""
    try:
        from airflow.models.task_state_store import TaskStateStoreModel as Model
    except ImportError:
        return None
    from sqlalchemy import select

    return _value(session.scalar(select(Model.value).where(*_is(Model, address), Model.key == PROGRESS_KEY)))


def _value(kept: Any) -> Any:
    if not isinstance(kept, str):
        return kept
    try:
        return json.loads(kept)
    except ValueError:
        return kept
