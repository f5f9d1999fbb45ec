"""When a run stops before its end: what must stop it, and the first reason that did."""

from __future__ import annotations

from typing import Any

from airflow_provider_persona.api.errors import PersonaError, PersonaPermissionError
from airflow_provider_persona.bulk.apply.breaker import CircuitBreaker
from airflow_provider_persona.bulk.errors import STOPS_THE_RUN

_FORBIDDEN = 5
"""Rows one after another that Persona forbids before the run stops."""


class Halt:
    """Weighs what becomes of the rows. Once it says why the run stops, that stays.

    `why` is the reason, None while the run goes on. `is_for_good` says that another attempt would stop at the same.
    `retry_after` is the seconds until a limit that stopped it is reset, where Persona said so.

    :param breaker: knows how retries and successes stand.
    """

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.breaker = breaker
        self.why: str | None = None
        self.is_for_good = False
        self.retry_after: float | None = None
        self._forbidden = 0

    def stop(self, why: str, *, for_good: bool = False, retry_after: float | None = None) -> None:
        """Stop the run, unless something else has stopped it."""
        if self.why is None:
            self.why, self.is_for_good, self.retry_after = why, for_good, retry_after

    def in_report(self) -> dict[str, Any]:
        """Return what the report says of the stop, by its arguments."""
        return {"stopped": self.why, "stopped_for_good": self.is_for_good, "retry_after": self.retry_after}

    def weigh(self, error: PersonaError | None) -> None:
        """Stop the run when a row's error would meet every further row too.

        :param error: the row's error, None when it had none.
        """
        if isinstance(error, STOPS_THE_RUN):
            self.stop(str(error), for_good=not error.retryable, retry_after=error.retry_after)
        # One object may be out of reach for the key by itself. Several in a row are no accident.
        self._forbidden = self._forbidden + 1 if isinstance(error, PersonaPermissionError) else 0
        if error is not None and self._forbidden >= _FORBIDDEN:
            self.stop(f"{_FORBIDDEN} rows one after another were forbidden, the last with: {error}", for_good=True)

    def ask_breaker(self, reason: str) -> None:
        """Stop the run when the breaker is open.

        :param reason: why the last row failed, or empty.
        """
        if self.breaker.is_open:
            self.stop(f"{self.breaker}. The last failure: {reason}" if reason else str(self.breaker))
