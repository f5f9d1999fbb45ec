"""Planning, approving and applying as tasks of their own, and taking a change back.

What is applied is exactly what was planned: the plan's hash goes with it from task to task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_persona.operators.bulk import case_plan_header, case_plan_options
from airflow_provider_persona.operators.bulk_task import ApplyingOperator, PlanKeepingOperator
from airflow_provider_persona.operators.private_templates import PrivateTemplate
from airflow_provider_persona.operators.rendered import as_mapping
from airflow_provider_persona.operators.row_sources import given_rows, queried_rows
from airflow_provider_persona.operators.task_state import checkpoints_of
from airflow_provider_persona.task_failure import failing_for_good_when_useless_to_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.bulk.plan import Plan, PlanHeader
    from airflow_provider_persona.bulk.rows import InvalidRow, Wish
    from airflow_provider_persona.bulk.run import Draft, PlanOptions
    from airflow_provider_persona.hooks.persona import PersonaHook


class _PlanningOperator(PlanKeepingOperator):
    """A task that makes a plan of changes of cases, and applies none of it.

    :param compare: how the live cases are read: `auto` (by listing while that pays, the others one by one), `list`,
        `get`, or `never`: then the plan knows no status, and changes made meanwhile go unnoticed.
    :param max_changes: fail when more rows would be changed.
    :param max_change_ratio: fail when a larger share (0.0 to 1.0) of the valid rows would be.
    :param max_invalid: fail when more rows are invalid: a number (int) or a share (float).
    :param forbid_transitions: fail when a case would go like `"Approved -> Declined"`; several, or pairs; `*` is any.

    The other parameters are those of `PlanKeepingOperator`.
    """

    def __init__(
        self,
        *,
        compare: str = "auto",
        max_changes: int | str | None = None,
        max_change_ratio: float | str | None = None,
        max_invalid: float | str | None = None,
        forbid_transitions: Iterable[Any] | Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.compare = compare
        self.max_changes = max_changes
        self.max_change_ratio = max_change_ratio
        self.max_invalid = max_invalid
        self.forbid_transitions = forbid_transitions

    def plan(
        self, context: Context, hook: PersonaHook, wishes: Iterable[Wish | InvalidRow], header: PlanHeader
    ) -> dict[str, Any]:
        """Write the plan, and return what goes to XCom."""
        from airflow_provider_persona.bulk.run import new_draft

        options = case_plan_options(self, record_states=self.compare != "never")
        draft = new_draft(wishes, self.folder(context), header)
        try:
            return asyncio.run(self._complete(draft, hook, options))
        finally:
            draft.close()

    async def _complete(self, draft: Draft, hook: PersonaHook, options: PlanOptions) -> dict[str, Any]:
        from airflow_provider_persona.bulk.estimate import RateLimit, estimate
        from airflow_provider_persona.bulk.run import complete

        async with hook.async_client(connections=self.concurrency) as client:
            # The cheapest question there is; its answer tells the limit, and in which environment the plan is made.
            known = RateLimit.from_answer((await client.call("list-all-rate-limits")).json())
            plan = await complete(draft, client, options)
            reads = plan.header.guards.needs_read(None) or options.record_states
            changes = plan.header.planned.get("change", 0)
            expected = estimate(changes * (2 if reads else 1), known, client.budget.reserve)
        self.log_plan(plan)
        if expected.seconds is not None:
            self.log.info("Applying it takes about %d requests and %.0f s", expected.requests, expected.seconds)
        return {
            "plan": plan.uri,
            "hash": plan.header.hash,
            "created_at": plan.header.created_at,
            "environment": plan.header.environment,
            "rows": plan.header.rows,
            "repeats": plan.header.repeats,
            "outcomes": plan.header.planned,
            "transitions": plan.header.transitions,
            "estimate": expected.to_xcom(),
        }


class PersonaPlanCaseUpdatesOperator(_PlanningOperator):
    """Works out from a query, or from rows at hand, which cases would be changed how, and writes it down as a plan.

    Nothing is changed. The live cases are read, so that the plan says what would go from which status to which, leaves
    out what is already so, and `PersonaApplyPlanOperator` can tell later which cases have changed meanwhile.

    Returns to XCom: `plan` (address of its file), `hash`, `created_at`, `environment`, `rows`, `repeats`, `outcomes`
    (rows by what is intended), `transitions` (rows by `from -> to` status) and `estimate` (`requests`, `seconds`, under
    `limit` and `reserve`); never a row.

    :param sql: one query, or the name of a `.sql` file; give this with `sql_conn_id`, or `changes`.
    :param sql_conn_id: connection of any database that Airflow has a DB-API hook for.
    :param parameters: parameters of the query, in the driver's style.
    :param sql_hook_params: further arguments of the database's hook.
    :param changes: rows as mappings, in place of a query. What it renders to is not kept by Airflow.
    :param mapping: as for `BulkCaseUpdateOperator`.
    :param only_from: change a case only while its status is this one, or one of these.
    :param never_from: never change a case from this status, or these.
    :param compare: how the live cases are read: `auto` (by listing while that pays, the others one by one), `list`,
        `get`, or `never`: then the plan knows no status, and changes made meanwhile go unnoticed.
    :param max_changes: fail when more rows would be changed.
    :param max_change_ratio: fail when a larger share (0.0 to 1.0) of the valid rows would be.
    :param max_invalid: fail when more rows are invalid: a number (int) or a share (float).
    :param forbid_transitions: fail when a case would go like `"Approved -> Declined"`; several, or pairs; `*` is any.

    The other parameters are those of `PlanKeepingOperator`.
    """

    template_fields: Sequence[str] = (
        "sql",
        "sql_conn_id",
        "parameters",
        "changes",
        "mapping",
        "only_from",
        "never_from",
        "max_changes",
        "max_change_ratio",
        "max_invalid",
        "forbid_transitions",
        *PlanKeepingOperator.template_fields,
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json", "mapping": "json"}
    changes = PrivateTemplate()

    def __init__(
        self,
        *,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        sql_hook_params: Mapping[str, Any] | None = None,
        changes: Iterable[Mapping[str, Any]] | None = None,
        mapping: Mapping[str, Any] | None = None,
        only_from: str | Sequence[str] | None = None,
        never_from: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (sql is None) == (changes is None) or (sql is None) != (sql_conn_id is None):
            raise ValueError("give either sql with sql_conn_id, or changes")
        self.is_queried = sql is not None
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.sql_hook_params = sql_hook_params
        self.changes = changes
        self.mapping = mapping
        self.only_from = only_from
        self.never_from = never_from

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan.

        :raises AirflowFailException: when an argument makes no sense, or a threshold is exceeded.
        :raises PersonaError: when the live cases could not be read.
        """
        from airflow_provider_persona.hooks.persona import PersonaHook

        with failing_for_good_when_useless_to_retry():
            hook = PersonaHook(self.persona_conn_id, reserve=self.reserve)
            case_plan_options(self, record_states=True)  # what makes no sense fails before the query is run
            header = case_plan_header(self, "/".join(self.run_parts(context)), hook)
            return self.plan(context, hook, self._wishes(), header)

    def open_rows(self) -> AbstractContextManager[tuple[list[str] | None, Iterable[Mapping[str, Any]]]]:
        """Give the rows of the query, or those at hand."""
        return queried_rows(self) if self.is_queried else nullcontext((None, given_rows(self)))

    def source_parts(self) -> tuple[Any, ...]:
        """Return what tells the source of the rows from another, as rendered."""
        return (self.sql, self.parameters, self.sql_conn_id) if self.is_queried else (given_rows(self),)

    def _wishes(self) -> Iterator[Wish | InvalidRow]:
        from airflow_provider_persona.bulk.run import wishes_of

        with self.open_rows() as (columns, rows):
            yield from wishes_of(rows, self.mapping, columns)


class PersonaApplyPlanOperator(ApplyingOperator):
    """Applies a plan that was made, and perhaps approved, before: exactly that one, told by its hash.

    Each case is read just before it is written. One that has changed since it was planned is left alone and becomes
    `skipped_guard` with a reason that begins with `drift`.

    Returns to XCom the report, as `SqlToPersonaCasesOperator` does.

    :param plan: what the planning task returned, like `plan_task.output` or `"{{ ti.xcom_pull('plan') }}"`.
    :param max_age: how old the plan may be; None for any age.
    :param heed_drift: leave alone what has changed since it was planned.

    The other parameters are those of `ApplyingOperator`.
    """

    template_fields: Sequence[str] = ("plan", *ApplyingOperator.template_fields)

    def __init__(
        self,
        *,
        plan: Mapping[str, Any] | str,
        max_age: timedelta | None = timedelta(hours=24),
        heed_drift: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if max_age is not None and not (isinstance(max_age, timedelta) and max_age >= timedelta(0)):
            raise ValueError(f"max_age is a timedelta of 0 or more, or None for any age, not {max_age!r}")
        self.plan = plan
        self.max_age = max_age
        self.heed_drift = heed_drift

    def execute(self, context: Context) -> dict[str, Any]:
        """Apply.

        :raises AirflowFailException: when the plan is not the one that was meant, too old, edited or for another
            environment, or when the task failed in a way that a retry would meet again.
        :raises PersonaError: when Persona failed before a row could.
        :raises BulkError: when it stopped or too many rows failed, and a retry may help.
        """
        from airflow_provider_persona.bulk.run import check_environment
        from airflow_provider_persona.hooks.persona import PersonaHook

        with failing_for_good_when_useless_to_retry():
            options = self.apply_options(heed_drift=self.heed_drift)
            hook = PersonaHook(self.persona_conn_id, reserve=self.reserve)
            plan = approved_plan(self.plan, self.max_age, datetime.now(UTC))
            check_environment(plan, hook.settings.expected_environment_id)
            self.log_plan(plan)
            table = self.prepared_ledger_table()
            checkpoints = checkpoints_of(context)
            client = hook.async_client(connections=self.concurrency)

            async def run() -> Any:
                async with client:
                    return await self.apply(plan, client, options, checkpoints)

            return self.conclude(asyncio.run(run()), options, table, context)


class PersonaRevertPlanOperator(_PlanningOperator):
    """Makes the plan that takes a change of statuses back, from the ledger of the run that made it.

    Only cases that the run really changed are in it, and only where the ledger knows their status before; the others
    become invalid rows with the reason. Applied, it changes a case only while its status still is the one that the run
    gave it. Queues, tags, fields and assignees are not taken back: the ledger does not hold them.

    Returns to XCom what `PersonaPlanCaseUpdatesOperator` returns; apply it with `PersonaApplyPlanOperator`.

    :param report: what the task returned that made the change (`SqlToPersonaCasesOperator`, `PersonaApplyPlanOperator`
        and so on), or under `report` in XCom when it failed.

    `compare` and the thresholds mean what they mean for `PersonaPlanCaseUpdatesOperator`.

    The other parameters are those of `PlanKeepingOperator`.
    """

    template_fields: Sequence[str] = (
        "report",
        "max_changes",
        "max_change_ratio",
        "max_invalid",
        "forbid_transitions",
        *PlanKeepingOperator.template_fields,
    )

    def __init__(self, *, report: Mapping[str, Any] | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.report = report

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan the way back.

        :raises AirflowFailException: when the ledger cannot be used, or a threshold is exceeded.
        :raises PersonaError: when the live cases could not be read.
        """
        from airflow_provider_persona.bulk.plan import PlanHeader
        from airflow_provider_persona.bulk.revert import wishes_to_revert
        from airflow_provider_persona.bulk.run import fingerprint
        from airflow_provider_persona.hooks.persona import PersonaHook

        with failing_for_good_when_useless_to_retry():
            hook = PersonaHook(self.persona_conn_id, reserve=self.reserve)
            case_plan_options(self, record_states=True)
            plan = approved_plan(self.report, None, datetime.now(UTC))
            header = PlanHeader(
                run="/".join(self.run_parts(context)),
                source=fingerprint("revert", plan.header.hash),
                environment=plan.header.environment or hook.settings.expected_environment_id,
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            return self.plan(context, hook, wishes_to_revert(plan), header)


def approved_plan(given: Mapping[str, Any] | str, max_age: timedelta | None, now: datetime) -> Plan:
    """Return the plan that a task before named, when it is still that one and not too old.

    :param given: what that task returned: the plan's address under `plan`, its hash under `hash` or `plan_hash`.
    :param max_age: how old it may be, or None.
    :param now: UTC time.
    :raises PlanError: when it is gone, edited, another one, or too old.
    """
    from airflow_provider_persona.bulk.errors import PlanError
    from airflow_provider_persona.bulk.plan import read_plan
    from airflow_provider_persona.state_root import store_path

    named = as_mapping(given, "plan")
    uri, wanted = named.get("plan"), named.get("hash") or named.get("plan_hash")
    if not uri or not wanted:
        raise PlanError("a plan is given by its address under `plan` and its hash under `hash`; one of them is missing")
    plan = read_plan(store_path(uri).parent)
    if plan is None:
        raise PlanError(
            f"there is no plan at {uri}; where tasks run on several machines, state_path must be an object store or a "
            "folder that all of them see"
        )
    if plan.header.hash != wanted:
        raise PlanError(f"the plan at {uri} has hash {plan.header.hash}, and {wanted} was asked for; it is not applied")
    age = now - datetime.fromisoformat(plan.header.created_at)
    if max_age is not None and age > max_age:
        raise PlanError(f"the plan at {uri} is {age} old, and max_age is {max_age}; plan anew")
    return plan
