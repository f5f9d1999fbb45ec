"""Reads the objects that have a key, through the filters of Persona's lists, and tells what an answer proves.

A filtered read proves something only if Persona heeds the filter. So each object must show the key that was asked for.
Where objects show it nowhere, one read with a value that nothing has must come back empty.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

from airflow_provider_persona.api.document import MISSING, Resource
from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaNotFoundError, PersonaValidationError
from airflow_provider_persona.api.messages import Request
from airflow_provider_persona.api.operations import is_path_id
from airflow_provider_persona.api.pagination import SeenPages, items_of, next_page
from airflow_provider_persona.bulk.plan.spooled_keys import MOST_FOUND, Candidate, Found
from airflow_provider_persona.bulk.subjects.subject import ObjectSubject
from airflow_provider_persona.client import AsyncPersonaClient

_MOST_VALUES: Final = 100
"""Values of one filter: the published specification allows as many ids of inquiries, and names no number for others."""
_LONGEST_VALUES: Final = 1500
"""Characters of the values of one filter in an address."""


class KeyReader:
    """Reads the objects of one kind that have a key.

    `reads` counts the requests.

    :param subject: the kind of object.
    :param client: the client to call with.
    :param by: name of the key.
    """

    def __init__(self, subject: ObjectSubject, client: AsyncPersonaClient, by: str) -> None:
        self._subject = subject
        self._client = client
        self._by = by
        self._facts = subject.match
        self._key = subject.match.keys[by]
        self._attributes = sorted(filter(None, (self._facts.status, self._facts.template, self._key.shown_in)))
        self._heeds: asyncio.Task[bool] | None = None
        self.reads = 0

    @property
    def objects_show_key(self) -> bool:
        """Whether an object shows its key, so that a list without a filter tells it."""
        return bool(self._key.shown_in)

    def list_request(self) -> Request:
        """Return the request of the first page of all objects."""
        return self._subject.list_request(self._attributes)

    def batches(self, keys: Iterable[str]) -> Iterator[list[str]]:
        """Yield keys, as many at a time as one filter takes."""
        batch: list[str] = []
        length = 0
        for key in keys:
            size = len(quote(key)) + 3  # with a comma, which is `%2C` in an address
            if not self._key.takes_several or "," in key:
                yield [key]
                continue
            if batch and (len(batch) == _MOST_VALUES or length + size > _LONGEST_VALUES):
                yield batch
                batch, length = [], 0
            batch.append(key)
            length += size
        if batch:
            yield batch

    async def of_batch(self, values: list[str]) -> Iterator[tuple[str, Found]]:
        """Return what has each of the keys that `batches` gave.

        :raises PersonaError: when Persona cannot be asked, or asking for other keys would fail in the same way.
        """
        found = await self._of_several(values) if len(values) > 1 else None
        if found is None:
            found = {value: await self._of_one(value) for value in values}
        return iter(found.items())

    def shown_by(self, resource: Resource) -> list[str] | None:
        """Return the keys that an object shows; None where it shows nothing of them."""
        name = self._key.shown_in
        if not name:
            return None
        text = resource.attribute(name, MISSING)
        if text is not MISSING:
            return [text] if isinstance(text, str) else []
        pointers = resource.related(name)
        return None if pointers is None else [pointer.id for pointer in pointers if pointer.id is not None]

    def is_usable(self, resource: Resource) -> bool:
        """Whether it is an object of this kind, with an id that calls can name."""
        kind = (resource.type or self._subject.name).partition("/")[0]
        return resource.id is not None and is_path_id(resource.id) and kind == self._subject.name

    def candidate(self, resource: Resource) -> Candidate:
        """Return a usable object, with what tells it from others of the same key."""
        assert resource.id is not None
        templates = resource.related(self._facts.template) or [Resource({})]
        return Candidate(resource.id, resource.text(self._facts.status), templates[0].id)

    async def _of_several(self, values: list[str]) -> dict[str, Found] | None:
        """Return what has each of some keys; None where single reads must tell it."""
        objects: dict[str, list[Candidate]] = {value: [] for value in values}
        request: Request | None = self._request(",".join(values))
        seen: SeenPages = set()
        before = self.reads
        try:
            while request is not None:
                if self.reads - before == len(values):
                    return None  # single reads take no more than this
                self.reads += 1
                page = (await self._client.send(request)).json()
                for resource in map(Resource, items_of(request, page)):
                    shown = self.shown_by(resource)
                    if shown is None or not self.is_usable(resource):
                        return None
                    found = self.candidate(resource)
                    for key in objects.keys() & set(shown):
                        if found not in objects[key]:  # pages may overlap
                            objects[key].append(found)
                request = next_page(request, page, seen)
        except (PersonaValidationError, PersonaNotFoundError, PersonaAnswerError):
            return None  # one value may be at fault for all
        return {key: Found(tuple(some[:MOST_FOUND]), len(some) > MOST_FOUND) for key, some in objects.items()}

    async def _of_one(self, value: str) -> Found:
        """Return what has a key, by one read."""
        if self._key.takes_several and "," in value:
            return Found(problem=f"the {self._by} has a comma, which Persona's filter takes for the end of a value")
        self.reads += 1
        request = self._request(value)
        try:
            page = (await self._client.send(request)).json()
            resources = [Resource(item) for item in items_of(request, page)]
            has_more = next_page(request, page, set()) is not None
        except PersonaNotFoundError:
            return Found()
        except PersonaValidationError as error:
            return Found(problem=f"Persona refuses the {self._by} as a filter, with {error.status}")
        except PersonaAnswerError:
            return Found(problem=self._unreadable)
        problem = await self._problem_of(resources, value)
        return Found(problem=problem) if problem else Found(tuple(map(self.candidate, resources)), has_more)

    async def _problem_of(self, resources: list[Resource], value: str) -> str:
        """Return why an answer proves nothing, or an empty text."""
        plural = self._subject.plural
        if not all(map(self.is_usable, resources)):
            return self._unreadable
        shown = [self.shown_by(resource) for resource in resources]
        if any(keys is not None and value not in keys for keys in shown):
            return f"Persona answered with {plural} of another {self._by}, so they prove nothing"
        if None in shown and not await self._heeds_filter():
            return f"Persona answers with {plural} whatever the {self._by}, so they prove nothing"
        return ""

    async def _heeds_filter(self) -> bool:
        """Whether a value that nothing has is answered with nothing; asked once."""
        # A task, so that all who ask at once wait for one answer.
        self._heeds = self._heeds or asyncio.ensure_future(self._try_filter())
        return await self._heeds

    async def _try_filter(self) -> bool:
        self.reads += 1
        # Random, so that nobody can have given it to an object.
        request = self._request(f"nothing-has-{uuid.uuid4().hex}")
        try:
            return not items_of(request, (await self._client.send(request)).json())
        except (PersonaNotFoundError, PersonaValidationError):
            return True  # it was looked at

    def _request(self, value: str) -> Request:
        return self._subject.list_request(self._attributes, filters={self._by: value})

    @property
    def _unreadable(self) -> str:
        return f"the answer to a look for its {self._subject.name} cannot be read"
