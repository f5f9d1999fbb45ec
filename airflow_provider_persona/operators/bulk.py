"""Operators that change many cases in one task: plan, apply, ledger, report."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.operators.bulk_task import ApplyingOperator
from airflow_provider_persona.operators.private_templates import PrivateTemplate
from airflow_provider_persona.operators.rendered import as_number
from airflow_provider_persona.operators.row_sources import GivenRows
from airflow_provider_persona.operators.task_state import checkpoints_of
from airflow_provider_persona.task_failure import failing_for_good_when_useless_to_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.bulk.apply import ApplyOptions
    from airflow_provider_persona.bulk.checkpoint import Checkpoint
    from airflow_provider_persona.bulk.plan import Plan, PlanHeader
    from airflow_provider_persona.bulk.report import Report
    from airflow_provider_persona.bulk.rows import InvalidRow
    from airflow_provider_persona.bulk.run import Draft, PlanOptions
    from airflow_provider_persona.bulk.spool import Written
    from airflow_provider_persona.hooks.persona import PersonaHook
    from airflow_provider_persona.operators.task_state import TaskStateCheckpoints


class OneStepBulkOperator(ApplyingOperator):
    """From rows to report in one task; what the rows mean is up to those who derive from it.

    The rows become a plan in a file, the plan is applied with many rows under way at once within the request limit, and
    what became of each row is on a ledger beside the plan. A retry after a crash goes on where the ledger ends.

    Returns to XCom the report: counts by outcome, the addresses of plan and ledger, requests and seconds; never a row.
    When the task fails for its rows, the same report is pushed under the key `report`.

    The parameters are those of `ApplyingOperator`.
    """

    @abstractmethod
    def open_rows(self) -> AbstractContextManager[tuple[list[str] | None, Iterable[Mapping[str, Any]]]]:
        """Give the columns, where they are known without a row, and the rows."""

    @abstractmethod
    def source_parts(self) -> tuple[Any, ...]:
        """Return what tells the source of the rows from another, as rendered."""

    @abstractmethod
    def read_wishes(self) -> Iterator[Written | InvalidRow]:
        """Yield what each row wishes for, read as they are asked for."""

    @abstractmethod
    def plan_header(self, run: str, hook: PersonaHook) -> PlanHeader:
        """Return who plans what."""

    def plan_options(self) -> PlanOptions:
        """Return how the plan is made."""
        from airflow_provider_persona.bulk.run import PlanOptions

        return PlanOptions()

    def one_wish_each(self) -> str | None:
        """Return what the objects are called of which two rows must not wish different things, None where they may."""
        return "case"

    def reads_first(self) -> bool:
        """Whether each case is read just before it would be written."""
        return False

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan or resume, apply, report.

        :raises AirflowFailException: when it failed in a way that a retry would meet again.
        :raises PersonaError: when Persona failed before a row could.
        :raises BulkError: when it stopped or too many rows failed, and a retry may help.
        """
        from airflow_provider_persona.bulk.run import Draft, resume_or_draft
        from airflow_provider_persona.hooks.persona import PersonaHook

        with failing_for_good_when_useless_to_retry():
            planning, options = self.plan_options(), self.apply_options(read_first=self.reads_first())
            hook = PersonaHook(self.persona_conn_id, reserve=self.reserve)
            table = self.prepared_ledger_table()
            checkpoints = checkpoints_of(context)
            known = checkpoints.load() if checkpoints is not None else None
            found = resume_or_draft(
                self.read_wishes,
                self.folder(context),
                self.plan_header("/".join(self.run_parts(context)), hook),
                checkpoint=known,
                one_wish_each=self.one_wish_each(),
                is_retry=self.is_retry(context),
            )
            try:
                report = asyncio.run(self._run(found, hook, planning, options, checkpoints, known))
            finally:
                if isinstance(found, Draft):
                    found.close()
            return self.conclude(report, options, table, context)

    async def _run(
        self,
        found: Plan | Draft,
        hook: PersonaHook,
        planning: PlanOptions,
        options: ApplyOptions,
        checkpoints: TaskStateCheckpoints | None,
        known: Checkpoint | None,
    ) -> Report:
        from airflow_provider_persona.bulk.run import Draft, check_thresholds_anew, complete

        async with hook.async_client(connections=self.concurrency) as client:
            if isinstance(found, Draft):
                plan = await complete(found, client, planning)
            else:
                plan = found
                check_thresholds_anew(plan, planning.thresholds)
            self.log_plan(plan)
            report = await self.apply(plan, client, options, checkpoints, known)
            if options.dry_run and isinstance(found, Draft):
                plan.forget_values()  # this task is the only one that could have applied it
            return report


class BulkCaseUpdateOperator(OneStepBulkOperator):
    """What all operators share that change many cases in one step; they differ in where the rows come from.

    :param mapping: from our names (`case_id`, `status`, `expected_status`, `assignee`, `case_queue_id`,
        `sla_expires_in`, `tags`, `add_tags`, `remove_tags`, `add_objects`, `remove_objects`, `fields`) to columns.
        Columns that have our names need none. Under `fields`: the column with an object, or a mapping of custom fields
        to columns.
    :param only_from: change a case only while its status is this one, or one of these.
    :param never_from: never change a case from this status, or these.
    :param compare: how rows are compared with the live cases, so that what is already right costs no write. `never`:
        not at all, except where a guard must look. `list`: by listing all cases, 100 a request. `auto`: by listing
        while that pays, and never for more than a tenth of the requests that writing takes. `get`: by reading each case
        just before it would be written.
    :param max_changes: fail before the first write when more rows would be changed.
    :param max_change_ratio: fail before the first write when a larger share (0.0 to 1.0) of the valid rows would be.
    :param max_invalid: fail before the first write when more rows are invalid: a number (int) or a share (float).
    :param forbid_transitions: fail before the first write when a case would go from one status to another like this:
        `"Approved -> Declined"`, several of such, or pairs; `*` stands for any status. Needs `compare`.

    The other parameters are those of `ApplyingOperator`.
    """

    template_fields: Sequence[str] = (
        "mapping",
        "only_from",
        "never_from",
        "max_changes",
        "max_change_ratio",
        "max_invalid",
        "forbid_transitions",
        *ApplyingOperator.template_fields,
    )

    def __init__(
        self,
        *,
        mapping: Mapping[str, Any] | None = None,
        only_from: str | Sequence[str] | None = None,
        never_from: str | Sequence[str] | None = None,
        compare: str = "never",
        max_changes: int | str | None = None,
        max_change_ratio: float | str | None = None,
        max_invalid: float | str | None = None,
        forbid_transitions: Iterable[Any] | Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mapping = mapping
        self.only_from = only_from
        self.never_from = never_from
        self.compare = compare
        self.max_changes = max_changes
        self.max_change_ratio = max_change_ratio
        self.max_invalid = max_invalid
        self.forbid_transitions = forbid_transitions

    def read_wishes(self) -> Iterator[Written | InvalidRow]:
        """Yield what each row wishes for.

        :raises MissingColumnError: when a column is missing.
        """
        from airflow_provider_persona.bulk.run import wishes_of

        with self.open_rows() as (columns, rows):
            yield from wishes_of(rows, self.mapping, columns)

    def plan_header(self, run: str, hook: PersonaHook) -> PlanHeader:
        """Return who plans what, with the guards."""
        return case_plan_header(self, run, hook)

    def plan_options(self) -> PlanOptions:
        """Return how the plan is made, with the thresholds."""
        return case_plan_options(self)

    def reads_first(self) -> bool:
        """Whether each case is read just before it would be written."""
        return self.compare == "get" and not self.plan_options().looks_while_planning


def case_plan_header(operator: Any, run: str, hook: PersonaHook) -> PlanHeader:
    """Return who plans what, for an operator with a mapping, guards and a source of rows."""
    from datetime import UTC, datetime

    from airflow_provider_persona.bulk.guards import Guards
    from airflow_provider_persona.bulk.plan import PlanHeader
    from airflow_provider_persona.bulk.run import fingerprint

    guards = Guards.of(operator.only_from, operator.never_from)
    only_from = None if guards.only_from is None else sorted(guards.only_from)
    never_from = sorted(guards.never_from)
    return PlanHeader(
        run=run,
        source=fingerprint(*operator.source_parts(), operator.mapping, only_from, never_from),
        environment=hook.settings.expected_environment_id,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        only_from=only_from,
        never_from=never_from,
    )


def case_plan_options(operator: Any, *, record_states: bool = False) -> PlanOptions:
    """Return how the plan is made, for an operator with thresholds.

    :raises BulkError: when one makes no sense.
    """
    from airflow_provider_persona.bulk.compare import CompareMode
    from airflow_provider_persona.bulk.errors import BulkError
    from airflow_provider_persona.bulk.run import PlanOptions
    from airflow_provider_persona.bulk.thresholds import Thresholds, transitions

    max_changes = as_number(operator.max_changes, "max_changes")
    if isinstance(max_changes, float):
        raise BulkError("max_changes is a number of rows; for a share of them use max_change_ratio")
    thresholds = Thresholds(
        max_changes=max_changes,
        max_change_ratio=as_number(operator.max_change_ratio, "max_change_ratio"),
        max_invalid=as_number(operator.max_invalid, "max_invalid"),
        forbid_transitions=transitions(operator.forbid_transitions),
    )
    return PlanOptions(CompareMode.of(operator.compare), thresholds, record_states)


class PersonaBulkUpdateCasesOperator(GivenRows, BulkCaseUpdateOperator):
    """Changes cases by rows that are at hand: a list in the Dag, or another task's result.

    For rows in a database use `SqlToPersonaCasesOperator`, which streams them.

    :param changes: rows as mappings, like `[{"case_id": "case_…", "status": "Declined"}]`. A template; what
        it renders to is not kept by Airflow, because rows may hold personal data.

    The other parameters are those of `BulkCaseUpdateOperator`.
    """

    template_fields: Sequence[str] = ("changes", *BulkCaseUpdateOperator.template_fields)
    changes = PrivateTemplate()

    def __init__(self, *, changes: Iterable[Mapping[str, Any]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.changes = changes
