"""The things of one simulated environment: cases, templates, users, queues, tags and what is attached to cases.

State only. What a request may do with it is in `reads` and `writes`, how it looks from outside in `rendering`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from persona_simulator.files import FileStore, StoredFile


class StatusType(StrEnum):
    """What a status means in its template."""

    INITIAL = "initial"
    INTERMEDIATE = "intermediate"
    END = "end"


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """One field of a case template.

    :param key: its name, spelt as configured.
    :param field_type: `string`, `date`, `integer`, `number`, `boolean`, `choices` or `email-address`.
    :param searchable: whether `/cases/search` may use it.
    """

    key: str
    field_type: str = "string"
    searchable: bool = False


@dataclass(frozen=True, slots=True)
class CaseTemplate:
    """A kind of case.

    :param statuses: its status labels and what they mean, the initial one first.
    :param fields: its fields by key.
    :param created_at: epoch seconds.
    """

    template_id: str
    name: str
    prefix: str
    statuses: Mapping[str, StatusType]
    fields: Mapping[str, FieldDefinition]
    created_at: float

    @property
    def initial_status(self) -> str:
        """The status of a new case."""
        return next(label for label, kind in self.statuses.items() if kind is StatusType.INITIAL)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something: an id (an e-mail address for users) and a type."""

    actor_id: str
    actor_type: str


@dataclass(frozen=True, slots=True)
class User:
    """A user of the dashboard."""

    user_id: str
    email: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a case."""

    file: StoredFile

    @property
    def filename(self) -> str:
        """Its name."""
        return self.file.filename

    @property
    def byte_size(self) -> int:
        """Its size in bytes."""
        return self.file.size


@dataclass(frozen=True, slots=True)
class RelatedObject:
    """A stub of something that can be attached to a case.

    :param object_type: for example `account` or `report/watchlist`.
    :param relationship: the relationship of a case in which it shows, None when it does not show.
    """

    object_id: str
    object_type: str
    relationship: str | None
    attributes: Mapping[str, Any]


@dataclass(slots=True)
class CaseRecord:
    """One case as it is now. Times are epoch seconds.

    :param ordinal: its place in the order of creation, from 0.
    :param object_ids: what is attached, in the order of attaching.
    :param index_history: what the search index knew and from when on; empty when it is up to date.
    :param rendered: texts of the case by style of answer, forgotten with each change.
    """

    case_id: str
    ordinal: int
    name: str
    template: CaseTemplate
    status: str
    created_at: float
    creator: Actor
    fields: dict[str, Any] = field(default_factory=dict)
    updated_at: float | None = None
    updater: Actor | None = None
    assigned_at: float | None = None
    assignee: str | None = None
    assigner: Actor | None = None
    resolved_at: float | None = None
    resolver: Actor | None = None
    redacted_at: float | None = None
    sla_expires_at: float | None = None
    queue_id: str | None = None
    tags: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    object_ids: list[str] = field(default_factory=list)
    comment_ids: list[str] = field(default_factory=list)
    index_history: list[tuple[float, CaseRecord]] = field(default_factory=list, repr=False, compare=False)
    rendered: dict[Any, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def status_type(self) -> StatusType:
        """What the present status means."""
        return self.template.statuses[self.status]


RELATIONSHIP_OF_PREFIX: Final[Mapping[str, tuple[str, str | None]]] = {
    "act": ("account", "accounts"),
    "inq": ("inquiry", "inquiries"),
    "rep": ("report/watchlist", "reports"),
    "ver": ("verification/government-id", "verifications"),
    "txn": ("transaction", "txns"),
    "doc": ("document", None),
    "grphq": ("graph-query", None),
    "sar": ("sar", None),
}
"""Id prefix -> type and relationship of what can be attached to a case."""


class World:
    """All things of the environment, by id.

    :param search_lag: seconds that the search index is behind.
    """

    def __init__(self, search_lag: float = 0.0) -> None:
        self.search_lag = search_lag
        self.cases: dict[str, CaseRecord] = {}
        self.order: list[CaseRecord] = []
        self.templates: dict[str, CaseTemplate] = {}
        self.users: dict[str, User] = {}
        self.queues: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.objects: dict[str, RelatedObject] = {}
        self.files = FileStore()
        self._named: dict[str, int] = {}

    def open_case(self, template: CaseTemplate, now: float, creator: Actor) -> CaseRecord:
        """Open a case of `template` and return it."""
        ordinal = len(self.order)
        number = self._named.get(template.prefix, 0) + 1
        case = CaseRecord(
            case_id=f"case_sim{ordinal + 1:06d}",
            ordinal=ordinal,
            name=f"{template.prefix}-{number}",
            template=template,
            status=template.initial_status,
            created_at=now,
            updated_at=now,
            creator=creator,
        )
        self.adopt(case)
        return case

    def adopt(self, case: CaseRecord) -> None:
        """Take in a case that is the next in the order of creation."""
        self.cases[case.case_id] = case
        self.order.append(case)
        self._named[case.template.prefix] = int(case.name.rpartition("-")[2])

    def add_object(
        self, object_id: str, attributes: Mapping[str, Any] | None = None, object_type: str | None = None
    ) -> RelatedObject | None:
        """Make a stub known; None when its prefix is none that can be attached to a case.

        :param object_type: its type; None takes the one that suits its prefix.
        """
        known = RELATIONSHIP_OF_PREFIX.get(object_id.partition("_")[0])
        if known is None:
            return None
        stub = RelatedObject(object_id, object_type or known[0], known[1], attributes if attributes is not None else {})
        self.objects[object_id] = stub
        return stub

    def user_of_email(self, email: str) -> User | None:
        """Return the user with that address."""
        return self.users.get(email.lower())

    def tag_named(self, name: str) -> str:
        """Return the id of the tag of that name, made when there is none."""
        for tag_id, known in self.tags.items():
            if known == name:
                return tag_id
        tag_id = f"tag_sim{len(self.tags) + 1:04d}"
        self.tags[tag_id] = name
        return tag_id

    def related(self, case: CaseRecord, relationship: str) -> Iterable[RelatedObject]:
        """Yield what is attached to `case` and shows under `relationship`."""
        return (stub for key in case.object_ids if (stub := self.objects[key]).relationship == relationship)

    def remember_for_search(self, case: CaseRecord) -> None:
        """Call before a change: the index keeps seeing the case as it is now for a while."""
        if not case.index_history:
            case.index_history.append((-math.inf, _indexed_copy(case)))

    def changed(self, case: CaseRecord, now: float) -> None:
        """Call after a change at `now`: forget rendered texts, and let the index see it later."""
        case.rendered.clear()
        self._index_later(case, now)

    def hidden_from_search(self, case: CaseRecord, now: float) -> None:
        """Call after the creation of a case: the index does not see it before its lag has passed."""
        self._index_later(case, now)

    def seen_by_search(self, case: CaseRecord, now: float) -> CaseRecord | None:
        """Return the case as the index sees it at `now`; None when it does not know it yet."""
        history = case.index_history
        if not history or history[-1][0] + self.search_lag <= now:
            history.clear()
            return case
        seen = None
        for since, version in history:
            if since + self.search_lag <= now:
                seen = version
        return seen

    def _index_later(self, case: CaseRecord, now: float) -> None:
        history = case.index_history
        while len(history) > 1 and history[1][0] + self.search_lag <= now:
            del history[0]
        history.append((now, _indexed_copy(case)))


def _indexed_copy(case: CaseRecord) -> CaseRecord:
    """Return a copy of what the index reads of a case."""
    return CaseRecord(
        case_id=case.case_id,
        ordinal=case.ordinal,
        name=case.name,
        template=case.template,
        status=case.status,
        created_at=case.created_at,
        creator=case.creator,
        fields=dict(case.fields),
        updated_at=case.updated_at,
        assignee=case.assignee,
        resolved_at=case.resolved_at,
        resolver=case.resolver,
        sla_expires_at=case.sla_expires_at,
        queue_id=case.queue_id,
    )
