"""A bulk run that is killed: its retry comes soon, and where its plan and ledger stand is up to the run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator
from airflow_provider_persona.version_compat import DAG

with DAG("e2e_killed", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):
    SqlToPersonaCasesOperator(
        task_id="update_cases",
        sql="SELECT case_id, new_status AS status FROM {{ dag_run.conf['table'] }}",
        sql_conn_id="warehouse",
        state_path="{{ dag_run.conf['state_path'] }}",
        retries=2,
        retry_delay=timedelta(seconds=1),
    )
