"""Where the rows of a bulk run come from: a query (`QuerySource`) or a list that is there already (`GivenSource`).

Both are values that an operator makes of its rendered arguments. Both have the same two methods: `open()` gives the
rows, `parts()` tells one source from another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from airflow_provider_persona.tasks.private_templates import revealed
from airflow_provider_persona.tasks.sql_hook import sql_hook_of

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook


class Rows(NamedTuple):
    """The rows of an open source.

    :param columns: the names of the columns; None where each row brings its own.
    :param rows: the rows, which can be read once.
    """

    columns: list[str] | None
    rows: Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class QuerySource:
    """Rows of a query, streamed.

    :param sql: one query.
    :param conn_id: connection of any database that Airflow has a DB-API hook for.
    :param parameters: parameters of the query, in the driver's style. They may be personal data, so `repr` hides them.
    :param hook_params: further arguments of the database's hook.
    :param file: the file that the query stands in, where it does.
    """

    sql: str
    conn_id: str
    parameters: Mapping[str, Any] | Sequence[Any] | None = field(default=None, repr=False)
    hook_params: Mapping[str, Any] | None = field(default=None, repr=False)
    file: str | None = None

    @contextmanager
    def open(self) -> Iterator[Rows]:
        """Run the query; yield its columns and its rows, and close the connection at the end.

        :raises AirflowFailException: when the connection is not one to a database.
        """
        from airflow_provider_persona.bulk.source.query import query_rows

        hook = sql_hook_of(self.conn_id, self.hook_params)
        name = f"the query{f' in {self.file}' if self.file else ''} on connection {self.conn_id}"
        with query_rows(hook, self.sql, self.parameters, name) as (columns, rows):
            _report_lineage(hook, self.sql, self.parameters)  # once the database has taken the query
            yield Rows(columns, rows)

    def parts(self) -> tuple[Any, ...]:
        """Return what tells this source from another one, for a fingerprint."""
        return (self.sql, self.parameters, self.conn_id)


@dataclass(frozen=True, slots=True)
class GivenSource:
    """Rows that are at hand: a list in the Dag, or the result of another task.

    :param rows: the rows. They may be personal data, so `repr` hides them.
    """

    rows: Sequence[Mapping[str, Any]] = field(repr=False)

    @classmethod
    def of(cls, given: Any) -> Self:
        """Return the source for an argument like `changes`, as rendered; a generator is read here, once.

        :param given: a list of mappings, or a generator of them, or a private template of one.
        :raises BulkError: when it is no list of mappings.
        """
        from airflow_provider_persona.bulk.errors import BulkError

        found = revealed(given)
        rows = list(found) if isinstance(found, Iterable) and not isinstance(found, str | Mapping) else [found]
        if not all(isinstance(row, Mapping) for row in rows) or isinstance(found, Mapping):
            raise BulkError("changes is a list of mappings, like [{'case_id': 'case_…', 'status': 'Declined'}]")
        return cls(rows)

    @contextmanager
    def open(self) -> Iterator[Rows]:
        """Yield no columns, since each row has its own, and the rows."""
        yield Rows(None, self.rows)

    def parts(self) -> tuple[Any, ...]:
        """Return what tells these rows from others, for a fingerprint."""
        return (list(self.rows),)


def _report_lineage(hook: DbApiHook, sql: str, parameters: Any) -> None:
    """Report the query to the lineage collector; a hook does so by itself only for queries that it runs."""
    try:
        from airflow.providers.common.sql.hooks.lineage import send_sql_hook_lineage
    except ImportError:  # common-sql before 1.32
        return
    send_sql_hook_lineage(context=hook, sql=sql, sql_parameters=parameters)
