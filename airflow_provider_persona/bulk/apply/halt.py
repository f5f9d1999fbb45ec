"""When a run stops before its end: the circuit breaker, what else must stop it, and the first reason that did."""

from __future__ import annotations

from typing import Any

from airflow_provider_persona.api.errors import PersonaError, PersonaPermissionError, PersonaUnresolvedError
from airflow_provider_persona.bulk.errors import STOPS_THE_RUN, BulkError

DEFAULT_RETRY_SHARE = 0.5

_FORBIDDEN = 5
"""Rows one after another that Persona forbids before the run stops."""


class CircuitBreaker:
    """Weighs retries against successes.

    Every success earns a share of a retry, every retry costs one, and no more than an allowance can be saved up; so
    what counts is how things went lately. Waits for the request limit are no retries. Once open, it stays so.

    :param max_retry_share: retries for every success that are bearable, above 0.
    :param allowance: retries that are bearable without a success.
    """

    def __init__(self, max_retry_share: float = DEFAULT_RETRY_SHARE, allowance: int = 48) -> None:
        if not max_retry_share > 0:
            raise BulkError(f"max_retry_share is the retries for every success, above 0, not {max_retry_share}")
        self.max_retry_share = max_retry_share
        self._allowance = self._saved = float(allowance)
        self._successes = self._retries = 0
        self.is_open = False

    def succeeded(self) -> None:
        """Take in a request that was answered well, or refused for a reason of its own: the service works."""
        self._successes += 1
        self._saved = min(self._allowance, self._saved + self.max_retry_share)

    def retried(self) -> None:
        """Take in a request that has to be sent again, or was given up."""
        self._retries += 1
        self._saved -= 1
        self.is_open = self.is_open or self._saved < 0

    def __str__(self) -> str:
        return (
            f"Persona does not work as it should: lately more than {self.max_retry_share:g} retries for every success "
            f"({self._retries} and {self._successes} in all). The next attempt resumes from here"
        )


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
        if self.why is None:  # what comes after the first reason mostly comes from the stop itself
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
        self._forbidden = self._forbidden + 1 if _forbids(error) else 0
        if error is not None and self._forbidden >= _FORBIDDEN:
            self.stop(f"{_FORBIDDEN} rows one after another were forbidden, the last with: {error}", for_good=True)

    def ask_breaker(self, reason: str) -> None:
        """Stop the run when the breaker is open.

        :param reason: why the last row failed, or empty.
        """
        if self.breaker.is_open:
            self.stop(f"{self.breaker}. The last failure: {reason}" if reason else str(self.breaker))


def _forbids(error: PersonaError | None) -> bool:
    """Whether Persona forbids what a row asks for, or something in between does, with a page of its own."""
    return isinstance(error, PersonaPermissionError) or (
        isinstance(error, PersonaUnresolvedError) and error.status == 403
    )
