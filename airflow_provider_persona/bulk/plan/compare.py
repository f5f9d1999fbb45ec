"""Compares rows with the live objects before anything is written, so that what is already right costs no write.

Persona does not read objects by a list of ids. It lists them, 100 a page, newest first, or reads one at a time. Listing
is cheap when many of the listed objects are in the rows, and expensive when few are, and nothing tells how many objects
there are. So a comparison by list goes on only while it pays: every page must bring at least one row that saves a
request, and all pages together must stay below a tenth of the requests of writing without looking.

A page's cursor is the id of an object, so several walks through the list can begin at objects of the rows and end where
another walk began. Together they cover the list once, whatever the order of the ids.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from airflow_provider_persona.api.document import Document, moment
from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaError, PersonaNotFoundError
from airflow_provider_persona.api.messages import Request, canonical_json
from airflow_provider_persona.api.pagination import SeenPages, items_of, next_page
from airflow_provider_persona.bulk.errors import STOPS_THE_RUN
from airflow_provider_persona.bulk.plan.spool import Seen, Spool, SpooledRow
from airflow_provider_persona.bulk.subjects.subject import ObjectState, ObjectSubject, ObjectUpdate
from airflow_provider_persona.client import AsyncPersonaClient
from airflow_provider_persona.storage.segments import SegmentedLog, SegmentWriter

log = logging.getLogger(__name__)

SHARE_OF_BLIND = 0.1
"""`auto` spends at most this share of the requests that writing without looking would take, before it gives up."""

_PAGES_TO_JUDGE = 5
"""Pages before it is judged whether listing pays: the newest objects are often not those of the rows."""
_WALKS = 8
"""Walks through the list at once. A page depends on the one before it, so only several walks use the window."""
_READS = 16
"""Single reads under way at once."""
_MOST_UNREADABLE = 10
"""Objects that may be unreadable: each costs its own row only, and more of them say that something else is wrong."""

_GOOD_FOR = timedelta(minutes=10)
"""How old a note of an interrupted comparison may be. A guard looks again before it writes, a plan does not."""

_SHARES = (*(part / step for step in (2, 4, 8, 16) for part in range(1, step, 2)), 0.0)
"""Places spread evenly over [0, 1): halves, quarters, eighths and so on, then the beginning."""


class CompareMode(StrEnum):
    """How rows are compared with the live objects."""

    AUTO = "auto"
    """By list while that pays, else not."""
    LIST = "list"
    """By list to its end."""
    GET = "get"
    """Each object by itself, just before it would be written."""
    NEVER = "never"
    """Not at all, except where a guard must look."""


@dataclass(slots=True)
class Comparison:
    """What a comparison took and brought.

    :param pages: pages of the list that were read.
    :param reads: objects that were read one at a time.
    :param right: objects that were already as wanted.
    :param gave_up: why listing was given up, or an empty text.
    """

    pages: int = 0
    reads: int = 0
    right: int = 0
    gave_up: str = ""


@dataclass(frozen=True, slots=True)
class _Frontier:
    """Where a walk through the list stands.

    :param walk: id of the object that it began after, empty for the newest.
    :param after: id of the last object that it saw, empty at its beginning.
    """

    walk: str
    after: str


def _needs_no_step(update: ObjectUpdate, state: ObjectState) -> bool:
    return not update.change.steps(state.resource)


@dataclass
class Comparer:
    """Looks at the live objects of a spool's rows.

    :param spool: the rows; the comparison notes there what it sees.
    :param subject: the kind of object.
    :param client: the client to call with.
    :param mode: how.
    :param needs_states: whether the status of every object is needed, also of those that are right.
    :param cost_of_blind: requests that the rows would take without looking, for `auto`.
    :param is_right: tells whether an object is as its row asks for; by default, when no step is left to do.
    :param keeps_before: whether to keep what takes each row's change back. It may be personal data, so it stands in no
        notes.
    """

    spool: Spool
    subject: ObjectSubject
    client: AsyncPersonaClient
    mode: CompareMode
    _: KW_ONLY
    needs_states: bool
    cost_of_blind: int
    is_right: Callable[[ObjectUpdate, ObjectState], bool] = _needs_no_step
    keeps_before: bool = False
    result: Comparison = field(default_factory=Comparison, init=False)

    def __post_init__(self) -> None:
        self._most_pages = int(self.cost_of_blind * SHARE_OF_BLIND) if self.mode is CompareMode.AUTO else None
        self._attributes = self.subject.attributes_of(self.spool.parts)
        self._valid = self.spool.valid_rows()
        self._seen_now = self._pages_taken_in = self._walking = self._unreadable = 0
        self._begun: set[str] = set()
        self._under_way: set[str] = set()
        self._overtaken: set[str] = set()
        self._log: SegmentWriter | None = None
        self._frontiers: list[_Frontier] = []

    async def run(self, notes: SegmentedLog | None = None, *, now: datetime | None = None) -> Comparison:
        """Compare.

        :param notes: where to keep what was seen, so that it need not be asked again after a kill.
        :param now: UTC time, for the age of notes.
        :raises PersonaError: when the key is refused, or when `list` or needed states could not be read.
        """
        if self.mode is CompareMode.NEVER or not self._valid:
            return self.result
        at = now or datetime.now(UTC)
        if notes is not None:
            self._take_up(notes, at)
            opening = {"content": self.spool.content_hash(), "at": at.isoformat()}
            self._log = SegmentWriter(notes, notes.last + 1, opening)
            await self._log.open()
        try:
            if self.mode is not CompareMode.GET and self.subject.list_operation is not None:
                await self._by_list()
            if self.mode is CompareMode.GET or self.needs_states:
                await self._one_by_one()
        finally:
            if self._log is not None:
                self._log.release()
        return self.result

    # ------------------------------------------------------------------ by list

    async def _by_list(self) -> None:
        if self._most_pages is not None and self._most_pages < 1:
            self.result.gave_up = "so few rows are written sooner than a page is read"
            return
        starts = self._frontiers or [_Frontier("", "")]
        try:
            async with asyncio.TaskGroup() as group:
                for index in range(_WALKS):
                    group.create_task(self._walks(starts[index:] if index == _WALKS - 1 else starts[index : index + 1]))
        except ExceptionGroup as errors:
            error = errors.exceptions[0]  # it has cancelled the others
            is_bearable = isinstance(error, PersonaError) and not isinstance(error, STOPS_THE_RUN)
            if self.mode is CompareMode.LIST or not is_bearable:
                raise error from None
            self.result.gave_up = f"the list could not be read: {error}"
        if self.result.gave_up:
            log.info("Comparing by list was given up after %d pages: %s", self.result.pages, self.result.gave_up)

    async def _walks(self, frontiers: list[_Frontier]) -> None:
        """Walk from each frontier given, then from objects that no walk has come to yet."""
        self._walking += 1
        try:
            for frontier in frontiers:
                await self._walk(frontier)
            await self._walk_elsewhere()
        finally:
            self._walking -= 1

    async def _walk_elsewhere(self) -> None:
        while not self._is_over() and self._leaves_room() and (start := self._untouched_object()) is not None:
            self._begun.add(start)
            try:
                await self._walk(_Frontier(start, start))
            except STOPS_THE_RUN:
                raise
            except PersonaError as error:
                if start in self._under_way:
                    raise  # other walks leave to this one what comes after its beginning
                # Perhaps there is no such object to serve as a cursor, and others can.
                log.debug("A walk through the list could not begin at one of the objects: %s", error)

    def _leaves_room(self) -> bool:
        """Whether so much of the list is left that one more walk saves time; each ends on a page seen in part."""
        if not self._seen_now:
            return True
        pages_left = (self._valid - self._seen_now) * self._pages_taken_in / self._seen_now
        return pages_left > 2 * self._walking

    async def _walk(self, frontier: _Frontier) -> None:
        request: Request | None = self.subject.list_request(self._attributes, frontier.after or None)
        seen: SeenPages = set()
        while request is not None and not self._is_over():
            self.result.pages += 1
            page = (await self.client.send(request)).json()
            states = self._readable(request, page)
            request = next_page(request, page, seen)
            self._pages_taken_in += 1
            self._take_in(states)
            if self._ends_here(frontier.walk, states):
                request = None
            await self._note(states, frontier.walk, has_more=request is not None)

    def _readable(self, request: Request, page: Any) -> list[ObjectState]:
        """Return the objects of a page. Those that cannot be read count as not listed, unless none can be read."""
        states = []
        for resource in Document(page).resources:
            with suppress(PersonaAnswerError):
                states.append(self.subject.read(resource.members, request.operation_id))
        return states or [self.subject.read(item, request.operation_id) for item in items_of(request, page)]

    def _take_in(self, states: list[ObjectState]) -> None:
        by_id = {state.id: state for state in states}
        rows = self.spool.rows_about(list(by_id))
        self._note_rows((row, by_id[row.object_id or ""]) for row in rows if row.seen is None)

    def _ends_here(self, walk: str, states: list[ObjectState]) -> bool:
        """Whether a walk that has just seen these objects leaves the rest to another one.

        It does where another walk began, if that walk is under way; otherwise it continues in its place.
        """
        if walk in self._overtaken:
            return True
        self._under_way.add(walk)
        met = {state.id for state in states} & self._begun - {walk}
        self._overtaken |= met - self._under_way
        return bool(met & self._under_way)

    def _is_over(self) -> bool:
        """Whether more pages would show nothing that is needed, or cost more than they save."""
        if self.result.gave_up:
            return True
        if self._seen_now >= self._valid:
            return True
        if self._most_pages is None:
            return False
        brought = self._seen_now if self.needs_states else self.result.right
        if self.result.pages >= self._most_pages:
            self.result.gave_up = f"it would take more than {SHARE_OF_BLIND:.0%} of the requests of writing blindly"
        elif self._pages_taken_in >= _PAGES_TO_JUDGE + brought:
            self.result.gave_up = f"too few of the {self.subject.plural} listed are in the rows and already right"
        return bool(self.result.gave_up)

    def _untouched_object(self) -> str | None:
        """Return the id of an object that no walk has come to, from somewhere among the rows."""
        last = self.spool.last_number()
        for share in _SHARES:
            row = self.spool.unseen_from(int(share * last))
            if row is not None and row.object_id is not None and row.object_id not in self._begun:
                return row.object_id
        return None

    # ------------------------------------------------------------------ one by one

    async def _one_by_one(self) -> None:
        # One iterator for all readers: each takes the next id that nobody has.
        ids = (row.object_id for row in self.spool.unseen() if row.object_id is not None)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_READS):
                    group.create_task(self._reads(ids))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _reads(self, ids: Iterator[str]) -> None:
        for object_id in ids:
            self.result.reads += 1
            request = self.subject.read_request(object_id, self._attributes)
            try:
                answer = await self.client.send(request)
                state = self.subject.read_answer(answer.json(), request.operation_id)
            except PersonaNotFoundError:
                state = ObjectState(object_id)
            except PersonaAnswerError:
                self._unreadable += 1
                if self._unreadable > _MOST_UNREADABLE:
                    raise
                state = ObjectState(object_id)
            self._note_rows((row, state) for row in self.spool.rows_about([object_id]))
            await self._note([state], None, has_more=False)

    # ------------------------------------------------------------------ notes

    def _note_rows(self, pairs: Iterable[tuple[SpooledRow, ObjectState]]) -> None:
        seen = [(state.id, self._look(row, state)) for row, state in pairs]
        self.spool.note_seen(seen)
        self._seen_now += len(seen)
        self.result.right += sum(state.is_right for _, state in seen)

    def _look(self, row: SpooledRow, state: ObjectState) -> Seen:
        is_read = state.resource is not None and (state.status is not None or not self.subject.has_status)
        update = row.asked_for(self.subject) if is_read else None
        if not isinstance(update, ObjectUpdate):
            return Seen(state.status, state.updated_at, is_right=False)
        is_right = self.is_right(update, state)
        before = None
        if self.keeps_before and not is_right and self.subject.way_back is not None:
            before = canonical_json(asdict(self.subject.way_back(update.change, state.resource))).decode()
        return Seen(state.status, state.updated_at, is_right, update.is_as_left(state.resource), before)

    async def _note(self, states: list[ObjectState], walk: str | None, *, has_more: bool) -> None:
        """Keep what was seen of the rows' objects, and how far the walk has come."""
        if self._log is None or not states:
            return
        rows = self.spool.rows_about([state.id for state in states])
        known = {
            row.object_id: row.seen[:-1]
            for row in rows
            if row.seen is not None  # what it was before may be personal
        }
        line: dict[str, Any] = {"seen": known}
        if walk is not None:
            line |= {"walk": walk, "after": states[-1].id if has_more else None}
        await self._log.put(line)

    def _take_up(self, notes: SegmentedLog, now: datetime) -> None:
        """Take in what an interrupted comparison of the same rows saw a short while ago."""
        frontiers: dict[str, str | None] = {}
        content = self.spool.content_hash()
        for _, line in notes.lines():
            if line is None:
                continue  # notes only save requests: what a damaged line said is asked for again
            if "segment" in line:
                at = moment(line.get("at"))
                if line.get("content") != content or at is None or now - at > _GOOD_FOR:
                    notes.delete()
                    return
                continue
            seen = _seen_in(line)
            if seen is None:
                continue
            self.spool.note_seen(seen)
            if "walk" in line:
                frontiers[line["walk"]] = line.get("after")
                self._begun.add(line["walk"])
                self._under_way.add(line["walk"])
        # Pages of two walks overlap where they meet, so what stands in the notes is more than what was seen.
        self._seen_now, self.result.right = self.spool.seen_count(), self.spool.right_count()
        self._frontiers = [_Frontier(walk, after) for walk, after in frontiers.items() if after is not None]
        if frontiers and "" not in frontiers:
            self._frontiers.insert(0, _Frontier("", ""))


def _seen_in(line: Mapping[str, Any]) -> list[tuple[str, Seen]] | None:
    """Return what a line of the notes says, or None for a damaged one."""
    seen, places = line.get("seen"), (line.get("walk"), line.get("after"))
    if not isinstance(seen, dict) or not all(place is None or isinstance(place, str) for place in places):
        return None
    try:
        found = [(object_id, Seen(*what)) for object_id, what in seen.items()]
    except TypeError:
        return None
    plain = (each for _, state in found for each in state)
    return found if all(each is None or isinstance(each, str | bool) for each in plain) else None
