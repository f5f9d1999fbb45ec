"""Settling one row of a plan: look where that is needed, write what is missing, and say truly what became of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

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
"""Seconds for which a read may stand behind a guarded write. A write that cannot go out by then is preceded by another."""

_STALE_READS = 8

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
    :param look_first: whether to read the case before writing, because an earlier attempt may have written to it.
    """

    generation: int = 0
    look_first: bool = False


@dataclass(slots=True)
class _Work:
    """A row under way."""

    row: PlanRow
    change: CaseChange
    context: RowContext
    identity: str
    case_id: str
    current: Case | None = None
    read_at: float = -math.inf
    exchanges: list[Exchange] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    http_status: int | None = None
    from_status: str | None = None

    @property
    def tried_to_write(self) -> bool:
        return bool(self.exchanges)


class CaseWriter:
    """Settles rows, one at a time each, many at once.

    :param client: the client to call with.
    :param identity: identity of the plan, part of every idempotency key.
    :param guards: which statuses may be changed from.
    :param compare: whether to read every case before writing to it, and leave out what is already so.
    :param dry_run: whether to write nothing.
    :param now: UTC time as ISO 8601.
    """

    def __init__(
        self,
        client: AsyncPersonaClient,
        identity: str,
        *,
        guards: Guards,
        compare: bool,
        dry_run: bool,
        now: Callable[[], str],
    ) -> None:
        self._client = client
        self._identity = identity
        self._guards = guards
        self._compare = compare
        self._dry_run = dry_run
        self._now = now

    async def settle(self, row: PlanRow, context: RowContext) -> RowResult:
        """Do what the row wants, and return what became of it.

        :raises PersonaError: one of `STOPS_THE_RUN`; the row is then not settled.
        """
        if row.change is None or row.case_id is None:
            return RowResult(row.number, row.case_id, RowOutcome.INVALID, reason=row.problem or "", at=self._now())
        work = _Work(row, row.change, context, f"{self._identity}:{row.number}", row.case_id)
        try:
            outcome, reason = await self._settle(work)
        except STOPS_THE_RUN:
            raise
        except PersonaError as error:
            return await self._settle_error(work, error)
        return self._result(work, outcome, reason)

    async def _settle(self, work: _Work) -> tuple[RowOutcome, str]:
        guarded = self._guards.needs_read(work.row.expected_status)
        if guarded or self._compare or work.context.look_first:
            await self._read(work)
        steps = work.change.steps(work.current)
        if not steps:
            own = "already so after an interruption; it may have been this run's own doing"
            return RowOutcome.UNCHANGED, own if work.context.look_first else ""
        objection = self._objection(work) if guarded else None
        if objection is not None:
            return RowOutcome.SKIPPED_GUARD, objection
        if self._dry_run:
            return RowOutcome.PLANNED, ""
        for number, step in enumerate(steps):
            objection = await self._carry_out(work, step, guarded=guarded)
            if objection is not None:
                done = ", ".join(part.part for part in steps[:number])
                return RowOutcome.SKIPPED_GUARD, f"{objection}; already changed: {done}" if done else objection
        return RowOutcome.UPDATED, ""

    async def _carry_out(self, work: _Work, step: Step, *, guarded: bool) -> str | None:
        """Make one step true; return a guard's objection when one came up before it could be sent."""
        exchange = self._client.exchange(step.request(work.case_id), work.identity, work.context.generation)
        work.exchanges.append(exchange)
        for _ in range(_STALE_READS):
            fresh_until = work.read_at + READ_GOOD_FOR if guarded else math.inf
            response = await self._client.carry_out(exchange, fresh_until)
            if response is not None:
                self._note(work, response)
                step.check(Case.from_resource(response.json().get("data"), step.operation_id), response.request_id)
                return None
            await self._read(work)
            assert work.current is not None
            if exchange.attempt.number > 1 and step.is_shown_by(work.current):
                return None  # an earlier attempt had its effect, and its answer was lost
            objection = self._objection(work)
            if objection is not None:
                return objection
        raise PersonaUnresolvedError(
            f"{step.operation_id} could not be sent soon enough after a read of the case, {_STALE_READS} times; "
            "a window of the request limit must allow a read and a write",
            operation_id=step.operation_id,
            retryable=True,
        )

    async def _read(self, work: _Work) -> None:
        wanted = {"status", *(name for step in work.change.steps() for name in step.shows_in)}
        request = operation("retrieve-case").bind({"case-id": work.case_id}, {"fields[case]": sorted(wanted)})
        asked_at = self._client.clock()
        response = await self._client.send(request)
        work.http_status = response.status
        work.current = Case.from_resource(response.json().get("data"), request.operation_id)
        work.read_at = max(asked_at, self._client.clock() - READ_GOOD_FOR / 2)
        if not work.tried_to_write:
            work.from_status = work.current.status

    def _objection(self, work: _Work) -> str | None:
        status = work.current.status if work.current is not None else None
        return self._guards.objection(status, work.row.expected_status)

    def _note(self, work: _Work, response: Response) -> None:
        work.http_status = response.status
        if response.request_id is not None:
            work.request_ids.append(response.request_id)

    async def _settle_error(self, work: _Work, error: PersonaError) -> RowResult:
        """Find out what became of a row whose last call failed or is unknown."""
        if not isinstance(error, PersonaUnresolvedError):
            return self._failed(work, error)
        try:
            await self._read(work)
        except STOPS_THE_RUN:
            raise
        except PersonaError:
            return self._failed(work, error, RowOutcome.UNRESOLVED)
        if not work.change.steps(work.current):
            return self._result(work, RowOutcome.UPDATED, "the answer was lost; a later read shows the change")
        return self._failed(work, error, reason=f"a later read does not show the change: {error}")

    def _failed(
        self, work: _Work, error: PersonaError, outcome: RowOutcome = RowOutcome.FAILED, reason: str = ""
    ) -> RowResult:
        if error.request_id is not None:
            work.request_ids.append(error.request_id)
        if error.status is not None:
            work.http_status = error.status
        return replace(self._result(work, outcome, reason or str(error)), retryable=error.retryable)

    def _result(self, work: _Work, outcome: RowOutcome, reason: str) -> RowResult:
        return RowResult(
            row=work.row.number,
            case_id=work.case_id,
            outcome=outcome,
            from_status=work.from_status,
            to_status=work.change.status,
            reason=reason,
            http_status=work.http_status,
            request_ids=tuple(work.request_ids),
            generation=max((exchange.attempt.generation for exchange in work.exchanges), default=work.context.generation),
            attempts=sum(exchange.attempt.number for exchange in work.exchanges),
            at=self._now(),
        )
