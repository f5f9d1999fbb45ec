"""Finds the objects of rows that name them by another key than their id, before anything is compared or written.

Persona's lists can be filtered by such a key, one value a request (some take several), or be read from end to end, 100
objects a page. Which is cheaper depends on how many objects there are, and nothing tells that. So the list is read
first, where objects show the key, and as long as the share of the keys seen on its pages says that all of it takes
fewer requests than filtered reads would. Persona's search is not used: its index is up to a minute stale.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_persona.api.document import Resource, moment
from airflow_provider_persona.api.errors import PersonaError
from airflow_provider_persona.api.messages import Request
from airflow_provider_persona.api.pagination import SeenPages, items_of, next_page
from airflow_provider_persona.bulk.errors import STOPS_THE_RUN
from airflow_provider_persona.bulk.plan.estimate import estimate, tightest_limit
from airflow_provider_persona.bulk.plan.key_reads import KeyReader
from airflow_provider_persona.bulk.plan.spool import Spool
from airflow_provider_persona.bulk.plan.spooled_keys import MOST_FOUND, Candidate, Found
from airflow_provider_persona.bulk.source.matching import Match, MatchMany
from airflow_provider_persona.bulk.source.rows import ObjectKey
from airflow_provider_persona.bulk.subjects.subject import ObjectSubject
from airflow_provider_persona.client import AsyncPersonaClient
from airflow_provider_persona.storage.segments import SegmentedLog, SegmentWriter

log = logging.getLogger(__name__)

_READS = 16
"""Reads under way at once."""

_FEW = 10
"""Requests that are made without asking for their price, and without a look at the list."""

_PAGES_TO_JUDGE = 5
"""Pages before it is judged whether listing pays."""

_GOOD_FOR = timedelta(hours=1)
"""How old a note of an interrupted matching may be."""


@dataclass(slots=True)
class Matching:
    """What the matching took and brought.

    :param keys: different keys of the rows.
    :param priced: requests that it was to take, as was said before the first of them.
    :param pages: pages of the list that were read.
    :param reads: filtered reads.
    :param gave_up: why the list was not read to its end, or an empty text.
    """

    keys: int = 0
    priced: int = 0
    pages: int = 0
    reads: int = 0
    gave_up: str = ""


class Matcher:
    """Finds the objects of a spool's rows.

    :param spool: the rows.
    :param subject: the kind of object.
    :param client: the client to call with.
    :param match: the key, and what to do where several objects have it.
    """

    def __init__(self, spool: Spool, subject: ObjectSubject, client: AsyncPersonaClient, match: Match) -> None:
        self._spool = spool
        self._keys = spool.keys
        self._subject = subject
        self._client = client
        self._match = match
        self._reader = KeyReader(subject, client, match.by)
        self._log: SegmentWriter | None = None
        self.result = Matching()

    async def run(
        self, notes: SegmentedLog | None = None, *, utc: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> Matching:
        """Find the objects, and give them to the rows.

        :param notes: where to keep what was found, so that it need not be asked again after a kill.
        :param utc: UTC time, for the age of notes.
        :raises PersonaError: when the objects cannot be read.
        """
        self._utc: Callable[[], datetime] = utc
        self.result.keys = self._keys.count()  # before notes answer some of them
        if notes is not None:
            await self._take_up(notes)
        try:
            await self._find()
        finally:
            if self._log is not None:
                self._log.release()
        self.result.reads = self._reader.reads
        self._spool.settle_matches(self._match.by, self._objects_of)
        return self.result

    async def _find(self) -> None:
        reads = self.result.priced = sum(1 for _ in self._reader.batches(self._keys.open_keys()))
        await self._tell_price(reads)
        is_first = self._keys.count() == self.result.keys  # else filtered reads were found to be cheaper before
        if self._reader.objects_show_key and reads > _FEW and is_first:
            await self._by_list(reads)
        if not self.result.pages or self.result.gave_up:
            await self._by_reads()

    async def _tell_price(self, reads: int) -> None:
        """Log how many requests it takes and how long, before the first of them."""
        if reads <= _FEW:
            return
        window = None
        with suppress(PersonaError):  # whatever it is, the reads will meet it too
            window = tightest_limit((await self._client.call("list-all-rate-limits")).json())
        price = estimate(reads, window, self._client.budget.reserve)
        log.info(
            "Finding the %s of %d different values of %s takes about %d requests%s",
            self._subject.plural,
            self._keys.count(),
            self._match.by,
            reads,
            "" if price.seconds is None else f" and {price.seconds:.0f} s under the request limit",
        )

    # ------------------------------------------------------------------ by list

    async def _by_list(self, reads: int) -> None:
        try:
            self.result.gave_up = await self._walk(reads)
        except PersonaError as error:
            if isinstance(error, STOPS_THE_RUN):
                raise
            self.result.gave_up = f"the list could not be read: {error}"
        if self.result.gave_up:
            log.info("Listing was given up after %d pages: %s", self.result.pages, self.result.gave_up)
            self._keys.forget_found()  # what was not read may hold another object with the same key
        else:
            self._keys.settle_rest()

    async def _walk(self, reads: int) -> str:
        """Walk through the list to its end; return why not, where it is left before."""
        wanted, met = self._keys.count(), 0
        request: Request | None = self._reader.list_request()
        seen: SeenPages = set()
        while request is not None:
            pages = self.result.pages
            # At the rate of the pages so far, the list would show all keys only after more requests than reads take.
            if pages >= reads or (pages >= _PAGES_TO_JUDGE and pages * wanted / max(1, met) > reads):
                return f"too few of the {self._subject.plural} listed are in the rows"
            self.result.pages += 1
            page = (await self._client.send(request)).json()
            resources = [Resource(item) for item in items_of(request, page)]
            if any(self._reader.shown_by(resource) is None for resource in resources):
                return f"the {self._subject.plural} listed do not show their {self._match.by}"
            if self._hides_one(resources):
                return f"one of the {self._subject.plural} listed has a row's {self._match.by}, and cannot be read"
            met += self._keys.append(self._meant_by(resources))
            request = next_page(request, page, seen)
        return ""

    def _hides_one(self, resources: Sequence[Resource]) -> bool:
        """Whether a row may mean an object of a page that no call can name.

        Left out, it would make another object with the same key seem to be the only one. A filtered read says why the
        row has none.
        """
        hidden = [resource for resource in resources if not self._reader.is_usable(resource)]
        keys = {key for resource in hidden for key in self._reader.shown_by(resource) or ()}
        return bool(self._keys.wanted_among(sorted(keys)))

    def _meant_by(self, resources: Sequence[Resource]) -> Iterator[tuple[str, Candidate]]:
        """Yield the objects of a page that rows name, each with the key that it has."""
        shown = [(resource, self._reader.shown_by(resource) or ()) for resource in resources]
        wanted = self._keys.wanted_among(sorted({key for _, keys in shown for key in keys}))
        for resource, keys in shown:
            meant = wanted & set(keys) if self._reader.is_usable(resource) else ()
            yield from ((key, self._reader.candidate(resource)) for key in meant)

    # ------------------------------------------------------------------ by filtered reads

    async def _by_reads(self) -> None:
        batches = self._reader.batches(self._keys.open_keys())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_READS):
                    group.create_task(self._work(batches))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _work(self, batches: Iterator[list[str]]) -> None:
        for batch in batches:
            for key, found in await self._reader.of_batch(batch):
                await self._note(key, found)

    # ------------------------------------------------------------------ objects of rows

    def _objects_of(self, key: ObjectKey, found: Found) -> list[str] | str:
        """Return the ids of the objects of a row, or why it has none."""
        name, plural = self._match.by, self._subject.plural
        if found.problem:
            return found.problem
        wanted = {"status": key.status, "template": key.template}
        told = " and ".join(f"match_{part}" for part, value in wanted.items() if value is not None)
        fitting = [
            each
            for each in found.candidates
            if key.status in (None, each.status) and key.template in (None, each.template)
        ]
        is_told = self._match.many is MatchMany.NEWEST and fitting  # the newest stands on the first page
        if found.has_more and not is_told:
            return f"more than {MOST_FOUND} {plural} have that {name}, so it names none of them"
        if not fitting:
            told = f" fits its {told}" if told and found.candidates else ""
            return f"no {self._subject.name} with that {name}{told}"
        if len(fitting) == 1 or self._match.many is MatchMany.NEWEST:
            return [fitting[0].id]
        if self._match.many is MatchMany.ALL:
            return [each.id for each in fitting]
        return (
            f"{len(fitting)} {plural} have that {name}; match_many, or a column match_status or match_template, says "
            "which is meant"
        )

    # ------------------------------------------------------------------ notes

    async def _take_up(self, notes: SegmentedLog) -> None:
        """Take in what an interrupted matching of the same rows found a short while ago, and go on noting.

        A note names a row, never a key. A few reads are made again sooner than they are noted.
        """
        content = self._keys.content_hash()
        found: list[dict[str, Any]] = []
        for _, line in notes.lines():
            if line is not None and "segment" in line and line.get("content") != content:
                notes.delete()
                found.clear()
                break
            if line is not None and "n" in line:
                found.append(line)
        for line in found:
            at = moment(line.get("at"))
            if at is not None and self._utc() - at <= _GOOD_FOR and (noted := _found_in(line)) is not None:
                self._keys.note_of_row(line["n"], noted)
        if self._keys.count() > _FEW:
            self._log = SegmentWriter(notes, notes.last + 1, {"content": content})
            await self._log.open()

    async def _note(self, key: str, found: Found) -> None:
        number = self._keys.note(key, found)
        if self._log is not None:
            await self._log.put(_line(number, found, self._utc()))


def _found_in(line: Mapping[str, Any]) -> Found | None:
    """Return what a line of the notes says, or None for a damaged one: then the key is looked for again."""
    try:
        objects = tuple(Candidate(*each) for each in line["objects"])
        has_more, problem = line["has_more"], line["problem"]
    except (KeyError, TypeError):
        return None
    texts = [part for each in objects for part in (each.status, each.template)]
    is_sound = (
        isinstance(line["n"], int)
        and abs(line["n"]) < 2**63
        and isinstance(has_more, bool)
        and isinstance(problem, str)
        and all(isinstance(each.id, str) for each in objects)
        and all(text is None or isinstance(text, str) for text in texts)
    )
    return Found(objects, has_more, problem) if is_sound else None


def _line(number: int, found: Found, at: datetime) -> dict[str, Any]:
    return {
        "n": number,
        "at": at.isoformat(timespec="seconds"),
        "objects": found.candidates,
        "has_more": found.has_more,
        "problem": found.problem,
    }
