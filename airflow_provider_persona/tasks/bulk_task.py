"""Airflow's side of a bulk run: connection, folder, state, log, XCom, and how the task ends."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow_provider_persona.api.told_texts import shown_text
from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.links import (
    RUN_LINKS,
    PersonaLedgerLink,
    PersonaPlanLink,
    PersonaTabLink,
    push_page_links,
)
from airflow_provider_persona.tasks.arguments import as_text, check_whole, is_given
from airflow_provider_persona.tasks.bulk_arguments import check_matching
from airflow_provider_persona.tasks.declared_arguments import RESERVE_DOC, Argument, TakesArguments, argument, given_to
from airflow_provider_persona.tasks.identity import TaskIdentity, Tries
from airflow_provider_persona.tasks.lineage import TaskDeed, tell_assets
from airflow_provider_persona.tasks.openlineage import lineage_of
from airflow_provider_persona.tasks.stopping import end_task, stop_of
from airflow_provider_persona.version_compat import BaseOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.bulk.apply.options import ApplyOptions
    from airflow_provider_persona.bulk.job import BulkJob
    from airflow_provider_persona.bulk.ledger.report import Report
    from airflow_provider_persona.bulk.ledger.table import LedgerTable
    from airflow_provider_persona.bulk.plan.file import Plan
    from airflow_provider_persona.client import AsyncPersonaClient
    from airflow_provider_persona.hooks.persona import PersonaHook
    from airflow_provider_persona.storage.paths import StorePath

T = TypeVar("T")


class BulkOperator(BaseOperator, metaclass=TakesArguments):
    """Base of the operators that plan or apply changes: what they all take, and how Airflow stops the task."""

    arguments: ClassVar[Mapping[str, Argument]]
    ui_color = "#dce6ff"
    operator_extra_links = RUN_LINKS
    on_kill = end_task
    deed: TaskDeed | None = None
    report: Report | None = None
    """What it did, once it has done it, for callbacks."""
    _sql_file: str | None = None

    state_path: str | None = argument(
        "folder for plans and ledgers: a local path or an address in an object store; by default what `[persona] "
        "state_path` says, or the folder `persona` below AIRFLOW_HOME. Where workers lose their disks, or one task "
        "plans and another applies, give an object store.",
        default=None,
    )
    reserve: float | None = argument(RESERVE_DOC, default=None, is_template=False)
    concurrency: int = argument(
        "requests under way at once, which is also how many requests a killed task may have to repeat.",
        default=24,
        is_template=False,
    )
    persona_conn_id: str = argument("connection of type `persona`.", default=DEFAULT_CONN_ID)

    def check_arguments(self) -> None:
        """Check what is no template, when the Dag is parsed.

        :raises ValueError: when an argument makes no sense.
        """
        given = self.given()
        for name, each in self.arguments.items():
            if each.choices and given[name] not in (None, *each.choices):
                raise ValueError(f"{name} is {', '.join(each.choices)}, not {given[name]!r}")
        check_matching(given)
        sql = given.get("sql")
        if isinstance(sql, str) and sql.endswith(".sql"):
            self._sql_file = sql  # for errors: when the task runs, `sql` is what stands in the file
        check_whole(given["concurrency"], "concurrency", "requests")

    def given(self) -> dict[str, Any]:
        """Return the values of the arguments by name, as rendered, and the file of the query."""
        return given_to(self) | {"sql_file": self._sql_file}

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's signature
        """Return inputs, outputs and counts for OpenLineage, after success and after failure."""
        return lineage_of(self.deed, self.given())


@dataclass(frozen=True, slots=True)
class TaskRun:
    """Where one try of a task works.

    :param task: the operator.
    :param context: Airflow's context of the try.
    :param hook: the hook of its connection.
    :param folder: folder of the task's run.
    :param identity: what makes the task's run the same run in each try.
    """

    task: BulkOperator
    context: Context
    hook: PersonaHook
    folder: StorePath
    identity: str

    @classmethod
    def of(cls, task: BulkOperator, context: Context) -> TaskRun:
        """Return where a try of a task works."""
        from airflow_provider_persona.hooks.persona import PersonaHook
        from airflow_provider_persona.storage.run_folders import run_folder
        from airflow_provider_persona.tasks.state_path import state_root

        given = task.given()
        ti: Any = context["ti"]
        parts = TaskIdentity.of(ti).run_parts
        root = state_root(given["state_path"])
        hook = PersonaHook(given["persona_conn_id"], reserve=given["reserve"])
        # A clear changes `max_tries`, so a cleared task gets other idempotency keys, also where its folder is lost.
        # Under the old keys Persona would answer with what it did then, for an hour.
        return cls(task, context, hook, run_folder(root, parts), f"{'/'.join(parts)}@{ti.max_tries}")

    @property
    def is_retry(self) -> bool:
        """Whether an earlier try of this task did not succeed; one that was cleared begins its tries anew."""
        return Tries.begin(self.context, self.task.retries or 0).is_retry

    def run(self, work: Callable[[AsyncPersonaClient], Coroutine[Any, Any, T]], connections: int) -> T:
        """Run what a coroutine does with a client that sends nothing once the task must stop.

        :raises RunStoppedError: when a stop ended it.
        """
        stop = stop_of(self.task)

        async def main() -> T:
            client = self.hook.async_client(connections=connections)
            client.heed(stop.cancellation)
            async with client:
                return await work(client)

        return stop.run_coroutine(main)

    def header(self, job: BulkJob, environment: str | None = None) -> Any:
        """Return the header of a job's plan.

        :param environment: the environment that it is for; by default the one that the connection expects.
        """
        expected = environment or self.hook.settings.expected_environment_id
        return job.header(self.identity, expected, datetime.now(UTC).isoformat(timespec="seconds"))

    def log_plan(self, plan: Plan) -> None:
        """Log what is planned, and note it for lineage and assets."""
        header = plan.header
        self.task.deed = TaskDeed.planned(header)
        if not header.rows:
            self.task.log.info("No rows, so nothing to do")
            return
        planned = ", ".join(f"{count} {name}" for name, count in header.planned.items())
        repeats = f"; {header.repeats} repeats collapsed" if header.repeats else ""
        self.task.log.info("Planned %d rows: %s%s", header.rows, planned, repeats)
        details = [
            f"{count} {'row goes' if count == 1 else 'rows go'} {shown_text(name)}"
            for name, count in header.transitions.items()
        ]
        details += [f"{count} of them cannot be taken back: {reason}" for reason, count in header.irreversible.items()]
        if header.on_matching:
            details.insert(0, header.on_matching)
        self.log_group("The plan", [*details, f"Plan: {plan.uri}", f"Hash: {header.hash}"])
        for label in header.unknown_labels:
            self.task.log.warning(
                "No object and no template in Persona has the status %s. Check how guards and rows spell it",
                shown_text(label),
            )

    def log_progress(self, progress: object) -> None:
        """Log how far a run is."""
        self.task.log.info("%s", progress)

    def log_group(self, title: str, lines: Sequence[str]) -> None:
        """Log lines that Airflow's page folds up under a title."""
        self.task.log.info("::group::%s", title)
        for line in lines:
            self.task.log.info("%s", line)
        self.task.log.info("::endgroup::")

    def ledger_table(self) -> LedgerTable | None:
        """Return the table to copy the ledger to, made ready, or None when there is none.

        :raises BulkError: when its database cannot be used; before the first write to Persona.
        """
        given = self.task.given()
        if not is_given(as_text(given["ledger_table"], "ledger_table")):
            return None
        from airflow_provider_persona.bulk.errors import BulkError
        from airflow_provider_persona.bulk.ledger.table import LedgerTable
        from airflow_provider_persona.tasks.sql_hook import sql_hook_of

        if not is_given(as_text(given["ledger_conn_id"], "ledger_conn_id")):
            raise BulkError("ledger_table needs ledger_conn_id, the connection of its database")
        table = LedgerTable(sql_hook_of(given["ledger_conn_id"]), given["ledger_table"])
        table.prepare()
        return table

    def conclude(self, report: Report, options: ApplyOptions, table: LedgerTable | None) -> dict[str, Any]:
        """Copy the ledger, log the report, and fail the task if need be.

        :returns: the report for XCom.
        :raises BulkError: when the run stopped or too many rows failed; the report is then pushed under `report`.
        """
        from airflow_provider_persona.bulk.job import judge
        from airflow_provider_persona.tasks.ledger_reading import read_once

        log = self.task.log
        if self.task.deed is not None:
            self.task.deed = self.task.deed.applied(report)
            # Also where the task fails below: what was changed was changed.
            tell_assets(self.task, self.context, self.task.deed)
        for line in report.lines():
            log.info("%s", line)
        self.log_group("The files", [f"Plan: {report.plan}", f"Ledger: {report.ledger}"])
        if report.differences:
            log.warning("%d changed objects are not as wanted any more; see differences.jsonl", report.differences)
        try:
            reasons, copied = read_once(report, table)
            self.task.report = report = replace(report, reasons=reasons)
            for reason in report.reasons:
                log.warning("%s", reason)
            if isinstance(copied, int):
                log.info("%d rows of the ledger are in %s", copied, self.task.given()["ledger_table"])
            elif copied is not None:
                raise copied  # noqa: TRY301 - the report goes to XCom first, below
            judge(report, options)
        except Exception:  # a stop is none: the next attempt goes on from the ledger, and reports
            self._push_report(report)
            raise
        return report.to_xcom()

    def _push_report(self, report: Report) -> None:
        try:
            self.context["ti"].xcom_push(key="report", value=report.to_xcom())
        except Exception as error:  # noqa: BLE001 - it must not take the place of the error that ends the task
            self.task.log.warning("The report is not in XCom (%s); the log names plan and ledger", type(error).__name__)


def run_bulk_task(task: BulkOperator, job: BulkJob, context: Context) -> dict[str, Any]:
    """Plan or resume, apply, and report, in one task.

    :returns: the report for XCom.
    :raises PersonaError: when Persona failed before a row could.
    :raises BulkError: when it stopped or too many rows failed.
    """
    from airflow_provider_persona.bulk.job import run
    from airflow_provider_persona.bulk.plan.draft import Draft, resume_or_draft
    from airflow_provider_persona.tasks.state import checkpoints_of

    at = TaskRun.of(task, context)
    table = at.ledger_table()  # first, so that a database that cannot be used costs no write
    # What asks Airflow's supervisor comes before the loop. On the loop's thread it would hold up every request.
    checkpoints = checkpoints_of(context)
    carried = checkpoints.load() if checkpoints is not None else None
    # A clear gives another identity, so only a retry may find keys that were used before. Asking for it notes the first
    # try in the task's state store, so it comes before anything is sent.
    is_retry = at.is_retry
    job = replace(job, applying=replace(job.applying, keys_may_be_old=is_retry))
    begun = resume_or_draft(job.rows.read, at.folder, at.header(job), checkpoint=carried, is_retry=is_retry)
    push_page_links(context, PersonaTabLink, PersonaPlanLink, PersonaLedgerLink)

    def plan_and_apply(client: AsyncPersonaClient) -> Coroutine[Any, Any, Report]:
        return run(
            job,
            begun,
            client,
            on_plan=at.log_plan,
            on_progress=at.log_progress,
            checkpoints=checkpoints,
            carried=carried,
        )

    with closing(begun) if isinstance(begun, Draft) else nullcontext():
        report = at.run(plan_and_apply, job.applying.concurrency)
    return at.conclude(report, job.applying, table)


def run_planning_task(
    task: BulkOperator, job: BulkJob, context: Context, environment: str | None = None
) -> dict[str, Any]:
    """Write the plan of a job, and return what goes to XCom; nothing is applied.

    :param environment: the environment that the plan is for; None for the one that the connection expects.
    :raises ThresholdError: when the plan exceeds a threshold.
    :raises RunFailedError: when all rows are invalid.
    :raises PersonaError: when the live objects could not be read.
    """
    from airflow_provider_persona.bulk.errors import RunFailedError
    from airflow_provider_persona.bulk.plan.draft import complete, new_draft
    from airflow_provider_persona.bulk.plan.estimate import Estimate, estimate, tightest_limit

    at = TaskRun.of(task, context)
    draft = new_draft(job.rows.read(), at.folder, at.header(job, environment))
    push_page_links(context, PersonaTabLink)

    async def make_plan(client: AsyncPersonaClient) -> tuple[Plan, Estimate]:
        # The cheapest question there is; its answer tells the limit, and in which environment the plan is made.
        window = tightest_limit((await client.call("list-all-rate-limits")).json())
        plan = await complete(draft, client, job.planning)
        reads = plan.header.guards.needs_read() or job.planning.record_states
        price = estimate(plan.header.changes * (2 if reads else 1), window, client.budget.reserve)
        return plan, replace(price, matching=plan.header.matching)

    with closing(draft):
        plan, expected = at.run(make_plan, job.applying.concurrency)
    push_page_links(context, PersonaPlanLink)
    at.log_plan(plan)
    tell_assets(task, context, TaskDeed.planned(plan.header))
    if job.applying.fail_in_vain and (reason := plan.header.in_vain) is not None:
        raise RunFailedError(
            f"{reason}, so there is nothing to apply; each with its reason in the plan, {plan.uri}. Check query, "
            "mapping and guards; fail_in_vain=False lets such a plan pass"
        )
    if expected.seconds is not None:
        task.log.info("Applying it takes about %d requests and %.0f s", expected.requests, expected.seconds)
    return {
        "plan": plan.uri,
        "hash": plan.header.hash,
        "created_at": plan.header.created_at,
        "environment": plan.header.environment,
        "rows": plan.header.rows,
        "repeats": plan.header.repeats,
        "outcomes": plan.header.planned,
        "transitions": plan.header.transitions,
        "unknown_statuses": plan.header.unknown_labels,
        "irreversible": plan.header.irreversible,
        "thresholds": job.planning.thresholds.reached(plan.header),
        "estimate": expected.to_xcom(),
    }


def run_applying_task(task: BulkOperator, plan: Plan, applying: ApplyOptions, context: Context) -> dict[str, Any]:
    """Apply a plan that another task made.

    :returns: the report for XCom.
    :raises PlanError: when the plan is for another environment than the connection.
    :raises PersonaError: when Persona failed before a row could.
    :raises BulkError: when it stopped or too many rows failed.
    """
    from airflow_provider_persona.bulk.apply.run import apply_plan
    from airflow_provider_persona.bulk.plan.draft import check_environment
    from airflow_provider_persona.tasks.state import checkpoints_of

    at = TaskRun.of(task, context)
    # Before anything is sent. The first answer then says for certain which environment it is.
    check_environment(plan, at.hook.settings.expected_environment_id)
    at.log_plan(plan)
    push_page_links(context, PersonaTabLink, PersonaPlanLink, PersonaLedgerLink)
    table = at.ledger_table()
    checkpoints = checkpoints_of(context)

    def apply(client: AsyncPersonaClient) -> Coroutine[Any, Any, Report]:
        return apply_plan(plan, client, applying, on_progress=at.log_progress, checkpoints=checkpoints)

    return at.conclude(at.run(apply, applying.concurrency), applying, table)
