"""### Update one case

Moves one case to a status and tags it, only while nobody has decided it, and waits until Persona shows it resolved.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_persona.operators.cases import PersonaUpdateCaseOperator
from airflow_provider_persona.sensors.cases import PersonaCaseSensor

with DAG(
    "persona_update_one_case",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "case_id": Param(default="case_sim000001", type="string", description="The case (case_…)"),
        "status": Param(default="Declined", type="string", description="A status of its template"),
    },
    tags=["persona"],
):
    decline = PersonaUpdateCaseOperator(
        task_id="decline",
        case_id="{{ params.case_id }}",
        status="{{ params.status }}",
        add_tags=["chargeback"],
        only_from=["Open", "Pending", "In Review"],
        retries=2,
    )
    resolved = PersonaCaseSensor(
        task_id="resolved",
        case_id="{{ params.case_id }}",
        resolved=True,
        mode="reschedule",
        poke_interval=60,
        timeout=3600,
    )
    decline >> resolved
