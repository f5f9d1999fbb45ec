"""From a query of a warehouse to changed cases, or to any other calls of Persona's API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_persona.operators.bulk import BulkCaseUpdateOperator, OneStepBulkOperator
from airflow_provider_persona.operators.private_templates import PrivateTemplate, revealed
from airflow_provider_persona.operators.row_sources import QueriedRows

if TYPE_CHECKING:
    from airflow_provider_persona.bulk.calls import CallMapping
    from airflow_provider_persona.bulk.plan import PlanHeader
    from airflow_provider_persona.bulk.rows import InvalidRow
    from airflow_provider_persona.bulk.spool import Written
    from airflow_provider_persona.hooks.persona import PersonaHook


class SqlToPersonaCasesOperator(QueriedRows, BulkCaseUpdateOperator):
    """Reads a query and makes Persona's cases so, in one task.

    The query is streamed, so its size is no matter. It needs a column `case_id` and at least one that says what should
    be true of the case, most often `status`; see `mapping` for the others and for other names.

    :param sql: one query, or the name of a `.sql` file.
    :param sql_conn_id: connection of any database that Airflow has a DB-API hook for.
    :param parameters: parameters of the query, in the driver's style.
    :param sql_hook_params: further arguments of the database's hook.

    The other parameters are those of `BulkCaseUpdateOperator`.
    """

    template_fields: Sequence[str] = ("sql", "sql_conn_id", "parameters", *BulkCaseUpdateOperator.template_fields)
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


class SqlToPersonaOperator(QueriedRows, OneStepBulkOperator):
    """Reads a query and makes one call of Persona's API for each row, whatever operation it is.

    Within the request limit, each call once, with a ledger, resumed after a crash, like changes of cases. What is safe
    to send again follows from the operation: one that leaves the same state when done twice is repeated after a
    failure; one that makes something new is repeated only in a way that Persona answers with what it did before, and
    ends `unresolved` where that is impossible. A row that is there twice is called once. A retry goes on where the try
    before it ended; whoever clears the task after it has made its calls lets it make them again.

    What a row holds is not looked at first, so there are no guards and no comparison here; for the status of cases use
    `SqlToPersonaCasesOperator`.

    :param operation_id: the operation, for example `create-an-email-address-list-item`; one that writes.
    :param path: from path parameters to columns, like `{"account-id": "account_id"}`.
    :param body: from body keys, dotted, to columns, like `{"meta.tag-name": "tag"}`. A column that is NULL is left out.
    :param constants: path parameters and dotted body keys that are the same for every row. What it renders to is not
        kept by Airflow.
    :param sql: one query, or the name of a `.sql` file.
    :param sql_conn_id: connection of any database that Airflow has a DB-API hook for.
    :param parameters: parameters of the query, in the driver's style.
    :param sql_hook_params: further arguments of the database's hook.

    The other parameters are those of `ApplyingOperator`.
    """

    template_fields: Sequence[str] = (
        "sql",
        "sql_conn_id",
        "parameters",
        "operation_id",
        "path",
        "body",
        "constants",
        *OneStepBulkOperator.template_fields,
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}
    constants = PrivateTemplate()

    def __init__(
        self,
        *,
        operation_id: str,
        sql: str,
        sql_conn_id: str,
        path: Mapping[str, str] | None = None,
        body: Mapping[str, str] | None = None,
        constants: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        sql_hook_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.operation_id = operation_id
        self.path = path
        self.body = body
        self.constants = constants
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.sql_hook_params = sql_hook_params

    def read_wishes(self) -> Iterator[Written | InvalidRow]:
        """Yield the call that each row wishes for.

        :raises MissingColumnError: when a column is missing.
        """
        from airflow_provider_persona.bulk.calls import calls_of

        mapping = self._mapping()
        with self.open_rows() as (columns, rows):
            if columns is not None:
                mapping.check(columns)
            yield from calls_of(rows, mapping)

    def plan_header(self, run: str, hook: PersonaHook) -> PlanHeader:
        """Return who plans what, with the operation."""
        from datetime import UTC, datetime

        from airflow_provider_persona.bulk.plan import PlanHeader
        from airflow_provider_persona.bulk.run import fingerprint

        self._mapping()  # what cannot be called fails before the query is run
        return PlanHeader(
            run=run,
            source=fingerprint(*self.source_parts(), self.operation_id, self.path, self.body, revealed(self.constants)),
            environment=hook.settings.expected_environment_id,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            operation_id=self.operation_id,
        )

    def one_wish_each(self) -> str | None:
        """Return `object` for operations that set something, None for those that add to it."""
        from airflow_provider_persona.api.operations import operation
        from airflow_provider_persona.bulk.calls import contradicts_itself

        return contradicts_itself(operation(self.operation_id))

    def _mapping(self) -> CallMapping:
        from airflow_provider_persona.bulk.calls import CallMapping

        return CallMapping(self.operation_id, self.path or {}, self.body or {}, revealed(self.constants) or {})
