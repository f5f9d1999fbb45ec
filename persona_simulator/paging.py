"""Cursor pages: sizes, cursors and the relative links to the neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from persona_simulator.problems import bad_request

DEFAULT_SIZE: Final = 10
MAXIMUM_SIZE: Final = 100


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page was asked for.

    :param size: objects a page.
    :param after: id of the last object of the page before it, or None.
    :param before: id of the first object of the page after it, or None.
    """

    size: int = DEFAULT_SIZE
    after: str | None = None
    before: str | None = None


def page_request(query: Mapping[str, str], body_page: Mapping[str, Any] | None = None) -> PageRequest:
    """Return the page that the query asks for, else the body.

    :raises RefusedError: 400 when the size is none from 1 to 100, or both cursors are given.
    """
    body_page = body_page or {}
    raw_size = query.get("page[size]", body_page.get("size", DEFAULT_SIZE))
    try:
        size = int(raw_size)
    except (TypeError, ValueError):
        raise bad_request("page.size must be an integer") from None
    if not 1 <= size <= MAXIMUM_SIZE:
        raise bad_request(f"page.size must be between 1 and {MAXIMUM_SIZE}")
    after, before = query.get("page[after]") or None, query.get("page[before]") or None
    if after is None and before is None:
        after, before = body_page.get("after") or None, body_page.get("before") or None
    if after is not None and before is not None:
        raise bad_request("page.after and page.before exclude each other")
    return PageRequest(size, after, before)


def links(
    path: str,
    query: Mapping[str, str],
    *,
    first: str | None,
    last: str | None,
    newer: bool,
    older: bool,
) -> dict[str, str | None]:
    """Return the links of a page.

    :param path: path of the list, with `/api/v1`.
    :param query: the query of this page; the links keep its filters, size and fields.
    :param first: id of the page's first object, None for an empty page.
    :param last: id of its last object.
    :param newer: whether there is something before the page.
    :param older: whether there is something after it.
    """
    kept = [(name, value) for name, value in query.items() if name not in ("page[after]", "page[before]")]

    def link(cursor: str, object_id: str | None) -> str | None:
        if object_id is None:
            return None
        return f"{path}?{urlencode([(cursor, object_id), *kept], quote_via=quote)}"

    return {
        "prev": link("page[before]", first) if newer else None,
        "next": link("page[after]", last) if older else None,
    }
