"""Tests with a whole Airflow. They take minutes, so they run only when asked for: `make e2e`, or `-m e2e`."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_servers import AirflowServers, missing_servers
from decisions import API_KEY, CasePool, Warehouse

from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS
from persona_simulator import SimulatorConfig, SimulatorControl, SimulatorProcess
from persona_simulator.config import ApiKey

DAGS = (Path(__file__).parents[2] / "dags", Path(__file__).parent / "dags")
NO_LIMIT = {"limit": 1_000_000, "window_seconds": 60.0, "latency_ms": 0.0}

_SERVERS = pytest.StashKey[AirflowServers]()
_LAST = "test_nothing_told.py"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "e2e: needs a whole Airflow, PostgreSQL and Redis; run by make e2e")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("PERSONA_E2E") != "1" and "e2e" not in config.getoption("markexpr"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("e2e") is not None])
        items[:] = [item for item in items if item.get_closest_marker("e2e") is None]
        return
    for item in items:
        if item.get_closest_marker("e2e") is not None:
            item.add_marker(pytest.mark.timeout(300))  # the first one starts Airflow
    items.sort(key=lambda item: item.path.name == _LAST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Add the ends of Airflow's logs to what is printed of a failure."""
    report = yield
    servers = item.session.stash.get(_SERVERS, None)
    if report.failed and servers is not None:
        report.sections += [(f"the end of {name}", tail) for name, tail in servers.tails()]
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tell how long each test took, and what it measured."""
    passed = [report for report in terminalreporter.getreports("passed") if "tests/e2e/" in report.nodeid]
    if passed:
        terminalreporter.section("how long it took")
    for report in passed:
        said = f": {dict(report.user_properties)['measured']}" if report.user_properties else ""
        terminalreporter.write_line(f"{report.duration:6.1f} s  {report.nodeid.rpartition('::')[2]}{said}")


@pytest.fixture(scope="session", autouse=True)
def _end_as_by_ctrl_c() -> Iterator[None]:
    """Let a SIGTERM, as CI sends it, end the tests like Ctrl-C, which cleans up."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def _needed_servers() -> None:
    if not AIRFLOW_V_3_0_PLUS:
        pytest.skip("these tests drive Airflow 3")
    if missing := missing_servers():
        reason = f"no answer from {' and '.join(missing)}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


@pytest.fixture(scope="session")
def _persona_of_all(_needed_servers: None) -> Iterator[SimulatorProcess]:
    config = SimulatorConfig(cases=8000, keys=(ApiKey(API_KEY),), search_lag_seconds=0, **NO_LIMIT)
    with SimulatorProcess(config) as running:
        yield running


@pytest.fixture
def persona(_persona_of_all: SimulatorProcess) -> Iterator[SimulatorControl]:
    """The simulated Persona behind `persona_default`, in a process of its own; it is not begun anew for each test."""
    yield _persona_of_all
    _persona_of_all.configure(**NO_LIMIT)


@pytest.fixture(scope="session")
def watched_persona(_needed_servers: None) -> Iterator[SimulatorProcess]:
    """A simulated Persona behind `persona_watched`, in which nothing happens but what a test does."""
    with SimulatorProcess(SimulatorConfig(cases=100, keys=(ApiKey(API_KEY),), limit=1_000_000)) as running:
        yield running


@pytest.fixture(scope="session")
def airflow(
    _persona_of_all: SimulatorProcess,
    watched_persona: SimulatorProcess,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[AirflowServers]:
    """A whole Airflow with the Dags of this repository and those beside these tests; all are paused."""
    home = tmp_path_factory.mktemp("airflow")
    for folder in DAGS:
        shutil.copytree(folder, home / "dags", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    watching = {"persona_default": "persona_watched", "interval=30": "interval=2"}
    _replace(home / "dags" / "persona_on_case_status.py", watching)
    servers = AirflowServers(home)
    request.session.stash[_SERVERS] = servers
    with servers:
        for conn_id, at in (("persona_default", _persona_of_all), ("persona_watched", watched_persona)):
            servers.connect(conn_id, conn_type="persona", host=at.url, password=API_KEY)
        servers.connect("warehouse", conn_type="sqlite", host=str(home / "warehouse.sqlite"))
        yield servers
    del request.session.stash[_SERVERS]
    if not request.session.testsfailed:
        shutil.rmtree(home)


@pytest.fixture
def warehouse(airflow: AirflowServers) -> Warehouse:
    """The SQLite warehouse behind the connection `warehouse`."""
    return Warehouse(airflow.home / "warehouse.sqlite")


@pytest.fixture(scope="session")
def cases(_persona_of_all: SimulatorProcess) -> CasePool:
    """Cases that no other test changes."""
    return CasePool(_persona_of_all.statuses())


def _replace(path: Path, changes: dict[str, str]) -> None:
    text = path.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
