"""### Update cases when another pipeline has written its decisions

The first Dag stands for any pipeline that writes the table; it tells Airflow so through an asset. The second runs
whenever that has happened.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator

DECISIONS = Asset("x-warehouse://case_decisions")

with DAG(
    "warehouse_decisions",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["persona"],
):

    @task(outlets=[DECISIONS])
    def write_decisions() -> None:
        """Stand for the pipeline that decides."""

    write_decisions()

with DAG(
    "persona_update_on_asset",
    doc_md=__doc__,
    schedule=[DECISIONS],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["persona"],
):
    SqlToPersonaCasesOperator(
        task_id="update_cases",
        sql="sql/case_decisions.sql",
        sql_conn_id="warehouse",
        max_failures=0.01,
        retries=3,
    )
