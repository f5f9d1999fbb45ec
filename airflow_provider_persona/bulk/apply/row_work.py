"""A row under way: what an earlier attempt left to know about it, and its outcome so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from airflow_provider_persona.api.errors import PersonaError
from airflow_provider_persona.api.exchange import Exchange
from airflow_provider_persona.api.steps import Step
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome, RowResult
from airflow_provider_persona.bulk.plan.file import PlanRow
from airflow_provider_persona.bulk.subjects.subject import ObjectState, ObjectUpdate

_PERHAPS_BEGUN = "; an attempt that was cut off began this row or may have, and whether it wrote is unknown"


@dataclass(frozen=True, slots=True)
class RowContext:
    """What an earlier attempt left to know about a row.

    :param generation: generation of keys to begin with.
    :param in_doubt: whether an earlier attempt may have written to the object.
    :param may_be_lost: whether it may have too if a power cut took what it noted. That is rare, so nothing is asked of
        Persona for it; only reasons tell it.
    :param look_first: whether to read the object before writing, because sending it again would not tell.
    :param begun_at: UTC time at which an earlier attempt began the row without an outcome, ISO 8601, or None.
    :param key_age: seconds since then, by which the keys of its calls are older than this attempt.
    """

    generation: int = 0
    in_doubt: bool = False
    may_be_lost: bool = False
    look_first: bool = False
    begun_at: str | None = None
    key_age: float = 0.0

    @property
    def may_be_own_doing(self) -> bool:
        """Whether the object may be as it is because an earlier attempt made it so."""
        return self.in_doubt or self.may_be_lost

    @property
    def doubt(self) -> str:
        """What is not known of the row, for a reason; empty when nothing was sent for it as far as is known."""
        if self.begun_at is None:
            return _PERHAPS_BEGUN if self.may_be_own_doing else ""
        return f"; an attempt that was cut off began this row at {self.begun_at}, and whether it wrote is unknown"


@dataclass(slots=True)
class RowWork:
    """A row under way, and its outcome so far.

    :param row: the row.
    :param context: what an earlier attempt left to know about it.
    :param identity: what makes its calls the same when they are made again.
    :param outcome: its outcome, once it is settled.
    :param reason: why, for a person.
    :param error: the error behind a failure.
    :param status: the object's status as last read or answered.
    :param from_status: its status before the first write, when it was read.
    :param http_status: status of the last answer.
    :param request_ids: Persona's API logs of the writes.
    :param exchanges: the writes.
    :param step: the step under way, or the last one; None before the first.
    :param done: steps that were made true.
    :param remark: reason to note for an update.
    :param current: the object as last read.
    :param answer_may_be_old: whether the last answer may be one that Persona repeated from before.
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
    step: Step | None = None
    done: list[Step] = field(default_factory=list)
    remark: str = ""
    current: ObjectState | None = None
    read_at: float = -math.inf
    answer_may_be_old: bool = False

    @property
    def update(self) -> ObjectUpdate:
        """The change of an object that the row asks for; rows without one are never worked on."""
        assert isinstance(self.row.wanted, ObjectUpdate)
        return self.row.wanted

    @property
    def was_sent(self) -> bool:
        """Whether any of its writes was sent."""
        return any(exchange.sent for exchange in self.exchanges)

    def hidden_of(self, step: Step | None) -> str:
        """Return what the last read hides of the parts that a step changes, for a reason; empty when it shows all."""
        if step is None or self.current is None:
            return ""
        hidden = ", ".join(self.current.hidden(step.shows_in))
        return f", because it shows no {hidden}; check the attribute blocklist of the API key" if hidden else ""

    def become(self, outcome: RowOutcome, reason: str = "", error: PersonaError | None = None) -> None:
        """Settle the row."""
        if self.done and outcome is not RowOutcome.UPDATED:
            changed = ", ".join(dict.fromkeys(step.part for step in self.done))
            reason = f"{reason}; already changed: {changed}"
        self.reason = reason
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
            to_status=self.row.to_status,
            reason=self.reason,
            http_status=self.http_status,
            request_ids=tuple(self.request_ids),
            generation=max(generations, default=self.context.generation),
            attempts=sum(exchange.sent for exchange in self.exchanges),
            retryable=self.error is not None and self.error.retryable,
            at=at,
        )
