"""What can go wrong with Persona, as a tree of exceptions.

Each error says what happened, to which operation, and how it may be traced (`request_id` is the id of Persona's
API log). None holds a body, a detail text, a key or a header: those may hold personal data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_provider_persona.api.messages import Response

_TITLE_LENGTH = 120


class PersonaError(Exception):
    """Anything that went wrong between us and Persona.

    :param message: what happened, to what, and what to do.
    :param status: HTTP status, when there was an answer.
    :param title: Persona's title of the error, when the answer has one. Its wording may change: do not match on it.
    :param pointer: JSON pointer to the part of the request that Persona refused (`/meta/status`).
    :param request_id: id of Persona's API log of the call (`req_…`).
    :param operation_id: the operation of the catalogue.
    :param retryable: whether the same call may succeed later; by default what the class says.
    """

    retryable_by_default: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        title: str | None = None,
        pointer: str | None = None,
        request_id: str | None = None,
        operation_id: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.title = title
        self.pointer = pointer
        self.request_id = request_id
        self.operation_id = operation_id
        self.retryable = self.retryable_by_default if retryable is None else retryable

    def to_event(self) -> dict[str, Any]:
        """Return the error as plain data, for the event of a trigger. `error_from_event` is the way back."""
        return {
            "type": type(self).__name__,
            "message": str(self),
            "status": self.status,
            "title": self.title,
            "pointer": self.pointer,
            "request_id": self.request_id,
            "operation_id": self.operation_id,
            "retryable": self.retryable,
        }


class PersonaSettingsError(PersonaError, ValueError):
    """The connection or an argument cannot be used as it is."""


class PersonaAuthenticationError(PersonaError):
    """401: the API key is missing, wrong or expired."""


class PersonaPermissionError(PersonaError):
    """403: the key lacks a permission, the address is not allowed, or the feature is not enabled for the account."""


class PersonaNotFoundError(PersonaError):
    """404: no such object in this environment."""


class PersonaConflictError(PersonaError):
    """409: the object changed meanwhile, or is not unique."""


class PersonaValidationError(PersonaError):
    """400 or 422: Persona refuses the request as it is."""


class PersonaRateLimitError(PersonaError):
    """429: the request limit of the environment or key is used up, and waiting for it was not possible."""

    retryable_by_default = True


class PersonaQuotaError(PersonaError):
    """429 or 403: a product quota (cases, inquiries, reports, …) is used up."""

    retryable_by_default = True


class PersonaServerError(PersonaError):
    """408 or 5xx: Persona or a proxy before it failed; the attempts are used up."""

    retryable_by_default = True


class PersonaTransportError(PersonaError):
    """No answer arrived; the attempts are used up."""

    retryable_by_default = True


class PersonaAnswerError(PersonaError):
    """An answer arrived that cannot be used: not JSON, a redirect, or not showing what was asked for."""


class PersonaUnresolvedError(PersonaError):
    """The outcome is unknown: Persona may or may not have done it. Look before doing it again."""


_TREE: dict[str, type[PersonaError]] = {
    cls.__name__: cls
    for cls in (
        PersonaError,
        PersonaSettingsError,
        PersonaAuthenticationError,
        PersonaPermissionError,
        PersonaNotFoundError,
        PersonaConflictError,
        PersonaValidationError,
        PersonaRateLimitError,
        PersonaQuotaError,
        PersonaServerError,
        PersonaTransportError,
        PersonaAnswerError,
        PersonaUnresolvedError,
    )
}


def error_from_event(event: Mapping[str, Any]) -> PersonaError:
    """Return the error that `PersonaError.to_event` described; a type unknown here becomes a plain `PersonaError`."""
    cls = _TREE.get(str(event.get("type")), PersonaError)
    return cls(
        str(event.get("message") or "Persona failed without a message"),
        status=event.get("status"),
        title=event.get("title"),
        pointer=event.get("pointer"),
        request_id=event.get("request_id"),
        operation_id=event.get("operation_id"),
        retryable=event.get("retryable"),
    )


_ADVICE = {
    400: "check the arguments",
    401: "check the API key in the connection's password",
    403: "check the key's permissions and allowed addresses, and whether the account has this feature",
    404: "check the id, and that the connection points at the environment that holds it",
    409: "read the object's present state before trying again",
    422: "check the value that the pointer names",
}


def first_problem(response: Response) -> Mapping[str, Any]:
    """Return the first entry of `errors` in an answer, or an empty mapping when it has none in Persona's shape."""
    try:
        parsed = response.json()
    except ValueError:
        return {}
    errors = parsed.get("errors") if isinstance(parsed, Mapping) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    return first if isinstance(first, Mapping) else {}


def is_quota(response: Response) -> bool:
    """Tell a used-up product quota from the request limit (429) or a missing permission (403).

    Persona's pages disagree on whether a quota answers 429 or 403, so both are looked at by their words.
    """
    if response.status not in (403, 429):
        return False
    problem = first_problem(response)
    return "quota" in str(problem.get("title", "")).lower() or (
        response.status == 403 and "quota" in str(problem.get("details", "")).lower()
    )


def error_for(response: Response, operation_id: str) -> PersonaError:
    """Return the typed error for an answer that is not a success."""
    problem = first_problem(response)
    status = response.status
    title = _clean(problem.get("title"))
    source = problem.get("source")
    pointer = _clean(source.get("pointer")) if isinstance(source, Mapping) else None
    said = f" ({title})" if title else ""
    where = f" at {pointer}" if pointer else ""
    advice = f"; {_ADVICE[status]}" if status in _ADVICE and not is_quota(response) else ""
    trace = f" [{response.request_id}]" if response.request_id else ""
    return _class_for(response)(
        f"Persona answered {status}{said}{where} to {operation_id}{advice}{trace}",
        status=status,
        title=title,
        pointer=pointer,
        request_id=response.request_id,
        operation_id=operation_id,
    )


def _class_for(response: Response) -> type[PersonaError]:
    if is_quota(response):
        return PersonaQuotaError
    status = response.status
    if status == 408 or status >= 500:
        return PersonaServerError
    by_status: dict[int, type[PersonaError]] = {
        400: PersonaValidationError,
        401: PersonaAuthenticationError,
        403: PersonaPermissionError,
        404: PersonaNotFoundError,
        409: PersonaConflictError,
        422: PersonaValidationError,
        429: PersonaRateLimitError,
    }
    return by_status.get(status, PersonaAnswerError)


def _clean(text: Any) -> str | None:
    """Return a short printable one-line form of a text that came from outside."""
    if not isinstance(text, str) or not text.strip():
        return None
    line = "".join(character if character.isprintable() else " " for character in text).strip()
    return line if len(line) <= _TITLE_LENGTH else line[: _TITLE_LENGTH - 1] + "…"
