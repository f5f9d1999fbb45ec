"""What earlier attempts at a plan left to do, and what they left to know about each row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from airflow_provider_persona.api.retry import KEY_GOOD_FOR
from airflow_provider_persona.api.server_clock import is_fresh
from airflow_provider_persona.bulk.apply.row_work import RowContext
from airflow_provider_persona.bulk.ledger.ledger import LedgerState
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.plan.file import Plan, Planned, PlanRow


@dataclass(slots=True)
class EarlierAttempts:
    """What is known of the attempts before this one.

    :param state: what their ledger says. This attempt adds its own outcomes to it.
    :param is_incomplete: whether the ledger does not tell all, so that any row without an outcome may have been sent.
    :param is_replanned: whether the plan replaces one that was lost, so that it saw objects as they left them.
    :param utc: UTC time, the later one where clocks differ.
    :param check_stop: called every thousand settled rows; what it raises, `rows_left` raises.
    """

    state: LedgerState
    utc: Callable[[], datetime]
    is_incomplete: bool = False
    is_replanned: bool = False
    check_stop: Callable[[], None] = lambda: None
    keys_are_old: bool = field(init=False)
    """Whether Persona may have forgotten the idempotency keys of rows that were under way, at the beginning."""

    def __post_init__(self) -> None:
        # Not `last_at` alone: an attempt that resumed has written lines since, and older keys than these are in doubt.
        last = self.state.in_doubt_since or self.state.last_at
        self.keys_are_old = last is not None and not is_fresh(_seconds_since(last, self.utc()), KEY_GOOD_FOR)

    def rows_left(self, plan: Plan) -> Iterator[tuple[PlanRow, RowContext]]:
        """Yield the rows of the plan that are not settled, each with what is known about it."""
        new = 0
        for row in plan.rows():
            if self.state.is_settled(row.number):
                if row.number % 1000 == 0:
                    self.check_stop()  # a million of them take many seconds, in which the event loop hears of no stop
                continue
            if row.planned is not Planned.CHANGE and not self.is_replanned:
                yield row, RowContext()  # no attempt sent anything for it
                continue
            # Rows are begun in their order, so those without an outcome that come first were under way. A dry run
            # sends nothing, so its outcome is none.
            is_new = self.state.outcome(row.number) in (None, RowOutcome.PLANNED)
            is_new = is_new and row.number not in self.state.begun  # what was begun by its own note counts apart
            in_doubt, may_be_lost = self.state.in_doubt > new, self.state.unsynced > new
            new += is_new and row.planned is Planned.CHANGE
            yield row, self.context(row.number, in_doubt=in_doubt, may_be_lost=may_be_lost)

    def context(self, row: int, *, in_doubt: bool, may_be_lost: bool) -> RowContext:
        """Return what is known about a row.

        :param row: its number.
        :param in_doubt: whether, if it has no outcome yet, it may have been under way when an attempt broke off.
        :param may_be_lost: whether, if it has none, a power cut may have taken its lines.
        """
        outcome, begun_at = self.state.outcome(row), self.state.begun.get(row)
        generation = self.state.generations.get(row, 0)
        # These first, whatever the age of a key: the one to come is new to Persona, so only a look tells what was done.
        if outcome is RowOutcome.UNRESOLVED or self.is_incomplete:
            return RowContext(generation, in_doubt=True, look_first=True, begun_at=begun_at)
        if begun_at is not None:
            age = _seconds_since(begun_at, self.utc())
            # While its key is remembered, sending it again tells its outcome.
            is_old = not is_fresh(age, KEY_GOOD_FOR)
            return RowContext(generation, in_doubt=True, look_first=is_old, begun_at=begun_at, key_age=max(0.0, age))
        if outcome is RowOutcome.FAILED or generation:
            in_doubt, may_be_lost = self.state.in_doubt > 0, self.state.unsynced > 0
        look_first = in_doubt and self.keys_are_old
        return RowContext(generation, in_doubt=in_doubt, may_be_lost=may_be_lost, look_first=look_first)


def _seconds_since(at: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(at)).total_seconds()
