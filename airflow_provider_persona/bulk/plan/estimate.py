"""How many requests a plan takes, and how long under the request limit. An estimate for people who approve it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_persona.api.document import Document
from airflow_provider_persona.api.limits import WindowState, seconds_for, window_state


def tightest_limit(answer: Any) -> WindowState | None:
    """Return the tightest of the limits in an answer of `GET /rate-limits`, or None when it holds none."""
    found = (
        window_state({name: str(each.attribute(of)) for name, of in _SHOWN}) for each in Document(answer).resources
    )
    return min(filter(None, found), key=lambda window: window.limit, default=None)


_SHOWN: Final = (
    ("ratelimit-limit", "limit"),
    ("ratelimit-remaining", "remaining"),
    ("ratelimit-reset", "seconds-to-reset"),
)
"""Attributes of a limit, by the names of the headers that say the same and are read with the same care."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What applying a plan takes.

    :param requests: requests, without repeats.
    :param seconds: seconds at least, as the limit goes; None where the limit is unknown.
    :param limit: requests per window, or None.
    :param reserve: share of the limit left to others.
    :param matching: what finding the objects of the rows took, as `PlanHeader.matching` has it. It came before, so it
        is in none of the other figures.
    """

    requests: int
    seconds: float | None
    limit: int | None
    reserve: float
    matching: Mapping[str, Any] = field(default_factory=dict)

    def to_xcom(self) -> dict[str, Any]:
        """Return it as plain data."""
        plain = {"requests": self.requests, "seconds": self.seconds, "limit": self.limit, "reserve": self.reserve}
        return plain | ({"matching": dict(self.matching)} if self.matching else {})


def estimate(requests: int, window: WindowState | None, reserve: float) -> Estimate:
    """Estimate how long so many requests take, if nobody else needs more than the reserve.

    :param requests: how many.
    :param window: the present window of the limit, or None when it is unknown.
    :param reserve: share of the limit left to others.
    """
    if window is None or window.limit < 1:
        return Estimate(requests, None, window.limit if window else None, reserve)
    return Estimate(requests, seconds_for(requests, window, reserve), window.limit, reserve)
