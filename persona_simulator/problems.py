"""Refusals in Persona's shape: a status and `{"errors": [{"title", "details", "source"}]}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_FAILURES: Final[Mapping[int, tuple[str, ...]]] = {
    409: ("Stale object error", "Attempted to update a record that was modified meanwhile."),
    500: ("Internal server error",),
    502: ("Bad gateway",),
    503: ("Service unavailable",),
    504: ("Gateway timeout",),
}


class RefusedError(Exception):
    """A request that the simulated API refuses.

    :param status: HTTP status.
    :param title: what Persona calls it.
    :param details: a sentence about this case of it, or None.
    :param pointer: the place in the body, as a JSON pointer, or None.
    """

    def __init__(self, status: int, title: str, details: str | None = None, pointer: str | None = None) -> None:
        super().__init__(f"{status} {title}")
        self.status = status
        self.title = title
        self.details = details
        self.pointer = pointer

    def body(self) -> bytes:
        """Return the body of the answer."""
        error: dict[str, Any] = {"title": self.title}
        if self.details is not None:
            error["details"] = self.details
        if self.pointer is not None:
            error["source"] = {"pointer": self.pointer}
        return json.dumps({"errors": [error]}, separators=(",", ":")).encode()


def bad_request(details: str) -> RefusedError:
    """Return the refusal of a request with parameters that make no sense."""
    return RefusedError(400, "Bad Request", details)


def not_found(details: str | None = None) -> RefusedError:
    """Return the refusal of a request about something that does not exist."""
    return RefusedError(404, "Record not found", details)


def unprocessable(details: str, pointer: str) -> RefusedError:
    """Return the refusal of a value at `pointer` that cannot be taken."""
    return RefusedError(422, "Unprocessable Entity", details, pointer)


def server_failure(status: int) -> RefusedError:
    """Return the answer to a failure of the API itself."""
    return RefusedError(status, *_FAILURES[status])
