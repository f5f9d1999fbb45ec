"""From rows to a plan: the draft of a new plan, or the plan that an earlier attempt left."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_persona.bulk.errors import BulkError, PlanError
from airflow_provider_persona.bulk.ledger.checkpoint import Checkpoint
from airflow_provider_persona.bulk.ledger.ledger import read_ledger
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.plan.compare import CompareMode, Comparer
from airflow_provider_persona.bulk.plan.file import PLAN_FILE, Plan, PlanHeader, read_plan
from airflow_provider_persona.bulk.plan.labels import UnknownStatuses, unknown_labels
from airflow_provider_persona.bulk.plan.match import Matcher
from airflow_provider_persona.bulk.plan.spool import Spool
from airflow_provider_persona.bulk.plan.thresholds import Thresholds
from airflow_provider_persona.bulk.plan.write import write_spooled
from airflow_provider_persona.bulk.source.matching import Match
from airflow_provider_persona.bulk.source.rows import InvalidRow, ValidRow
from airflow_provider_persona.bulk.subjects.subject import EXPECTED_STATUS, ObjectSubject
from airflow_provider_persona.client import AsyncPersonaClient
from airflow_provider_persona.storage.paths import StorePath, as_local, is_there, names_in, prepare_folder
from airflow_provider_persona.storage.segments import SegmentedLog

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan in the making: its rows are read, the live objects are not. Close it when done.

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

    :param compare: how rows are compared with the live objects.
    :param thresholds: what the plan must not exceed.
    :param record_states: whether the plan holds the status of every object, so that drift can be seen later.
    :param match: how rows name their objects; None where they do by id.
    :param keep_before: whether what takes the changes back is kept beside the plan, for a revert. It may be personal
        data.
    """

    compare: CompareMode = CompareMode.NEVER
    thresholds: Thresholds = field(default_factory=Thresholds)
    record_states: bool = False
    match: Match | None = None
    keep_before: bool = False

    def __post_init__(self) -> None:
        if self.keep_before and self.compare is CompareMode.NEVER:
            raise BulkError("keep_before keeps what the plan reads; with it, compare is auto, list or get, not never")
        if self.thresholds.needs_states and self.compare is CompareMode.NEVER:
            raise BulkError(
                "forbid_transitions needs the live statuses; with it, compare is auto, list or get, not never"
            )

    @property
    def needs_states(self) -> bool:
        """Whether the live status of every object must be known."""
        return self.record_states or self.thresholds.needs_states or self.keep_before

    @property
    def looks_while_planning(self) -> bool:
        """Whether the live objects are read before the plan is written, and not only when they are written to."""
        if self.compare is CompareMode.GET:
            limits = self.thresholds.max_changes is not None or self.thresholds.max_change_ratio is not None
            return self.needs_states or limits
        return self.compare is not CompareMode.NEVER


def resume_or_draft(
    rows: Callable[[], Iterable[ValidRow | InvalidRow]],
    folder: StorePath,
    header: PlanHeader,
    *,
    checkpoint: Checkpoint | None = None,
    is_retry: bool = False,
) -> Plan | Draft:
    """Return the plan that an interrupted attempt left in `folder`, or the draft of a new one.

    A plan with rows left to settle is resumed. A settled plan stays as the record of what was done, and a new one is
    made beside it: whoever clears a task after its success wants the warehouse read again. A retry wants no such thing,
    so it resumes a settled plan too: the worker before may have died after the last row.

    :param rows: gives the rows; called only for a new plan.
    :param folder: the run's own folder; each plan stands in a numbered one below it.
    :param header: who plans what; a plan of another source is not resumed. Its run has another identity after each
        clear, so that a new plan has keys of its own.
    :param checkpoint: what is known of an attempt that lost its folder, or None.
    :param is_retry: whether the attempt before did not succeed, as far as its caller knows.
    :raises StoreError: when the folder cannot be written to.
    :raises PlanError: when the plan found there is damaged or for another environment.
    """
    last = _last_number(folder)
    found = read_plan(folder / str(last)) if last else None
    if found is not None and _is_to_be_resumed(found, header.source, is_retry=is_retry):
        check_environment(found, header.environment)
        log.info("Resuming the plan of an earlier attempt, %s", found.uri)
        return found
    # A number is used once, also where the folders of earlier plans are gone: it is part of every idempotency key.
    number = last + 1 if found is not None else max(last, 1)
    if found is None and checkpoint is not None and checkpoint.is_about(last, is_retry=is_retry):
        settled = sum(checkpoint.counts.values())
        log.info("The folder of an earlier attempt is gone; %d rows are known to be settled", settled)
        run = checkpoint.run.rpartition("/")[0]
        header = replace(header, run=run, created_at=checkpoint.created_at)
        return _draft(rows, folder, checkpoint.number, header, asks_time=checkpoint.asks_time)
    if found is None and checkpoint is not None:
        number = max(number, checkpoint.number + 1)
    return replace(_draft(rows, folder, number, header), superseded=found)


def new_draft(rows: Iterable[ValidRow | InvalidRow], folder: StorePath, header: PlanHeader) -> Draft:
    """Return the draft of a new plan, whatever earlier attempts left.

    Parameters and errors as for `resume_or_draft`.
    """
    return _draft(lambda: rows, folder, _last_number(folder) + 1, header)


def _last_number(folder: StorePath) -> int:
    """Return the number of the last plan in a run's folder, 0 when there is none."""
    last = max((int(name) for name in names_in(folder) if name.isdecimal()), default=0)
    # A listing of an object store may be older than the last plan.
    while as_local(folder) is None and is_there(folder / str(last + 1) / PLAN_FILE):
        last += 1
    return last


def _draft(
    rows: Callable[[], Iterable[ValidRow | InvalidRow]],
    folder: StorePath,
    number: int,
    header: PlanHeader,
    *,
    asks_time: bool = True,
) -> Draft:
    prepare_folder(folder / str(number))  # before the warehouse is asked, which may take minutes and cost money
    spool = Spool(only_row_per=header.subject.only_row_per)
    try:
        given = rows()
        try:
            spool.fill(enumerate(given, 1))
        finally:
            # The error that ends it keeps the generator alive, and with it the query's connection to the warehouse.
            if isinstance(given, Generator):
                given.close()
    except BaseException:
        spool.close()
        raise
    # Two plans of a run must not share keys, however soon one follows the other.
    return Draft(folder / str(number), spool, replace(header, run=f"{header.run}/{number}", asks_time=asks_time))


async def complete(draft: Draft, client: AsyncPersonaClient, options: PlanOptions) -> Plan:
    """Compare with the live objects, check the thresholds, write the plan, and close the draft.

    :raises ThresholdError: when it exceeds one.
    :raises PersonaError: when the objects had to be read and could not.
    """
    matches, notes = SegmentedLog(draft.folder, "matched"), SegmentedLog(draft.folder, "seen")
    # First, since rows without an id cannot be compared, and only then contradict one another.
    matching = await _match(draft, client, options, matches) if draft.spool.keys.are_open else {}
    if options.looks_while_planning:
        await _compare(draft, client, options, notes)
    labels = await _unknown_labels(draft, client, options)
    environment = draft.header.environment or client.environment.seen
    header = replace(draft.header, environment=environment, unknown_labels=labels, matching=matching)
    try:
        # Checked before it is written: the next attempt resumes a plan that is there, without asking again.
        check, check_stop = options.thresholds.check, client.check_stop
        plan = write_spooled(draft.spool, draft.folder, header, check, check_stop=check_stop)
    finally:
        notes.delete()
        matches.delete()
        draft.close()  # it holds what may be personal data, and applying may take hours
    if draft.superseded is not None:
        draft.superseded.forget_values()  # nothing will ever take it up again
    return plan


async def _match(draft: Draft, client: AsyncPersonaClient, options: PlanOptions, notes: SegmentedLog) -> dict[str, Any]:
    subject, match = draft.header.subject, options.match
    assert isinstance(subject, ObjectSubject)  # an operation is called with ids
    assert match is not None  # else the rows have no keys
    found = await Matcher(draft.spool, subject, client, match).run(notes)
    log.info(
        "Looked for %d different values of %s by %d pages and %d filtered reads: %d rows have their %s",
        found.keys,
        match.by,
        found.pages,
        found.reads,
        draft.spool.valid_rows(),
        subject.name,
    )
    requests = found.pages + found.reads
    return {"by": match.by, "values": found.keys, "priced": found.priced, "requests": requests}


async def _compare(draft: Draft, client: AsyncPersonaClient, options: PlanOptions, notes: SegmentedLog) -> None:
    requests_a_row = 2 if draft.header.guards.needs_read() or EXPECTED_STATUS in draft.spool.parts else 1
    cost = requests_a_row * draft.spool.valid_rows()
    subject = draft.header.subject
    assert isinstance(subject, ObjectSubject)  # an operation has nothing to compare with
    comparer = Comparer(
        draft.spool,
        subject,
        client,
        options.compare,
        needs_states=options.needs_states,
        cost_of_blind=cost,
        keeps_before=options.keep_before,
    )
    found = await comparer.run(None if options.keep_before else notes)
    log.info(
        "Compared with the live objects by %d pages and %d single reads: %d are already as wanted",
        found.pages,
        found.reads,
        found.right,
    )


async def _unknown_labels(draft: Draft, client: AsyncPersonaClient, options: PlanOptions) -> list[str]:
    """Return the statuses in guards and rows that exist nowhere; the thresholds say what is done about them.

    They are looked up where a guard depends on them, or a plan is made for people to read. A blind write of such a
    status is refused by Persona itself.
    """
    subject, guards = draft.header.subject, draft.header.guards
    is_due = options.record_states or guards.needs_read() or EXPECTED_STATUS in draft.spool.parts
    wish = options.thresholds.unknown_statuses
    if wish is UnknownStatuses.IGNORE or not isinstance(subject, ObjectSubject):
        return []
    if not draft.spool.valid_rows() or not (is_due or wish is UnknownStatuses.FAIL):
        return []
    # Guards first: so many labels are looked up at most, and a misspelt guard is worse than a misspelt row.
    guarding = {*(guards.only_from or ()), *guards.never_from, *options.thresholds.forbidden_statuses}
    labels = [*sorted(guarding), *sorted(draft.spool.named_statuses() - guarding)]
    return await unknown_labels(labels, draft.spool.seen_statuses(), subject, client)


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
    state = read_ledger(plan.folder, plan.header.hash)
    if state.is_through and state.counts()[RowOutcome.PLANNED] and not plan.has_values:
        log.info("%s was tried by a dry run to its end, and its values are deleted; planning anew", plan.uri)
        return False
    return is_retry or state.is_worth_another_attempt
