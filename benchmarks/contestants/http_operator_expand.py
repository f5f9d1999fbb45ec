"""`HttpOperator.partial(...).expand_kwargs(...)`: one mapped task for each row, through a real Airflow.

The Dag runs through `dag.test()`, which takes one task after the other in one process: no scheduler, no executor, no
other process. A deployment runs several tasks at once, but pays more for each. Failures are left to `retries`.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.contestants.command_line import PERSONA_VERSION, Task, body, run


def build_dag(task: Task) -> Any:
    """Return the Dag with one mapped task for each row."""
    from airflow.providers.common.compat.sdk import DAG
    from airflow.providers.http.operators.http import HttpOperator

    with DAG("push_decisions", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        HttpOperator.partial(
            task_id="set_status",
            http_conn_id="persona_http",
            method="POST",
            headers={"Content-Type": "application/json", "Persona-Version": PERSONA_VERSION},
            retries=3,
            retry_delay=timedelta(seconds=1),
        ).expand_kwargs(
            [
                {"endpoint": f"api/v1/cases/{case_id}/set-status", "data": json.dumps(body(status))}
                for case_id, status in task.rows
            ]
        )
    return dag


def give_airflow_a_home(folder: Path) -> None:
    """Make a metadata database. This is not measured."""
    os.environ.update(
        {
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
            "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        }
    )
    from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS

    if not AIRFLOW_V_3_0_PLUS:
        os.environ["AIRFLOW__CORE__EXECUTOR"] = "SequentialExecutor"
    import airflow.providers.http.operators.http  # noqa: F401 - importing it is starting, not running
    from airflow.utils import db

    db.initdb()
    run_dag(build_idle_dag())  # the first run of a process starts an API server within it


def build_idle_dag() -> Any:
    """Return a Dag that does nothing."""
    from airflow.providers.common.compat.sdk import DAG
    from airflow.providers.standard.operators.python import PythonOperator

    with DAG("idle", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        PythonOperator(task_id="nothing", python_callable=dict)
    return dag


def run_dag(dag: Any) -> Any:
    """Run a Dag to its end and return the run."""
    from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS

    if AIRFLOW_V_3_0_PLUS:
        put_into_database(dag)
    return dag.test()


def put_into_database(dag: Any) -> None:
    """Store the Dag in the metadata database, because `dag.test()` needs it there from 3.1 on."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with create_session() as session:
        if session.get(DagBundleModel, "benchmark") is None:
            session.add(DagBundleModel(name="benchmark"))
            session.flush()
        lazy = LazyDeserializedDAG.from_dag(dag)
        SerializedDAG.bulk_write_to_db("benchmark", None, [lazy], session=session)
        session.flush()
        SerializedDagModel.write_dag(lazy, bundle_name="benchmark", session=session)


def apply(task: Task) -> Iterable[str]:
    """Run the Dag; return the cases whose task did not succeed."""
    connection = {"conn_type": "http", "host": task.url, "extra": {"Authorization": f"Bearer {task.key}"}}
    os.environ["AIRFLOW_CONN_PERSONA_HTTP"] = json.dumps(connection)
    finished = run_dag(build_dag(task))
    done = {ti.map_index for ti in finished.get_task_instances() if ti.state == "success"}
    return [case_id for index, (case_id, _) in enumerate(task.rows) if index not in done]


if __name__ == "__main__":
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="persona-benchmark-airflow-") as home:
        give_airflow_a_home(Path(home))
        run(apply)
