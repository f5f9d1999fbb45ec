"""Reads a list or a search of Persona page by page, from any page, back to the mark of an earlier read.

A read without a mark sees all objects. What a read back to a mark sees depends on the operation:

- Lists come newest first by creation (docs.withpersona.com/pagination), and none can be filtered by the time of a
  change. Reading on to older pages is stable: new objects come before the first page. So such a read of a list sees
  what was created since the read before, and no change of older objects. An object may appear a little later than one
  that is newer, so the read continues to a time before the mark, and an object may come twice.
- Searches (of cases, accounts and inquiries) know `updated_at`, so such a search sees changes too. Their index runs
  about a minute behind, in an outage longer, so the search goes back to a time before the mark, and an object may come
  twice. An object that changes while it is the cursor moves to the front, and the next page is the second page again;
  the search then begins again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from airflow_provider_persona.api.answers import AnswerKind
from airflow_provider_persona.api.document import Document, Resource, moment
from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.operations import BadCallError, Operation, operation
from airflow_provider_persona.api.pagination import AFTER, PAGE_SIZE, SeenPages, next_page

if TYPE_CHECKING:
    from airflow_provider_persona.api.messages import Request
    from airflow_provider_persona.client import PersonaClient

log = logging.getLogger(__name__)

_SPARSE: Final = "fields[TYPE]"
_DEEPEST: Final = 2
_MOST_CLAUSES: Final = 20
_LOGICAL: Final = ("and", "or", "not")
_RESTARTS: Final = 3
"""How often a search is begun again because its order changed while it was read."""
_OF_SEVERAL_TYPES: Final = frozenset({"reports", "lists", "importers", "relations", "history"})
"""Last parts of the paths of objects with compound types like `report/watchlist`."""
_TYPES: Final = {
    "list-all-share-tokens": "connect/share-token",
    "list-all-connect-connections": "connect/connection",
}
"""Types of objects that do not follow from the path, from Persona's published specification."""

LOOKBACK_OF_SEARCHES: Final = 15 * 60.0
"""Seconds that a bounded search goes back before its mark: its index runs a minute behind, in an outage longer."""
LOOKBACK_OF_LISTS: Final = 2 * 60.0
"""Seconds that a bounded list goes back: an object may appear that much later than one that is newer."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest object of a read, where the next read can end.

    :param object_id: that object's id.
    :param at: its time of creation (lists) or change (searches) as Persona gave it, None when it has none.
    """

    object_id: str
    at: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """Return it as plain data."""
        return {"id": self.object_id, "at": self.at}

    @classmethod
    def from_json(cls, value: Any) -> Self | None:
        """Return the mark that `to_json` gave, None for anything else."""
        if not isinstance(value, Mapping) or not isinstance(value.get("id"), str):
            return None
        at = value.get("at")
        return cls(value["id"], at if isinstance(at, str) else None)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a read.

    :param items: its objects as they came, without those at or before the mark.
    :param after: cursor of the next page; None where there is none.
    :param is_last: whether the read ends with it.
    """

    items: list[Mapping[str, Any]]
    after: str | None
    is_last: bool


@dataclass(frozen=True)
class Listing:
    """A list or search to read.

    :param operation_id: like `list-all-cases` or `search-accounts`.
    :param path: values of the path's parameters.
    :param query: query parameters, like `{"filter[status]": "Open"}`.
    :param body: body of a search, like `{"query": {...}}`.
    :param fields: attributes to ask for; or, where the objects are of several types, a mapping from type to attributes.
    :param bounded: whether it is read back to a mark.
    :param lookback: seconds that a bounded read goes back before its mark; None for 900 of a search and 120 of a list.
        0 ends a list at the mark's own object.
    """

    operation_id: str
    path: Mapping[str, str] | None = None
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    fields: Sequence[str] | Mapping[str, Sequence[str]] | None = None
    bounded: bool = False
    lookback: float | None = None

    @property
    def operation(self) -> Operation:
        """The operation of the catalogue.

        :raises BadCallError: when there is no such operation, or it is no list.
        """
        return list_operation(self.operation_id, bounded=self.bounded)

    def pages(self, client: PersonaClient, *, since: Mark | None = None, after: str | None = None) -> Iterator[Page]:
        """Yield page after page; each is requested when it is needed.

        :param client: sends the requests.
        :param since: the mark to stop at; None to read all.
        :param after: cursor of the page to begin with; None for the first.
        :raises BadCallError: before the first request, when the arguments do not fit the operation.
        :raises PersonaError: typed, also when the answer is no list, or its link leads elsewhere or in a circle.
        """
        following: Request | None = self.request(since, after)
        seen: SeenPages = set()
        restarts = 0
        while following is not None:
            request = following
            document = Document.read(client.send(request), request.operation_id)
            items = _objects_of(document, request.operation_id)
            try:
                following = next_page(request, document.body, seen)
            except PersonaAnswerError as error:
                if not error.retryable or restarts == _RESTARTS:
                    raise
                restarts += 1
                seen.clear()  # else the first page, which was seen, would look like a circle
                following = self.request(since)
            # A search has the bound in its query; a list cannot be filtered by time, so its pages are cut here.
            fresh = items if self.is_search or since is None else self._created_after(since, items)
            is_last = following is None or len(fresh) < len(items)
            yield Page(fresh, None if is_last else _cursor(following), is_last)
            if is_last:
                return

    def request(self, since: Mark | None = None, after: str | None = None) -> Request:
        """Return the request of the first page, or of the page after a cursor.

        :raises BadCallError: when the arguments do not fit the operation.
        """
        operation_ = self.operation
        query = {**(self.query or {}), **self._sparse()}
        if operation_.paged and "page[size]" in operation_.query:
            query.setdefault("page[size]", PAGE_SIZE)
        request = operation_.bind(self.path, query, self._body(since))
        if after is None:
            return request
        # Without a cursor of the user's own, which may stand in `query`: Persona must not get two.
        kept = tuple(pair for pair in request.query if pair[0] != AFTER)
        return replace(request, query=(*kept, (AFTER, after)))

    def mark_of(self, item: Mapping[str, Any]) -> Mark:
        """Return the mark of a read with this object as its newest.

        :raises PersonaAnswerError: when it has no id.
        """
        resource = Resource(item)
        if resource.id is None:
            raise PersonaAnswerError(
                f"an object in the answer to {self.operation_id} has no id", operation_id=self.operation_id
            )
        return Mark(resource.id, resource.text("updated-at" if self.is_search else "created-at"))

    @property
    def is_search(self) -> bool:
        """Whether it is a search, which knows when objects were changed."""
        return self.operation.method == "POST"

    @property
    def is_sparse(self) -> bool:
        """Whether attributes can be asked for; else objects come in full."""
        return _SPARSE in self.operation.query

    def _sparse(self) -> dict[str, str]:
        check_fields(self.fields)
        if not self.fields:
            return {}
        if not self.is_sparse:
            raise BadCallError(f"{self.operation_id} gives its objects in full only; leave out fields")
        by_type = self.fields if isinstance(self.fields, Mapping) else {self._type(): self.fields}
        time = ["updated-at" if self.is_search else "created-at"] if self.bounded else []
        return {f"fields[{kind}]": ",".join(dict.fromkeys([*names, *time])) for kind, names in by_type.items()}

    def _type(self) -> str:
        if self.operation_id in _TYPES:
            return _TYPES[self.operation_id]
        segments = [part for part in self.operation.path.split("/") if part and part[0] != "{" and part != "search"]
        last = segments[-1]
        if last in _OF_SEVERAL_TYPES:
            raise BadCallError(
                f"the objects of {self.operation_id} are of several types; give fields by type, like "
                '{"report/watchlist": ["status"]}'
            )
        return f"{last.removesuffix('ies')}y" if last.endswith("ies") else last.removesuffix("s")

    def _body(self, since: Mark | None) -> Mapping[str, Any] | None:
        if not self.bounded or not self.is_search:
            return self.body
        body = dict(self.body or {})
        if body.get("sort"):
            raise BadCallError(f"an incremental {self.operation_id} is sorted by the time of change; leave out sort")
        clause = {"attribute": "updated_at", "operator": "gte", "value": self._start(since)}
        return {
            **body,
            "query": _both(clause, body.get("query")),
            "sort": {"attribute": "updated_at", "direction": "desc"},
        }

    def _start(self, since: Mark | None) -> str:
        bound = self._bound(since) if since else None
        # Whole seconds, cut off and never rounded up, so that the mark's own second is in. From 1970 on means all.
        return (bound or datetime(1970, 1, 1, tzinfo=UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _bound(self, since: Mark) -> datetime | None:
        """Return the time that a read goes back to; None when the mark has no time."""
        at = moment(since.at)
        usual = LOOKBACK_OF_SEARCHES if self.is_search else LOOKBACK_OF_LISTS
        return at and at - timedelta(seconds=usual if self.lookback is None else self.lookback)

    def _created_after(self, since: Mark, items: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the objects before the first that is too old; without times, those before the mark's own object."""
        bound = self._bound(since)
        fresh: list[Mapping[str, Any]] = []
        for item in items:
            resource = Resource(item)
            at = resource.time("created-at")
            is_mark = resource.id == since.object_id
            # Without a time only the mark's own object can end the read. With a lookback of 0 it ends there too, since
            # another object of the same moment may be new.
            if bound is None or at is None or self.lookback == 0:
                is_old = is_mark or (bound is not None and at is not None and at < bound)
            else:
                is_old = at < bound
            if is_old:
                break
            fresh.append(item)
        return fresh


def list_operation(operation_id: str, *, bounded: bool = False) -> Operation:
    """Return a list or search of the catalogue.

    :param bounded: whether it is read back to a mark, which only lists with pages allow.
    :raises BadCallError: when there is no such operation, it is no list, or it has no pages where it needs them.
    """
    found = operation(operation_id)
    if found.answer is not AnswerKind.COLLECTION or not found.only_reads:
        raise BadCallError(f"{operation_id} is no list or search; take one like list-all-cases or search-cases")
    if bounded and not found.paged:
        raise BadCallError(f"{operation_id} has no pages, so it cannot be read incrementally")
    return found


def check_fields(fields: Any) -> None:
    """Check that attributes are a list of names, or a mapping from types to such lists.

    :raises BadCallError: when they are not; a single text would be taken for a list of its letters.
    """
    for names in fields.values() if isinstance(fields, Mapping) else [fields]:
        is_list = isinstance(names, Sequence) and not isinstance(names, str)
        if names is not None and not (is_list and all(isinstance(name, str) for name in names)):
            raise BadCallError('fields is a list like ["status"], or a mapping from type to such a list')


def _objects_of(document: Document, operation_id: str) -> list[Mapping[str, Any]]:
    """Return the objects on a page. Entries that are no objects are left out, with a warning.

    :raises PersonaAnswerError: when the answer is no list, or none of its entries is an object.
    """
    entries = document.entries
    objects = [resource.members for resource in document.resources]
    if entries is None or (entries and not objects):
        raise PersonaAnswerError(f"the answer to {operation_id} holds no list of objects", operation_id=operation_id)
    if len(objects) < len(entries):
        log.warning("Left out %d entries of %s that are no objects", len(entries) - len(objects), operation_id)
    return objects


def _cursor(request: Request | None) -> str | None:
    return None if request is None else dict(request.query).get(AFTER)


def _both(clause: Mapping[str, Any], query: Any) -> Mapping[str, Any]:
    """Return a query that asks for both; Persona takes two levels of at most 20 clauses each."""
    if not query:
        return clause
    if isinstance(query, Mapping) and isinstance(query.get("and"), list):
        wanted = [*query["and"], clause]
        if len(wanted) > _MOST_CLAUSES:
            raise BadCallError(f"an incremental search adds a clause, so give at most {_MOST_CLAUSES - 1} of your own")
        return {"and": wanted}
    if _depth(query) >= _DEEPEST:
        raise BadCallError('an incremental search adds a clause, so nest its query one level only, or begin with "and"')
    return {"and": [query, clause]}


def _depth(clause: Any) -> int:
    if not isinstance(clause, Mapping):
        return 0
    for word in _LOGICAL:
        if word in clause:
            below = clause[word] if isinstance(clause[word], list) else [clause[word]]
            return 1 + max((_depth(each) for each in below), default=0)
    return 0
