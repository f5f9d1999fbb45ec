"""### Query, dry run, update, wait

A dry run shows in the log and in XCom what would be changed; the update changes it; the sensor waits until no case is
left in the status that the query takes cases out of.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, chain

from airflow_provider_persona.sensors.cases import PersonaCasesSensor
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator

CLEARED = "SELECT case_id, 'Approved' AS status FROM screenings WHERE result = 'clear'"

with DAG(
    "persona_closed_loop",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["persona"],
):
    dry_run = SqlToPersonaCasesOperator(
        task_id="dry_run", sql=CLEARED, sql_conn_id="warehouse", only_from="Pending", dry_run=True
    )
    update = SqlToPersonaCasesOperator(
        task_id="update", sql=CLEARED, sql_conn_id="warehouse", only_from="Pending", retries=3
    )
    none_pending = PersonaCasesSensor(
        task_id="none_pending",
        filters={"status": "Pending"},
        mode="reschedule",
        poke_interval=60,
        timeout=3600,
    )
    chain(dry_run, update, none_pending)
