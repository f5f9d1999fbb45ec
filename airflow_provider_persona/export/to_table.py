"""Writes the objects of a read to a table: new objects are inserted, known ones updated."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

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
        batch: dict[str, tuple[datetime | None, list[Any]]] = {}  # when an object was changed, and its values
        with self.table.opened() as opened:
            for number, page in enumerate(job.listing.pages(client, since=since), start=1):
                for object_id, item in _with_id(page.items, job.listing.operation_id):
                    newest = newest or job.listing.mark_of(item)
                    counts["rows"] += 1  # also of one that comes twice, as the documentation says
                    changed_at, values = Resource(item).time("updated-at"), columns.values(item)
                    # A search may bring an object on two pages, and it may have changed in between.
                    known = batch[object_id][0] if object_id in batch else None
                    if changed_at is None or known is None or changed_at >= known:
                        batch[object_id] = changed_at, values
                if batch and (page.is_last or number % self.batch_pages == 0):
                    inserted, updated = opened.upsert({key: values for key, (_, values) in batch.items()})
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
