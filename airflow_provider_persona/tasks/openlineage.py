"""OpenLineage's view of a task: where its rows came from, what it wrote to, and how much.

Airflow's OpenLineage provider asks an operator for this through `get_openlineage_facets_on_complete`, after success and
after failure. Nothing of OpenLineage is imported before that, so it need not be installed. The query itself is not
told, since it may hold values; its tables are.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_persona.tasks.lineage import TaskDeed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.openlineage.extractors import OperatorLineage

FACET: Final = "persona"
"""Name of the run facet."""


def lineage_of(
    deed: TaskDeed | None, sources: Mapping[str, Any] | None = None, targets: list[Any] | None = None
) -> OperatorLineage[Any, Any]:
    """Return the lineage of a task.

    :param deed: what it did; None when it failed before it could do anything.
    :param sources: the arguments that name its query (`sql`, `sql_conn_id`, `sql_hook_params`), if it has one.
    :param targets: datasets that it wrote beside Persona.
    """
    from airflow.providers.common.compat.openlineage.facet import (
        Dataset,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet as Statistics,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    inputs = _tables_of_query(sources or {})
    outputs = list(targets or ())
    if deed is None:
        return OperatorLineage(inputs=inputs, outputs=outputs)
    if deed.wrote:
        updated = deed.counts.get("updated")
        facets: dict[str, Any] = {} if updated is None else {"outputStatistics": Statistics(rowCount=updated)}
        outputs.append(OutputDataset(namespace=deed.namespace, name=deed.kind, outputFacets=facets))
    else:
        inputs.append(Dataset(namespace=deed.namespace, name=deed.kind))
    return OperatorLineage(inputs=inputs, outputs=outputs, run_facets={FACET: _facet_class()(**_fields(deed))})


def tell_openlineage(operator: Any, task_instance: Any) -> Any:  # noqa: ARG001 - OpenLineage's signature
    """Return inputs, outputs and counts for OpenLineage, after success and after failure.

    This is the method `get_openlineage_facets_on_complete` of operators that read from and write to nothing but
    Persona, and note their `deed`.
    """
    return lineage_of(operator.deed)


def tables_of(sql: str, conn_id: str, hook_params: Mapping[str, Any] | None = None) -> list[Any]:
    """Return the tables that a query reads, as datasets, named as the database's own hook names them.

    :param sql: the query.
    :param conn_id: connection of its database.
    :param hook_params: further arguments of the database's hook.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.sqlparser import SQLParser

    from airflow_provider_persona.tasks.sql_hook import sql_hook_of
    from airflow_provider_persona.version_compat import BaseHook

    hook: Any = sql_hook_of(conn_id, hook_params)
    connection: Any = BaseHook.get_connection(conn_id)
    info = hook.get_openlineage_database_info(connection)
    schema = _default_schema(hook) if info else None
    parsed = SQLParser(hook.get_openlineage_database_dialect(connection), schema).parse(SQLParser.split_sql_string(sql))
    # Hooks like SQLite's tell OpenLineage nothing about their database, so its place is taken from the connection.
    namespace = SQLParser.create_namespace(info) if info else _place_of(connection)
    database = info.database if info else None
    found = []
    for table in parsed.in_tables if parsed else ():
        # Without a schema of its own, a database like MySQL's has its tables below the connection's.
        above = [table.database or database, table.schema or (None if database else connection.schema)]
        name = ".".join(part for part in [*above, table.name] if part)
        found.append(Dataset(namespace=namespace, name=name.upper() if info and info.is_uppercase_names else name))
    return found


def _default_schema(hook: Any) -> str | None:
    """Return the schema of tables that a query names without one; some hooks ask their database for it."""
    try:
        schema: str | None = hook.get_openlineage_default_schema()
    except Exception:  # noqa: BLE001 - whatever the driver raises; the names of most tables are known all the same
        return None
    return schema


def _place_of(connection: Any) -> str:
    port = f":{connection.port}" if connection.port else ""
    return f"{connection.conn_type}://{connection.host or connection.schema or ''}{port}"


def folder_at(address: str) -> Any:
    """Return a folder as a dataset.

    :param address: a local path, or an address in an object store, with or without the id of its connection.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset

    # Not `urlsplit`: the name of a folder may hold `#` and `?`.
    scheme, mark, rest = address.partition("://")
    if not mark or scheme in ("file", "local"):
        return Dataset(namespace="file", name=str(Path(rest or address).expanduser()))
    place, _, name = rest.partition("/")
    bucket = place.rpartition("@")[2]  # the connection says who asks, and not where
    return Dataset(namespace=f"{scheme}://{bucket}", name=name.strip("/"))


def _tables_of_query(given: Mapping[str, Any]) -> list[Any]:
    if not given.get("sql") or not given.get("sql_conn_id"):
        return []
    return tables_of(given["sql"], given["sql_conn_id"], given.get("sql_hook_params"))


def _fields(deed: TaskDeed) -> dict[str, Any]:
    return {
        "environment": deed.environment,
        "kind": deed.kind,
        "rows": deed.rows,
        "counts": dict(deed.counts),
        "transitions": dict(deed.transitions),
        "planHash": deed.plan_hash,
    }


@cache
def _facet_class() -> Any:
    """Return the class of the run facet; its names are written as OpenLineage writes names."""
    from airflow.providers.common.compat.openlineage.facet import RunFacet
    from attrs import define

    @define
    class PersonaRunFacet(RunFacet):
        """What a task did with one kind of Persona's objects."""

        environment: str | None
        kind: str
        rows: int | None
        counts: dict[str, int]
        transitions: dict[str, int]
        planHash: str | None  # noqa: N815

    return PersonaRunFacet
