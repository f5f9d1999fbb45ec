"""Which writer settles the rows of a plan, and which rows are left to a later attempt."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
from collections import defaultdict
from dataclasses import dataclass

from airflow_provider_persona.api.errors import PersonaError, PersonaUnresolvedError
from airflow_provider_persona.api.messages import Request, Response
from airflow_provider_persona.bulk.apply.object_writer import ObjectWriter
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.row_work import RowContext, RowWork
from airflow_provider_persona.bulk.errors import STOPS_THE_RUN
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.plan.file import Plan, Planned, PlanRow
from airflow_provider_persona.bulk.subjects.subject import CallRow, ObjectSubject, ObjectUpdate
from airflow_provider_persona.client import AsyncPersonaClient

_LEFT = "not in the sample"


@dataclass(frozen=True, slots=True)
class CallWriter:
    """Settles rows that call an operation of the catalogue, one at a time each, many at once.

    Nothing is known here of what the operation does, so nothing can be looked up. A repeatable operation may be sent
    again under a new key after a failure; any other only under the same key, which makes Persona replay what it did.

    :param client: the client to call with.
    :param identity: identity of the plan, part of every idempotency key.
    :param dry_run: whether to write nothing.
    """

    client: AsyncPersonaClient
    identity: str
    dry_run: bool

    async def settle(self, row: PlanRow, context: RowContext) -> RowWork:
        """Make the row's call, and return the row with its outcome.

        :raises PersonaError: one of `STOPS_THE_RUN`, before anything was written; the row is then not settled.
        """
        work = RowWork(row, context, f"{self.identity}:{row.number}")
        if not isinstance(row.wanted, CallRow):
            work.become(RowOutcome.INVALID, row.reason)
        elif self.dry_run:
            work.become(RowOutcome.PLANNED)
        else:
            await self._send(work, row.wanted.request())
        return work

    async def _send(self, work: RowWork, request: Request) -> None:
        # Persona has forgotten an old key, and would take the call for a new one.
        keyed = request.takes_idempotency_key and not work.context.look_first
        if work.context.in_doubt and not request.repeatable and not keyed:
            error = PersonaUnresolvedError(
                f"whether {request.operation_id} was done before an interruption is unknown, and its key is too old to "
                "tell; look before doing it again",
                operation_id=request.operation_id,
            )
            work.become(RowOutcome.UNRESOLVED, str(error), error)
            return
        exchange = self.client.exchange(
            request, work.identity, work.context.generation, maybe_done=work.context.in_doubt
        )
        exchange.was_begun(work.context.key_age)
        try:
            work.exchanges.append(exchange)
            response = await self.client.carry_out(exchange)
        except PersonaError as error:
            if isinstance(error, STOPS_THE_RUN) and not exchange.sent:
                raise
            unresolved = isinstance(error, PersonaUnresolvedError)
            work.become(RowOutcome.UNRESOLVED if unresolved else RowOutcome.FAILED, str(error), error)
            return
        assert isinstance(response, Response)
        work.http_status = response.status
        if response.request_id is not None:
            work.request_ids.append(response.request_id)
        work.become(RowOutcome.UPDATED)


class PlanWriter:
    """Settles the rows of a plan, one at a time each, many at once.

    :param plan: the plan.
    :param client: the client to call with.
    :param options: how the plan is applied.
    """

    def __init__(self, plan: Plan, client: AsyncPersonaClient, options: ApplyOptions) -> None:
        self._plan = plan
        self._options = options
        header, subject = plan.header, plan.header.subject
        self._writer: ObjectWriter | CallWriter = (
            ObjectWriter(
                client,
                subject,
                header.identity,
                guards=header.guards,
                compare=options.read_first,
                dry_run=options.dry_run,
                heed_drift=options.heed_drift,
                asks_time=header.asks_time,
                keys_may_be_old=options.keys_may_be_old,
            )
            if isinstance(subject, ObjectSubject)
            else CallWriter(client, header.identity, dry_run=options.dry_run)
        )
        self._sample: frozenset[int] | None = None

    @property
    def sample_size(self) -> int | None:
        """Rows in the sample; None where all rows are settled."""
        return None if self._sample is None else len(self._sample)

    async def choose_sample(self) -> None:
        """Choose the rows of the sample, if there is to be one.

        :raises PlanError: when the plan was changed since it was checked.
        """
        if self._options.sample is not None and not self._options.dry_run:
            # In a thread: to read a million rows takes seconds, in which a stop would not be heard.
            self._sample = await asyncio.to_thread(sampled_rows, self._plan, self._options.sample)

    def sends(self, row: PlanRow) -> bool:
        """Whether something may be sent for a row, so that it must be noted before."""
        return row.planned is Planned.CHANGE and not self._options.dry_run and not self._leaves(row)

    def is_blind(self, row: PlanRow) -> bool:
        """Whether no look could tell if all of a row was done, and doing it twice would do harm."""
        if isinstance(row.wanted, ObjectUpdate):
            return not all(step.may_be_made_anew for step in row.wanted.change.steps())
        return isinstance(row.wanted, CallRow) and not row.wanted.request().repeatable

    async def settle(self, row: PlanRow, context: RowContext) -> RowWork:
        """Do what the row asks for, and return the row with its outcome.

        :raises PersonaError: one that stops the run, before anything was written; the row is then not settled.
        """
        if not self._leaves(row):
            return await self._writer.settle(row, context)
        work = RowWork(row, context, "", from_status=row.from_status)
        work.become(RowOutcome.PLANNED, _LEFT)
        return work

    def _leaves(self, row: PlanRow) -> bool:
        return self._sample is not None and row.planned is Planned.CHANGE and row.number not in self._sample


def sampled_rows(plan: Plan, size: int) -> frozenset[int]:
    """Return the numbers of the rows in a plan's sample, spread over its transitions (`from -> to` status).

    The first rows are one of each transition, the next ones another of each, and so on. Within a transition chance
    decides, by the plan's hash. So each attempt has the same sample, and a bigger sample holds each smaller one.

    :param plan: the plan.
    :param size: rows that are to be changed.
    :raises PlanError: when the plan was changed since it was checked.
    """
    by_transition: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, transition in plan.changes():
        kept = by_transition[transition]
        item = (-_rank(plan.header.hash, number), number)  # a heap gives its smallest, and the smallest ranks stay
        if len(kept) < size:
            heapq.heappush(kept, item)
        elif item > kept[0]:
            heapq.heapreplace(kept, item)
    turns = [
        (turn, transition, number)
        for transition, kept in by_transition.items()
        for turn, (_, number) in enumerate(sorted(kept, reverse=True))
    ]
    return frozenset(number for _, _, number in heapq.nsmallest(size, turns))


def _rank(plan_hash: str, number: int) -> int:
    # Not `hash`: that of a text is another one in each process, and each attempt must choose the same rows.
    return int.from_bytes(hashlib.sha256(f"{plan_hash}:{number}".encode()).digest()[:8])
