"""Prints by how much a query of many rows lets the process of the real operator grow. Run with the number of rows."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

MANY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
QUERY = MANY + "SELECT 'case_' || i AS case_id, 'Declined' AS status FROM n"


def main(rows: int, url: str, key: str) -> None:
    """Dry-run the operator over 1,000 rows, then over `rows`, and print the growth in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "warehouse.sqlite"
        with closing(sqlite3.connect(database)):
            pass
        os.environ["AIRFLOW_HOME"] = folder
        os.environ["AIRFLOW_CONN_WAREHOUSE"] = json.dumps({"conn_type": "sqlite", "host": str(database)})
        os.environ["AIRFLOW_CONN_PERSONA_DEFAULT"] = json.dumps({"conn_type": "persona", "host": url, "password": key})
        from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator

        grown = []
        for number in (1000, rows):
            task = SimpleNamespace(
                dag_id="memory", run_id=str(number), task_id="rows", map_index=-1, try_number=1, max_tries=0
            )
            operator = SqlToPersonaCasesOperator(
                task_id="rows", sql=QUERY.format(rows=number), sql_conn_id="warehouse", state_path=folder, dry_run=True
            )
            report = operator.execute({"ti": task})
            assert report["counts"]["planned"] == number
            grown.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(grown[1] - grown[0])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
