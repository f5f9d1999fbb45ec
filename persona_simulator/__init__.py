"""A local Persona: every operation of the catalogue with state, limits, idempotency and faults, for tests and demos.

It stands apart from the provider: nothing in the package imports it, and it imports no more than Persona's protocol
(`api`). Start it with `python -m persona_simulator`, or in a test with `SimulatorServer`; both need the extra
`simulator`. The module `in_memory` has one without sockets, which needs no extra.
"""

from __future__ import annotations

from persona_simulator.config import READ_ONLY_KEY, SANDBOX_KEY, ApiKey, SimulatorConfig
from persona_simulator.control_client import SimulatorControl
from persona_simulator.faults import Fault, FaultKind, usual_rates
from persona_simulator.journal import Effect, LoggedRequest
from persona_simulator.server import SimulatorProcess, SimulatorServer

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
