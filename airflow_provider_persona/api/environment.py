"""Making sure that the environment which answers is the one that was meant, before anything is written to it."""

from __future__ import annotations

from airflow_provider_persona.api.errors import PersonaSettingsError
from airflow_provider_persona.api.messages import Request, Response
from airflow_provider_persona.api.operations import operation


class EnvironmentGuard:
    """Compares the `Persona-Environment-Id` of every answer with the expected one.

    :param expected: the environment's id (`env_…`), or None to take any.
    """

    def __init__(self, expected: str | None) -> None:
        self._expected = expected
        self.seen: str | None = None

    def expect(self, environment: str | None) -> None:
        """Expect an environment from now on, for example the one that a plan was made in; None changes nothing.

        :raises PersonaSettingsError: when another one is expected or has answered already.
        """
        if environment is None:
            return
        other = next((known for known in (self._expected, self.seen) if known not in (None, environment)), None)
        if other is not None:
            raise PersonaSettingsError(
                f"the plan is for environment {environment}, and the connection is for {other}; nothing was written"
            )
        self._expected = environment

    def question_before(self, request: Request) -> Request | None:
        """Return a cheap read to be sent before `request`, when that may write and the environment is unknown."""
        if self._expected is None or self.seen is not None or request.method == "GET":
            return None
        return operation("list-all-rate-limits").bind()

    def check(self, response: Response) -> None:
        """Compare an answer's environment.

        :raises PersonaSettingsError: when it is another one than expected.
        """
        answered = response.environment_id
        if answered is None:
            return
        if self._expected is not None and answered != self._expected:
            raise PersonaSettingsError(
                f"the API key belongs to environment {answered}, but the connection expects {self._expected}; "
                "it is not written to. Check the key, or the connection's expected environment id",
                request_id=response.request_id,
            )
        self.seen = answered  # only now: after a mismatch the next write asks again, instead of going out

    def require_known(self) -> None:
        """Refuse to go on when an environment is expected and none was named.

        :raises PersonaSettingsError: then.
        """
        if self._expected is not None and self.seen is None:
            raise PersonaSettingsError(
                f"the connection expects environment {self._expected}, but the answers name none; check host and key, "
                "or clear the connection's expected environment id"
            )
