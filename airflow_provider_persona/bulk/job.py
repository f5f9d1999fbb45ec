"""A bulk job as one value, and the function that runs it: the front door of the engine.

Rows pass through the folders beside this file in this order: `source` reads them, `plan` fixes what will be done,
`apply` does it, `ledger` keeps what became of each row. `subjects` says what rows can be about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.errors import BulkError, RunFailedError, RunStoppedError
from airflow_provider_persona.bulk.ledger.checkpoint import Checkpoint, CheckpointStore
from airflow_provider_persona.bulk.ledger.ledger import ledger_of, read_ledger
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.ledger.report import Progress, Report
from airflow_provider_persona.bulk.plan.compare import CompareMode
from airflow_provider_persona.bulk.plan.draft import Draft, PlanOptions, complete
from airflow_provider_persona.bulk.plan.file import Plan, PlanHeader
from airflow_provider_persona.bulk.plan.guards import Guards
from airflow_provider_persona.bulk.plan.limits import is_exceeded
from airflow_provider_persona.bulk.source.rows import JobRows
from airflow_provider_persona.bulk.subjects.subject import ObjectSubject, Subject
from airflow_provider_persona.client import AsyncPersonaClient
from airflow_provider_persona.storage.run_folders import fingerprint


@dataclass(frozen=True, slots=True)
class BulkJob:
    """What a bulk task does.

    :param rows: the rows.
    :param subject: what the rows are about.
    :param guards: the statuses that an object may be changed from.
    :param planning: how the plan is made.
    :param applying: how the plan is applied.
    :raises BulkError: when there are guards on the status of objects that have none, they are to be listed and there is
        no list of them, or more is to be kept of objects than can be taken back.
    """

    rows: JobRows
    subject: Subject
    guards: Guards = field(default_factory=Guards)
    planning: PlanOptions = field(default_factory=PlanOptions)
    applying: ApplyOptions = field(default_factory=ApplyOptions)

    def __post_init__(self) -> None:
        if not isinstance(self.subject, ObjectSubject):
            return
        if self.subject.list_operation is None and self.planning.compare is CompareMode.LIST:
            raise BulkError(f"Persona has no list of {self.subject.plural}, so compare is get or never, not list")
        if self.subject.way_back is None and self.planning.keep_before:
            raise BulkError(f"keep_before is for cases; of {self.subject.plural} no more than a status is taken back")
        if not self.subject.has_status and self.guards.needs_read():
            raise BulkError(f"{self.subject.plural} have no status, so only_from and never_from guard nothing")

    def header(self, run: str, environment: str | None, created_at: str) -> PlanHeader:
        """Return the header of the job's plan, without its counts and hashes.

        :param run: identity of the run that plans, part of every idempotency key.
        :param environment: id of the environment that the connection expects, or None.
        :param created_at: UTC time, ISO 8601.
        """
        only_from = None if self.guards.only_from is None else sorted(self.guards.only_from)
        never_from = sorted(self.guards.never_from)
        is_object = isinstance(self.subject, ObjectSubject)
        guards: tuple[Any, ...] = (only_from, never_from) if is_object else ()
        named: dict[str, Any] = {"object_kind": self.subject.name} if is_object else {"operation_id": self.subject.name}
        return PlanHeader(
            run=run,
            source=fingerprint(*self.rows.parts(), *guards),
            environment=environment,
            created_at=created_at,
            only_from=only_from,
            never_from=never_from,
            **named,
        )


async def run(
    job: BulkJob,
    begun: Plan | Draft,
    client: AsyncPersonaClient,
    *,
    on_plan: Callable[[Plan], None] = lambda _: None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    checkpoints: CheckpointStore | None = None,
    carried: Checkpoint | None = None,
    utc: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Report:
    """Complete the plan, apply it, and return the report.

    :param job: the job.
    :param begun: what `resume_or_draft` returned: the plan of an interrupted attempt, or the draft of a new one.
    :param client: the client to call with.
    :param on_plan: called with the plan before the first write.
    :param on_progress: called every few seconds; must return quickly.
    :param checkpoints: where to keep progress beside the ledger, or None.
    :param carried: the last checkpoint of an earlier attempt, in case its ledger was lost, or None.
    :param utc: UTC time, for records and for the age of idempotency keys.
    :raises ThresholdError: when the plan exceeds a threshold; nothing was written.
    :raises PersonaError: when Persona failed before a row could.
    :raises BulkError: when plan or ledger cannot be used.
    """
    if isinstance(begun, Draft):
        plan = await complete(begun, client, job.planning)
    else:
        plan = begun
        if not ledger_of(plan.folder).last:  # none of its rows was tried, so the present thresholds count
            job.planning.thresholds.check(plan.header)
    on_plan(plan)
    report = await apply_plan(
        plan, client, job.applying, on_progress=on_progress, utc=utc, checkpoints=checkpoints, carried=carried
    )
    # A retry that tries failed rows once more still needs the values.
    is_over = report.stopped is None and not report.retryable_failures
    if job.applying.dry_run and is_over and (isinstance(begun, Draft) or _was_only_tried(plan)):
        plan.forget_values()  # this job is the only one that could have applied it
    return report


def _was_only_tried(plan: Plan) -> bool:
    """Whether no attempt at a plan wrote anything, as far as is known. A new plan would write it once more."""
    state = read_ledger(plan.folder, plan.header.hash)
    counts = state.counts()
    return not (state.leaves_doubt or counts[RowOutcome.UPDATED] or counts[RowOutcome.UNRESOLVED])


def judge(report: Report, options: ApplyOptions) -> None:
    """Fail a run that did not end well, after all it could do was done.

    :raises RunStoppedError: when it stopped before its end.
    :raises RunFailedError: when more rows failed than are allowed, when nothing could be done for any row, or when the
        balance does not hold.
    """
    if report.stopped is not None:
        raise RunStoppedError(
            f"the run stopped with {report.not_done} of {report.rows} rows not done: {report.stopped}. {report}"
            f"{report.why}",
            retryable=not report.stopped_for_good,
            retry_after=report.retry_after,
        )
    if not report.is_balanced:
        raise RunFailedError(f"{report.settled} outcomes for {report.rows} rows; the ledger is at {report.ledger}")
    if options.fail_in_vain and report.in_vain is not None:
        raise RunFailedError(
            f"{report.in_vain}; each with its reason in the ledger, {report.ledger}. Check query, mapping and guards; "
            f"fail_in_vain=False lets such a run succeed. {report}{report.why}"
        )
    most = options.max_failures
    if is_exceeded(most, report.failures, report.tried):
        only = f"only {100 * most:g} % of them" if isinstance(most, float) else f"only {most}"
        raise RunFailedError(
            f"{report.failures} of {report.tried} rows failed, and {only if most else 'none'} may; each with its "
            f"reason in the ledger, {report.ledger}. {report}{report.why}",
            retryable=report.retryable_failures > 0,
        )
