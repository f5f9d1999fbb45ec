"""The errors of this provider, as a tree of exceptions, and the error that an answer of Persona means.

Each error says what happened and to which operation, and has the id of the call in Persona's API log (`request_id`). No
error holds a body, a detail text, a key or a header, because those may hold personal data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_persona.api.messages import Request, Response
from airflow_provider_persona.api.told_texts import told_pointer, told_title

if TYPE_CHECKING:
    from pydantic import ValidationError


class ProviderError(Exception):
    """Base of all errors that this provider raises on purpose.

    :param message: what happened, to what, and what to do.
    :param retryable: whether a retry may succeed.
    :param retry_after: seconds until a retry can succeed, where a limit refused the call and Persona said when it is
        reset; None where that is not known.
    """

    def __init__(self, message: str, *, retryable: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after


_TOLD = ("status", "title", "pointer", "request_id", "operation_id", "retryable", "retry_after")
"""What an event says of an error, beside its type and message."""


class PersonaError(ProviderError):
    """Base of the errors of calls to Persona.

    :param message: what happened, to what, and what to do.
    :param status: HTTP status, when there was an answer.
    :param title: Persona's title of the error, when the answer has one. Persona may reword it: do not match on it.
    :param pointer: JSON pointer to the part of the request that Persona refused (`/meta/status`).
    :param request_id: id of Persona's API log of the call (`req_…`).
    :param operation_id: the operation of the catalogue.
    :param retryable: whether a retry may succeed; by default what the class says.
    :param retry_after: seconds until a retry can succeed, where Persona said when a limit is reset.
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
        retry_after: float | None = None,
    ) -> None:
        is_retryable = self.retryable_by_default if retryable is None else retryable
        super().__init__(message, retryable=is_retryable, retry_after=retry_after)
        self.status = status
        self.title = title
        self.pointer = pointer
        self.request_id = request_id
        self.operation_id = operation_id

    def name(self, connection: str) -> None:
        """Let the message begin with the name of the connection; an empty name changes nothing."""
        if connection:
            self.args = (f"{connection}: {self}",)

    def to_event(self) -> dict[str, Any]:
        """Return the error as plain data for the event of a trigger; `error_from_event` turns it back."""
        return {"type": type(self).__name__, "message": str(self), **{name: getattr(self, name) for name in _TOLD}}


class PersonaSettingsError(PersonaError, ValueError):
    """The connection or an argument cannot be used."""


class PersonaAuthenticationError(PersonaError):
    """401: the API key is missing, wrong or expired."""


class PersonaPermissionError(PersonaError):
    """403: the key lacks a permission, the address is not allowed, or the feature is not enabled for the account."""


class PersonaKeyPermissionError(PersonaPermissionError):
    """403 because of the key, its allowed addresses or a feature of the account: every call of this kind is refused."""


class PersonaNotFoundError(PersonaError):
    """404: no such object in this environment."""


class PersonaConflictError(PersonaError):
    """409: the object has changed since it was read, or is not unique."""


class PersonaValidationError(PersonaError):
    """400 or 422: Persona refuses the content of the request."""


class PersonaRateLimitError(PersonaError):
    """429: the request limit of the environment or key is used up, and the wait would be too long."""

    retryable_by_default = True


class PersonaQuotaError(PersonaError):
    """429 or 403: a product quota (cases, inquiries, reports, …) is used up."""

    retryable_by_default = True


class PersonaServerError(PersonaError):
    """408 or 5xx in each attempt: Persona or a proxy failed."""

    retryable_by_default = True


class PersonaTransportError(PersonaError):
    """No answer arrived in any attempt."""

    retryable_by_default = True


class PersonaAnswerError(PersonaError):
    """An answer cannot be used: it is not JSON, is a redirect, or does not show the wanted state."""


class PersonaUnresolvedError(PersonaError):
    """The outcome is unknown: Persona may or may not have made the change. Read the object before another attempt."""


# Below all the classes, because it takes those that are defined so far.
_TREE: dict[str, type[PersonaError]] = {
    name: found for name, found in globals().items() if isinstance(found, type) and issubclass(found, PersonaError)
}


def error_from_event(event: Mapping[str, Any]) -> PersonaError:
    """Return the error that `PersonaError.to_event` described; an unknown type becomes a plain `PersonaError`."""
    cls = _TREE.get(str(event.get("type")), PersonaError)
    message = str(event.get("message") or "Persona failed without a message")
    return cls(message, **{name: event.get(name) for name in _TOLD})


def faults_of(error: ValidationError) -> str:
    """Return what pydantic refuses, in one line of places and reasons, without any value.

    A refusal of the whole has no place.
    """
    said: dict[str, None] = {}  # a set in order: a union refuses a value once for each of its types
    for fault in error.errors(include_input=False, include_url=False):
        place, message = _place(fault["loc"]), fault["msg"].removeprefix("Value error, ")
        said[f"{place}: {message}" if place else message] = None
    return "; ".join(said)


def _place(parts: tuple[int | str, ...]) -> str:
    """Return a place without the types of a union, and without keys that people chose: one may be a proxy's address."""
    names = (str(part) for part in parts if part not in ("bool", "str"))
    return ".".join(name if name.isidentifier() or name.isdecimal() else "…" for name in names)


_BY_STATUS: dict[int, tuple[type[PersonaError], str]] = {
    400: (PersonaValidationError, "check the arguments"),
    401: (PersonaAuthenticationError, "check the API key in the connection's password"),
    403: (
        PersonaPermissionError,
        "check the key's permissions and allowed addresses, and whether the account has this feature",
    ),
    404: (PersonaNotFoundError, "check the id, and that the connection points at the environment that holds it"),
    409: (PersonaConflictError, "read the object's present state before trying again"),
    422: (PersonaValidationError, "check the value that the pointer names"),
    429: (PersonaRateLimitError, ""),
}
"""Class and advice for statuses that tell what is wrong; `_kind_and_advice` has the exceptions."""


def is_personas(refusal: Response) -> bool:
    """Whether Persona itself refused: each of its refusals has a list of problems (docs.withpersona.com/errors).

    What stands in between, like a firewall, gives a page of its own.
    """
    return bool(_problems(refusal))


def first_problem(response: Response) -> Mapping[str, Any]:
    """Return the first entry of `errors` in an answer, or an empty mapping when there is none."""
    first = next(iter(_problems(response)), None)
    return first if isinstance(first, Mapping) else {}


def _problems(response: Response) -> list[Any]:
    try:
        parsed = response.json()
    except ValueError:
        return []
    errors = parsed.get("errors") if isinstance(parsed, Mapping) else None
    return errors if isinstance(errors, list) else []


def is_quota(response: Response) -> bool:
    """Whether an answer means that a product quota is used up, not the request limit (429) or a permission (403).

    Persona's guides disagree on whether a quota answers 429 or 403, so the words of both are looked at.
    """
    if response.status not in (403, 429):
        return False
    problem = first_problem(response)
    return "quota" in str(problem.get("title", "")).lower() or (
        response.status == 403 and "quota" in str(problem.get("details", "")).lower()
    )


def error_for(response: Response, request: Request) -> PersonaError:
    """Return the typed error for an answer that is not a success.

    :param request: what it answers.
    """
    problem = first_problem(response)
    status, operation_id = response.status, request.operation_id
    title = told_title(problem.get("title"), request)
    source = problem.get("source")
    pointer = told_pointer(source.get("pointer")) if isinstance(source, Mapping) else None
    said = f" ({title})" if title else ""
    where = f" at {pointer}" if pointer else ""
    kind, advice = _kind_and_advice(response, request)
    advised = f"; {advice}" if advice else ""
    trace = f" [{response.request_id}]" if response.request_id else ""
    return kind(
        f"Persona answered {status}{said}{where} to {operation_id}{advised}{trace}",
        status=status,
        title=title,
        pointer=pointer,
        request_id=response.request_id,
        operation_id=operation_id,
    )


_OF_THE_KEY = ("api key", "permission", "ip address", "not enabled")
"""Words in the details of a 403 that is not about one object (Persona's specification, `responses/forbidden`)."""


_NOBODYS_404 = "not as Persona does; check the connection's host, and what stands between it and Airflow"


def _kind_and_advice(response: Response, request: Request) -> tuple[type[PersonaError], str]:
    if is_quota(response):
        return PersonaQuotaError, ""
    status = response.status
    if status == 408 or not 200 <= status < 500:
        return PersonaServerError, ""
    if status == 404 and not is_personas(response):
        return PersonaAnswerError, _NOBODYS_404  # it proves no absence: the page of a gateway, or of a wrong host
    kind, advice = _BY_STATUS.get(status, (PersonaAnswerError, ""))
    if status == 403:
        problem = first_problem(response)
        said = f"{problem.get('title', '')} {problem.get('details', '')}".lower()
        return (PersonaKeyPermissionError if any(words in said for words in _OF_THE_KEY) else kind), advice
    return kind, "" if status == 401 and request.brings_own_login else advice
