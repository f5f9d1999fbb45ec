"""Applying a plan: many rows under way at once, each settled once, each on the ledger before the next is begun."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from airflow_provider_persona.api.retry import KEY_GOOD_FOR
from airflow_provider_persona.bulk.breaker import Breaker
from airflow_provider_persona.bulk.case_writer import STOPS_THE_RUN, CaseWriter, RowContext
from airflow_provider_persona.bulk.errors import BulkError
from airflow_provider_persona.bulk.guards import Guards
from airflow_provider_persona.bulk.ledger import AttemptEnd, LedgerState, LedgerWriter, read_ledger
from airflow_provider_persona.bulk.outcomes import NOT_DONE, RowOutcome, RowResult
from airflow_provider_persona.bulk.plan import Plan, PlanRow
from airflow_provider_persona.bulk.report import FailureLimit, Progress, Report
from airflow_provider_persona.bulk.store import shown
from airflow_provider_persona.client import AsyncPersonaClient

DEFAULT_CONCURRENCY = 24
"""Rows under way at once. It is also how many requests a killed process may have to repeat."""


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How a plan is applied.

    :param guards: which statuses may be changed from.
    :param compare: `get` reads every case before writing and leaves out what is already so; `never` reads only where a
        guard needs it.
    :param dry_run: whether to write nothing; rows that would be sent become `planned`.
    :param concurrency: rows under way at once.
    :param max_failures: how many rows (int), or which share of them (float), may fail without failing the run.
    :param patience: rows in a row that fail for want of a working service before the run stops; by default twice the
        concurrency.
    :param progress_every: seconds between reports of progress.
    """

    guards: Guards = field(default_factory=Guards)
    compare: str = "never"
    dry_run: bool = False
    concurrency: int = DEFAULT_CONCURRENCY
    max_failures: FailureLimit = field(default_factory=FailureLimit)
    patience: int | None = None
    progress_every: float = 5.0

    def __post_init__(self) -> None:
        if self.compare not in ("never", "get"):
            raise BulkError(f"compare is never or get, not {self.compare!r}")
        if self.concurrency < 1:
            raise BulkError(f"concurrency is at least 1, not {self.concurrency}")


async def apply_plan(
    plan: Plan,
    client: AsyncPersonaClient,
    options: ApplyOptions,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    utc: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Report:
    """Settle every row of a plan that is not settled yet, and return the report.

    Rows that an earlier attempt failed at or left unresolved are taken up again. A refused key stops the run at once;
    the report then says so under `stopped`.

    :param plan: the plan, read or just written.
    :param client: the client to call with.
    :param options: guards, concurrency and so on.
    :param on_progress: called every few seconds; must return quickly.
    :param utc: UTC time, for records.
    :raises PlanError: when the ledger beside the plan is another plan's.
    """
    return await _Run(plan, client, options, on_progress, utc).finish()


class _Run:
    """One attempt at a plan."""

    def __init__(
        self,
        plan: Plan,
        client: AsyncPersonaClient,
        options: ApplyOptions,
        on_progress: Callable[[Progress], None],
        utc: Callable[[], datetime],
    ) -> None:
        self._plan = plan
        self._client = client
        self._options = options
        self._on_progress = on_progress
        self._utc = utc
        self._before = read_ledger(plan.folder, plan.header.hash)
        settled = {outcome: n for outcome, n in self._before.counts().items() if outcome not in _TAKEN_UP_AGAIN}
        self._counts: Counter[RowOutcome] = Counter(settled)
        self._resumed = self._counts.total()
        self._retryable = 0
        self._stopped: str | None = None
        self._stopped_for_good = False
        self._breaker = Breaker(options.patience or 2 * options.concurrency)
        self._writer = CaseWriter(
            client,
            plan.header.hash,
            guards=options.guards,
            compare=options.compare == "get",
            dry_run=options.dry_run,
        )
        self._ledger = LedgerWriter(
            plan.folder, plan.header.hash, self._before.last_segment + 1, options.concurrency, self._now()
        )

    async def finish(self) -> Report:
        await self._ledger.open()
        try:
            return await self._settle_all()
        finally:
            self._ledger.release()

    async def _settle_all(self) -> Report:
        began = self._client.clock()
        used = self._client.usage
        requests, retries, throttled, waited = used.requests, used.retries, used.throttled, used.waited
        ticker = asyncio.create_task(self._tell_progress(began))
        rows = self._rows_to_do()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._options.concurrency, max(1, self._plan.header.rows))):
                    group.create_task(self._work(rows))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the store failed, or it is a fault of ours: one says enough
        finally:
            ticker.cancel()
        end = self._end()
        await self._ledger.close(end, self._now(), {outcome.value: n for outcome, n in self._counts.items()})
        report = Report(
            counts=self._counts,
            rows=self._plan.header.rows,
            repeats=self._plan.header.repeats,
            plan_hash=self._plan.header.hash,
            plan=self._plan.uri,
            ledger=shown(self._plan.folder),
            requests=used.requests - requests,
            retries=used.retries - retries,
            throttled=used.throttled - throttled,
            waited=used.waited - waited,
            seconds=self._client.clock() - began,
            resumed=self._resumed,
            retryable_failures=self._retryable,
            stopped=self._stopped,
            stopped_for_good=self._stopped_for_good,
            environment=self._client.environment.seen,
        )
        nothing_left = end is AttemptEnd.COMPLETE or (end is AttemptEnd.FAILED and not self._retryable)
        if nothing_left and not self._options.dry_run:
            self._plan.forget_values()  # nothing will take this plan up again
        return report

    def _end(self) -> AttemptEnd:
        if self._stopped is not None:
            return AttemptEnd.STOPPED
        failures = sum(self._counts[outcome] for outcome in NOT_DONE)
        too_many = self._options.max_failures.is_exceeded_by(failures, self._plan.header.rows)
        return AttemptEnd.FAILED if too_many else AttemptEnd.COMPLETE

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

    def _take_in(self, result: RowResult) -> None:
        self._counts[result.outcome] += 1
        self._retryable += result.outcome in NOT_DONE and result.retryable
        self._breaker.saw(result.outcome, retryable=result.retryable)
        if self._breaker.is_open and self._stopped is None:
            self._stop(f"one row after another failed, the last with: {result.reason}")

    def _stop(self, why: str, *, for_good: bool = False) -> None:
        if self._stopped is None:
            self._stopped, self._stopped_for_good = why, for_good

    def _rows_to_do(self) -> Iterator[tuple[PlanRow, RowContext]]:
        """Yield the rows that are not settled, with what an earlier attempt left to know about them."""
        in_doubt = self._before.in_doubt
        for row in self._plan.rows():
            if self._before.is_settled(row.number):
                continue
            yield row, self._context(row, in_doubt=in_doubt > 0)
            in_doubt -= self._before.outcome(row.number) is None

    def _context(self, row: PlanRow, *, in_doubt: bool) -> RowContext:
        """Say what is known of a row.

        :param in_doubt: whether, if it has no outcome yet, it may have been under way when an attempt broke off.
        """
        before: LedgerState = self._before
        outcome = before.outcome(row.number)
        if outcome is RowOutcome.UNRESOLVED:
            return RowContext(before.next_generation(row.number), in_doubt=True, look_first=True)
        if outcome is RowOutcome.FAILED:
            in_doubt = before.in_doubt > 0
        # While its key is remembered, sending it again tells what became of it.
        return RowContext(
            before.next_generation(row.number), in_doubt=in_doubt, look_first=in_doubt and self._keys_are_old()
        )

    def _keys_are_old(self) -> bool:
        last = self._before.in_doubt_since or self._before.last_at
        return last is not None and self._utc() - datetime.fromisoformat(last) > timedelta(seconds=KEY_GOOD_FOR)

    def _now(self) -> str:
        return self._utc().isoformat(timespec="milliseconds")

    async def _tell_progress(self, began: float) -> None:
        while True:
            await asyncio.sleep(self._options.progress_every)
            self._on_progress(self._progress(began))

    def _progress(self, began: float) -> Progress:
        now = self._client.clock()
        done = self._counts.total()
        rate = (done - self._resumed) / max(now - began, 1e-9)
        until = self._client.usage.waiting_until
        return Progress(
            done=done,
            rows=self._plan.header.rows,
            counts=dict(self._counts),
            rate=rate,
            waits_for=None if until is None or until < now else until - now,
            left=(self._plan.header.rows - done) / rate if rate > 0 else None,
        )


_TAKEN_UP_AGAIN = NOT_DONE | {RowOutcome.PLANNED}
