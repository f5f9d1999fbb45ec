"""Exports all cases in small parts and prints what the operator returns; a test kills it in the middle."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace


def main(url: str, key: str, folder: str) -> None:
    """Run the operator as a task would, in `folder`."""
    os.environ["AIRFLOW_HOME"] = folder
    os.environ["AIRFLOW_CONN_PERSONA_DEFAULT"] = json.dumps({"conn_type": "persona", "host": url, "password": key})
    from airflow_provider_persona.transfers.persona_to_object_storage import PersonaToObjectStorageOperator

    operator = PersonaToObjectStorageOperator(
        task_id="t", operation_id="list-all-cases", output_path=f"{folder}/out", pages_per_part=5, fields=["status"]
    )
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
    print("summary", json.dumps(operator.execute({"ti": ti})), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
