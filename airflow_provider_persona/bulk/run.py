"""A bulk run from rows to report, in a folder of its own: draft or resume, complete the plan, apply it, judge."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_persona.api.messages import canonical_json
from airflow_provider_persona.bulk.apply import ApplyOptions
from airflow_provider_persona.bulk.checkpoint import Checkpoint
from airflow_provider_persona.bulk.compare import CompareMode, Comparer
from airflow_provider_persona.bulk.errors import BulkError, PlanError, RunFailedError, RunStoppedError
from airflow_provider_persona.bulk.ledger import read_ledger
from airflow_provider_persona.bulk.plan import Plan, PlanHeader, read_plan, write_spooled
from airflow_provider_persona.bulk.report import Report
from airflow_provider_persona.bulk.rows import ColumnMapping, InvalidRow, Wish
from airflow_provider_persona.bulk.segments import SegmentedLog
from airflow_provider_persona.bulk.spool import Spool, Written
from airflow_provider_persona.bulk.store import StorePath, names_in, prepare_folder
from airflow_provider_persona.bulk.thresholds import Thresholds
from airflow_provider_persona.client import AsyncPersonaClient

log = logging.getLogger(__name__)

_LONGEST_NAME = 120


def fingerprint(*parts: Any) -> str:
    """Return a short hash of what rows come from, to tell a plan of the same source from another's."""
    return hashlib.sha256(canonical_json([str(_in_order(part)) for part in parts])).hexdigest()[:16]


def _in_order(part: Any) -> Any:
    """Return a value whose text is the same in every process: sets have no order of their own."""
    if isinstance(part, set | frozenset):
        return sorted(map(str, part))
    if isinstance(part, Mapping):
        return {key: _in_order(value) for key, value in part.items()}
    return [_in_order(one) for one in part] if isinstance(part, list | tuple) else part


def wishes_of(
    rows: Iterable[Mapping[str, Any]], mapping: Mapping[str, Any] | None, columns: Iterable[str] | None = None
) -> Iterator[Wish | InvalidRow]:
    """Yield what each row wishes for.

    :param rows: the rows.
    :param mapping: as for `ColumnMapping.of`.
    :param columns: the columns, where they are known without a row; by default those of each row.
    :raises MissingColumnError: when the rows lack a column; with `columns`, also when there are no rows.
    """
    known = None if columns is None else ColumnMapping.of(mapping, columns)
    of_keys: dict[tuple[str, ...], ColumnMapping] = {}
    for row in rows:
        keys = tuple(row)
        if known is None and keys not in of_keys:
            of_keys[keys] = ColumnMapping.of(mapping, keys)
        yield (known or of_keys[keys]).read(row)


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan to be: its rows are read, the live cases have not been looked at. Close it when done.

    :param folder: where the plan will stand.
    :param spool: its rows.
    :param header: who plans what.
    :param superseded: the plan of an earlier attempt that it replaces, or None.
    """

    folder: StorePath
    spool: Spool
    header: PlanHeader
    superseded: Plan | None = None

    def close(self) -> None:
        """Remove the temporary file of rows."""
        self.spool.close()


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """How a plan is made of a draft.

    :param compare: how rows are compared with the live cases.
    :param thresholds: what the plan must not exceed.
    :param record_states: whether the plan is to hold the status of every case, so that drift can be told later.
    """

    compare: CompareMode = CompareMode.NEVER
    thresholds: Thresholds = field(default_factory=Thresholds)
    record_states: bool = False

    def __post_init__(self) -> None:
        if self.thresholds.needs_states and self.compare is CompareMode.NEVER:
            raise BulkError(
                "forbid_transitions needs the live statuses; with it, compare is auto, list or get, not never"
            )

    @property
    def looks_while_planning(self) -> bool:
        """Whether the live cases are looked at before the plan is written, and not only when they are written to."""
        if self.compare is CompareMode.GET:
            needs = self.thresholds.needs_states or self.record_states
            limits = self.thresholds.max_changes is not None or self.thresholds.max_change_ratio is not None
            return needs or limits
        return self.compare is not CompareMode.NEVER


def resume_or_draft(
    wishes: Callable[[], Iterable[Written | InvalidRow]],
    folder: StorePath,
    header: PlanHeader,
    *,
    checkpoint: Checkpoint | None = None,
    one_wish_each: str | None = "case",
    is_retry: bool = False,
) -> Plan | Draft:
    """Return the plan that an interrupted attempt left in `folder`, or the draft of a new one.

    A plan is taken up again while it has rows to settle. One that is settled stays as the record of what was done, and
    a new one is made beside it: whoever runs a task again after success wants the warehouse looked at again. A retry is
    no such wish, so it takes up the settled plan too: its worker may have died after the last row.

    :param wishes: gives the rows, asked only for a new plan.
    :param folder: the run's own folder; each plan stands in a numbered one below it.
    :param header: who plans what; a plan of another source is not taken up.
    :param checkpoint: what is known of an attempt whose folder was lost, or None.
    :param one_wish_each: as for `Spool`.
    :param is_retry: whether the attempt before did not succeed, as far as its caller knows.
    :raises StoreError: when the folder cannot be written to.
    :raises PlanError: when the plan found there is damaged or for another environment.
    """
    numbers = [int(name) for name in names_in(folder) if name.isdecimal()]
    last = max(numbers, default=0)
    found = read_plan(folder / str(last)) if last else None
    if found is not None and _is_to_be_resumed(found, header.source, is_retry=is_retry):
        check_environment(found, header.environment)
        log.info("Going on with the plan of an earlier attempt, %s", found.uri)
        return found
    # A number is used once, also where the folders of earlier plans are gone: it is part of every idempotency key.
    number = last + 1 if found is not None else max(last, 1)
    if checkpoint is not None and found is None:
        if checkpoint.is_about(last, is_retry=is_retry):
            number = checkpoint.number
            header = replace(header, created_at=checkpoint.created_at)
            settled = sum(checkpoint.counts.values())
            log.info("The folder of an earlier attempt is gone; %d rows are known to be settled", settled)
        else:
            number = max(number, checkpoint.number + 1)
    return replace(_draft(wishes, folder, number, header, one_wish_each), superseded=found)


def new_draft(
    wishes: Iterable[Written | InvalidRow], folder: StorePath, header: PlanHeader, *, one_wish_each: str | None = "case"
) -> Draft:
    """Return the draft of a new plan, whatever earlier attempts left.

    Parameters and errors as for `resume_or_draft`.
    """
    numbers = [int(name) for name in names_in(folder) if name.isdecimal()]
    return _draft(lambda: wishes, folder, max(numbers, default=0) + 1, header, one_wish_each)


def _draft(
    wishes: Callable[[], Iterable[Written | InvalidRow]],
    folder: StorePath,
    number: int,
    header: PlanHeader,
    one_wish_each: str | None,
) -> Draft:
    prepare_folder(folder / str(number))
    spool = Spool(one_wish_each=one_wish_each)
    try:
        spool.fill(wishes())
    except BaseException:
        spool.close()
        raise
    # Two plans of a run must not share keys, however soon one follows the other.
    return Draft(folder / str(number), spool, replace(header, run=f"{header.run}/{number}"))


async def complete(draft: Draft, client: AsyncPersonaClient, options: PlanOptions) -> Plan:
    """Look at the live cases as far as wanted, hold the plan against its thresholds, write it, and close the draft.

    :raises ThresholdError: when it exceeds one.
    :raises PersonaError: when the cases had to be looked at and could not.
    """
    notes = SegmentedLog(draft.folder, "seen")
    if options.looks_while_planning:
        await _compare(draft, client, options, notes)
    header = replace(draft.header, environment=draft.header.environment or client.environment.seen)
    try:
        # Held against the thresholds before it is there: a plan that is there is taken up by the next attempt.
        plan = write_spooled(draft.spool, draft.folder, header, options.thresholds.check)
    finally:
        notes.delete()
        draft.close()  # it holds what may be personal data, and applying may take hours
    if draft.superseded is not None:
        draft.superseded.forget_values()  # nothing will ever take it up again
    return plan


async def _compare(draft: Draft, client: AsyncPersonaClient, options: PlanOptions, notes: SegmentedLog) -> None:
    needs_states = options.record_states or options.thresholds.needs_states
    requests_a_row = 2 if draft.header.guards.needs_read(None) or "expected_status" in draft.spool.parts else 1
    cost = requests_a_row * draft.spool.valid_rows()
    comparer = Comparer(draft.spool, client, options.compare, needs_states=needs_states, cost_of_blind=cost)
    found = await comparer.run(notes)
    log.info(
        "Compared with the live cases by %d pages and %d single reads: %d are already as wished",
        found.pages,
        found.reads,
        found.right,
    )


def check_thresholds_anew(plan: Plan, thresholds: Thresholds) -> None:
    """Hold a plan of an earlier attempt against the thresholds of now, as long as nothing of it was tried.

    :raises ThresholdError: when it exceeds one.
    """
    if not read_ledger(plan.folder, plan.header.hash).has_begun:
        thresholds.check(plan.header)


def check_environment(plan: Plan, environment: str | None) -> None:
    """Make sure that a plan is for the environment of a connection, as far as both say.

    :raises PlanError: when it is not.
    """
    if None not in (plan.header.environment, environment) and plan.header.environment != environment:
        raise PlanError(f"{plan.uri} is for environment {plan.header.environment}, the connection is for {environment}")


def _is_to_be_resumed(plan: Plan, source: str, *, is_retry: bool) -> bool:
    if plan.header.source != source:
        log.info("%s came from another query or mapping; planning anew", plan.uri)
        return False
    return is_retry or read_ledger(plan.folder, plan.header.hash).is_worth_another_attempt


def judge(report: Report, options: ApplyOptions) -> None:
    """Fail a run that did not end well, after all it could do was done.

    :raises RunStoppedError: when it stopped before its end.
    :raises RunFailedError: when more rows failed than are allowed, or the balance does not hold.
    """
    if report.stopped is not None:
        left = report.rows - report.settled + report.failures
        raise RunStoppedError(
            f"the run stopped with {left} of {report.rows} rows not done: {report.stopped}. {report}",
            retryable=not report.stopped_for_good,
        )
    if not report.is_balanced:
        raise RunFailedError(f"{report.settled} outcomes for {report.rows} rows; the ledger is at {report.ledger}")
    if options.max_failures.is_exceeded_by(report.failures, report.rows):
        raise RunFailedError(
            f"{report.failures} of {report.rows} rows failed, {options.max_failures.allowed} may; each with its reason "
            f"in the ledger, {report.ledger}. {report}",
            retryable=report.retryable_failures > 0,
        )


def run_folder(root: StorePath, parts: Iterable[str]) -> StorePath:
    """Return the folder of a run below `root`; each part becomes one name that is safe in any store."""
    folder = root
    for part in parts:
        folder = folder / _safe(part)
    return folder


def _safe(part: str) -> str:
    kept = "".join(character if _is_safe(character) else "_" for character in part)
    if kept == part and part.strip(".") and len(part) <= _LONGEST_NAME:
        return part
    return f"{kept.strip('.')[:80]}-{fingerprint(part)[:8]}"


def _is_safe(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character in "-_.")
