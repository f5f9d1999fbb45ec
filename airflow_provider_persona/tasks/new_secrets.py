"""Secrets that a call makes: they go to an Airflow Variable, which Airflow encrypts, or to a function of the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.tasks.arguments import as_text, is_given

Deliver: TypeAlias = Callable[[Mapping[str, Any]], object]
"""Takes the secrets of an answer by name, and the object's `id`."""

VARIABLE_DOC: Final = "name of the Airflow Variable that the secret goes to; without it give `deliver`."


def as_variable(value: Any, name: str) -> str | None:
    """Return the name of a Variable; None when none is given.

    :raises BadCallError: when a template found none. By the time of the answer the secret would have no place to go.
    """
    found = as_text(value, name)
    if found is not None and not is_given(found):
        raise BadCallError(f"{name} is the name of a Variable, and its template found none; nothing was sent")
    return found


def to_variable(text_of: Callable[[Mapping[str, Any]], str]) -> Any:
    """Return the method `hand_over` of an operator with `secret_variable`: it fills that Variable, or calls `deliver`.

    :param text_of: returns the text for the Variable; called with the secrets of the answer, by name.
    """

    def hand_over(operator: Any, secrets: Mapping[str, Any], resource_id: str | None) -> None:
        if not secrets:
            raise PersonaAnswerError(
                f"the answer to {operator.operation_id} holds no secret; look whether the attribute blocklist of the "
                "connection's key holds it back",
                operation_id=operator.operation_id,
            )
        if operator.secret_variable is None:
            if operator.deliver is not None:
                operator.deliver({"id": resource_id, **secrets})
            return
        from airflow_provider_persona.version_compat import Variable

        Variable.set(operator.secret_variable, text_of(secrets), description=f"Secret of Persona's {resource_id}")
        operator.log.info("The secret of %s is in the Variable %s", resource_id, operator.secret_variable)

    return hand_over
