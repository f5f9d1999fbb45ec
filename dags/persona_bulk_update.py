"""### Update cases from a warehouse query

Reads the warehouse's decisions, plans, and changes the cases that differ, within Persona's request limit. Cases that a
human has decided are left alone. Plan and ledger are kept below `[persona] state_path`.

It changes nothing as it stands: trigger it with `dry_run` off, or set that as the default once its reports are right.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator
from airflow_provider_persona.version_compat import DAG, Param

with DAG(
    "persona_bulk_update",
    dag_display_name="Persona: update cases from a query",
    description="Changes the cases that differ from the warehouse's decisions, and leaves human decisions alone.",
    doc_md=__doc__,
    schedule="@daily",
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
        persona_conn_id="persona_default",
        never_from=["Approved", "Declined"],
        max_changes="{{ params.max_changes }}",
        max_failures=0.01,
        dry_run="{{ params.dry_run }}",
        retries=3,
    )
