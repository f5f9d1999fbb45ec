"""A Dag that plans, updates, waits and exports, and fails once, for OpenLineage's listener; see `test_openlineage.py`.

It runs in a process of its own, because the listener is set up once a process, when Airflow is imported.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

from airflow.utils.session import create_session

from airflow_provider_persona.operators.cases import PersonaUpdateCaseOperator
from airflow_provider_persona.operators.plans import PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.sensors.cases import PersonaCaseSensor
from airflow_provider_persona.transfers.persona_to_object_storage import PersonaToObjectStorageOperator
from airflow_provider_persona.transfers.persona_to_sql import PersonaToSqlOperator
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS, DAG, Asset
from tests.airflow_fixtures import prepare_dag_test, put_into_database

given = json.loads(sys.argv[1])
QUERY = {"sql": given["sql"], "sql_conn_id": "warehouse"}

prepare_dag_test()
with DAG("lineage", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
    plan = PersonaPlanCaseUpdatesOperator(task_id="plan", **QUERY)
    update = SqlToPersonaCasesOperator(task_id="update", outlets=[Asset(given["asset"])], **QUERY)
    wait = PersonaCaseSensor(task_id="wait", case_id=given["case_id"], target_statuses="Declined", poke_interval=1)
    single = PersonaUpdateCaseOperator(task_id="single", case_id=given["case_id"], status="Open")
    reading = {"operation_id": "list-all-cases", "columns": {"status": "status"}}
    to_table = PersonaToSqlOperator(task_id="to_table", table="cases", sql_conn_id="warehouse", **reading)
    to_folder = PersonaToObjectStorageOperator(task_id="to_folder", output_path=given["folder"], **reading)
    failing = SqlToPersonaCasesOperator(
        task_id="failing", sql="SELECT case_id, 'No such status' AS status FROM decisions", sql_conn_id="warehouse"
    )
    plan >> update >> wait >> single >> to_table >> to_folder >> failing
if AIRFLOW_V_3_0_PLUS:
    from airflow.models.asset import AssetEvent

    put_into_database(dag)
else:
    from airflow.models.dataset import DatasetEvent as AssetEvent

    dag.sync_to_db()
run = dag.test()

with create_session() as session:
    events = [event.extra for event in session.query(AssetEvent)]
print("EVENTS " + json.dumps({"state": str(run.state), "assets": events}))
