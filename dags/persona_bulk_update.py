"""### Update cases from a warehouse query

Reads the warehouse's decisions, plans, and changes exactly the cases that differ, within Persona's request limit. Cases
that a human has decided meanwhile are left alone. Plan and ledger are kept below `[persona] state_path`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator

with DAG(
    "persona_bulk_update",
    doc_md=__doc__,
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "dry_run": Param(default=False, type="boolean", description="Report what would be changed, change nothing")
    },
    tags=["persona"],
):
    SqlToPersonaCasesOperator(
        task_id="update_cases",
        sql="sql/case_decisions.sql",
        sql_conn_id="warehouse",
        persona_conn_id="persona_default",
        never_from=["Approved", "Declined"],
        max_failures=0.01,
        dry_run="{{ params.dry_run }}",
        retries=3,
    )
