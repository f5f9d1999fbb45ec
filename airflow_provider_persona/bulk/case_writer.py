"""Settling one row of a plan: look where that is needed, write what is missing, and say truly what became of it."""

from __future__ import annotations

import asyncio
import math
from contextlib import nullcontext
from dataclasses import dataclass, field

from airflow_provider_persona.api.case_change import CaseChange, Step
from airflow_provider_persona.api.errors import (
    PersonaAuthenticationError,
    PersonaError,
    PersonaPermissionError,
    PersonaRateLimitError,
    PersonaSettingsError,
    PersonaUnresolvedError,
)
from airflow_provider_persona.api.exchange import Exchange
from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.api.models import Case
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.bulk.guards import Guards
from airflow_provider_persona.bulk.outcomes import RowOutcome, RowResult
from airflow_provider_persona.bulk.plan import PlanRow
from airflow_provider_persona.client import AsyncPersonaClient

READ_GOOD_FOR = 1.0
"""Seconds for which a read may stand behind a guarded write. A write that cannot go out by then needs another read."""

_STALE_READS = 8
_OWN_DOING = "already so after an interruption; it may have been this run's own doing"

STOPS_THE_RUN = (
    PersonaAuthenticationError,
    PersonaPermissionError,
    PersonaRateLimitError,
    PersonaSettingsError,
)
"""Errors that say something about key, account or connection: every further row would get the same."""


@dataclass(frozen=True, slots=True)
class RowContext:
    """What an earlier attempt left to know about a row.

    :param generation: generation of keys to begin with.
    :param in_doubt: whether an earlier attempt may have written to the case.
    :param look_first: whether to read the case before writing, because sending it again would not tell.
    """

    generation: int = 0
    in_doubt: bool = False
    look_first: bool = False


@dataclass(slots=True)
class RowWork:
    """A row under way, and what has become of it.

    :param row: the row.
    :param context: what an earlier attempt left to know about it.
    :param identity: what makes its calls the same when they are made again.
    :param outcome: what became of it, once it is settled.
    :param reason: why, for a person.
    :param error: the error behind a failure.
    :param status: the case's status as last read or answered.
    :param from_status: its status before the first write, when it was read.
    :param http_status: status of the last answer.
    :param request_ids: Persona's API logs of the writes.
    :param exchanges: the writes.
    :param done: parts of the change that were made true.
    """

    row: PlanRow
    context: RowContext
    identity: str
    outcome: RowOutcome | None = None
    reason: str = ""
    error: PersonaError | None = None
    status: str | None = None
    from_status: str | None = None
    http_status: int | None = None
    request_ids: list[str] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    current: Case | None = None
    read_at: float = -math.inf

    @property
    def case_id(self) -> str:
        """The case; rows without one are never worked on."""
        assert self.row.case_id is not None
        return self.row.case_id

    @property
    def change(self) -> CaseChange:
        """The wanted change; rows without one are never worked on."""
        assert self.row.change is not None
        return self.row.change

    def become(self, outcome: RowOutcome, reason: str = "", error: PersonaError | None = None) -> None:
        """Settle the row."""
        is_partial = outcome is not RowOutcome.UPDATED and bool(self.done)
        self.reason = f"{reason}; already changed: {', '.join(self.done)}" if is_partial else reason
        self.outcome, self.error = outcome, error
        if error is not None:
            self.http_status = error.status or self.http_status
            if error.request_id is not None and error.request_id not in self.request_ids:
                self.request_ids.append(error.request_id)

    def result(self, at: str) -> RowResult:
        """Return the record of a settled row."""
        assert self.outcome is not None
        generations = [exchange.attempt.generation for exchange in self.exchanges]
        return RowResult(
            row=self.row.number,
            case_id=self.row.case_id,
            outcome=self.outcome,
            from_status=self.from_status,
            to_status=self.row.change.status if self.row.change is not None else None,
            reason=self.reason,
            http_status=self.http_status,
            request_ids=tuple(self.request_ids),
            generation=max(generations, default=self.context.generation),
            attempts=sum(exchange.attempt.number for exchange in self.exchanges),
            retryable=self.error is not None and self.error.retryable,
            at=at,
        )


class CaseWriter:
    """Settles rows, one at a time each, many at once.

    :param client: the client to call with.
    :param identity: identity of the plan, part of every idempotency key.
    :param guards: which statuses may be changed from.
    :param compare: whether to read every case before writing to it, and leave out what is already so.
    :param dry_run: whether to write nothing.
    """

    def __init__(
        self,
        client: AsyncPersonaClient,
        identity: str,
        *,
        guards: Guards,
        compare: bool,
        dry_run: bool,
    ) -> None:
        self._client = client
        self._identity = identity
        self._guards = guards
        self._compare = compare
        self._dry_run = dry_run
        self._turn = asyncio.Lock()

    async def settle(self, row: PlanRow, context: RowContext) -> RowWork:
        """Do what the row wants, and return what became of it.

        :raises PersonaError: one of `STOPS_THE_RUN`, before anything was written; the row is then not settled.
        """
        work = RowWork(row, context, f"{self._identity}:{row.number}")
        if row.change is None or row.case_id is None:
            work.become(RowOutcome.INVALID, row.problem or "")
            return work
        try:
            work.become(*await self._settle(work))
        except STOPS_THE_RUN as error:
            if not work.exchanges:
                raise
            # Persona keeps the refusal under the write's key, so a later attempt must know to take the next one.
            work.become(RowOutcome.FAILED, str(error), error)
        except PersonaError as error:
            await self._settle_error(work, error)
        return work

    async def _settle(self, work: RowWork) -> tuple[RowOutcome, str]:
        guarded = self._guards.needs_read(work.row.expected_status)
        if guarded or self._compare or work.context.look_first:
            await self._read(work)
        steps = work.change.steps(work.current)
        if not steps:
            return RowOutcome.UNCHANGED, _OWN_DOING if work.context.in_doubt else ""
        objection = self._objection(work) if guarded else None
        if objection is not None and work.context.in_doubt and work.status == work.change.status is not None:
            # The status is changed last, so whoever changed it under this guard had changed the rest.
            return RowOutcome.UNCHANGED, _OWN_DOING
        if objection is not None:
            return RowOutcome.SKIPPED_GUARD, objection
        if self._dry_run:
            return RowOutcome.PLANNED, ""
        for step in steps:
            objection = await self._carry_out(work, step, guarded=guarded)
            if objection is not None:
                return RowOutcome.SKIPPED_GUARD, objection
            work.done.append(step.part)
        return RowOutcome.UPDATED, ""

    async def _carry_out(self, work: RowWork, step: Step, *, guarded: bool) -> str | None:
        """Make one step true; return a guard's objection when one came up before it could be sent."""
        exchange = self._client.exchange(step.request(work.case_id), work.identity, work.context.generation)
        work.exchanges.append(exchange)
        for stale_reads in range(_STALE_READS):
            # In a small window the reads of all rows would leave none for a write; so from the second time on, in turn.
            async with self._turn if stale_reads > 1 else nullcontext():
                if stale_reads:
                    await self._read(work)
                    assert work.current is not None
                    if exchange.attempt.number > 1 and step.is_shown_by(work.current):
                        return None  # an earlier attempt had its effect, and its answer was lost
                    objection = self._objection(work)
                    if objection is not None:
                        return objection
                fresh_until = work.read_at + READ_GOOD_FOR if guarded else math.inf
                response = await self._client.carry_out(exchange, fresh_until)
            if response is not None:
                self._note(work, response, step)
                return None
        raise PersonaUnresolvedError(
            f"{step.operation_id} could not be sent soon enough after a read of the case, {_STALE_READS} times; "
            "a window of the request limit must allow a read and a write",
            operation_id=step.operation_id,
            retryable=True,
        )

    async def _read(self, work: RowWork) -> None:
        wanted = {"status", *(name for step in work.change.steps() for name in step.shows_in)}
        request = operation("retrieve-case").bind({"case-id": work.case_id}, {"fields[case]": sorted(wanted)})
        asked_at = self._client.clock()
        response = await self._client.send(request)
        work.http_status = response.status
        work.current = Case.from_resource(response.json().get("data"), request.operation_id)
        work.status = work.current.status
        work.read_at = max(asked_at, self._client.clock() - READ_GOOD_FOR / 2)
        if not work.exchanges:
            work.from_status = work.status

    def _objection(self, work: RowWork) -> str | None:
        status = work.current.status if work.current is not None else None
        return self._guards.objection(status, work.row.expected_status)

    def _note(self, work: RowWork, response: Response, step: Step) -> None:
        """Take in the answer to a write, and make sure that it shows what was asked for."""
        work.http_status = response.status
        if response.request_id is not None:
            work.request_ids.append(response.request_id)
        answered = Case.from_resource(response.json().get("data"), step.operation_id)
        work.status = answered.status or work.status
        step.check(answered, response.request_id)

    async def _settle_error(self, work: RowWork, error: PersonaError) -> None:
        """Find out what became of a row whose last call failed or is unknown."""
        if not isinstance(error, PersonaUnresolvedError):
            work.become(RowOutcome.FAILED, str(error), error)
            return
        try:
            await self._read(work)
        except PersonaError:
            work.become(RowOutcome.UNRESOLVED, str(error), error)
            return
        if work.change.steps(work.current):
            work.become(RowOutcome.FAILED, f"a later read does not show the change: {error}", error)
        else:
            work.become(RowOutcome.UPDATED, "the answer was lost; a later read shows the change")
