"""How many requests a plan takes, and how long under the request limit. An estimate for people who approve it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WINDOW = 60.0
"""Seconds of a window (docs.withpersona.com/rate-limiting)."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What `GET /rate-limits` says.

    :param limit: requests per window.
    :param remaining: requests left in the present one, for everybody.
    :param reset: seconds until it ends.
    """

    limit: int
    remaining: int
    reset: int

    @classmethod
    def from_answer(cls, answer: Any) -> RateLimit | None:
        """Return the tightest of the limits in an answer, or None when it holds none."""
        found = []
        for item in answer.get("data") or () if isinstance(answer, Mapping) else ():
            attributes = item.get("attributes") or {}
            numbers = [attributes.get(name) for name in ("limit", "remaining", "seconds-to-reset")]
            known = [number for number in numbers if isinstance(number, int)]
            if len(known) == len(numbers):
                found.append(cls(*known))
        return min(found, key=lambda one: one.limit, default=None)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What applying a plan takes.

    :param requests: requests, without repeats.
    :param seconds: seconds at least, as the limit goes; None where the limit is unknown.
    :param limit: requests per window, or None.
    :param reserve: share of the limit left to others.
    """

    requests: int
    seconds: float | None
    limit: int | None
    reserve: float

    def to_xcom(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"requests": self.requests, "seconds": self.seconds, "limit": self.limit, "reserve": self.reserve}


def estimate(requests: int, known: RateLimit | None, reserve: float) -> Estimate:
    """Estimate how long so many requests take, if nobody else needs more than the reserve.

    :param requests: how many.
    :param known: what is known of the limit, or None.
    :param reserve: share of the limit left to others.
    """
    if known is None or known.limit < 1:
        return Estimate(requests, None, known.limit if known else None, reserve)
    ours = max(1, known.limit - math.ceil(known.limit * reserve))
    now = max(0, min(ours, known.remaining - (known.limit - ours)))
    windows_later = math.ceil(max(0, requests - now) / ours)
    seconds = 0.0 if windows_later == 0 else known.reset + (windows_later - 1) * WINDOW
    return Estimate(requests, float(seconds), known.limit, reserve)
