"""Creates an account for each row of an SQLite table, as a task would; a test kills it in the middle.

Arguments: URL of Persona, key, folder with `warehouse.sqlite`, number of the try.
"""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace


def main(url: str, key: str, folder: str, try_number: int) -> None:
    """Run the operator in `folder`."""
    os.environ["AIRFLOW_HOME"] = folder
    os.environ["AIRFLOW_CONN_PERSONA_DEFAULT"] = json.dumps({"conn_type": "persona", "host": url, "password": key})
    warehouse = {"conn_type": "sqlite", "host": f"{folder}/warehouse.sqlite"}
    os.environ["AIRFLOW_CONN_WAREHOUSE"] = json.dumps(warehouse)
    from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaOperator

    operator = SqlToPersonaOperator(
        task_id="t",
        operation_id="create-an-account",
        sql="SELECT name FROM people",
        sql_conn_id="warehouse",
        body={"data.attributes.name-first": "name"},
        state_path=f"{folder}/state",
        retries=1,
    )
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=try_number, max_tries=1)
    print("report", json.dumps(operator.execute({"ti": ti})), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
