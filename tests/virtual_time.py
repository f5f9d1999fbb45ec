"""An event loop with a time of its own, and a simulated Persona on it: waits cost nothing, and a run can be repeated.

The time stands still while code runs. When all wait, it jumps to the next timer. So no test on this loop depends on the
speed of the machine, and minutes of windows, retries and time-outs pass in milliseconds.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from airflow_provider_persona.api.rate_limit import WindowBudget
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client import AsyncPersonaClient
from persona_simulator import SANDBOX_KEY, SimulatorConfig
from persona_simulator.in_memory import InMemorySimulator

T = TypeVar("T")

_TICK = 1e-6
"""Seconds."""

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
"""The UTC time at which every virtual time begins."""


class StandstillError(RuntimeError):
    """All wait for something that nothing on this loop will bring about."""


class VirtualTime:
    """Seconds that pass only when an event loop jumps over them; several loops may use one, one after another."""

    def __init__(self) -> None:
        self._passed = 0.0

    def now(self) -> float:
        """Return the seconds that have passed."""
        return self._passed

    def utc(self) -> datetime:
        """Return the same as UTC time."""
        return START + timedelta(seconds=self._passed)

    def pass_by(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._passed += seconds

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end on a loop with this time, as `asyncio.run` does on one with real time."""
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(self)) as runner:
            return runner.run(main)


class _JumpingSelector(selectors.PollSelector):
    """Waits for nothing: it lets the time pass that the loop would have waited."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found and timeout is None:
            raise StandstillError("nothing is ready and no timer runs: what waits here waits for ever")
        if not found and timeout:
            self._time.pass_by(timeout)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. What is handed to a thread (`asyncio.to_thread`) runs at once in this one: a thread has its own pace.

    :param time: its time.
    """

    def __init__(self, time: VirtualTime) -> None:
        super().__init__(_JumpingSelector(time))
        self._time = time

    def time(self) -> float:
        return self._time.now()

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except BaseException as error:  # noqa: BLE001 - as a thread's future would hold it
            done.set_exception(error)
        return done


class VirtualPersona(InMemorySimulator):
    """A simulated Persona on virtual time, and what tests need to send to it.

    Each of its looks at the clock takes a microsecond, so that the times in its journal tell which came first.

    :param config: what it simulates; its clock begins at `START` unless this says otherwise.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.time = VirtualTime()
        config = config or SimulatorConfig()
        if config.clock_start is None:
            config = replace(config, clock_start=START.timestamp())
        super().__init__(config, self._tick)

    def _tick(self) -> float:
        self.time.pass_by(_TICK)
        return self.time.now()

    def utc(self) -> datetime:
        return self.time.utc()

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, as `asyncio.run` does."""
        return self.time.run(main)

    def client(
        self,
        key: str = SANDBOX_KEY,
        *,
        settings: PersonaSettings | None = None,
        clock: Callable[[], float] | None = None,
        **options: Any,
    ) -> AsyncPersonaClient:
        """Return a client of this Persona.

        :param settings: settings of the connection; by default it has all of the limit to itself.
        :param options: as for `AsyncPersonaClient`.
        """
        settings = settings or PersonaSettings.checked(api_key=key, host=self.url, reserve=0.0)
        options.setdefault("budget", WindowBudget(settings.reserve))
        options.setdefault("chance", random.Random(1).random)
        options.setdefault("transport", self.transport(settings))
        return AsyncPersonaClient(settings, clock=clock or self.time.now, **options)
