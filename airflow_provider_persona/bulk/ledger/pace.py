"""How many rows were settled when, in stretches of time. A run of days needs no more room than a short one."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Final

_SHORTEST: Final = 10
_MOST: Final = 240
"""Stretches that are told apart; with more of them the length is doubled."""


class Pace:
    """Counts what was settled in each stretch of time."""

    def __init__(self) -> None:
        self.seconds = _SHORTEST
        """Length of a stretch."""
        self._counts: dict[int, Counter[str]] = {}

    def add(self, at: str, outcome: str) -> None:
        """Take in that a row was settled.

        :param at: UTC time, ISO 8601; a text that is none is left out.
        :param outcome: its outcome.
        """
        try:
            moment = datetime.fromisoformat(at).timestamp()
        except ValueError:
            return
        self._counts.setdefault(int(moment // self.seconds), Counter())[outcome] += 1
        while len(self._counts) > _MOST:
            self._widen()

    def stretches(self) -> list[tuple[int, dict[str, int]]]:
        """Return the beginning of each stretch in which rows were settled, in Unix seconds, and rows by outcome."""
        return sorted((number * self.seconds, dict(counts)) for number, counts in self._counts.items())

    def _widen(self) -> None:
        wider: dict[int, Counter[str]] = {}
        for number, counts in self._counts.items():
            wider.setdefault(number // 2, Counter()).update(counts)
        self.seconds *= 2
        self._counts = wider
