"""Connections to the simulated Persona."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from persona_simulator import SANDBOX_KEY, SimulatorServer

Connect = Callable[..., str]


@pytest.fixture
def connection(persona: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Return a function that makes the connection `persona_test` and returns its id."""

    def make(extra: dict[str, Any] | str | None = None, **parts: Any) -> str:
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
