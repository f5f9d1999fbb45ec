"""### Update one case

Sets the status of one case and adds a tag, but only while nobody has decided the case. Then waits until the case is
resolved.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_persona.operators.cases import PersonaUpdateCaseOperator
from airflow_provider_persona.sensors.cases import PersonaCaseSensor
from airflow_provider_persona.version_compat import DAG, Param

with DAG(
    "persona_update_one_case",
    dag_display_name="Persona: decline one case and wait",
    description="Sets the status of one undecided case, tags it, and waits until it is resolved.",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    is_paused_upon_creation=True,
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
