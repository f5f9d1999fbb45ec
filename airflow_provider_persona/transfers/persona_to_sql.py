"""From any list or search of Persona into a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.tasks.arguments import check_whole
from airflow_provider_persona.tasks.bulk_arguments import HOOK_PARAMS_DOC, SQL_CONN_DOC
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.tasks.failure import at_work
from airflow_provider_persona.tasks.openlineage import lineage_of, tables_of
from airflow_provider_persona.tasks.reads import PersonaReadOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class PersonaToSqlOperator(PersonaReadOperator):
    """Writes any list or search of Persona to a table, page by page: new objects are inserted, known ones updated.

    The table has the columns `id`, `type` and those of `columns`; without `columns`: `attributes` and `relationships`,
    as JSON text. It is created when it is missing, with `id` as its primary key and all else as text, in which numbers
    and truths are written as JSON writes them. In a table of yours the columns may have other types, as far as the
    database converts text, numbers and truths to them, and further columns are left alone. Times come as ISO 8601
    (`…T12:00:00.000Z`), which PostgreSQL converts to its own type; MariaDB and MySQL refuse them for dates and times,
    so use VARCHAR there. Objects that Persona no longer lists stay in the table.

    Every batch is one transaction. A retry begins at the first page again. That does no harm, since each row ends as
    the last read showed it. The SQL is what PostgreSQL, MariaDB, MySQL, SQLite and DuckDB share, through the hook of
    any DB-API connection.

    A search is begun again when its order changes while it is read, three times at most, and may bring objects again.

    Returns to XCom: counts (`rows`, `inserted`, `updated`, `requests`) and the table's name; never a row. `rows` counts
    what the pages showed, so an object that came twice counts twice; of the two the newer stays.
    """

    table: str = argument("`table`, `schema.table` or `catalog.schema.table`, in letters, digits and underscores.")
    sql_conn_id: str = argument(SQL_CONN_DOC)
    sql_hook_params: Mapping[str, Any] | None = argument(HOOK_PARAMS_DOC, default=None, is_template=False)
    batch_pages: int = argument(
        "pages of 100 objects in a transaction, 1 or more; so many are in memory.", default=10, is_template=False
    )

    def check_arguments(self) -> None:
        """Check what is known when the Dag is parsed.

        :raises BadCallError: when there is no such list, or a parameter or key is missing.
        :raises ValueError: when `batch_pages` makes no sense.
        """
        super().check_arguments()
        check_whole(self.given()["batch_pages"], "batch_pages", "pages")

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's signature
        """Return inputs, outputs and counts for OpenLineage, after success and after failure."""
        given = self.given()
        of_table = f"SELECT * FROM {given['table']}"  # noqa: S608 - it is parsed, and never sent
        return lineage_of(self.deed, targets=tables_of(of_table, given["sql_conn_id"], given["sql_hook_params"]))

    def execute(self, context: Context) -> dict[str, Any]:
        """Read and write.

        :raises AirflowFailException: when a retry would fail in the same way.
        :raises PersonaError: when Persona failed and a retry may help.
        :raises StoreError: when the database failed and a retry may help.
        """
        from airflow_provider_persona.export.columns import Columns
        from airflow_provider_persona.export.to_table import TableTarget
        from airflow_provider_persona.storage.sql_tables import KeyedTable
        from airflow_provider_persona.tasks.sql_hook import sql_hook_of

        given = self.given()
        with at_work(self):
            job = self.job(context)  # an error in the arguments must not create a table
            database = sql_hook_of(given["sql_conn_id"], given["sql_hook_params"])
            table = KeyedTable(database, given["table"], Columns(given["columns"]).names)
            counts = self.read(job, TableTarget(table, given["batch_pages"]), context)
        return {**counts, "table": given["table"]}
