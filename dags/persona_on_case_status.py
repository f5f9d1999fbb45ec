"""### Start when a case's status changes

Airflow's triggerer follows Persona's events and reports each change of a case's status to an asset, whoever made it: a
reviewer, a workflow, or another Dag. This Dag runs for what was reported since its last run, several events together if
they came close. An event says which case, not what it holds, so the task reads what it needs.

Needs Airflow 3.0 or later; Airflow 2 starts no Dags by events.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_persona.triggers.events import PersonaEventTrigger
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS

if AIRFLOW_V_3_0_PLUS:
    from airflow.sdk import AssetWatcher

    CASE_STATUS = Asset(
        "x-persona://events/case.status-updated",
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
        doc_md=__doc__,
        schedule=[CASE_STATUS],
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        tags=["persona"],
    ):

        @task(retries=2)
        def read_statuses(triggering_asset_events: Any = None) -> dict[str, str | None]:
            """Return the present status of each case that an event told of."""
            from airflow_provider_persona.hooks.persona import PersonaHook

            told = [event for events in triggering_asset_events.values() for event in events]
            cases = {event.extra["payload"]["object_id"] for event in told if "payload" in event.extra}
            with PersonaHook("persona_default") as hook:
                return {case_id: hook.get_case(case_id, fields=["status"]).status for case_id in sorted(cases)}

        read_statuses()
