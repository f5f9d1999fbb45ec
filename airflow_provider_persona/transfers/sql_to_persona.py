"""From a query of a warehouse to changed cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseHook

from airflow_provider_persona.operators.bulk import BulkCaseUpdateOperator

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_persona.bulk.rows import InvalidRow, Wish


class SqlToPersonaCasesOperator(BulkCaseUpdateOperator):
    """Reads a query and makes Persona's cases so, in one task.

    The query is streamed, so its size is no matter. It needs a column `case_id` and at least one that says what should
    be true of the case, most often `status`; see `mapping` for the others and for other names.

    :param sql: one query, or the name of a `.sql` file.
    :param sql_conn_id: connection of any database that Airflow has a DB-API hook for.
    :param parameters: parameters of the query, in the driver's style.
    :param sql_hook_params: further arguments of the database's hook.

    The other parameters are those of `BulkCaseUpdateOperator`.
    """

    template_fields: Sequence[str] = (
        "sql",
        "sql_conn_id",
        "parameters",
        *BulkCaseUpdateOperator.template_fields,
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json", "mapping": "json"}

    def __init__(
        self,
        *,
        sql: str,
        sql_conn_id: str,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        sql_hook_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.sql_hook_params = sql_hook_params

    def read_wishes(self) -> Iterator[Wish | InvalidRow]:
        """Yield what each row of the query wishes for.

        :raises MissingColumnError: before the first row, when a column is missing.
        """
        from airflow_provider_persona.bulk.run import wishes_of
        from airflow_provider_persona.transfers.sql_rows import query_rows

        hook = self._sql_hook()
        self.log.info("Reading the query through %s", self.sql_conn_id)
        with query_rows(hook, self.sql, self.parameters) as (columns, rows):
            self._report_lineage(hook)
            yield from wishes_of(rows, self.mapping, columns)

    def source(self) -> str:
        """Return a fingerprint of query, parameters, connection and mapping."""
        from airflow_provider_persona.bulk.run import fingerprint

        return fingerprint(self.sql, self.parameters, self.sql_conn_id, self.mapping)

    def _sql_hook(self) -> DbApiHook:
        from airflow.providers.common.sql.hooks.sql import DbApiHook

        connection: Any = BaseHook.get_connection(self.sql_conn_id)
        hook = connection.get_hook(hook_params=dict(self.sql_hook_params or {}))
        if not isinstance(hook, DbApiHook):
            raise AirflowFailException(f"{self.sql_conn_id} is no database connection that can run a query")
        return hook

    def _report_lineage(self, hook: DbApiHook) -> None:
        """Tell the lineage collector of the query, which running it by hand would have skipped."""
        try:
            from airflow.providers.common.sql.hooks.lineage import send_sql_hook_lineage
        except ImportError:  # common-sql before 1.32
            return
        send_sql_hook_lineage(context=hook, sql=self.sql, sql_parameters=self.parameters)
