"""From one page of a list to the request of the next."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_persona.api.document import Document
from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.messages import Request

PAGE_SIZE: Final = 100
"""The largest page that Persona gives; its own default is 10 (docs.withpersona.com/pagination)."""

AFTER: Final = "page[after]"
"""Query parameter with the cursor of the page before."""

_CURSORS: Final = (AFTER, "page[before]")

SeenPages: TypeAlias = set[Hashable]
"""The pages of one list that were read so far: the query of each, and a hash of the ids on it."""


def items_of(request: Request, page: Any) -> list[Mapping[str, Any]]:
    """Return the objects on a page.

    :raises PersonaAnswerError: when the answer is no list of objects.
    """
    items = Document(page).entries
    if items is None or not all(isinstance(item, Mapping) for item in items):
        raise PersonaAnswerError(
            f"the answer to {request.operation_id} holds no list of objects", operation_id=request.operation_id
        )
    return items


def next_page(request: Request, page: Any, seen: SeenPages) -> Request | None:
    """Return the request of the page after `page`, or None after the last.

    Only the cursor is taken from `links.next`. Host, path, filters and body stay ours: the key must not go elsewhere.

    :param seen: this list's pages so far. The caller begins with an empty set, and it is kept up here.
    :raises PersonaAnswerError: when the link has no cursor, or leads back to an earlier page, which ever new cursors
        can hide. The latter is retryable for a search: its order changes with the objects, so a cursor may move back
        to the beginning.
    """
    link = Document(page).next_link
    if link is None:
        return None
    try:
        cursor = dict(parse_qsl(urlsplit(link).query)).get(AFTER)
    except ValueError:
        cursor = None
    if cursor is None:
        raise _bad_link(request, "has no cursor")
    kept = tuple(pair for pair in request.query if pair[0] not in _CURSORS)
    following = replace(request, query=(*kept, (AFTER, cursor)))
    objects = hash(frozenset(resource.id for resource in Document(page).resources))
    seen.add(frozenset(request.query))  # before the comparison: a page may lead to itself
    if objects in seen or frozenset(following.query) in seen:
        raise _bad_link(request, "leads back to an earlier page", retryable=request.method == "POST")
    seen.add(objects)
    return following


def _bad_link(request: Request, what: str, *, retryable: bool = False) -> PersonaAnswerError:
    return PersonaAnswerError(
        f"the next link of {request.operation_id} {what}", operation_id=request.operation_id, retryable=retryable
    )
