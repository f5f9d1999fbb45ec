"""From one page of a list to the request of the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.messages import Request

Query = tuple[tuple[str, str], ...]

PAGE_SIZE = 100
"""The largest page that Persona gives; its own default is 10 (docs.withpersona.com/pagination)."""

SeenPages: TypeAlias = set[frozenset[tuple[str, str]]]
"""The queries of the pages of one list that were read so far."""


def items_of(request: Request, page: Any) -> list[Mapping[str, Any]]:
    """Return the resources on a page.

    :raises PersonaAnswerError: when the answer is not a list.
    """
    items = page.get("data") if isinstance(page, Mapping) else None
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise PersonaAnswerError(
            f"the answer to {request.operation_id} holds no list of objects", operation_id=request.operation_id
        )
    return items


def next_page(request: Request, page: Any, seen: SeenPages | None = None) -> Request | None:
    """Return the request of the page after `page`, or None after the last.

    `links.next` is a path relative to the host. Whatever else it says (another host, another path) is refused, since
    the key would go there. A search is sent again with the same body, as Persona wants it.

    :param seen: the queries of this list's pages so far, begun empty by whoever walks the list and kept up here.
        Without it only a link back to the same page is noticed, not one that leads back to an earlier page.
    :raises PersonaAnswerError: when the link is none, leads elsewhere, or back to a page that was there. The last is
        retryable for a search: its order changes with the objects, so that a cursor may move back to the beginning.
    """
    links = page.get("links") if isinstance(page, Mapping) else None
    link = links.get("next") if isinstance(links, Mapping) else None
    if not link:
        return None
    try:
        parts = urlsplit(str(link))
    except ValueError:
        raise _bad_link(request, "is no address") from None
    if parts.scheme or parts.netloc or parts.path != request.path:
        raise _bad_link(request, "leads to another host or path")
    query = _with_missing(tuple(parse_qsl(parts.query, keep_blank_values=True)), request.query)
    following = replace(request, query=query)
    if set(following.query) == set(request.query):
        raise _led_back(request, "the same page")
    if seen is not None:
        seen.add(frozenset(request.query))
        if frozenset(following.query) in seen:
            raise _led_back(request, "an earlier page")
    return following


def _with_missing(linked: Query, sent: Query) -> Query:
    """Add what was asked for and the link leaves out; that links keep filters is documented for one list only."""
    named = {name for name, _ in linked}
    cursors = {"page[after]", "page[before]"}
    return linked + tuple((name, value) for name, value in sent if name not in named and name not in cursors)


def _led_back(request: Request, where: str) -> PersonaAnswerError:
    return _bad_link(request, f"leads back to {where}", retryable=request.method == "POST")


def _bad_link(request: Request, what: str, *, retryable: bool = False) -> PersonaAnswerError:
    return PersonaAnswerError(
        f"the next link of {request.operation_id} {what}", operation_id=request.operation_id, retryable=retryable
    )
