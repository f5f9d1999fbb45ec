"""What can go wrong with a bulk run, apart from Persona's own errors."""

from __future__ import annotations


class BulkError(Exception):
    """A bulk run cannot begin or did not end well.

    :param retryable: whether doing the same again may help.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class MissingColumnError(BulkError):
    """The rows lack a column that the mapping names."""


class PlanError(BulkError):
    """A plan or ledger cannot be used: edited, half-written, stale, or another run's."""


class StoreError(BulkError):
    """The folder for plan and ledger cannot be read or written."""


class RunFailedError(BulkError):
    """The run did all it could, and more rows failed than are allowed, or the balance does not hold."""


class RunStoppedError(BulkError):
    """The run stopped before its end; what is left was not done, and a further attempt goes on from there."""


class ThresholdError(BulkError):
    """A plan exceeds what it may do; nothing was written."""
