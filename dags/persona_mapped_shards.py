"""### Update cases in shards

Each of four mapped tasks takes a quarter of the rows, on any worker. The tasks need no coordination: each answer of
Persona says how much of the request limit is left to all of them. Do not map single rows to tasks, because a task costs
more than the call.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator
from airflow_provider_persona.version_compat import DAG, Param

SHARDS = 4

with DAG(
    "persona_mapped_shards",
    dag_display_name="Persona: update cases in shards",
    description="Four mapped tasks update a quarter of the cases each, and share the request limit.",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    is_paused_upon_creation=True,
    params={
        "dry_run": Param(default=True, type="boolean", description="Report what would be changed, change nothing"),
        "max_changes": Param(
            default=5000, type="integer", minimum=0, description="Fail a shard before its first change when it has more"
        ),
    },
    tags=["persona"],
):
    SqlToPersonaCasesOperator.partial(
        task_id="update_shard",
        sql="SELECT case_id, new_status AS status FROM case_decisions WHERE shard = :shard",
        sql_conn_id="warehouse",
        max_changes="{{ params.max_changes }}",
        max_failures=0.01,
        dry_run="{{ params.dry_run }}",
        retries=3,
    ).expand(parameters=[{"shard": shard} for shard in range(SHARDS)])
