"""The two clients under one face, so that one test holds for both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider_persona.api.messages import Request, Response
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client import AsyncPersonaClient, PersonaClient
from airflow_provider_persona.client.conversation import RetryBreaker
from persona_simulator import SANDBOX_KEY, SimulatorServer
from tests.client.raw_server import RawServer

QUICK = RetryPolicy(delays=(0.01, 0.02, 0.03), jitter=0)


class Blocking:
    """`PersonaClient` as it is."""

    def __init__(self, settings: PersonaSettings, **options: Any) -> None:
        self.client = PersonaClient(settings, **options)

    def call(self, operation_id: str, **parameters: Any) -> Response:
        return self.client.call(operation_id, **parameters)

    def pages(self, request: Request) -> list[Any]:
        return list(self.client.pages(request))

    def set_breaker(self, breaker: RetryBreaker) -> None:
        self.client.set_breaker(breaker)

    def close_client(self) -> None:
        self.client.close()

    close = close_client


class Asynchronous:
    """`AsyncPersonaClient` on an event loop of its own."""

    def __init__(self, settings: PersonaSettings, **options: Any) -> None:
        self._runner = asyncio.Runner()
        if sleep := options.pop("sleep", None):

            async def sleep_asynchronously(seconds: float) -> None:
                sleep(seconds)

            options["sleep"] = sleep_asynchronously
        self.client = AsyncPersonaClient(settings, **options)

    def call(self, operation_id: str, **parameters: Any) -> Response:
        return self._runner.run(self.client.call(operation_id, **parameters))

    def pages(self, request: Request) -> list[Any]:
        async def collect() -> list[Any]:
            return [page async for page in self.client.pages(request)]

        return self._runner.run(collect())

    def set_breaker(self, breaker: RetryBreaker) -> None:
        self.client.set_breaker(breaker)

    def close_client(self) -> None:
        self._runner.run(self.client.close())

    def close(self) -> None:
        self.close_client()
        self._runner.close()


Face = Blocking | Asynchronous
Connect = Callable[..., Face]


@pytest.fixture(params=[Blocking, Asynchronous], ids=["blocking", "asynchronous"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Return a function that makes a client; what it makes is closed after the test."""
    made: list[Face] = []

    def make(host: str, *, policy: RetryPolicy = QUICK, sleep: Any = None, **values: Any) -> Face:
        settings = PersonaSettings.checked(**{"api_key": SANDBOX_KEY, "host": host, **values})
        options = {"policy": policy, **({"sleep": sleep} if sleep else {})}
        made.append(request.param(settings, **options))
        return made[-1]

    yield make
    for face in made:
        face.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., RawServer]]:
    """Return a function that starts a `RawServer`; what it starts is closed after the test."""
    with ExitStack() as servers:

        def start(*arguments: Any, **options: Any) -> RawServer:
            server = RawServer(*arguments, **options)
            servers.callback(server.close)
            return server

        yield start


@pytest.fixture
def open_case(persona: SimulatorServer) -> str:
    """The id of a case with the status Open."""
    return next(case["case_id"] for case in persona.cases() if case["status"] == "Open")


def approve(case_id: str) -> dict[str, Any]:
    """Return the parameters of a call that approves a case."""
    return {"path": {"case-id": case_id}, "body": {"meta": {"status": "Approved"}}}


@pytest.fixture
def approval(open_case: str) -> dict[str, Any]:
    """The parameters of a call that approves an open case."""
    return approve(open_case)
