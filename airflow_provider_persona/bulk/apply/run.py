"""Applies a plan: many rows under way at once, each settled once, each on the ledger before the next is begun."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from airflow_provider_persona.api.errors import PersonaError
from airflow_provider_persona.api.server_clock import latest_time, time_to_note
from airflow_provider_persona.bulk.apply.earlier_attempts import EarlierAttempts
from airflow_provider_persona.bulk.apply.halt import CircuitBreaker, Halt
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.row_work import RowContext
from airflow_provider_persona.bulk.apply.telling import Telling
from airflow_provider_persona.bulk.apply.writers import PlanWriter
from airflow_provider_persona.bulk.errors import STOPS_THE_RUN, PlanError
from airflow_provider_persona.bulk.ledger.checkpoint import Checkpoint, CheckpointKeeper, CheckpointStore
from airflow_provider_persona.bulk.ledger.ledger import (
    TAKEN_UP_AGAIN,
    AttemptEnd,
    LedgerState,
    ledger_of,
    read_ledger,
)
from airflow_provider_persona.bulk.ledger.outcomes import NOT_DONE, RowOutcome, RowResult
from airflow_provider_persona.bulk.ledger.report import Progress, Report
from airflow_provider_persona.bulk.ledger.verify import verify
from airflow_provider_persona.bulk.ledger.writer import LedgerWriter
from airflow_provider_persona.bulk.plan.file import Plan, PlanRow
from airflow_provider_persona.bulk.plan.limits import is_exceeded
from airflow_provider_persona.client import AsyncPersonaClient
from airflow_provider_persona.storage.errors import FencedError, StoreError
from airflow_provider_persona.storage.paths import as_local, shown

log = logging.getLogger(__name__)

LAST_ANSWERS = 0.5
"""Seconds that a run which must stop waits for the answers to requests under way. Airflow kills a task that was marked
failed about 5 s after its signal, and a task that overran its time should end within a second."""

LAST_OUTCOMES = 1.0
"""Seconds that an attempt waits for the last outcomes of an older one that may still be alive."""

_BEARABLE = 20
"""Retries that are always bearable: one row's ladder of them says nothing about the service."""


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

    Rows that an earlier attempt failed at or left unresolved are tried again. A refused key stops the run at once,
    as does a service that mostly fails; the report then says so under `stopped`. Parameters as for `run` in
    `bulk/job.py`.

    :raises PlanError: when the ledger beside the plan is another plan's.
    :raises StoreError: when the ledger cannot be written.
    :raises PersonaSettingsError: when the plan is for another environment than the connection's.
    """
    client.environment.expect(plan.header.environment)
    return await _Run(plan, client, options, on_progress, utc, checkpoints).run(carried)


class _Run:
    """One attempt at a plan."""

    def __init__(
        self,
        plan: Plan,
        client: AsyncPersonaClient,
        options: ApplyOptions,
        on_progress: Callable[[Progress], None],
        utc: Callable[[], datetime],
        checkpoints: CheckpointStore | None,
    ) -> None:
        header = plan.header
        self._plan = plan
        self._client = client
        self._options = options
        self._utc = utc
        self._telling = Telling(client, header, options, on_progress)
        self._ended: AttemptEnd | None = None
        self._state = LedgerState()
        self._is_closed = False
        self._retryable = 0
        self._halt = Halt(CircuitBreaker(options.max_retry_share, max(_BEARABLE, 2 * options.concurrency)))
        self._writer = PlanWriter(plan, client, options)
        # Two attempts that begin at once find the same number, and `open` gives the segment to one of them only.
        self._first_segment = ledger_of(plan.folder).last + 1
        approval, unsynced = options.approval, options.unsynced_rows(header.rows)
        self._ledger = LedgerWriter(
            plan.folder, header.hash, self._first_segment, options.concurrency, self._now(), approval, unsynced
        )
        # A checkpoint must cover each row where the ledger's disk may be lost.
        covers_rows = as_local(plan.folder) is not None and not options.dry_run
        self._keeper = CheckpointKeeper(checkpoints, self._checkpoint, self._ledger.require_newest, covers_rows)

    def _take_over(self, carried: Checkpoint) -> Mapping[str, Any] | None:
        """Take in what a checkpoint knows of a lost ledger; return that for the new ledger, or None for nothing."""
        # Notes of begun rows alone prove nothing: a power cut may have taken others, of which a checkpoint knows.
        if self._state.counts():
            return None  # the ledger was not lost after all, and knows more
        if carried.run != self._plan.header.run:
            return None  # it is of another plan
        known = carried.to_carry(self._plan.header.content_hash)
        self._state.carry_over(**known)
        return known

    async def run(self, carried: Checkpoint | None) -> Report:
        """Make the attempt.

        :param carried: the last checkpoint of an earlier attempt, or None.
        """
        # First the own segment, which fences an older attempt, then what that one wrote: nothing of it is missed.
        await self._ledger.open()
        try:
            await self._read_ledger()
            known = None if carried is None else self._take_over(carried)
            self._begin()
            if self._has_rows_left:
                await self._writer.choose_sample()
            if known is not None:
                await self._ledger.carry_over(known)
            return await self._settle_all()
        except PlanError:
            await self._ledger.require_newest()  # a newer attempt that is done has deleted the plan's values
            raise
        finally:
            self._ledger.release()

    async def _read_ledger(self) -> None:
        """Read what earlier attempts wrote.

        An older attempt may still be alive, with requests under way. It sends nothing more, but it writes down their
        answers, and these tell the outcome of its rows better than any look. So there is a short wait for them.
        """
        folder, plan_hash, check_stop = self._plan.folder, self._plan.header.hash, self._client.check_stop
        self._state = read_ledger(folder, plan_hash, self._first_segment, check_stop)
        if self._state.is_under_way:
            await asyncio.sleep(LAST_OUTCOMES)
            self._state = read_ledger(folder, plan_hash, self._first_segment, check_stop)
        if self._first_segment > 1 and self._state.end is None:
            done, rows = self._state.counts().total(), self._plan.header.rows
            log.info("The attempt before was killed, or lost its machine, at %d of %d rows", done, rows)

    def _begin(self) -> None:
        """Take stock of what is left to do.

        :raises PlanError: when it cannot be done any more, because the values that the rows need are gone.
        """
        known, has_values = self._state.counts(), self._plan.has_values
        # Not `complete`: an attempt may have died since, after its opening line.
        self._is_closed = self._state.is_through and not has_values and not known[RowOutcome.PLANNED]
        left = frozenset() if self._is_closed else TAKEN_UP_AGAIN
        self._counts = Counter({outcome: n for outcome, n in known.items() if outcome not in left})
        self._resumed = self._counts.total()
        if not has_values and self._resumed < self._plan.header.rows:
            raise self._plan.values_are_gone()

    async def _settle_all(self) -> Report:
        self._telling.begin(self._resumed)
        try:
            await self._keeper.save()  # whoever loses the disk from now on knows that rows may have been under way
            await self._ask_for_time()
            await self._work_off()
            end = self._end()
            verified = await self._verify(end)
        except asyncio.CancelledError:
            await self._close(AttemptEnd.STOPPED)
            done, rows = self._counts.total(), self._plan.header.rows
            log.warning("Stopped at %d of %d rows; a retry or a clear goes on from here", done, rows)
            self._ended = AttemptEnd.STOPPED
            with suppress(Exception):  # the ledger says it too, and Airflow's API may hang while the task must end
                await asyncio.wait_for(self._keeper.save(), LAST_ANSWERS)
            raise
        self._telling.note_limit(self._utc())
        # In this order: a checkpoint must not say more than the ledger, and values are needed until the end is written.
        await self._close(end)
        self._ended = end
        await self._keeper.save()
        nothing_left = end is AttemptEnd.COMPLETE or (end is AttemptEnd.FAILED and not self._retryable)
        if nothing_left and not self._options.dry_run and not self._counts[RowOutcome.PLANNED]:
            with suppress(FencedError):  # a newer attempt still needs the values, and will delete them
                await self._ledger.require_newest()
                self._plan.forget_values()  # nothing will take this plan up again
        return self._report(*verified)

    def _report(self, verified: int | None, differences: int | None) -> Report:
        """Return the report of the attempt.

        :param verified: objects that were read again at its end, or None.
        :param differences: those of them that are not as the run left them, or None.
        """
        used, before = self._client.usage, self._telling.before
        return Report(
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
            seconds=self._client.clock() - self._telling.began,
            resumed=self._resumed,
            retryable_failures=self._retryable,
            verified=verified,
            differences=differences,
            **self._halt.in_report(),
            environment=self._client.environment.seen,
            unknown_labels=tuple(self._plan.header.unknown_labels),
            sample=self._writer.sample_size,
            approval=self._options.approval,
        )

    async def _close(self, end: AttemptEnd) -> None:
        """Write to the ledger how the attempt ended."""
        not_done = self._state.not_settled(self._plan.numbers()) if end is not AttemptEnd.COMPLETE else []
        counts = {outcome.value: n for outcome, n in self._counts.items()}
        await self._ledger.close(end, self._now(), counts, not_done)

    async def _work_off(self) -> None:
        """Settle rows, many at once, until none is left or the run stops.

        :raises asyncio.CancelledError: when the task must stop; the requests under way have then got their answers, or
            the time for them is over.
        """
        ticker = asyncio.create_task(self._tell_progress())
        rows = self._rows_left()
        self._client.set_breaker(self._halt.breaker)
        count = min(self._options.concurrency, max(1, self._plan.header.rows))
        workers = [asyncio.create_task(self._work(rows)) for _ in range(count)]
        try:
            # Not `gather`, which passes a cancellation on at once: workers would lose the answers to what they sent.
            # To `wait`, a worker that a fence cancels is no exception, so the others still get theirs.
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            for worker in done:
                if not worker.cancelled() and (error := worker.exception()) is not None:
                    raise error  # the store failed, or it is a fault of ours: one says enough
        except asyncio.CancelledError:
            self._halt.stop("the task must stop. A retry or a clear goes on from here")
            self._client.stop_sending()
            await asyncio.wait(workers, timeout=LAST_ANSWERS)
            raise
        finally:
            for worker in workers:
                worker.cancel()
            # Nobody may write to the ledger behind its closing line.
            await asyncio.gather(*workers, return_exceptions=True)
            self._client.set_breaker(None)  # an open one would cut off the retries of what is read again at the end
            ticker.cancel()

    def _end(self) -> AttemptEnd:
        if self._halt.why is not None:
            return AttemptEnd.STOPPED
        failures, left = sum(self._counts[outcome] for outcome in NOT_DONE), self._left_by_sample
        if is_exceeded(self._options.max_failures, failures, self._plan.header.rows - left):
            return AttemptEnd.FAILED
        return AttemptEnd.SAMPLED if left else AttemptEnd.COMPLETE

    @property
    def _left_by_sample(self) -> int:
        """Rows that are left to a later attempt because they are not in the sample."""
        return 0 if self._writer.sample_size is None else self._counts[RowOutcome.PLANNED]

    async def _verify(self, end: AttemptEnd) -> tuple[int, int] | tuple[None, None]:
        is_wanted = self._options.verify or self._writer.sample_size is not None
        can_be = self._plan.header.operation_id is None and self._plan.has_values and end is not AttemptEnd.STOPPED
        if not is_wanted or self._options.dry_run or not can_be:
            return None, None
        try:
            return await verify(self._plan, self._state.was_touched, self._client)
        except PersonaError as error:  # all rows have their outcomes, so nothing failed but the look
            self._telling.tell(self._counts, f"the changed objects could not be read again: {error}")
            return None, None

    async def _work(self, rows: Iterator[tuple[PlanRow, RowContext]]) -> None:
        """Settle rows until none is left or the run has to stop."""
        while self._halt.why is None and (item := next(rows, None)) is not None:
            row, context = item
            try:
                is_sent = self._writer.sends(row)
                if is_sent:
                    await self._ledger.begin(row.number, self._now(), outlives_power=self._writer.is_blind(row))
                work = await self._writer.settle(row, context)
            except FencedError as error:
                self._give_way(error)
                return
            except STOPS_THE_RUN as error:
                self._halt.weigh(error)
                return
            self._halt.weigh(work.error)
            # The ledger has the row before a counter does, and before this worker takes another: see `ledger.py`.
            result = work.result(self._now())
            await self._ledger.record(result)
            self._take_in(result)
            if is_sent:
                await self._keeper.settled()

    def _give_way(self, error: FencedError) -> None:
        """Send nothing more: a newer attempt is at work."""
        self._halt.stop(str(error))
        self._client.stop_sending()

    def _take_in(self, result: RowResult) -> None:
        self._state.record(result)
        self._counts[result.outcome] += 1
        self._retryable += result.outcome in NOT_DONE and result.retryable
        self._halt.ask_breaker(result.reason)

    def _rows_left(self) -> Iterator[tuple[PlanRow, RowContext]]:
        if not self._has_rows_left:
            return iter(())  # the values that the rows were read with may be gone
        earlier = EarlierAttempts(
            self._state,
            is_incomplete=self._state.damaged > 0 or self._state.is_of_other_rows,
            is_replanned=self._state.is_replanned,
            check_stop=self._client.check_stop,
            utc=lambda: latest_time(self._utc(), self._persona_time()),
        )
        return earlier.rows_left(self._plan)

    @property
    def _has_rows_left(self) -> bool:
        return not self._is_closed and self._resumed < self._plan.header.rows

    def _now(self) -> str:
        return time_to_note(self._utc(), self._persona_time()).isoformat(timespec="milliseconds")

    def _persona_time(self) -> datetime | None:
        return self._client.server_clock.time(self._client.clock())

    async def _ask_for_time(self) -> None:
        """Learn Persona's time where it decides how old keys are: this worker's clock may be wrong."""
        is_due = self._has_rows_left and self._state.leaves_doubt and not self._options.dry_run
        if is_due and self._persona_time() is None:
            with suppress(PersonaError):  # whatever it is, the rows will meet it too
                await self._client.call("list-all-rate-limits")

    # ------------------------------------------------------------------ telling how far it is

    def _checkpoint(self) -> Checkpoint:
        # Nothing is awaited here, so counts and stretches are of one moment.
        header = self._plan.header
        settled = {outcome: n for outcome, n in self._counts.items() if outcome not in TAKEN_UP_AGAIN}
        return Checkpoint(
            run=header.run,
            content_hash=header.content_hash,
            plan_hash=header.hash,
            plan=self._plan.uri,
            created_at=header.created_at,
            asks_time=header.asks_time,
            rows=header.rows,
            counts={outcome.value: n for outcome, n in settled.items()},
            settled=[list(stretch) for stretch in self._state.settled_ranges()],
            generations={str(row): n for row, n in self._state.generations.items()},
            # Rows of a sample are begun here and there, so that any row may have been under way.
            concurrency=self._options.concurrency if self._writer.sample_size is None else header.rows,
            at=self._now(),
            end=self._end().value if self._is_over() else None,
            progress=self._telling.sentence(self._counts, self._utc(), self._ended, self._halt.why),
            limit_use=self._telling.limit_use.to_json(),
            is_of_other_rows=self._state.is_of_other_rows,
        )

    def _is_over(self) -> bool:
        is_settled = self._counts.total() >= self._plan.header.rows and not self._left_by_sample
        return self._halt.why is None and is_settled and not self._retryable

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(self._options.progress_every)
            await self._look_for_newer()
            self._telling.tell(self._counts)
            self._telling.note_limit(self._utc())
            await self._keeper.save()

    async def _look_for_newer(self) -> None:
        """Give way to a newer attempt also once all rows are begun: they may wait a minute for the next window."""
        try:
            await self._ledger.require_newest()
        except FencedError as error:
            self._give_way(error)
        except StoreError:
            return  # whoever goes on with rows meets it too, and says so
