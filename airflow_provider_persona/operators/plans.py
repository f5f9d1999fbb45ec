"""Planning, approving and applying as tasks of their own, and taking a change back.

What is applied is exactly what was planned: the plan's hash goes with it from task to task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.links import PLAN_LINKS
from airflow_provider_persona.tasks.bulk_arguments import (
    COLUMNS_OF,
    Applying,
    CompareForPlan,
    Guards,
    InVain,
    QueryOrGivenRows,
    Thresholds,
    apply_options,
    check_matching,
    columns,
    planning_job,
    query_source,
    reverting_job,
)
from airflow_provider_persona.tasks.bulk_task import (
    BulkOperator,
    run_applying_task,
    run_planning_task,
)
from airflow_provider_persona.tasks.declared_arguments import ArgumentGroup, argument
from airflow_provider_persona.tasks.failure import at_work
from airflow_provider_persona.tasks.named_plan import approval_of, approved_plan, places_of_plans
from airflow_provider_persona.tasks.row_sources import GivenSource

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class _TrustedPaths(ArgumentGroup):
    """Where a plan may come from."""

    trusted_paths: Sequence[str] = argument(
        "folders, or addresses in object stores, that the plan may come from beside the state path and its store.",
        default=(),
        is_template=False,
    )


class PersonaPlanCaseUpdatesOperator(BulkOperator):
    """Works out from a query, or from rows at hand, which cases would change and how, and writes it down as a plan.

    Nothing is changed. The live cases are read, so that the plan says what would go from which status to which and
    leaves out what is already right, and so that `PersonaApplyPlanOperator` can tell later which cases have changed.

    Returns to XCom: `plan` (address of its file), `hash`, `created_at`, `environment`, `rows`, `repeats`, `outcomes`
    (rows by what is intended), `transitions` (rows by `from -> to` status), `irreversible` (rows that no call can take
    back, by the reason), `thresholds` (what was `reached` of each `limit`) and `estimate` (`requests`, `seconds`, under
    `limit` and `reserve`); never a row.
    """

    groups = (QueryOrGivenRows, columns("case"), Guards, CompareForPlan, Thresholds, InVain)
    operator_extra_links = PLAN_LINKS
    template_ext: Sequence[str] = (".sql",)

    def check_arguments(self) -> None:
        """Check what is no template, and that the rows come from one place.

        :raises ValueError: when they do not.
        """
        super().check_arguments()
        _check_source(self.given())

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan.

        :raises AirflowFailException: when an argument makes no sense, or a threshold is exceeded.
        :raises PersonaError: when the live cases could not be read.
        """
        return _plan(self, "case", context)


class PersonaPlanUpdatesOperator(BulkOperator):
    """Works out from a query, or from rows at hand, which objects of a kind would change and how: a plan.

    It does for every kind of object what `PersonaPlanCaseUpdatesOperator` does for cases, and returns the same.
    `PersonaApplyPlanOperator` and `PersonaRevertPlanOperator` read the kind from the plan.
    """

    object_kind: str = argument(
        f"the kind of object: {', '.join(f'`{kind}`' for kind in COLUMNS_OF)}.", is_template=False
    )
    groups = (QueryOrGivenRows, columns(), Guards, CompareForPlan, Thresholds, InVain)
    operator_extra_links = PLAN_LINKS
    template_ext: Sequence[str] = (".sql",)

    def check_arguments(self) -> None:
        """Check what is no template, that the rows come from one place, and that a guard has a status to look at.

        :raises ValueError: when an argument makes no sense.
        """
        super().check_arguments()
        given = self.given()
        _check_source(given)
        kind = given["object_kind"]
        if kind not in COLUMNS_OF:
            raise ValueError(f"object_kind is {', '.join(COLUMNS_OF)}, not {kind!r}")
        check_matching(given, kind)
        if given["keep_before"] and kind != "case":
            raise ValueError(f"keep_before is for cases; of a kind like {kind} no more than a status is taken back")
        if "status" not in COLUMNS_OF[kind]:
            needless = [name for name in ("only_from", "never_from", "forbid_transitions") if given[name] is not None]
            if needless:
                raise ValueError(
                    f"no call sets the status of an object of kind {kind}; leave out {', '.join(needless)}"
                )

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan.

        :raises AirflowFailException: when an argument makes no sense, or a threshold is exceeded.
        :raises PersonaError: when the live objects could not be read.
        """
        return _plan(self, self.given()["object_kind"], context)


def _check_source(given: Mapping[str, Any]) -> None:
    # A Dag may have sql_conn_id in default_args for its other tasks, so it contradicts no changes.
    lacks_connection = given["sql"] is not None and given["sql_conn_id"] is None
    if (given["sql"] is None) == (given["changes"] is None) or lacks_connection:
        raise ValueError("give either sql with sql_conn_id, or changes")


def _plan(task: BulkOperator, kind: str, context: Context) -> dict[str, Any]:
    with at_work(task):
        given = task.given()
        source = GivenSource.of(given["changes"]) if given["sql"] is None else query_source(given)
        return run_planning_task(task, planning_job(kind, source, given), context)


class PersonaApplyPlanOperator(BulkOperator):
    """Applies a plan that another task made, and perhaps a person approved: exactly that one, identified by its hash.

    Each object is read just before it is written. One that has changed since it was planned is left alone and becomes
    `skipped_guard` with a reason that begins with `drift`. After a `PersonaApprovalOperator`, ledger and report say who
    approved it, when and why (`approval`).

    Returns to XCom the report, as `SqlToPersonaCasesOperator` does.
    """

    plan: Mapping[str, Any] | str = argument(
        "what the planning task returned, or the task that had it approved, like `plan_task.output`, "
        "`approve_task.output` or `\"{{ ti.xcom_pull('plan') }}\"`."
    )
    max_age: timedelta | None = argument(
        "how old the plan may be; None for any age.", default=timedelta(hours=24), is_template=False
    )
    heed_drift: bool = argument("leave alone what has changed since it was planned.", default=True, is_template=False)
    groups = (_TrustedPaths, Applying, InVain)

    def check_arguments(self) -> None:
        """Check what is no template.

        :raises ValueError: when an argument makes no sense.
        """
        super().check_arguments()
        max_age = self.given()["max_age"]
        if max_age is not None and not (isinstance(max_age, timedelta) and max_age >= timedelta(0)):
            raise ValueError(f"max_age is a timedelta of 0 or more, or None for any age, not {max_age!r}")

    def execute(self, context: Context) -> dict[str, Any]:
        """Apply.

        :raises AirflowFailException: when the plan is not the one that was meant, too old, edited or for another
            environment, or when the task failed in a way that a retry would meet again.
        :raises PersonaError: when Persona failed before a row could.
        :raises BulkError: when it stopped or too many rows failed, and a retry may help.
        """
        with at_work(self):
            given = self.given()
            approval = approval_of(given["plan"])  # not of the plan's file, which was there before anybody was asked
            options = replace(apply_options(given, heed_drift=given["heed_drift"]), approval=approval)
            places = places_of_plans(given["state_path"], given["trusted_paths"])
            plan = approved_plan(given["plan"], places, given["max_age"], datetime.now(UTC))
            return run_applying_task(self, plan, options, context)


class PersonaRevertPlanOperator(BulkOperator):
    """Makes the plan that takes a change back, from the ledger of the run that made it.

    The plan holds only objects that the run really changed, and only where the ledger knows their status before and
    Persona has a call that leads back there; the others become invalid rows with the reason. Applied, it changes an
    object only while its status still is the one that the run gave it. Queues, tags, fields and assignees of cases are
    taken back where the plan that was applied was made with `keep_before`, and while they are as the run left them.

    Returns to XCom what `PersonaPlanCaseUpdatesOperator` returns; apply it with `PersonaApplyPlanOperator`.
    """

    report: Mapping[str, Any] | str = argument(  # type: ignore[assignment] # what it is given, and it makes no other
        "what the task returned that made the change (`SqlToPersonaCasesOperator`, `PersonaApplyPlanOperator` and so "
        "on); when that task failed, what it pushed to XCom under `report`."
    )
    groups = (_TrustedPaths, CompareForPlan, Thresholds, InVain)
    operator_extra_links = PLAN_LINKS

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan the way back.

        :raises AirflowFailException: when the ledger cannot be used, or a threshold is exceeded.
        :raises PersonaError: when the live cases could not be read.
        """
        with at_work(self):
            given = self.given()
            # Of any age: what it did stays on its ledger, and the objects are read again before they are changed back.
            places = places_of_plans(given["state_path"], given["trusted_paths"])
            plan = approved_plan(given["report"], places, None, datetime.now(UTC))
            return run_planning_task(self, reverting_job(plan, given), context, plan.header.environment)
