"""Checks which environment of Persona answers before anything is written to it."""

from __future__ import annotations

from airflow_provider_persona.api.errors import PersonaSettingsError
from airflow_provider_persona.api.messages import Request, Response
from airflow_provider_persona.api.operations import operation


class EnvironmentGuard:
    """Compares the `Persona-Environment-Id` of each answer with the expected one.

    :param expected: id of the environment (`env_…`), or None for any.
    :param label: name of the connection, which messages begin with, or empty.
    """

    def __init__(self, expected: str | None, label: str = "") -> None:
        self._expected = expected
        self._named = f"{label}: " if label else ""
        self.seen: str | None = None

    def expect(self, environment: str | None) -> None:
        """Expect an environment from now on, for example that of a plan; None changes nothing.

        :raises PersonaSettingsError: when another one is expected, or has answered already.
        """
        if environment is None:
            return
        other = next((known for known in (self._expected, self.seen) if known not in (None, environment)), None)
        if other is not None:
            raise PersonaSettingsError(
                f"{self._named}the plan is for environment {environment}, and the connection is for {other}; nothing "
                "was written"
            )
        self._expected = environment

    def question_before(self, request: Request) -> Request | None:
        """Return a cheap read that must be sent before a write while the environment is unknown; else None."""
        if self._expected is None or self.seen is not None or request.only_reads:
            return None
        return operation("list-all-rate-limits").bind()

    def check(self, response: Response) -> None:
        """Compare the environment of an answer.

        :raises PersonaSettingsError: when another one is expected.
        """
        answered = response.environment_id
        if answered is None:
            return
        if self._expected is not None and answered != self._expected:
            more = "" if self.seen is None else "more "  # this may be the answer to a write
            self.seen = None  # the next write must ask again
            raise PersonaSettingsError(
                f"{self._named}the API key belongs to environment {answered}, but the connection expects "
                f"{self._expected}; nothing {more}is written to it. Check the key, or the connection's expected "
                "environment id",
                request_id=response.request_id,
            )
        self.seen = answered

    def require_known(self) -> None:
        """Check that the environment is known where one is expected.

        :raises PersonaSettingsError: when no answer has named it.
        """
        if self._expected is not None and self.seen is None:
            raise PersonaSettingsError(
                f"{self._named}the connection expects environment {self._expected}, but the answers name none; check "
                "host and key, or clear the connection's expected environment id"
            )
