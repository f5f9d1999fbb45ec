"""What the application serves and its control endpoints turn: one environment and the server's connections."""

from __future__ import annotations

import time
from collections.abc import Callable

from persona_simulator.config import SimulatorConfig
from persona_simulator.connections import ConnectionBook
from persona_simulator.environment import Environment


class Simulation:
    """One simulated environment, which a reset replaces by a new one.

    :param config: the settings of each environment when it is new.
    :param book: the server's connections; they outlive a reset.
    :param monotonic: seconds that pass for the environment.
    """

    def __init__(
        self, config: SimulatorConfig, book: ConnectionBook, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.config = config
        self.book = book
        self._monotonic = monotonic
        self.environment = Environment(config, monotonic)

    def reset(self) -> None:
        """Replace the environment by a new one with the first settings."""
        self.environment = Environment(self.config, self._monotonic)
