"""From any list or search of Persona into a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.sdk import AirflowFailException, BaseHook

from airflow_provider_persona.task_failure import failing_for_good_when_useless_to_retry
from airflow_provider_persona.transfers.persona_reads import PersonaReadOperator

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_persona.hooks.persona import PersonaHook
    from airflow_provider_persona.transfers.columns import Columns
    from airflow_provider_persona.transfers.listing import Listing, Mark
    from airflow_provider_persona.transfers.sql_tables import KeyedTable


@dataclass(frozen=True, slots=True)
class _Version:
    """An object as a page showed it; searches may bring one on two pages, and it may have changed in between.

    :param changed_at: when it was changed, None where the answer does not tell.
    :param values: of its columns.
    """

    changed_at: datetime | None
    values: list[Any]

    @classmethod
    def of(cls, item: Mapping[str, Any], columns: Columns) -> Self:
        """Return the version that a page shows."""
        from airflow_provider_persona.transfers.listing import change_of

        return cls(change_of(item), columns.values(item))

    def is_before(self, other: _Version) -> bool:
        """Whether it is the older of the two, as far as can be told."""
        return self.changed_at is not None and other.changed_at is not None and self.changed_at < other.changed_at


class PersonaToSqlOperator(PersonaReadOperator):
    """Brings any list or search of Persona into a table, page by page: new objects are inserted, known ones updated.

    The table has the columns `id`, `type` and those of `columns`; without `columns`: `attributes` and `relationships`,
    as JSON text. It is created when it is missing, `id` as its primary key and all else as text, in which numbers and
    truths stand as JSON writes them. In a table of yours the columns may have other types, as far as the database turns
    text, numbers and truths into them, and further columns are left alone. Times come as ISO 8601 (`…T12:00:00.000Z`),
    which PostgreSQL turns into its own; MariaDB and MySQL refuse them for dates and times, so take VARCHAR there.
    Objects that Persona no longer lists stay in the table.

    Every batch is one transaction. A retry begins at the first page again; it does no harm, since each row ends as the
    last read showed it. Written with the SQL that PostgreSQL, MariaDB, MySQL and SQLite share, through the hook of any
    DB-API connection.

    Returns to XCom: counts (`rows`, `inserted`, `updated`, `requests`) and the table's name; never a row. `rows` counts
    what the pages showed, so an object that came twice counts twice; of the two the newer stays.

    :param table: `table`, `schema.table` or `catalog.schema.table`, in letters, digits and underscores.
    :param sql_conn_id: connection of any database that Airflow has a DB-API hook for.
    :param sql_hook_params: further arguments of the database's hook.
    :param batch_pages: pages of 100 objects in a transaction, 1 or more; so many are in memory.

    The other parameters are those of `PersonaReadOperator`.
    """

    template_fields: Sequence[str] = ("table", "sql_conn_id", *PersonaReadOperator.template_fields)

    def __init__(
        self,
        *,
        table: str,
        sql_conn_id: str,
        sql_hook_params: Mapping[str, Any] | None = None,
        batch_pages: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.sql_conn_id = sql_conn_id
        self.sql_hook_params = sql_hook_params
        self.batch_pages = batch_pages
        if batch_pages < 1:
            raise ValueError("batch_pages is 1 or more")

    def execute(self, context: Context) -> dict[str, Any]:
        """Read and write.

        :raises AirflowFailException: when it failed in a way that a retry would meet again.
        :raises PersonaError: when Persona failed and a retry may help.
        :raises StoreError: when the database failed and a retry may help.
        """
        from airflow_provider_persona.hooks.persona import PersonaHook
        from airflow_provider_persona.transfers.columns import Columns
        from airflow_provider_persona.transfers.sql_tables import KeyedTable

        with failing_for_good_when_useless_to_retry():
            columns = Columns(self.columns)
            listing = self.listing(columns)
            listing.request()  # a call that cannot be made must not create a table
            table = KeyedTable(self._sql_hook(), self.table, columns.names)
            marks = self.marks(context, listing)
            with PersonaHook(self.persona_conn_id, reserve=self.reserve) as hook:
                counts, newest = self._fill(hook, listing, table, columns, marks.read() if marks else None)
                requests = hook.client.usage.requests
            if marks and newest:
                marks.write(newest)
        self.warn_of_unseen(columns, counts["rows"])
        self.log.info("%d rows read: %d inserted, %d updated", counts["rows"], counts["inserted"], counts["updated"])
        return {**counts, "requests": requests, "table": self.table}

    def _fill(
        self, hook: PersonaHook, listing: Listing, table: KeyedTable, columns: Columns, since: Mark | None
    ) -> tuple[dict[str, int], Mark | None]:
        counts = {"rows": 0, "inserted": 0, "updated": 0}
        newest: Mark | None = None
        batch: dict[str, _Version] = {}
        with table.opened() as opened:
            for number, page in enumerate(listing.pages(hook.client, since=since), start=1):
                marked = [(listing.mark_of(item), item) for item in page.items]
                newest = newest or next((mark for mark, _ in marked), None)
                counts["rows"] += len(marked)
                for mark, item in marked:
                    version = _Version.of(item, columns)
                    if mark.object_id not in batch or not version.is_before(batch[mark.object_id]):
                        batch[mark.object_id] = version
                if batch and (page.is_last or number % self.batch_pages == 0):
                    inserted, updated = opened.upsert({key: version.values for key, version in batch.items()})
                    counts["inserted"] += inserted
                    counts["updated"] += updated
                    batch = {}
        return counts, newest

    def _sql_hook(self) -> DbApiHook:
        from airflow.providers.common.sql.hooks.sql import DbApiHook

        connection: Any = BaseHook.get_connection(self.sql_conn_id)
        hook = connection.get_hook(hook_params=dict(self.sql_hook_params or {}))
        if not isinstance(hook, DbApiHook):
            raise AirflowFailException(f"{self.sql_conn_id} is no database connection that can be written to")
        return hook
