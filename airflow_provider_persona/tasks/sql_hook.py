"""The database behind an Airflow connection, for tasks that read rows from it or write a table to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.tasks.arguments import as_mapping
from airflow_provider_persona.version_compat import AirflowException, AirflowFailException, BaseHook

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

_PROVIDERS: Final = {
    "bigquery": "google",
    "gcpbigquery": "google",
    "gcpcloudsqldb": "google",
    "mssql": "microsoft-mssql",
    "athena": "amazon",
    "redshift": "amazon",
    "hiveserver2": "apache-hive",
    "hive_cli": "apache-hive",
    "drill": "apache-drill",
    "pinot": "apache-pinot",
    "impala": "apache-impala",
    "kylin": "apache-kylin",
    "spark_sql": "apache-spark",
}
"""Airflow's provider packages by type of connection, where the package does not bear the type's name."""


def sql_hook_of(conn_id: str, hook_params: Mapping[str, Any] | None = None) -> DbApiHook:
    """Return the DB-API hook of a connection.

    :param conn_id: id of the connection.
    :param hook_params: further arguments of the hook.
    :raises BadCallError: when `hook_params` is no mapping from names.
    :raises AirflowFailException: when it is not a connection to a database, or its provider or driver is not installed;
        no retry would help.
    """
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    params = as_mapping(hook_params, "sql_hook_params") or {}
    if not all(isinstance(name, str) for name in params):
        raise BadCallError("the keys of sql_hook_params are names, which are texts")
    connection: Any = BaseHook.get_connection(conn_id)
    try:
        hook = connection.get_hook(hook_params=dict(params))
    except (AirflowException, ImportError) as error:
        # 'Unknown hook type "…"' is what Airflow raises where no provider knows the type; it has no class of its own.
        if not isinstance(error, ImportError) and "hook type" not in str(error):
            raise
        kind = connection.conn_type or ""
        package = f"apache-airflow-providers-{_PROVIDERS.get(kind, kind.replace('_', '-'))}"
        raise AirflowFailException(
            f"the connection {conn_id} has the type {kind or 'nothing'}, which no installed provider can use ({error});"
            + (f" install {package}" if kind else " give it a type")
        ) from error
    if not isinstance(hook, DbApiHook):
        raise AirflowFailException(f"{conn_id} is no database connection that can be used; it has no DB-API hook")
    return hook
