"""What a successful answer holds, and why one proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from airflow_provider_persona.api.document import Document, Resource
from airflow_provider_persona.api.messages import Request, Response


class AnswerKind(StrEnum):
    """What a successful answer holds."""

    OBJECT = "object"
    """JSON with one object under `data`."""
    COLLECTION = "collection"
    """JSON with a list of objects under `data`."""
    PLAIN = "plain"
    """JSON without `data`."""
    FILE = "file"
    """A file, for example a PDF."""


DATA_OF: Final[Mapping[AnswerKind, type]] = {AnswerKind.OBJECT: dict, AnswerKind.COLLECTION: list}
"""Type of `data` in a successful answer, for the kinds that have it."""

WITH_ANOTHER: Final = frozenset(
    {
        "clone-a-webhook",
        "clone-api-key",
        "create-a-workflow-run",
        "import-inquiry-template-translations",
        "retrieve-inquiry-template-translations",  # both with the template's version, as the specification says
    }
)
"""Operations that answer with another object than the one in their path."""


def fault_of(request: Request, response: Response) -> str | None:
    """Return why an answer of success proves nothing, or None when it is sound."""
    if response.damage is not None:
        return f"a body that was not read: {response.damage}"
    if response.status == 206:
        return "a part of the answer, which nobody asked for"
    is_empty_by_right = response.status == 204 and (request.method == "DELETE" or 204 in request.success)
    return None if request.binary or is_empty_by_right else _fault_of_body(request, response)


def _fault_of_body(request: Request, response: Response) -> str | None:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, Mapping):
        return "a body that is not a JSON object"
    if body.get("errors"):
        return "errors, although it is a success"
    if request.data is not None and not isinstance(body.get("data"), request.data):
        return "no object" if request.data is dict else "no list of objects"
    return _fault_of_object(request, Document(body).resource)


def _fault_of_object(request: Request, answered: Resource | None) -> str | None:
    if answered is None or request.data is not dict:
        return None
    if answered.id is None:
        return "an object without an id"
    if request.about is not None and answered.id != request.about:
        return "an object other than the one asked for; check what stands between Airflow and Persona"
    return None
