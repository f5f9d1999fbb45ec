"""The circuit breaker: a run that only fails stops, instead of failing row by row to its end."""

from __future__ import annotations

from airflow_provider_persona.bulk.outcomes import RowOutcome


class Breaker:
    """Counts failures that say something about the service, not about a row.

    :param patience: so many rows in a row that failed for want of a working service open it.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._in_a_row = 0

    def saw(self, outcome: RowOutcome, *, retryable: bool) -> None:
        """Take in what became of a row that was sent."""
        if retryable and outcome in (RowOutcome.FAILED, RowOutcome.UNRESOLVED):
            self._in_a_row += 1
        elif outcome in (RowOutcome.UPDATED, RowOutcome.UNCHANGED, RowOutcome.FAILED):
            self._in_a_row = 0  # a refusal of the row itself, too, comes from a service that works

    @property
    def is_open(self) -> bool:
        """Whether to stop sending."""
        return self._in_a_row >= self._patience
