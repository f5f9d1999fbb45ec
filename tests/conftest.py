"""Settings of every test: an Airflow home of its own, made before anything imports Airflow, and a simulated Persona."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

_HOME = Path(tempfile.mkdtemp(prefix="persona-airflow-"))
_REPOSITORY = Path(__file__).parent.parent
os.environ.update(
    {
        "AIRFLOW_HOME": str(_HOME),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__CORE__DAGS_FOLDER": str(_REPOSITORY / "dags"),
    }
)
if metadata.version("apache-airflow").startswith("2."):
    os.environ["AIRFLOW__CORE__EXECUTOR"] = "SequentialExecutor"  # the default of 3 takes SQLite, that of 2.11 does not
for _name in [name for name in os.environ if name.startswith("AIRFLOW_CONN_")]:
    del os.environ[_name]

import pytest  # noqa: E402 - Airflow's settings come first

pytest_plugins = ["tests.airflow_fixtures"]

from airflow_provider_persona.simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _remove_airflow_home() -> Iterator[None]:
    yield
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def _running_persona() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatorConfig(cases=300, limit=1_000_000, search_lag_seconds=0)) as server:
        yield server


@pytest.fixture
def persona(_running_persona: SimulatorServer) -> SimulatorServer:
    """A simulated Persona with 300 cases and no limit worth the name, begun anew for each test."""
    _running_persona.reset()
    return _running_persona


@pytest.fixture
def persona_connection(persona: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> SimulatorServer:
    """The simulated Persona behind the connection `persona_default`."""
    import json

    connection = {"conn_type": "persona", "host": persona.url, "password": SANDBOX_KEY}
    monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
    return persona
