"""Applying a plan: many rows under way at once, each settled once, each on the ledger before the next is begun."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_persona.api.errors import PersonaError
from airflow_provider_persona.api.retry import KEY_GOOD_FOR
from airflow_provider_persona.bulk.breaker import DEFAULT_RETRY_SHARE, CircuitBreaker
from airflow_provider_persona.bulk.call_writer import CallWriter
from airflow_provider_persona.bulk.case_writer import CaseWriter
from airflow_provider_persona.bulk.checkpoint import Checkpoint, CheckpointKeeper, CheckpointStore
from airflow_provider_persona.bulk.ledger import TAKEN_UP_AGAIN, AttemptEnd, LedgerWriter, read_ledger
from airflow_provider_persona.bulk.limits import check_count
from airflow_provider_persona.bulk.outcomes import NOT_DONE, RowOutcome, RowResult
from airflow_provider_persona.bulk.plan import Plan, Planned, PlanRow
from airflow_provider_persona.bulk.report import FailureLimit, Progress, Report
from airflow_provider_persona.bulk.row_work import STOPS_THE_RUN, RowContext
from airflow_provider_persona.bulk.store import as_local, shown
from airflow_provider_persona.bulk.verify import Verification, verify
from airflow_provider_persona.client import AsyncPersonaClient

DEFAULT_CONCURRENCY = 24
"""Rows under way at once. It is also how many requests a killed process may have to repeat."""

_BEARABLE = 20
"""Retries that are always bearable: one row's ladder of them says nothing about the service."""


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How a plan is applied. Its guards are the plan's own.

    :param read_first: whether to read every case before writing to it, and leave out what is already so.
    :param heed_drift: whether to leave alone a case that was changed after its status was read for the plan.
    :param dry_run: whether to write nothing; rows that would be sent become `planned`.
    :param concurrency: rows under way at once.
    :param max_failures: how many rows (int), or which share of them (float), may fail without failing the run.
    :param max_retry_share: retries for every success that are bearable before the run stops.
    :param verify: whether to read the changed cases again at the end and report differences.
    :param progress_every: seconds between reports of progress.
    """

    read_first: bool = False
    heed_drift: bool = False
    dry_run: bool = False
    concurrency: int = DEFAULT_CONCURRENCY
    max_failures: FailureLimit = field(default_factory=FailureLimit)
    max_retry_share: float = DEFAULT_RETRY_SHARE
    verify: bool = False
    progress_every: float = 5.0

    def __post_init__(self) -> None:
        check_count(self.concurrency, "concurrency", least=1)
        CircuitBreaker(self.max_retry_share)


async def apply_plan(
    plan: Plan,
    client: AsyncPersonaClient,
    options: ApplyOptions,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    utc: Callable[[], datetime] = lambda: datetime.now(UTC),
    checkpoints: CheckpointStore | None = None,
    carried: Checkpoint | None = None,
) -> Report:
    """Settle every row of a plan that is not settled yet, and return the report.

    Rows that an earlier attempt failed at or left unresolved are taken up again. A refused key stops the run at once,
    as does a service that mostly fails; the report then says so under `stopped`.

    :param plan: the plan, read or just written.
    :param client: the client to call with.
    :param options: concurrency and so on.
    :param on_progress: called every few seconds; must return quickly.
    :param utc: UTC time, for records.
    :param checkpoints: where to keep progress beside the ledger, or None.
    :param carried: the last checkpoint of an earlier attempt, for the case that its ledger was lost, or None.
    :raises PlanError: when the ledger beside the plan is another plan's.
    :raises StoreError: when the ledger cannot be written.
    :raises PersonaSettingsError: when the plan is for another environment than the connection's.
    """
    client.environment.expect(plan.header.environment)
    run = _Run(plan, client, options, utc)
    run.on_progress = on_progress
    if carried is not None:
        run.carry_over(carried)
    if checkpoints is not None:
        run.keep_checkpoints(checkpoints)
    return await run.finish()


class _Run:
    """One attempt at a plan."""

    def __init__(
        self, plan: Plan, client: AsyncPersonaClient, options: ApplyOptions, utc: Callable[[], datetime]
    ) -> None:
        header = plan.header
        self._plan = plan
        self._client = client
        self._options = options
        self._utc = utc
        self.on_progress: Callable[[Progress], None] = lambda _: None
        self._state = read_ledger(plan.folder, header.hash)
        self._carried: dict[str, Any] | None = None
        self._distrust = self._is_closed = False
        self._keeper: CheckpointKeeper | None = None
        self._retryable = 0
        self._stopped: str | None = None
        self._stopped_for_good = False
        self._breaker = CircuitBreaker(options.max_retry_share, max(_BEARABLE, 2 * options.concurrency))
        self._writer: CaseWriter | CallWriter = (
            CallWriter(client, header.identity, dry_run=options.dry_run)
            if header.operation_id is not None
            else CaseWriter(
                client,
                header.identity,
                guards=header.guards,
                compare=options.read_first,
                dry_run=options.dry_run,
                heed_drift=options.heed_drift,
            )
        )
        first = self._state.last_segment + 1
        self._ledger = LedgerWriter(plan.folder, header.hash, first, options.concurrency, self._now())

    def carry_over(self, carried: Checkpoint) -> None:
        """Take in what is known of an attempt whose ledger was lost."""
        if self._state.counts():
            return  # it was not lost after all, and knows more
        if carried.run != self._plan.header.run:
            return  # it tells of another plan
        if carried.content_hash != self._plan.header.content_hash:
            self._distrust = True  # other rows now, but some of their cases may have been written to
            return
        self._carried = {
            "settled": carried.settled,
            "counts": carried.counts,
            "generations": carried.generations,
            "concurrency": carried.concurrency,
            "at": carried.at,
        }
        self._state.carry_over(**self._carried)

    def keep_checkpoints(self, store: CheckpointStore) -> None:
        """Keep checkpoints from now on; one that covers each row where the ledger's disk may be lost."""
        covers_rows = as_local(self._plan.folder) is not None and not self._options.dry_run
        self._keeper = CheckpointKeeper(store, self._checkpoint, covers_rows=covers_rows)

    async def finish(self) -> Report:
        self._begin()
        await self._ledger.open()
        try:
            if self._carried is not None:
                await self._ledger.carry_over(self._carried)
            return await self._settle_all()
        finally:
            self._ledger.release()

    def _begin(self) -> None:
        """Take stock of what is left to do.

        :raises PlanError: when it cannot be done any more, because the values that the rows need are gone.
        """
        known, has_values = self._state.counts(), self._plan.has_values
        self._is_closed = self._state.complete and not has_values and not known[RowOutcome.PLANNED]
        left = frozenset() if self._is_closed else TAKEN_UP_AGAIN
        self._counts = Counter({outcome: n for outcome, n in known.items() if outcome not in left})
        self._resumed = self._counts.total()
        if not has_values and self._resumed < self._plan.header.rows:
            raise self._plan.values_are_gone()

    async def _settle_all(self) -> Report:
        self._keys_were_old = self._are_keys_old()
        self._began = self._client.clock()
        used = self._client.usage
        before = used.copy()
        if self._keeper is not None:
            await self._keeper.save()  # whoever loses the disk from now on knows that rows may have been under way
        await self._work_off()
        end = self._end()
        verified = await self._verify(end)
        not_done = self._state.not_settled(self._plan.numbers()) if end is not AttemptEnd.COMPLETE else []
        counts = {outcome.value: n for outcome, n in self._counts.items()}
        await self._ledger.close(end, self._now(), counts, not_done)
        if self._keeper is not None:
            await self._keeper.save()
        report = Report(
            counts=self._counts,
            rows=self._plan.header.rows,
            repeats=self._plan.header.repeats,
            plan_hash=self._plan.header.hash,
            plan=self._plan.uri,
            ledger=shown(self._plan.folder),
            requests=used.requests - before.requests,
            retries=used.retries - before.retries,
            throttled=used.throttled - before.throttled,
            waited=used.waited - before.waited,
            seconds=self._client.clock() - self._began,
            resumed=self._resumed,
            retryable_failures=self._retryable,
            verified=verified.checked if verified else None,
            differences=verified.differences if verified else None,
            stopped=self._stopped,
            stopped_for_good=self._stopped_for_good,
            environment=self._client.environment.seen,
        )
        nothing_left = end is AttemptEnd.COMPLETE or (end is AttemptEnd.FAILED and not self._retryable)
        if nothing_left and not self._options.dry_run:
            self._plan.forget_values()  # nothing will take this plan up again
        return report

    async def _work_off(self) -> None:
        ticker = asyncio.create_task(self._tell_progress())
        rows = self._rows_to_do()
        self._client.heed(self._breaker)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._options.concurrency, max(1, self._plan.header.rows))):
                    group.create_task(self._work(rows))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the store failed, or it is a fault of ours: one says enough
        finally:
            self._client.heed(None)
            ticker.cancel()

    def _end(self) -> AttemptEnd:
        if self._stopped is not None:
            return AttemptEnd.STOPPED
        failures = sum(self._counts[outcome] for outcome in NOT_DONE)
        too_many = self._options.max_failures.is_exceeded_by(failures, self._plan.header.rows)
        return AttemptEnd.FAILED if too_many else AttemptEnd.COMPLETE

    async def _verify(self, end: AttemptEnd) -> Verification | None:
        is_due = self._options.verify and not self._options.dry_run and self._plan.header.operation_id is None
        if not is_due or end is AttemptEnd.STOPPED or not self._plan.has_values:
            return None
        try:
            return await verify(self._plan, self._state.was_touched, self._client)
        except PersonaError as error:
            self.on_progress(self._progress(f"the changed cases could not be read again: {error}"))
            return None

    async def _work(self, rows: Iterator[tuple[PlanRow, RowContext]]) -> None:
        """Settle rows until none is left or the run has to stop."""
        while self._stopped is None and (item := next(rows, None)) is not None:
            row, context = item
            try:
                work = await self._writer.settle(row, context)
            except STOPS_THE_RUN as error:
                self._stop(str(error), for_good=not error.retryable)
                return
            if isinstance(work.error, STOPS_THE_RUN):
                self._stop(str(work.error), for_good=not work.error.retryable)
            result = work.result(self._now())
            await self._ledger.record(result)
            self._take_in(result)
            if self._keeper is not None and row.planned is Planned.CHANGE:
                await self._keeper.settled()

    def _take_in(self, result: RowResult) -> None:
        self._state.record(result)
        self._counts[result.outcome] += 1
        self._retryable += result.outcome in NOT_DONE and result.retryable
        if self._breaker.is_open:
            self._stop(f"{self._breaker}. The last failure: {result.reason}" if result.reason else str(self._breaker))

    def _stop(self, why: str, *, for_good: bool = False) -> None:
        if self._stopped is None:
            self._stopped, self._stopped_for_good = why, for_good

    def _rows_to_do(self) -> Iterator[tuple[PlanRow, RowContext]]:
        """Yield the rows that are not settled, with what an earlier attempt left to know about them."""
        if self._is_closed or self._resumed >= self._plan.header.rows:
            return  # nothing is left, and the values that the rows were read with may be gone
        in_doubt = self._state.in_doubt
        for row in self._plan.rows():
            if self._state.is_settled(row.number):
                continue
            is_new = row.planned is Planned.CHANGE and self._state.outcome(row.number) is None
            context = self._context(row, in_doubt=in_doubt > 0)
            in_doubt -= is_new
            yield row, context

    def _context(self, row: PlanRow, *, in_doubt: bool) -> RowContext:
        """Say what is known of a row.

        :param in_doubt: whether, if it has no outcome yet, it may have been under way when an attempt broke off.
        """
        state = self._state
        outcome = state.outcome(row.number)
        generation = state.next_generation(row.number)
        if outcome is RowOutcome.UNRESOLVED or self._distrust:
            return RowContext(generation, in_doubt=True, look_first=True)
        if outcome is RowOutcome.FAILED or generation:
            in_doubt = state.in_doubt > 0
        # While its key is remembered, sending it again tells what became of it.
        return RowContext(generation, in_doubt=in_doubt, look_first=in_doubt and self._keys_were_old)

    def _are_keys_old(self) -> bool:
        last = self._state.in_doubt_since or self._state.last_at
        return last is not None and self._utc() - datetime.fromisoformat(last) > timedelta(seconds=KEY_GOOD_FOR)

    def _now(self) -> str:
        return self._utc().isoformat(timespec="milliseconds")

    # ------------------------------------------------------------------ telling how far it is

    def _checkpoint(self) -> Checkpoint:
        header = self._plan.header
        settled = {outcome: n for outcome, n in self._state.counts().items() if outcome not in TAKEN_UP_AGAIN}
        return Checkpoint(
            run=header.run,
            content_hash=header.content_hash,
            plan_hash=header.hash,
            plan=self._plan.uri,
            created_at=header.created_at,
            rows=header.rows,
            counts={outcome.value: n for outcome, n in settled.items()},
            settled=[list(stretch) for stretch in self._state.settled_ranges()],
            generations={str(row): n for row, n in self._state.generations.items()},
            concurrency=self._options.concurrency,
            at=self._now(),
            end=self._end().value if self._is_over() else None,
            progress=str(self._progress()),
        )

    def _is_over(self) -> bool:
        return self._stopped is None and self._counts.total() >= self._plan.header.rows and not self._retryable

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(self._options.progress_every)
            self.on_progress(self._progress())
            if self._keeper is not None:
                await self._keeper.save()

    def _progress(self, note: str = "") -> Progress:
        now = self._client.clock()
        done = self._counts.total()
        rate = (done - self._resumed) / max(now - self._began, 1e-9)
        until = self._client.usage.waiting_until
        return Progress(
            done=done,
            rows=self._plan.header.rows,
            counts=dict(self._counts),
            rate=rate,
            waits_for=None if until is None or until < now else until - now,
            left=(self._plan.header.rows - done) / rate if rate > 0 else None,
            note=note,
        )
