"""Running a Dag for real: its file is read as Airflow reads it, and every task runs through `dag.test()`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).parents[1] / "dags"


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """A metadata database."""
    from airflow.utils import db

    db.initdb()


def _put_into_database(dag: Any) -> None:
    """From 3.1 on `dag.test()` wants the Dag in the metadata database."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with create_session() as session:
        if session.get(DagBundleModel, "testing") is None:
            session.add(DagBundleModel(name="testing"))
            session.flush()
        lazy = LazyDeserializedDAG.from_dag(dag)
        SerializedDAG.bulk_write_to_db("testing", None, [lazy], session=session)
        session.flush()
        SerializedDagModel.write_dag(lazy, bundle_name="testing", session=session)


@pytest.fixture
def run_dag(airflow_db: None) -> Callable[..., Any]:
    """Run a Dag; returns the run, whose `state` is a text."""
    from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS

    def run(dag: Any, **conf: Any) -> Any:
        if AIRFLOW_V_3_0_PLUS:
            _put_into_database(dag)
        return dag.test(run_conf=conf or None)

    return run


@pytest.fixture
def load_dag() -> Callable[[str], Any]:
    """Read a Dag of the folder `dags/` by its id."""
    from airflow_provider_persona.version_compat import AIRFLOW_V_3_2_PLUS

    if AIRFLOW_V_3_2_PLUS:
        from airflow.dag_processing.dagbag import DagBag
    else:
        from airflow.models.dagbag import DagBag

    def load(dag_id: str) -> Any:
        bag = DagBag(str(DAGS))
        assert not bag.import_errors
        return bag.dags[dag_id]

    return load


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """An empty SQLite warehouse behind the connection `warehouse`; call it with a table and rows to fill it."""
    path = tmp_path / "warehouse.sqlite"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    monkeypatch.setenv("AIRFLOW__PERSONA__STATE_PATH", str(tmp_path / "state"))

    def fill(table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(f"CREATE TABLE {table} ({columns})")
            marks = ", ".join("?" * len(columns.split(",")))
            db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    return fill
