"""### Start when a case's status changes

Airflow's triggerer follows Persona's events and reports each change of a case's status to an asset. It does not
matter who made the change: a reviewer, a workflow, or another Dag. The Dag then runs, once for several events if they
come close together. An event has the id of the case and none of its data, so the task reads what it needs.

Needs Airflow 3.0 or later; Airflow 2 cannot start Dags from events.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_persona.triggers.events import PersonaEventTrigger
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS, DAG, Asset, task

if AIRFLOW_V_3_0_PLUS:
    from airflow.sdk import AssetWatcher

    CASE_STATUS = Asset(
        name="persona_case_status",
        uri="x-persona://events/case.status-updated",
        group="persona",
        extra={"description": "Changes of the status of a case in Persona, whoever made them"},
        watchers=[
            AssetWatcher(
                name="persona_case_status",
                trigger=PersonaEventTrigger(
                    names=["case.status-updated"], persona_conn_id="persona_default", poll_interval=30
                ),
            )
        ],
    )

    with DAG(
        "persona_on_case_status",
        dag_display_name="Persona: start when a case's status changes",
        description="Reads the present status of each case that Persona's events name.",
        doc_md=__doc__,
        schedule=[CASE_STATUS],
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        is_paused_upon_creation=True,
        tags=["persona"],
    ):

        @task(retries=2)
        def read_statuses(triggering_asset_events: Any = None) -> dict[str, str | None]:
            """Return the present status of each case that the events name."""
            from airflow_provider_persona.hooks.persona import PersonaHook

            found = [event for events in triggering_asset_events.values() for event in events]
            cases = {event.extra["payload"]["object_id"] for event in found if "payload" in event.extra}
            with PersonaHook("persona_default") as hook:
                return {case_id: hook.get_case(case_id, fields=["status"]).status for case_id in sorted(cases)}

        read_statuses()
