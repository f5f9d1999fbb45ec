"""A row under way: what an earlier attempt left to know about it, and what has become of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from airflow_provider_persona.api.case_change import CaseChange
from airflow_provider_persona.api.errors import (
    PersonaAuthenticationError,
    PersonaError,
    PersonaPermissionError,
    PersonaRateLimitError,
    PersonaSettingsError,
)
from airflow_provider_persona.api.exchange import Exchange
from airflow_provider_persona.api.models import Case
from airflow_provider_persona.bulk.outcomes import RowOutcome, RowResult
from airflow_provider_persona.bulk.plan import PlanRow

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
    :param remark: what is to be said of an update.
    :param current: the case as last read.
    :param read_at: when it was, by the client's clock.
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
    remark: str = ""
    current: Case | None = None
    read_at: float = -math.inf

    @property
    def case_id(self) -> str:
        """The case; rows without one are never worked on."""
        assert self.row.object_id is not None
        return self.row.object_id

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
        generations = [exchange.sent_generation for exchange in self.exchanges]
        return RowResult(
            row=self.row.number,
            object_id=self.row.object_id,
            outcome=self.outcome,
            from_status=self.from_status,
            to_status=self.row.change.status if self.row.change is not None else None,
            reason=self.reason,
            http_status=self.http_status,
            request_ids=tuple(self.request_ids),
            generation=max(generations, default=self.context.generation),
            attempts=sum(exchange.sent for exchange in self.exchanges),
            retryable=self.error is not None and self.error.retryable,
            at=at,
        )
