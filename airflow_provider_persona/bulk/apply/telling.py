"""Tells how far an attempt is, how long the rest takes, and how it ended: for the log and for the task's state.

The rest is counted in requests, because the request limit decides when they may go out: what is left to send, over
what each window leaves. So the time left is right from the first answer on, also after a resume and during a wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final

from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.ledger.ledger import AttemptEnd
from airflow_provider_persona.bulk.ledger.limit_use import LimitUse
from airflow_provider_persona.bulk.ledger.outcomes import NOT_DONE, RowOutcome
from airflow_provider_persona.bulk.ledger.report import Progress
from airflow_provider_persona.bulk.plan.file import PlanHeader
from airflow_provider_persona.client import AsyncPersonaClient

FIRST_MINUTE: Final = 60.0
"""Seconds in which every look is logged: a person is watching whether it works at all."""

_PAUSE: Final = 30.0
"""Seconds between two lines after that,"""
_STEP: Final = 0.05
"""or the share of all rows that is done between them, if that comes first."""

_SIGN_OF_LIFE: Final = 300.0
"""Seconds after which an attempt that does not get on says so again."""

_TELLING: Final = 20
"""Rows of an attempt, and requests, from which on their average tells something of the rest."""


class Telling:
    """What one attempt reports.

    :param client: the client that sends for it.
    :param header: the plan's header.
    :param options: how the plan is applied.
    :param on_progress: takes each line that is worth one.
    """

    def __init__(
        self,
        client: AsyncPersonaClient,
        header: PlanHeader,
        options: ApplyOptions,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._client = client
        self._rows = header.rows
        reads = options.read_first or options.heed_drift or header.guards.needs_read()
        # Requests a row, before the attempt itself tells.
        self._usual = header.changes / max(1, header.rows) * (2 if reads else 1)
        self._on_progress = on_progress
        self.begin(0)

    def begin(self, resumed: int) -> None:
        """Begin to count now.

        :param resumed: rows that an earlier attempt had settled.
        """
        self._resumed = resumed
        self.began = self._client.clock()
        self.before = self._client.usage.copy()
        self.limit_use = LimitUse(self._client.budget.reserve)
        self._last: tuple[object, ...] | None = None
        self._last_at = self.began
        self._last_done = resumed

    def tell(self, counts: Counter[RowOutcome], note: str = "") -> None:
        """Tell how far the attempt is, if that is worth a line.

        :param counts: rows by outcome.
        :param note: what else is to be said; it is always worth one.
        """
        progress, now = self.progress(counts, note), self._client.clock()
        if not note and not self._is_due(progress, now):
            return
        self._last, self._last_at, self._last_done = _state(progress), now, progress.done
        self._on_progress(progress)

    def note_limit(self, at: datetime) -> None:
        """Note how much of the request limit is used now.

        :param at: UTC time.
        """
        sent = self._client.usage.requests - self.before.requests
        self.limit_use.note(at, sent, self._client.budget.window(self._client.clock()))

    def progress(self, counts: Counter[RowOutcome], note: str = "") -> Progress:
        """Return how far the attempt is now."""
        now, usage = self._client.clock(), self._client.usage
        done = counts.total()
        until = usage.waiting_until  # for a moment it may lie behind: the call that waited has not got on yet
        return Progress(
            done=done,
            rows=self._rows,
            counts=dict(counts),
            rate=(done - self._resumed) / max(now - self.began, 1e-9),
            waits_for=None if until is None or until < now else until - now,
            left=self._seconds_left(done, now),
            note=note,
        )

    def sentence(
        self, counts: Counter[RowOutcome], at: datetime, end: AttemptEnd | None = None, why: str | None = None
    ) -> str:
        """Return how the attempt stands or ended, for whoever looks at the task's state.

        :param counts: rows by outcome.
        :param at: UTC time.
        :param end: how it ended; None while it is under way. A state that stays so is that of an attempt that was
            killed: nobody could write another one.
        :param why: why it stopped.
        """
        if end is None:
            return f"Under way at {at:%H:%M:%S} UTC: {self.progress(counts)}"
        failed = sum(counts[outcome] for outcome in NOT_DONE)
        told = {
            AttemptEnd.COMPLETE: "Done",
            AttemptEnd.FAILED: "Done, and too many rows failed",
            AttemptEnd.SAMPLED: "Done with the sample",
            AttemptEnd.STOPPED: f"Stopped ({why})" if why else "Stopped",
        }[end]
        by_outcome = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in RowOutcome if counts[outcome])
        return f"{told} at {at:%H:%M:%S} UTC: {counts.total()} of {self._rows} rows, {failed} failed ({by_outcome})"

    def _is_due(self, progress: Progress, now: float) -> bool:
        since = now - self._last_at
        if _state(progress) == self._last:
            return since >= _SIGN_OF_LIFE
        if now - self.began <= FIRST_MINUTE:
            return True
        return since >= _PAUSE or progress.done - self._last_done >= _STEP * self._rows

    def _seconds_left(self, done: int, now: float) -> float | None:
        """Return the seconds that the rest takes, as far as it can be known."""
        usage, before = self._client.usage, self.before
        own_rows, sent = done - self._resumed, usage.requests - before.requests
        a_row = sent / own_rows if own_rows >= _TELLING else self._usual
        requests = round((self._rows - done) * a_row)
        if requests <= 0:
            return 0.0 if done >= self._rows else None
        waited = usage.waited - before.waited
        if usage.waiting_since is not None:
            waited += now - max(usage.waiting_since, self.began)
        a_request = max(0.0, now - self.began - waited) / sent if sent >= _TELLING else 0.0
        windows = self._client.budget.time_for(requests, now)
        if windows is None:
            return requests * a_request if sent >= _TELLING else None
        until_last, in_last = windows
        if not until_last and sent < _TELLING:
            return None  # the limit does not hold it up, and how fast it goes is not known yet
        return max(until_last + in_last * a_request, requests * a_request)


def _state(progress: Progress) -> tuple[object, ...]:
    """Return what makes a line another one: a wait that gets shorter does not."""
    return (progress.done, *sorted(progress.counts.items()), progress.waits_for is None)
