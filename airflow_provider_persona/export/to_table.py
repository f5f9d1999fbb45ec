"""Writes the objects of a read to a table: new objects are inserted, known ones updated."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_persona.api.document import Resource
from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.export.columns import Columns
from airflow_provider_persona.export.job import ReadReport

if TYPE_CHECKING:
    from airflow_provider_persona.client import PersonaClient
    from airflow_provider_persona.export.job import ReadJob
    from airflow_provider_persona.export.listing import Mark
    from airflow_provider_persona.storage.sql_tables import KeyedTable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TableTarget:
    """A table that gets the objects, with their id as the key.

    :param table: the table; its columns are those of the job.
    :param batch_pages: pages of 100 objects in a transaction; so many are in memory.
    """

    table: KeyedTable
    batch_pages: int

    def fill(self, job: ReadJob, client: PersonaClient, since: Mark | None) -> ReadReport:
        """Read everything and write it, each batch in one transaction.

        :raises PersonaError: typed.
        :raises StoreError: when the database refuses a batch; the batches before it stay.
        """
        columns = Columns(job.mapping)
        counts = {"rows": 0, "inserted": 0, "updated": 0}
        newest: Mark | None = None
        batch: dict[str, _Version] = {}
        with self.table.opened() as opened:
            for number, page in enumerate(job.listing.pages(client, since=since), start=1):
                for object_id, item in _with_id(page.items, job.listing.operation_id):
                    newest = newest or job.listing.mark_of(item)
                    counts["rows"] += 1
                    version = _Version.of(item, columns)
                    if object_id not in batch or not version.is_before(batch[object_id]):
                        batch[object_id] = version
                if batch and (page.is_last or number % self.batch_pages == 0):
                    inserted, updated = opened.upsert({key: version.values for key, version in batch.items()})
                    counts["inserted"] += inserted
                    counts["updated"] += updated
                    batch = {}
        log.info("%d rows read: %d inserted, %d updated", counts["rows"], counts["inserted"], counts["updated"])
        return ReadReport(counts["rows"], counts, newest, columns.unseen)


def _with_id(items: Sequence[Mapping[str, Any]], operation_id: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the objects that have an id, with it. The others cannot be rows and are left out, with a warning.

    :raises PersonaAnswerError: when none has one.
    """
    found = [(object_id, item) for item in items if (object_id := Resource(item).id) is not None]
    if items and not found:
        raise PersonaAnswerError(
            f"the objects of {operation_id} have no id, so they cannot be rows", operation_id=operation_id
        )
    if len(found) < len(items):
        log.warning("Left out %d objects of %s without an id", len(items) - len(found), operation_id)
    return found


@dataclass(frozen=True, slots=True)
class _Version:
    """An object as one page showed it. A search may bring it on two pages, and it may have changed in between.

    :param changed_at: when it was changed; None where the answer does not tell.
    :param values: the values of its columns.
    """

    changed_at: datetime | None
    values: list[Any]

    @classmethod
    def of(cls, item: Mapping[str, Any], columns: Columns) -> Self:
        """Return the version that a page shows."""
        return cls(Resource(item).time("updated-at"), columns.values(item))

    def is_before(self, other: _Version) -> bool:
        """Whether it is certainly the older of the two."""
        return self.changed_at is not None and other.changed_at is not None and self.changed_at < other.changed_at
