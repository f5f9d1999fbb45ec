"""A local Persona: every operation of the catalogue with state, limits, idempotency and faults, for tests and demos.

Apart from the provider: nothing in the package imports it, and it imports no more than Persona's protocol (`api`).
Needs the extra `simulator`. Start it with `python -m airflow_provider_persona.simulator`, or in a test with
`SimulatorServer`.
"""

from __future__ import annotations

from airflow_provider_persona.simulator.config import READ_ONLY_KEY, SANDBOX_KEY, ApiKey, SimulatorConfig
from airflow_provider_persona.simulator.control_client import SimulatorControl
from airflow_provider_persona.simulator.faults import Fault, FaultKind, usual_rates
from airflow_provider_persona.simulator.journal import Effect, LoggedRequest
from airflow_provider_persona.simulator.server import SimulatorProcess, SimulatorServer

__all__ = [
    "READ_ONLY_KEY",
    "SANDBOX_KEY",
    "ApiKey",
    "Effect",
    "Fault",
    "FaultKind",
    "LoggedRequest",
    "SimulatorConfig",
    "SimulatorControl",
    "SimulatorProcess",
    "SimulatorServer",
    "usual_rates",
]
