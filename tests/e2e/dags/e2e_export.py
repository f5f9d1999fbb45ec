"""An export of all cases, whose folder is up to the run."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_persona.transfers.persona_to_object_storage import PersonaToObjectStorageOperator
from airflow_provider_persona.version_compat import DAG

with DAG("e2e_export", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):
    PersonaToObjectStorageOperator(
        task_id="export",
        operation_id="list-all-cases",
        output_path="{{ dag_run.conf['output_path'] }}",
        columns={"status": "status"},
        pages_per_part=5,
    )
