"""Settling one row of a plan: look where that is needed, write what is missing, and say truly what became of it."""

from __future__ import annotations

import asyncio
import math
from contextlib import nullcontext

from airflow_provider_persona.api.case_change import Step
from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaError, PersonaUnresolvedError
from airflow_provider_persona.api.exchange import Exchange
from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.api.models import Case
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.bulk.guards import Guards, drift
from airflow_provider_persona.bulk.outcomes import OWN_DOING, RowOutcome
from airflow_provider_persona.bulk.plan import Planned, PlanRow
from airflow_provider_persona.bulk.row_work import STOPS_THE_RUN, RowContext, RowWork
from airflow_provider_persona.client import AsyncPersonaClient, NotSent

READ_GOOD_FOR = 1.0
"""Seconds for which a read may stand behind a guarded write. A write that cannot go out by then needs another read."""

SHOWN_LATER = "the answer was lost or a failure; a later read shows the change"

_STALE_READS = 8


class CaseWriter:
    """Settles rows, one at a time each, many at once.

    :param client: the client to call with.
    :param identity: identity of the plan, part of every idempotency key.
    :param guards: which statuses may be changed from.
    :param compare: whether to read every case before writing to it, and leave out what is already so.
    :param dry_run: whether to write nothing.
    :param heed_drift: whether to leave alone a case that was changed after its status was read for the plan.
    """

    def __init__(
        self,
        client: AsyncPersonaClient,
        identity: str,
        *,
        guards: Guards,
        compare: bool,
        dry_run: bool,
        heed_drift: bool = False,
    ) -> None:
        self._client = client
        self._identity = identity
        self._guards = guards
        self._compare = compare
        self._dry_run = dry_run
        self._heed_drift = heed_drift
        self._turn = asyncio.Lock()

    async def settle(self, row: PlanRow, context: RowContext) -> RowWork:
        """Do what the row wants, and return what became of it.

        :raises PersonaError: one of `STOPS_THE_RUN`, before anything was written; the row is then not settled.
        """
        work = RowWork(row, context, f"{self._identity}:{row.number}", from_status=row.from_status)
        if row.planned is not Planned.CHANGE:
            work.become(_SETTLED_BY_PLAN[row.planned], row.reason)
            return work
        try:
            work.become(*await self._settle(work))
        except STOPS_THE_RUN as error:
            if not any(exchange.sent for exchange in work.exchanges):
                raise
            # Persona keeps the refusal under the write's key, so a later attempt must know to take the next one.
            work.become(RowOutcome.FAILED, str(error), error)
        except PersonaError as error:
            await self._settle_error(work, error)
        return work

    async def _settle(self, work: RowWork) -> tuple[RowOutcome, str]:
        guarded = self._guards.needs_read(work.row.expected_status) or self._may_drift(work.row)
        # Rather one read than all calls of a row once more, when an attempt that broke off may have made some of them.
        has_parts = work.context.in_doubt and len(work.change.steps()) > 1
        if guarded or self._compare or work.context.look_first or has_parts:
            await self._read(work)
        steps = work.change.steps(work.current)
        if not steps:
            return RowOutcome.UNCHANGED, OWN_DOING if work.context.in_doubt else ""
        objection = self._objection(work) if guarded else None
        is_as_left = work.status == work.change.status is not None and not any(step.absence_tells for step in steps)
        if objection is not None and work.context.in_doubt and is_as_left:
            # The status is changed last, so whoever changed it under this guard had changed the rest, which shows not.
            return RowOutcome.UNCHANGED, OWN_DOING
        if objection is not None:
            return RowOutcome.SKIPPED_GUARD, objection
        if self._dry_run:
            return RowOutcome.PLANNED, ""
        for step in steps:
            objection = await self._carry_out(work, step, guarded=guarded)
            if objection is not None:
                return RowOutcome.SKIPPED_GUARD, objection
            work.done.append(step.part)
        return RowOutcome.UPDATED, work.remark

    async def _carry_out(self, work: RowWork, step: Step, *, guarded: bool) -> str | None:
        """Make one step true; return a guard's objection when one came up before it could be sent."""
        in_doubt = work.context.in_doubt and work.current is None  # else it was looked at, and is still to be done
        exchange = self._client.exchange(
            step.request(work.case_id), work.identity, work.context.generation, maybe_done=in_doubt
        )
        work.exchanges.append(exchange)
        late, handed_back = 0, False
        while late < _STALE_READS:
            # In a small window the reads of all rows would leave none for a write; so from the second time on, in turn.
            async with self._turn if late > 1 else nullcontext():
                if handed_back:
                    current = await self._look_again(work, exchange)
                    if exchange.attempt.number > 1 and step.is_shown_by(current):
                        work.remark = SHOWN_LATER
                        return None
                    objection = self._objection(work) if guarded else None
                    if objection is not None:
                        return objection
                fresh_until = work.read_at + READ_GOOD_FOR if guarded else math.inf
                answer = await self._client.carry_out(exchange, fresh_until, may_repeat=not step.absence_tells)
            if isinstance(answer, Response):
                self._note(work, answer, step)
                return None
            handed_back = True
            late += answer is NotSent.STALE
        raise PersonaUnresolvedError(
            f"{step.operation_id} could not be sent soon enough after a read of the case, {_STALE_READS} times; "
            "a window of the request limit must allow a read and a write",
            operation_id=step.operation_id,
            retryable=True,
        )

    async def _look_again(self, work: RowWork, exchange: Exchange) -> Case:
        """Read the case after a write that was not sent, or that may have had its effect."""
        try:
            return await self._read(work)
        except PersonaError as error:
            if not exchange.attempt.maybe_done:
                raise
            raise PersonaUnresolvedError(
                f"whether Persona did {exchange.request.operation_id} is unknown, and the case could not be read: "
                f"{error}; look before doing it again",
                operation_id=exchange.request.operation_id,
                retryable=True,
            ) from error

    async def _read(self, work: RowWork) -> Case:
        wanted = {"status", *(name for step in work.change.steps() for name in step.shows_in)}
        if self._may_drift(work.row):
            wanted.add("updated-at")
        request = operation("retrieve-case").bind({"case-id": work.case_id}, {"fields[case]": sorted(wanted)})
        asked_at = self._client.clock()
        response = await self._client.send(request)
        work.http_status = response.status
        work.current = Case.from_resource(response.json().get("data"), request.operation_id)
        work.status = work.current.status
        work.read_at = max(asked_at, self._client.clock() - READ_GOOD_FOR / 2)
        if not work.exchanges:
            work.from_status = work.status
        return work.current

    def _may_drift(self, row: PlanRow) -> bool:
        return self._heed_drift and row.from_status is not None

    def _objection(self, work: RowWork) -> str | None:
        current = work.current or Case(id=work.case_id)
        objection = self._guards.objection(current.status, work.row.expected_status)
        if objection is None and self._may_drift(work.row):
            since = None if self._may_show_own_doing(work, current) else work.row.updated_at
            objection = drift(current, work.row.from_status, since)
        return objection

    def _may_show_own_doing(self, work: RowWork, current: Case) -> bool:
        """Whether this run itself may have changed the case since it was planned, so that this is no drift."""
        written_now = work.done or any(exchange.sent for exchange in work.exchanges)
        if not (work.context.in_doubt or work.context.generation or written_now):
            return False
        was_so = "status" if work.row.from_status == work.change.status else None
        steps = [step for step in work.change.steps() if step.part != was_so]
        return any(step.is_shown_by(current) or not step.absence_tells for step in steps)

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
        has_unusable_answer = isinstance(error, PersonaAnswerError) and bool(work.exchanges)
        if not (isinstance(error, PersonaUnresolvedError) or has_unusable_answer):
            work.become(RowOutcome.FAILED, str(error), error)
            return
        try:
            await self._read(work)
        except PersonaError:
            work.become(RowOutcome.UNRESOLVED, str(error), error)
            return
        missing = work.change.steps(work.current)
        if any(step.absence_tells for step in missing):
            work.become(RowOutcome.FAILED, f"a later read does not show the change: {error}", error)
        elif any(step.part not in work.done for step in missing):
            work.become(RowOutcome.UNRESOLVED, f"a later read cannot tell: {error}", error)
        else:
            work.become(RowOutcome.UPDATED, SHOWN_LATER)


_SETTLED_BY_PLAN = {
    Planned.INVALID: RowOutcome.INVALID,
    Planned.UNCHANGED: RowOutcome.UNCHANGED,
    Planned.SKIPPED_GUARD: RowOutcome.SKIPPED_GUARD,
}
