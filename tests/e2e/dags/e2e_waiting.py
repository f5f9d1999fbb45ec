"""A sensor that waits in the triggerer until the person is through with an inquiry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_provider_persona.sensors.lifecycle import PersonaInquirySensor
from airflow_provider_persona.version_compat import DAG

with DAG("e2e_waiting", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):
    PersonaInquirySensor(
        task_id="completed",
        inquiry_id="{{ dag_run.conf['inquiry_id'] }}",
        deferrable=True,
        poke_interval=3,
        timeout=600,
        retries=2,
        retry_delay=timedelta(seconds=1),
    )
