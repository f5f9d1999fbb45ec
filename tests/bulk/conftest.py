"""One simulated Persona for all tests of bulk runs, begun anew for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_persona.simulator import SimulatorConfig, SimulatorServer


@pytest.fixture(scope="session")
def _running_persona() -> Iterator[SimulatorServer]:
    config = SimulatorConfig(cases=300, limit=1_000_000, search_lag_seconds=0)
    with SimulatorServer(config) as server:
        yield server


@pytest.fixture
def persona(_running_persona: SimulatorServer) -> SimulatorServer:
    """A simulated Persona with 300 cases and no limit worth the name."""
    _running_persona.reset()
    return _running_persona
