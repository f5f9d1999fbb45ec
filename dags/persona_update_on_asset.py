"""### Update cases when another pipeline has written its decisions

The first Dag stands for any pipeline that writes the table. It updates an asset, and the second Dag runs after each of
these updates.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator
from airflow_provider_persona.version_compat import DAG, Asset, Param, task

DECISIONS = Asset("x-warehouse://case_decisions")

with DAG(
    "warehouse_decisions",
    dag_display_name="Warehouse: write decisions (stands for your pipeline)",
    description="Updates the asset that starts the Dag which updates the cases.",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    is_paused_upon_creation=True,
    tags=["persona"],
):

    @task(outlets=[DECISIONS])
    def write_decisions() -> None:
        """Stand for the pipeline that writes the decisions."""

    write_decisions()

with DAG(
    "persona_update_on_asset",
    dag_display_name="Persona: update cases when decisions are written",
    description="Runs after each update of the asset with the warehouse's decisions.",
    doc_md=__doc__,
    schedule=[DECISIONS],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    params={
        "dry_run": Param(default=True, type="boolean", description="Report what would be changed, change nothing"),
        "max_changes": Param(
            default=5000, type="integer", minimum=0, description="Fail before the first change when there are more"
        ),
    },
    tags=["persona"],
):
    SqlToPersonaCasesOperator(
        task_id="update_cases",
        sql="sql/case_decisions.sql",
        sql_conn_id="warehouse",
        max_changes="{{ params.max_changes }}",
        max_failures=0.01,
        dry_run="{{ params.dry_run }}",
        retries=3,
    )
