"""The circuit breaker: when most requests of a run fail, it stops sending, instead of failing row by row."""

from __future__ import annotations

from airflow_provider_persona.bulk.errors import BulkError

DEFAULT_RETRY_SHARE = 0.5


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
