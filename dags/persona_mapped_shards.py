"""### Update cases in shards

Four mapped tasks take a quarter of the rows each, on whatever workers there are. They need no coordination: each
answer of Persona tells how much of the request limit is left to all of them. Rows are never mapped one a task, which
would cost more than the call itself.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator

SHARDS = 4

with DAG(
    "persona_mapped_shards",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["persona"],
):
    SqlToPersonaCasesOperator.partial(
        task_id="update_shard",
        sql="SELECT case_id, new_status AS status FROM case_decisions WHERE shard = :shard",
        sql_conn_id="warehouse",
        max_failures=0.01,
        retries=3,
    ).expand(parameters=[{"shard": shard} for shard in range(SHARDS)])
