"""The engine's simulated Persona: in memory and on virtual time, unless a test asks for the one behind a socket."""

from __future__ import annotations

import json

import pytest

from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer
from tests.virtual_time import VirtualPersona


@pytest.fixture
def persona() -> VirtualPersona:
    """A simulated Persona with 300 cases and no limit worth the name."""
    return VirtualPersona(SimulatorConfig(cases=300, limit=1_000_000, search_lag_seconds=0))


@pytest.fixture
def served_persona(_running_persona: SimulatorServer) -> SimulatorServer:
    """The same behind a socket and on real time."""
    _running_persona.reset()
    return _running_persona


@pytest.fixture
def persona_connection(served_persona: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> SimulatorServer:
    """The one behind a socket as the connection `persona_default`."""
    connection = {"conn_type": "persona", "host": served_persona.url, "password": SANDBOX_KEY}
    monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
    return served_persona
