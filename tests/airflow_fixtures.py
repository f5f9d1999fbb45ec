"""Running a Dag for real: its file is read as Airflow reads it, and every task runs through `dag.test()`."""

from __future__ import annotations

import gc
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache, lru_cache
from pathlib import Path
from threading import Event
from typing import Any

import pytest

DAGS = Path(__file__).parents[1] / "dags"


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """A metadata database."""
    prepare_dag_test()
    gc.freeze()  # Airflow's models and servers came with it, and stay


def prepare_dag_test() -> None:
    """Make the metadata database, and take from `dag.test()` what costs time and changes nothing."""
    from airflow.utils import db

    from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_3_PLUS

    db.initdb()
    if AIRFLOW_V_3_0_PLUS:
        _share_the_execution_api()
    if AIRFLOW_V_3_3_PLUS:
        _serve_only_the_newest_version()
        _remember_what_answers_depend_on()


def _share_the_execution_api() -> None:
    """Let all runs of a process share one execution API, as they do by themselves on Airflow 3.3.

    Before, each `dag.test()` built its own, and that was three quarters of the tests' time.
    """
    from airflow.sdk.execution_time import supervisor

    if not hasattr(supervisor.in_process_api_server, "cache_info"):
        supervisor.in_process_api_server = cache(supervisor.in_process_api_server)


def _serve_only_the_newest_version() -> None:
    """Let the execution API serve the newest version of itself, the only one that `dag.test()` asks for.

    Its first answer builds the routes of every version for workers of older Airflows, which takes four seconds.
    """
    from airflow.sdk.execution_time import supervisor
    from cadwyn import HeadVersion, Version, VersionBundle
    from cadwyn.route_generation import _DELETED_ROUTE_TAG

    app = supervisor.in_process_api_server().app
    served = app.versions
    newest = Version(served.versions[0].value)
    app.versions = VersionBundle(HeadVersion(), newest, api_version_var=served.api_version_var)
    router = app._latest_version_router
    # Cadwyn refuses a route of older versions only when none of them is there to have it.
    router.routes = [route for route in router.routes if _DELETED_ROUTE_TAG not in getattr(route, "tags", ())]


def _remember_what_answers_depend_on() -> None:
    """Let FastAPI find out once what each dependency of a route needs.

    An app with replaced dependencies, as that of `dag.test()`, finds it out anew for each request, which takes half of
    the request's time.
    """
    from fastapi.dependencies import utils

    inspect = utils.get_dependant

    @lru_cache(maxsize=1000)
    def remembered(scopes: tuple[str, ...], **given: Any) -> Any:
        return inspect(parent_oauth_scopes=list(scopes), **given)

    def get_dependant(**given: Any) -> Any:
        if given.keys() != {"path", "call", "name", "parent_oauth_scopes", "scope"}:
            return inspect(**given)  # while a route is made, which changes what it gets
        return remembered(tuple(given.pop("parent_oauth_scopes") or ()), **given)

    utils.get_dependant = get_dependant


def put_into_database(dag: Any) -> None:
    """From 3.1 on `dag.test()` wants the Dag in the metadata database, and 3.0 its assets."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS, AIRFLOW_V_3_2_PLUS

    if AIRFLOW_V_3_2_PLUS:
        from airflow.serialization.definitions.dag import SerializedDAG
        from airflow.serialization.serialized_objects import DagSerialization

        to_dict = DagSerialization.to_dict
    else:
        from airflow.serialization.serialized_objects import SerializedDAG

        to_dict = SerializedDAG.to_dict

    with create_session() as session:
        if session.get(DagBundleModel, "testing") is None:
            session.add(DagBundleModel(name="testing"))
            session.flush()
        data = to_dict(dag)
        if not AIRFLOW_V_3_1_PLUS:
            SerializedDAG.bulk_write_to_db("testing", None, [SerializedDAG.from_dict(data)], session=session)
            return
        lazy = LazyDeserializedDAG(data=data)
        SerializedDAG.bulk_write_to_db("testing", None, [lazy], session=session)
        session.flush()
        SerializedDagModel.write_dag(lazy, bundle_name="testing", session=session)


@pytest.fixture
def run_dag(airflow_db: None) -> Callable[..., Any]:
    """Run a Dag; returns the run, whose `state` is a text."""
    from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_1_PLUS

    if AIRFLOW_V_3_0_PLUS and not AIRFLOW_V_3_1_PLUS:
        _log_as_a_worker()

    def run(dag: Any, **conf: Any) -> Any:
        if AIRFLOW_V_3_0_PLUS:
            put_into_database(dag)
        return dag.test(run_conf=conf or None)

    return run


def _log_as_a_worker() -> None:
    """Set up structlog, which `dag.test()` of Airflow 3.0 leaves as it comes, and its workers do not.

    As it comes it shows the messages between a task and its supervisor, with the secrets to mask in them, and the
    variables in a traceback.
    """
    import logging

    import structlog

    show = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.dev.set_exc_info, show],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )


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
def state_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for plans and ledgers."""
    monkeypatch.setenv("AIRFLOW__PERSONA__STATE_PATH", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state_path: Path) -> Callable[..., None]:
    """An empty SQLite warehouse behind the connection `warehouse`; call it with a table and rows to fill it."""
    path = tmp_path / "warehouse.sqlite"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))

    def fill(table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(f"CREATE TABLE {table} ({columns})")
            marks = ", ".join("?" * len(columns.split(",")))
            db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    return fill


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Any:
    """Return a function that gives the log's lines so far, also those of an operator outside of a run."""
    import logging

    caplog.set_level(logging.INFO)
    try:
        from structlog.testing import capture_logs
    except ImportError:  # Airflow 2 logs with Python's own logging
        yield lambda: list(caplog.messages)
        return
    with capture_logs() as entries:
        yield lambda: [*caplog.messages, *(_line_of(entry) for entry in entries)]


def _line_of(entry: Any) -> str:
    given = entry.get("positional_args", ())
    return str(entry["event"]) % given if given else str(entry["event"])


@pytest.fixture(scope="session")
def rest_api(airflow_db: None) -> Iterator[Any]:
    """Airflow's REST API in this process, as an admin."""
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "0123456789abcdef" * 4)
        client = TestClient(create_app(apps="core"), raise_server_exceptions=False)
        token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="compliance", role="admin"))
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@pytest.fixture
def run_and_answer(run_dag: Callable[..., Any], request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Run a Dag and answer what it asks; returns the run and the question.

    Where `meanwhile` is given, it is called once the question is there, before it is answered.
    """

    from airflow_provider_persona.version_compat import AIRFLOW_V_3_3_PLUS

    if not AIRFLOW_V_3_3_PLUS:
        pytest.skip("before Airflow 3.3 `dag.test()` fails when a task waits for a person")
    rest_api = request.getfixturevalue("rest_api")

    def listen(record: logging.LogRecord) -> bool:
        if str(record.msg).startswith("Waiting for Human-in-the-loop"):
            is_waiting.set()
        return True

    # `dag.test()` writes the state of the task that asks once more when the task returns. An answer that comes before
    # is lost with that, and the run waits for ever. So the answer waits until `dag.test()` says that it waits.
    is_waiting = Event()
    log = logging.getLogger("airflow.sdk.definitions.dag")
    log.addFilter(listen)

    def answer(dag_id: str, chosen: str, meanwhile: Any, reason: str | None, ended: Event) -> Any:
        while not ended.is_set():
            if not is_waiting.wait(0.1):
                continue
            found = rest_api.get(f"/api/v2/dags/{dag_id}/dagRuns/~/hitlDetails", params={"state": "awaiting_input"})
            for asked in found.json()["hitl_details"]:
                if meanwhile is not None:
                    meanwhile()
                ti = asked["task_instance"]
                place = f"/api/v2/dags/{dag_id}/dagRuns/{ti['dag_run_id']}/taskInstances/{ti['task_id']}/-1/hitlDetails"
                given = rest_api.patch(
                    place,
                    json={"chosen_options": [chosen], "params_input": {} if reason is None else {"reason": reason}},
                )
                assert given.status_code == 200, given.text
                return asked
            time.sleep(0.1)
        raise AssertionError("nobody was asked")

    def run(dag: Any, chosen: str, meanwhile: Any = None, reason: str | None = None, **conf: Any) -> Any:
        ended = Event()
        is_waiting.clear()
        with ThreadPoolExecutor(1) as person:
            answered = person.submit(answer, dag.dag_id, chosen, meanwhile, reason, ended)
            try:
                run = run_dag(dag, **conf)
            finally:
                ended.set()
            return run, answered.result()

    yield run
    log.removeFilter(listen)
