"""A simulator for each test over a real socket, and a small caller that speaks plain HTTP to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer

SMALL = SimulatorConfig(cases=60, limit=100_000, clock_start=1_790_000_000.0)


class Caller:
    """Sends requests to one simulator, with a key, a version and an inflection that a test may change."""

    def __init__(self, server: SimulatorServer) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = SANDBOX_KEY,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> requests.Response:
        """Send one request; `path` is below `/api/v1` unless it starts there already."""
        sent = {"Authorization": f"Bearer {key}"} if key else {}
        if idempotency_key:
            sent["Idempotency-Key"] = idempotency_key
        start = "" if path.startswith("/api/v1") else "/api/v1"
        options.setdefault("timeout", 5)
        options.setdefault("allow_redirects", False)
        url = f"{self.server.url}{start}{path}"
        return self.session.request(method, url, json=body, headers={**sent, **(headers or {})}, **options)

    def set_status(self, case_id: str, status: str, **options: Any) -> requests.Response:
        """Move a case."""
        return self("POST", f"/cases/{case_id}/set-status", {"meta": {"status": status}}, **options)

    def attributes(self, case_id: str) -> dict[str, Any]:
        """Return the attributes of a case as it is now."""
        found: dict[str, Any] = self("GET", f"/cases/{case_id}").json()["data"]["attributes"]
        return found

    def close(self) -> None:
        """Close the session."""
        self.session.close()


@pytest.fixture(scope="session")
def _shared_server() -> Iterator[SimulatorServer]:
    with SimulatorServer(SMALL) as server:
        yield server


@pytest.fixture
def server(_shared_server: SimulatorServer) -> SimulatorServer:
    """A simulator with 60 cases and a limit that no test reaches, as new."""
    _shared_server.reset()
    return _shared_server


@pytest.fixture
def call(server: SimulatorServer) -> Iterator[Caller]:
    """A caller of `server`."""
    caller = Caller(server)
    yield caller
    caller.close()


@pytest.fixture
def simulate() -> Iterator[Callable[[SimulatorConfig], Caller]]:
    """Start simulators of a test's own; they stop after it."""
    started: list[Caller] = []

    def start(config: SimulatorConfig) -> Caller:
        caller = Caller(SimulatorServer(config).start())
        started.append(caller)
        return caller

    yield start
    for caller in started:
        caller.close()
        caller.server.stop()


@pytest.fixture
def open_case(server: SimulatorServer) -> str:
    """The id of a KYC case that is open."""
    return next(
        case["case_id"] for case in server.cases() if case["template_id"] == "ctmpl_kyc" and case["status"] == "Open"
    )
