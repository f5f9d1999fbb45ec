"""Spans of time as people say them, for logs and questions."""

from __future__ import annotations

import math

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def in_words(seconds: float) -> str:
    """Return a span of time in one or two units, rounded up: `45 s`, `13 min`, `2 h 5 min`, `3 d 4 h`.

    :param seconds: the span; below zero counts as zero.
    """
    left = math.ceil(max(0.0, seconds))
    if left < 2 * _MINUTE:
        return f"{left} s"
    minutes = math.ceil(left / _MINUTE)
    if minutes < 2 * _MINUTE:
        return f"{minutes} min"
    if left < 2 * _DAY:
        return _pair(*divmod(minutes, 60), "h", "min")
    return _pair(*divmod(math.ceil(left / _HOUR), 24), "d", "h")


def _pair(large: int, small: int, name: str, small_name: str) -> str:
    return f"{large} {name} {small} {small_name}" if small else f"{large} {name}"
