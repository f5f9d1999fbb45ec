"""The simulator's own time, which a test may turn by hand.

Windows, kept answers, the search index and every timestamp use this clock and nothing else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime


class SimulatorClock:
    """Time that runs on from its start plus an offset, or stands still until it is turned.

    :param frozen: start standing still.
    :param start: the first time in epoch seconds; None is the present.
    :param monotonic: seconds that pass: real ones, or those of an event loop with a clock of its own.
    """

    def __init__(
        self, *, frozen: bool = False, start: float | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._base = time.time() if start is None else start
        self._started = monotonic()
        self._frozen_at: float | None = self._base if frozen else None

    @property
    def frozen(self) -> bool:
        """Whether the clock stands still."""
        return self._frozen_at is not None

    def now(self) -> float:
        """Return the simulated time in epoch seconds."""
        if self._frozen_at is not None:
            return self._frozen_at
        return self._base + self._monotonic() - self._started

    def advance(self, seconds: float) -> None:
        """Turn the clock forward by `seconds` (negative turns it back)."""
        self._base += seconds
        if self._frozen_at is not None:
            self._frozen_at += seconds

    def jump(self, to: float) -> None:
        """Set the clock to `to`, in epoch seconds."""
        self.advance(to - self.now())

    def freeze(self) -> None:
        """Let the clock stand still at the present simulated time."""
        self._frozen_at = self.now()

    def unfreeze(self) -> None:
        """Let the clock run again from where it stands."""
        if self._frozen_at is not None:
            self._base, self._started = self._frozen_at, self._monotonic()
            self._frozen_at = None


def timestamp(seconds: float | None) -> str | None:
    """Return epoch seconds as Persona writes a time (UTC, milliseconds, `Z`), None as None."""
    if seconds is None:
        return None
    # Rounded down by hand: `fromtimestamp` rounds to the nearest microsecond, which can lie in the next millisecond.
    # Then a filter "since the time shown" would not find the object itself.
    milliseconds = math.floor(seconds * 1000)
    if milliseconds / 1000 > seconds:  # the product was rounded up
        milliseconds -= 1
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def epoch_seconds(text: str) -> float:
    """Return the epoch seconds of an ISO date or time; without a zone it is UTC.

    :raises ValueError: when `text` is neither.
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
