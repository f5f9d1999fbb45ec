"""Connections to the simulated Persona."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_persona.version_compat import (
    AIRFLOW_V_3_0_PLUS,
    AIRFLOW_V_3_2_PLUS,
    AirflowNotFoundException,
    BaseHook,
)
from persona_simulator import SANDBOX_KEY, SimulatorServer

Connect = Callable[..., str]


@pytest.fixture
def connection(persona: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Return a function that makes the connection `persona_test` and returns its id.

    A test ends there as skipped when Airflow itself does not take such a connection, so that no hook ever meets it.
    """

    def make(extra: dict[str, Any] | str | None = None, **parts: Any) -> str:
        made = {"conn_type": "persona", "host": persona.url, "password": SANDBOX_KEY, "extra": extra or {}, **parts}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_TEST", json.dumps(made))
        if AIRFLOW_V_3_0_PLUS and not AIRFLOW_V_3_2_PLUS:
            _skip_what_airflow_refuses()
        return "persona_test"

    return make


def _skip_what_airflow_refuses() -> None:
    """Airflow 3.0 and 3.1 say of a connection with an extra that is no JSON object that it is not defined."""
    try:
        BaseHook.get_connection("persona_test")
    except AirflowNotFoundException:
        pytest.skip("Airflow 3.0 and 3.1 refuse such an extra themselves")


@pytest.fixture
def open_case(persona: SimulatorServer) -> str:
    """The id of a KYC case with the status Open."""
    return next(
        case["case_id"] for case in persona.cases() if case["status"] == "Open" and case["template_id"] == "ctmpl_kyc"
    )
