"""Settles one row that changes an object: reads where needed, writes what is missing, notes the outcome."""

from __future__ import annotations

import asyncio
import math
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime

from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaError,
    PersonaNotFoundError,
    PersonaUnresolvedError,
)
from airflow_provider_persona.api.exchange import Exchange
from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.api.steps import Step
from airflow_provider_persona.bulk.apply.row_work import RowContext, RowWork
from airflow_provider_persona.bulk.errors import STOPS_THE_RUN
from airflow_provider_persona.bulk.ledger.outcomes import OWN_DOING, RowOutcome
from airflow_provider_persona.bulk.plan.file import Planned, PlanRow
from airflow_provider_persona.bulk.plan.guards import NOT_AS_LEFT, Guards, drift
from airflow_provider_persona.bulk.subjects.subject import ObjectState, ObjectSubject
from airflow_provider_persona.client import AsyncPersonaClient, NotSent

READ_GOOD_FOR = 1.0
"""Seconds for which a read may stand behind a guarded write. A write that cannot go out by then needs another read."""

_CONFLICT = 409
"""Status of the last answer where Persona still works on an earlier attempt at the same call."""

SHOWN_LATER = "the answer was lost or a failure; a later read shows the change"

PERHAPS_OWN = "; an earlier try of this row wrote to it, so the change may be its own: look at it, and plan anew"

_STALE_READS = 8
"""Reads that may become too old before a guarded write goes out. In a window without room for a read and a write each
would, and the row would never end."""

_OLD_KEYS = 4
"""Keys of one call, of further generations each, that may all bring an answer of then before the row is left open."""

_DATES_DIFFER = 10.0
"""Seconds by which an answer may be later than the change that it shows. Both times are Persona's own."""


@dataclass(slots=True)
class ObjectWriter:
    """Settles rows, one at a time each, many at once.

    :param client: the client to call with.
    :param subject: the kind of object.
    :param identity: identity of the plan, part of every idempotency key.
    :param guards: which statuses may be changed from.
    :param compare: whether to read every object before writing to it, and leave out what is already right.
    :param dry_run: whether to write nothing.
    :param heed_drift: whether to leave alone an object that was changed after it was read for the plan.
    :param asks_time: whether writes ask for the time of the last change.
    :param keys_may_be_old: whether Persona may repeat an answer of an earlier run that left no trace here.
    """

    client: AsyncPersonaClient
    subject: ObjectSubject
    identity: str
    _: KW_ONLY
    guards: Guards
    compare: bool = False
    dry_run: bool = False
    heed_drift: bool = False
    asks_time: bool = False
    keys_may_be_old: bool = True
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def settle(self, row: PlanRow, context: RowContext) -> RowWork:
        """Do what the row asks for, and return the row with its outcome.

        :raises PersonaError: one of `STOPS_THE_RUN`, before anything was written; the row is then not settled.
        """
        work = RowWork(row, context, f"{self.identity}:{row.number}", from_status=row.from_status)
        if row.planned is not Planned.CHANGE:  # what a plan settles by itself has the same words as outcomes
            is_own = row.planned is Planned.UNCHANGED and context.may_be_own_doing
            work.become(RowOutcome(row.planned.value), OWN_DOING if is_own else row.reason)
            return work
        try:
            work.become(*await self._settle(work))
        except STOPS_THE_RUN as error:
            if not work.was_sent:
                raise
            # Persona keeps the refusal under the write's key, so a later attempt must know to take the next one.
            work.become(_failed(work), str(error), error)
        except PersonaError as error:
            await self._settle_error(work, error)
        return work

    async def _settle(self, work: RowWork) -> tuple[RowOutcome, str]:
        guarded = self.guards.needs_read(work.row.expected_status) or self._may_drift(work.row)
        guarded = guarded or work.update.left is not None
        # Rather one read than all calls of a row once more, when an attempt that broke off may have made some of them.
        has_parts = work.context.in_doubt and len(work.update.change.steps()) > 1
        if guarded or self.compare or work.context.look_first or has_parts:
            await self._read(work)
        steps = work.update.change.steps(_resource(work))
        if not steps:
            return RowOutcome.UNCHANGED, OWN_DOING if work.context.may_be_own_doing else ""
        objection = self._objection(work) if guarded else None
        is_as_left = work.status == work.update.change.status is not None and not any(
            step.absence_tells for step in steps
        )
        if objection is not None and work.context.in_doubt and is_as_left:
            # The status is changed last, so whoever changed it under this guard had changed the rest, which shows not.
            return RowOutcome.UNCHANGED, OWN_DOING
        if objection is not None:
            return RowOutcome.SKIPPED_GUARD, objection + work.context.doubt
        if self.dry_run:
            return RowOutcome.PLANNED, ""
        for step in steps:
            objection = await self._carry_out(work, step, guarded=guarded)
            if objection is not None:
                return RowOutcome.SKIPPED_GUARD, objection
            work.done.append(step)
        return RowOutcome.UPDATED, work.remark

    async def _carry_out(self, work: RowWork, step: Step, *, guarded: bool) -> str | None:
        """Make one step true; return a guard's objection when one came up before it could be sent."""
        # An object that was looked at shows that the call is still to be made, unless the call leaves no trace.
        in_doubt = work.context.in_doubt and (work.current is None or not step.may_be_made_anew)
        if work.context.look_first and not step.may_be_made_anew:
            raise PersonaUnresolvedError(
                f"whether {step.operation_id} was done before is unknown, and the {self.subject.name} does not show "
                "it; look before doing it again",
                operation_id=step.operation_id,
            )
        generation = work.context.generation
        for _ in range(_OLD_KEYS):
            exchange = self.client.exchange(
                step.request(work.update.object_id, with_time=self.asks_time),
                work.identity,
                generation,
                maybe_done=in_doubt,
            )
            exchange.was_begun(work.context.key_age)  # Persona forgets its key that much sooner
            # Before it is sent: whoever settles an error looks here for what may have been done.
            work.step = step
            work.exchanges.append(exchange)
            objection = await self._send(work, step, exchange, guarded=guarded)
            if objection is not None or not work.answer_may_be_old:
                return objection
            current = await self._look(work, exchange, f"Persona's answer to {step.operation_id} may be one of before")
            if step.is_shown_by(current.resource):
                return None
            objection = self._objection(work) if guarded else None
            if objection is not None:
                return objection
            generation, in_doubt = exchange.sent_generation + 1, False
        raise PersonaUnresolvedError(
            f"Persona repeats old answers to {step.operation_id}, and the {self.subject.name} does not show the "
            f"wanted {step.part}; its keys of the last hour are in use, so try again in an hour",
            operation_id=step.operation_id,
            retryable=True,
        )

    async def _send(self, work: RowWork, step: Step, exchange: Exchange, *, guarded: bool) -> str | None:
        """Make the call of a step; return a guard's objection when one came up before it could be sent."""
        work.answer_may_be_old = False
        late, handed_back, name = 0, False, self.subject.name
        while late < _STALE_READS:
            # In a small window the reads of all rows would leave none for a write; so from the second time on, in turn.
            async with self._turn if late > 1 else nullcontext():
                if handed_back:
                    # It was not sent, or it may have had its effect.
                    doubt = f"whether Persona did {step.operation_id} is unknown"
                    current = await self._look(work, exchange, doubt if exchange.attempt.maybe_done else "")
                    if exchange.attempt.number > 1 and step.is_shown_by(current.resource):
                        work.remark = SHOWN_LATER
                        return None
                    objection = self._objection(work) if guarded else None
                    if objection is not None:
                        return objection
                fresh_until = work.read_at + READ_GOOD_FOR if guarded else math.inf
                answer = await self.client.carry_out(exchange, fresh_until, may_repeat=not step.absence_tells)
            if isinstance(answer, Response):
                self._note(work, answer, step, exchange)
                return None
            handed_back = True
            late += answer is NotSent.STALE
        raise PersonaUnresolvedError(
            f"{step.operation_id} could not be sent soon enough after a read of the {name}, {_STALE_READS} "
            "times; a window of the request limit must allow a read and a write",
            operation_id=step.operation_id,
            retryable=True,
        )

    async def _look(self, work: RowWork, exchange: Exchange, doubt: str) -> ObjectState:
        """Read the object after a write.

        :param doubt: what is not known of the write until then; empty where it certainly had no effect.
        """
        try:
            return await self._read(work)
        except PersonaError as error:
            if not doubt:
                raise
            raise PersonaUnresolvedError(
                f"{doubt}, and the {self.subject.name} could not be read: {error}; look before doing it again",
                operation_id=exchange.request.operation_id,
                retryable=True,
            ) from error

    async def _read(self, work: RowWork) -> ObjectState:
        wanted = {"status", *(name for step in work.update.change.steps() for name in step.shows_in)}
        if self._may_drift(work.row):
            wanted.add("updated-at")
        request = self.subject.read_request(work.update.object_id, sorted(wanted))
        asked_at = self.client.clock()
        response = await self.client.send(request)
        work.http_status = response.status
        work.current = current = self.subject.read_answer(response.json(), request.operation_id)
        work.status = current.status
        # The answer shows a moment between the two. After a read that took longer than it is good for, half of that
        # time is granted all the same: else no guarded write could ever follow a slow read.
        work.read_at = max(asked_at, self.client.clock() - READ_GOOD_FOR / 2)
        if not work.exchanges:  # a later read may show what this run wrote, and a revert would go back to that
            work.from_status = work.status
        return current

    def _may_drift(self, row: PlanRow) -> bool:
        # A plan that was made without a look has nothing to compare with.
        return self.heed_drift and (row.from_status, row.updated_at) != (None, None)

    def _objection(self, work: RowWork) -> str | None:
        current = work.current or ObjectState(work.update.object_id)
        if current.status is None and self.guards.needs_read(work.row.expected_status):
            raise PersonaAnswerError(
                f"the answer to {self.subject.read_operation} shows no status, so no guard can tell whether the "
                f"{self.subject.name} may be changed",
                operation_id=self.subject.read_operation,
                retryable=True,
            )
        objection = self.guards.objection(current.status, work.row.expected_status)
        if objection is None and self._may_drift(work.row):
            since = None if self._may_show_own_doing(work, current) else work.row.updated_at
            objection = drift(current, work.row.from_status, since)
            if objection is not None and work.context.generation:  # an answered call may have changed it otherwise
                objection += PERHAPS_OWN
        if objection is None and not self._may_be_own_doing(work) and not work.update.is_as_left(current.resource):
            objection = NOT_AS_LEFT
        return objection

    def _may_be_own_doing(self, work: RowWork) -> bool:
        """Whether this run may have written to the object since it was planned."""
        return bool(work.context.in_doubt or work.context.generation or work.done or work.was_sent)

    def _may_show_own_doing(self, work: RowWork, current: ObjectState) -> bool:
        """Whether this run itself may have changed the object since it was planned, so that this is no drift."""
        if not self._may_be_own_doing(work):
            return False
        was_so = "status" if work.row.from_status == work.update.change.status else None
        steps = [step for step in work.update.change.steps() if step.part != was_so]
        return any(step.is_shown_by(current.resource) or not step.absence_tells for step in steps)

    def _note(self, work: RowWork, response: Response, step: Step, exchange: Exchange) -> None:
        """Take in the answer to a write, and make sure that it shows what was asked for."""
        work.http_status = response.status
        trace = response.request_id
        if trace is not None:  # before the checks: a row that fails them is the one that is looked up in Persona's log
            work.request_ids.append(trace)
        answered = self.subject.read_answer(response.json(), step.operation_id)
        work.status = answered.status or work.status
        step.check(answered.resource, trace)
        work.answer_may_be_old = self._may_be_old(answered, step, exchange)

    def _may_be_old(self, answered: ObjectState, step: Step, exchange: Exchange) -> bool:
        """Whether an answer may be one that Persona stored under the call's key before this run began.

        The folder of a run may be lost with all that was known of it. If its task then runs again within the hour, and
        somebody had moved the object back, the same key brings the old answer, and nothing changes. What was changed
        by this call was changed since its key was first sent, by Persona's own clock.
        """
        if not (self.keys_may_be_old and self.asks_time) or exchange.idempotency_key is None or not step.absence_tells:
            return False
        now = self.client.clock()
        persona = self.client.server_clock.time(now)
        if persona is None or answered.updated_at is None:
            return True  # nothing tells
        changed = datetime.fromisoformat(answered.updated_at)
        age = (persona - (changed if changed.tzinfo else changed.replace(tzinfo=UTC))).total_seconds()
        return age > now - exchange.attempt.key_born + _DATES_DIFFER

    async def _settle_error(self, work: RowWork, error: PersonaError) -> None:
        """Find the outcome of a row after its last call failed or got no answer."""
        has_unusable_answer = isinstance(error, PersonaAnswerError) and bool(work.exchanges)
        if not (isinstance(error, PersonaUnresolvedError) or has_unusable_answer):
            # A look that failed tells nothing of what an attempt before may have done, unless there is no such object.
            is_open = work.context.in_doubt and not work.exchanges and not isinstance(error, PersonaNotFoundError)
            work.become(RowOutcome.UNRESOLVED if is_open else _failed(work), str(error), error)
            return
        try:
            await self._read(work)
        except PersonaError:
            work.become(RowOutcome.UNRESOLVED, str(error), error)
            return
        missing = work.update.change.steps(_resource(work))
        if missing and error.status == _CONFLICT:
            work.become(RowOutcome.UNRESOLVED, f"Persona may still be at work on it: {error}", error)
            return
        # The step under way may have been done although it failed, and whoever reads of the failure must know it.
        sent = _last_sent(work)
        if sent is not None and sent not in missing:
            work.done.append(sent)
        outcome = _failed(work)
        hidden = work.hidden_of(sent) if sent in missing else ""
        if sent in missing and sent is not None and (hidden or not sent.absence_tells):
            outcome = RowOutcome.UNRESOLVED
        if outcome is RowOutcome.UNRESOLVED:
            work.become(outcome, f"a later read cannot tell{hidden}: {error}", error)
        elif any(step.absence_tells or step not in work.done for step in missing):
            work.become(outcome, f"a later read does not show the change: {error}", error)
        else:
            work.become(RowOutcome.UPDATED, SHOWN_LATER)


def _failed(work: RowWork) -> RowOutcome:
    """Return the outcome of a row for which a call failed; unresolved where another of its calls is still in doubt.

    An attempt that broke off may have made a call that shows nowhere and must not be made twice. Called failed, the row
    would be in doubt no more, and the next attempt would make that call under a new key.
    """
    told = (_last_sent(work), *work.done)
    steps = work.update.change.steps() if work.context.in_doubt else ()
    is_open = any(not step.may_be_made_anew and step not in told for step in steps)
    return RowOutcome.UNRESOLVED if is_open else RowOutcome.FAILED


def _last_sent(work: RowWork) -> Step | None:
    """Return the step under way, or the last one, if its call was sent."""
    return work.step if work.exchanges and work.exchanges[-1].sent else None


def _resource(work: RowWork) -> object | None:
    """Return the object as last read, for steps; None to assume nothing."""
    return None if work.current is None else work.current.resource
