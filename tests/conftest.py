"""Settings of every test: an Airflow home of its own, made before anything imports Airflow, and a simulated Persona."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

# Imports make hundreds of thousands of objects that stay. Each look of the garbage collector at them finds nothing, and
# together the looks took more time than the imports.
gc.disable()

_HOME = Path(tempfile.mkdtemp(prefix="persona-airflow-"))
os.environ.update(
    {
        "AIRFLOW_HOME": str(_HOME),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        # Empty, since each `dag.test()` reads all files of the Dag folder and writes them into the database.
        "AIRFLOW__CORE__DAGS_FOLDER": tempfile.mkdtemp(dir=_HOME),
    }
)
if metadata.version("apache-airflow").startswith("2."):
    os.environ["AIRFLOW__CORE__EXECUTOR"] = "SequentialExecutor"  # the default of 3 takes SQLite, that of 2.11 does not
for _name in [name for name in os.environ if name.startswith("AIRFLOW_CONN_")]:
    del os.environ[_name]

import pytest  # noqa: E402 - Airflow's settings come first

pytest_plugins = ["tests.airflow_fixtures"]

from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer  # noqa: E402
from persona_simulator.loopback import without_proxy  # noqa: E402
from tests.specification import is_given  # noqa: E402

os.environ.update(without_proxy(os.environ))


def pytest_unconfigure() -> None:
    """Remove the Airflow home; each process of a run has one, the one that only hands out tests too."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Collect garbage again, but what was imported is none; and look more rarely, since tests leave little behind."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the contract tests where there is no specification. Hundreds of skips would hide the others."""
    needy = [item for item in items if item.get_closest_marker("contract")]
    if needy and not is_given():
        items[:] = [item for item in items if not item.get_closest_marker("contract")]
        config.hook.pytest_deselected(items=needy)


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
