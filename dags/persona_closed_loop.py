"""### Query, dry run, update, wait

The dry run shows in the log and in XCom what would be changed. The update changes it. The sensor waits until no case
has the status "Pending" any more. With the param `dry_run`, which is on by default, the second task changes nothing
either.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_persona.sensors.cases import PersonaCasesSensor
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator
from airflow_provider_persona.version_compat import DAG, Param, chain

CLEARED = "SELECT case_id, 'Approved' AS status FROM screenings WHERE result = 'clear'"

with DAG(
    "persona_closed_loop",
    dag_display_name="Persona: dry run, update, wait",
    description="Shows what would change, changes it, and waits until no case is pending.",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    is_paused_upon_creation=True,
    params={
        "dry_run": Param(default=True, type="boolean", description="Report what would be changed, change nothing"),
        "max_changes": Param(
            default=5000, type="integer", minimum=0, description="Fail before the first change when there are more"
        ),
    },
    tags=["persona"],
):
    dry_run = SqlToPersonaCasesOperator(
        task_id="dry_run", sql=CLEARED, sql_conn_id="warehouse", only_from="Pending", dry_run=True
    )
    update = SqlToPersonaCasesOperator(
        task_id="update",
        sql=CLEARED,
        sql_conn_id="warehouse",
        only_from="Pending",
        max_changes="{{ params.max_changes }}",
        dry_run="{{ params.dry_run }}",
        retries=3,
    )
    none_pending = PersonaCasesSensor(
        task_id="none_pending",
        filters={"status": "Pending"},
        mode="reschedule",
        poke_interval=60,
        timeout=3600,
    )
    chain(dry_run, update, none_pending)
