"""Where the rows of a bulk run come from: a query, or rows that are at hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseHook

from airflow_provider_persona.operators.private_templates import revealed

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook


def sql_hook_of(conn_id: str, hook_params: Mapping[str, Any] | None = None) -> DbApiHook:
    """Return the DB-API hook behind a connection.

    :raises AirflowFailException: when it is no database connection.
    """
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    connection: Any = BaseHook.get_connection(conn_id)
    hook = connection.get_hook(hook_params=dict(hook_params or {}))
    if not isinstance(hook, DbApiHook):
        raise AirflowFailException(f"{conn_id} is no database connection that can run a query")
    return hook


@contextmanager
def queried_rows(operator: Any) -> Iterator[tuple[list[str] | None, Iterable[Mapping[str, Any]]]]:
    """Run the query of an operator with the attributes of `QueriedRows`; yield its columns and its rows."""
    from airflow_provider_persona.transfers.sql_rows import query_rows

    hook = sql_hook_of(operator.sql_conn_id, operator.sql_hook_params)
    with query_rows(hook, operator.sql, operator.parameters) as (columns, rows):
        _report_lineage(hook, operator.sql, operator.parameters)
        yield columns, rows


def given_rows(operator: Any) -> list[Mapping[str, Any]]:
    """Return the rows of an operator with the attribute of `GivenRows`, as rendered.

    :raises BulkError: when `changes` is no list of mappings.
    """
    from airflow_provider_persona.bulk.errors import BulkError

    given = revealed(operator.changes)
    rows = list(given) if isinstance(given, Iterable) and not isinstance(given, str | Mapping) else [given]
    if not all(isinstance(row, Mapping) for row in rows) or isinstance(given, Mapping):
        raise BulkError("changes is a list of mappings, like [{'case_id': 'case_…', 'status': 'Declined'}]")
    operator.changes = rows  # a generator can be read once only
    return rows


class QueriedRows:
    """Rows of a query, streamed. Mix it into an operator that has the attributes below as template fields."""

    sql: str
    sql_conn_id: str
    parameters: Mapping[str, Any] | Sequence[Any] | None
    sql_hook_params: Mapping[str, Any] | None

    def open_rows(self) -> AbstractContextManager[tuple[list[str] | None, Iterable[Mapping[str, Any]]]]:
        """Run the query; give its columns and its rows."""
        return queried_rows(self)

    def source_parts(self) -> tuple[Any, ...]:
        """Return what tells this source from another one, as rendered."""
        return (self.sql, self.parameters, self.sql_conn_id)


class GivenRows:
    """Rows that are at hand. Mix it into an operator that has `changes` as a private template field."""

    changes: Any

    def open_rows(self) -> AbstractContextManager[tuple[list[str] | None, Iterable[Mapping[str, Any]]]]:
        """Give no columns, since each row has its own, and the rows."""
        return nullcontext((None, given_rows(self)))

    def source_parts(self) -> tuple[Any, ...]:
        """Return what tells these rows from others, as rendered."""
        return (given_rows(self),)


def _report_lineage(hook: DbApiHook, sql: str, parameters: Any) -> None:
    """Tell the lineage collector of a query, which running it by hand would have skipped."""
    try:
        from airflow.providers.common.sql.hooks.lineage import send_sql_hook_lineage
    except ImportError:  # common-sql before 1.32
        return
    send_sql_hook_lineage(context=hook, sql=sql, sql_parameters=parameters)
