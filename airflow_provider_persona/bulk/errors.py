"""What can go wrong with a bulk run, apart from Persona's own errors."""

from __future__ import annotations

from airflow_provider_persona.api.errors import (
    PersonaAuthenticationError,
    PersonaKeyPermissionError,
    PersonaRateLimitError,
    PersonaSettingsError,
    ProviderError,
)

STOPS_THE_RUN = (PersonaAuthenticationError, PersonaKeyPermissionError, PersonaRateLimitError, PersonaSettingsError)
"""Persona's errors that say something about key, account or connection: every further row would get the same."""


class BulkError(ProviderError):
    """A bulk run cannot begin or did not end well."""


class MissingColumnError(BulkError):
    """The rows lack a column that the mapping names."""


class QueryError(BulkError):
    """The database refused the query, or broke off while it gave the rows."""


class PlanError(BulkError):
    """A plan or ledger cannot be used: edited, half-written, stale, or another run's."""


class RunFailedError(BulkError):
    """The run did all it could, and more rows failed than are allowed, or the balance does not hold."""


class RunStoppedError(BulkError):
    """The run stopped before its end; the next attempt resumes from there."""


class ThresholdError(BulkError):
    """A plan exceeds what it may do; nothing was written."""
