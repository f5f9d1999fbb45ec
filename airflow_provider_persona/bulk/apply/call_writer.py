"""Settles one row that calls an operation of the catalogue: sends it once, and notes the outcome.

Nothing is known here of what the operation does, so nothing can be looked up. A repeatable operation may be sent again
under a new key after a failure; any other only under the same key, which makes Persona replay what it did.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_persona.api.errors import PersonaError, PersonaUnresolvedError
from airflow_provider_persona.api.messages import Request, Response
from airflow_provider_persona.bulk.apply.row_work import RowContext, RowWork
from airflow_provider_persona.bulk.errors import STOPS_THE_RUN
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.plan.file import PlanRow
from airflow_provider_persona.bulk.subjects.subject import CallRow
from airflow_provider_persona.client import AsyncPersonaClient


@dataclass(frozen=True, slots=True)
class CallWriter:
    """Settles rows, one at a time each, many at once.

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
            unresolved = isinstance(error, PersonaUnresolvedError) and not isinstance(error, STOPS_THE_RUN)
            work.become(RowOutcome.UNRESOLVED if unresolved else RowOutcome.FAILED, str(error), error)
            return
        assert isinstance(response, Response)
        work.http_status = response.status
        if response.request_id is not None:
            work.request_ids.append(response.request_id)
        work.become(RowOutcome.UPDATED)
