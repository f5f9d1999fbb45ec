"""A fixed window that opens with its first request: the request limit and the creation quota are both one."""

from __future__ import annotations

import math

from persona_simulator.config import ResetRounding


class FixedWindow:
    """Counts what is taken in a window and refuses what is over its limit.

    :param limit: how many may be taken a window.
    :param seconds: length of a window.
    :param rounding: how the seconds left are made an integer.
    """

    def __init__(self, limit: int, seconds: float, rounding: ResetRounding) -> None:
        self.limit = limit
        self.seconds = seconds
        self.rounding = rounding
        self.used = 0
        self._opened_at = -math.inf

    def take(self, now: float) -> bool:
        """Take one; False when the window is used up. A refusal uses nothing."""
        if not self._is_open(now):
            self._opened_at = now
            self.used = 0
        if self.used >= self.limit:
            return False
        self.used += 1
        return True

    def remaining(self, now: float) -> int:
        """Return how many may still be taken in the present window."""
        return max(0, self.limit - self.used) if self._is_open(now) else self.limit

    def seconds_left(self, now: float) -> int:
        """Return the seconds until the present window ends; a whole window when none is open."""
        left = self.seconds - (now - self._opened_at) if self._is_open(now) else self.seconds
        return math.ceil(left) if self.rounding is ResetRounding.UP else math.floor(left)

    def _is_open(self, now: float) -> bool:
        return 0 <= now - self._opened_at < self.seconds
