"""Prints by how many MiB the process grows when it exports every case after it has exported some."""

from __future__ import annotations

import json
import os
import resource
import sys
from types import SimpleNamespace


def main(url: str, key: str, folder: str, file_format: str) -> None:
    """Export the cases of one status, then all."""
    os.environ["AIRFLOW_HOME"] = folder
    os.environ["AIRFLOW_CONN_PERSONA_DEFAULT"] = json.dumps({"conn_type": "persona", "host": url, "password": key})
    from airflow_provider_persona.transfers.persona_to_object_storage import PersonaToObjectStorageOperator

    grown, rows = [], []
    for number, query in enumerate(({"filter[status]": "open"}, None)):
        operator = PersonaToObjectStorageOperator(
            task_id="t",
            operation_id="list-all-cases",
            query=query,
            output_path=f"{folder}/{file_format}{number}",
            file_format=file_format,
        )
        ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
        rows.append(operator.execute({"ti": ti})["rows"])
        grown.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    assert rows[0] > 100
    assert rows[1] > 5_000
    print("grown", grown[1] - grown[0], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
