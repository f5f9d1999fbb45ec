"""Secrets that a call makes: they go to an Airflow Variable, which Airflow encrypts, or to a function of the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from airflow_provider_persona.api.errors import PersonaAnswerError

Deliver: TypeAlias = Callable[[Mapping[str, Any]], object]
"""Takes the secrets of an answer by name, and the object's `id`."""

VARIABLE_DOC: Final = "name of the Airflow Variable that the secret goes to; without it give `deliver`."


@dataclass(frozen=True, slots=True, repr=False)
class NewSecret:
    """A secret that a call has made.

    :param operation_id: the call.
    :param resource_id: the object that it belongs to.
    :param secrets: the secrets of the answer, by name.
    :param text_of: returns the text for a Variable; called with `secrets`.
    """

    operation_id: str
    resource_id: str | None
    secrets: Mapping[str, Any]
    text_of: Callable[[Mapping[str, Any]], str]

    def go_to(self, variable: Any, deliver: Deliver | None, log: Callable[..., object]) -> None:
        """Put the secret into a Variable, or hand all secrets to a function.

        :param variable: name of the Variable, as rendered, or None.
        :param deliver: the function, or None.
        :param log: writes a line into the task's log.
        :raises PersonaAnswerError: when the answer holds no secret.
        """
        if not self.secrets:
            raise PersonaAnswerError(
                f"the answer to {self.operation_id} holds no secret; look whether the attribute blocklist of the "
                "connection's key holds it back",
                operation_id=self.operation_id,
            )
        if variable is None:
            if deliver is not None:
                deliver({"id": self.resource_id, **self.secrets})
            return
        from airflow_provider_persona.version_compat import Variable

        Variable.set(variable, self.text_of(self.secrets), description=f"Secret of Persona's {self.resource_id}")
        log("The secret of %s is in the Variable %s", self.resource_id, variable)
