"""An event loop that waits for sockets and skips over every other wait, with the simulator's clock kept in step.

So minutes of retries, windows and time-outs pass in milliseconds, and nothing of the program under test is replaced.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from airflow_provider_persona.simulator import SimulatorControl

T = TypeVar("T")

_PATIENCE = 0.001
"""Seconds to wait for an answer before asking whether one is still to come."""


class _SkippingSelector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    def __init__(self, sim: SimulatorControl) -> None:
        super().__init__()
        self._sim = sim
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= _PATIENCE:
            return super().select(timeout)
        found = super().select(_PATIENCE)
        if found:
            return found
        self._sim.advance_clock(0)  # when this is answered, so is all that came before, as far as it ever will be
        found = super().select(_PATIENCE / 10)
        if not found:
            self.skipped += timeout
            self._sim.advance_clock(timeout)
        return found


class SkippingLoop(asyncio.SelectorEventLoop):
    """The loop.

    :param sim: the simulator that everything is sent to.
    """

    def __init__(self, sim: SimulatorControl) -> None:
        self._skips = _SkippingSelector(sim)
        super().__init__(self._skips)

    @property
    def skipped(self) -> float:
        """Seconds that were skipped."""
        return self._skips.skipped

    def time(self) -> float:
        return super().time() + self._skips.skipped


def run_skipping(sim: SimulatorControl, main: Callable[[SkippingLoop], Coroutine[Any, Any, T]]) -> tuple[T, float]:
    """Run a coroutine on such a loop; return its result, and the seconds that were skipped."""
    loop = SkippingLoop(sim)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main(loop)), loop.skipped
