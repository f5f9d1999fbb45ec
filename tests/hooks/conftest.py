"""A shared simulated Persona, and connections to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_persona.simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer

Connect = Callable[..., str]


@pytest.fixture(scope="session")
def _shared_persona() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatorConfig(cases=100, limit=1_000_000, search_lag_seconds=0)) as server:
        yield server


@pytest.fixture
def persona(_shared_persona: SimulatorServer) -> SimulatorServer:
    """The simulated Persona of these tests, as new."""
    _shared_persona.reset()
    return _shared_persona


@pytest.fixture
def connection(persona: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Return a function that makes the connection `persona_test` and returns its id."""

    def make(extra: dict[str, Any] | None = None, **parts: Any) -> str:
        made = {"conn_type": "persona", "host": persona.url, "password": SANDBOX_KEY, "extra": extra or {}, **parts}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_TEST", json.dumps(made))
        return "persona_test"

    return make


@pytest.fixture
def open_case(persona: SimulatorServer) -> str:
    """The id of a KYC case with the status Open."""
    return next(
        case["case_id"] for case in persona.cases() if case["status"] == "Open" and case["template_id"] == "ctmpl_kyc"
    )
