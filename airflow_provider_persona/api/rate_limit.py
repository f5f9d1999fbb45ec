"""The window budget: how many requests may go out now, told from the headers of every answer.

Pure: time comes in as an argument. One budget serves all requests of one client.

Persona counts requests per environment in fixed windows that open with the first request after the last one ended
(docs.withpersona.com/rate-limiting). `RateLimit-Remaining` counts everybody's requests, so it is the state that tasks,
workers and foreign clients share; `RateLimit-Reset` is whole seconds left. What follows from that:

- Within a window requests go out at once, then all wait for its end; pacing would only waste the window's beginning.
- A window nobody here has seen an answer of is entered by one request, the probe; its answer tells what is left.
- A share of the limit, the reserve, is left to others.
- Whether the server rounds the seconds up or down is not documented. A window that opened with a request of ours shows
  its whole length in the first answer, and lengths are round: 60 is a minute rounded up, 59 a minute rounded down.
  Where that does not tell, one request is kept back to try the earlier of the two ends with, so that finding out costs
  nobody a 429.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_persona.api.messages import Response

DEFAULT_RESERVE = 0.2
"""Share of the limit that is left to others. Persona advises to slow down below about 15 % remaining."""

_FOREIGN_SHARE = 0.5
_LATE = 0.75
_ROUND = 5
"""Windows last a multiple of so many seconds: a minute at Persona, less in simulators of it."""
_SPREAD = 3.0
"""Seconds by which two answers of one window may differ in when they say that it ends: rounding and ways."""


class Rounding(StrEnum):
    """How the server rounds the seconds left in a window."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Grant:
    """One request may go out. Hand it back with the answer.

    :param window: number of the window, as counted here, in which it was granted.
    :param sent_at: time of the grant.
    """

    window: int
    sent_at: float


@dataclass(frozen=True, slots=True)
class Wait:
    """No request may go out now.

    :param seconds: ask again after so many seconds, or None: when an answer has come in. An answer that comes in
        earlier is always a reason to ask again.
    """

    seconds: float | None


@dataclass(frozen=True, slots=True)
class WindowState:
    """What the headers of one answer say.

    :param limit: requests per window.
    :param remaining: requests left in the window, for everybody.
    :param reset: whole seconds until the window ends.
    """

    limit: int
    remaining: int
    reset: int


@dataclass(frozen=True, slots=True)
class _Opening:
    """The request of ours that opened the present window, and the seconds that were left then."""

    sent_at: float
    reset: int


def window_state(headers: Mapping[str, str]) -> WindowState | None:
    """Read the three headers (names in lower case), or None when one is missing or no number."""
    try:
        state = WindowState(*(int(headers[f"ratelimit-{name}"]) for name in ("limit", "remaining", "reset")))
    except (KeyError, ValueError):
        return None
    return state if min(state.limit, state.remaining, state.reset) >= 0 else None


class WindowBudget:
    """Decides when the next request may go out.

    Not safe for several threads at once; its client sees to that.

    :param reserve: share of the limit to leave to others, from 0 up to but not including 1.
    """

    def __init__(self, reserve: float = DEFAULT_RESERVE) -> None:
        if not 0 <= reserve < 1:
            raise ValueError(f"reserve is the share of the limit left to others, from 0 to below 1, not {reserve}")
        self.reserve = reserve
        self.limit: int | None = None
        self.rounding = Rounding.UNKNOWN
        self._remaining: int | None = None
        self._ends_early = self._ends_late = -math.inf
        self._window = 0
        self._in_flight = 0
        self._stragglers = 0
        self._used_here = 0
        self._opening: _Opening | None = None
        self._probing_end = False
        self._without_headers = False

    @property
    def reserved(self) -> int:
        """How many requests of each window are left to others."""
        if not self.limit:
            return 0
        return min(math.ceil(self.limit * self.reserve), self.limit - 1)

    @property
    def per_window(self) -> int | None:
        """How many requests of each window are ours at most, or None while the limit is unknown."""
        return None if self.limit is None else self.limit - self.reserved

    def ask(self, now: float) -> Grant | Wait:
        """Ask to send one request at `now`."""
        if self._without_headers or self.limit == 0:
            return self._grant(now)
        if self._remaining is not None and now >= self._end():
            self._enter_unknown_window()
        if self._remaining is None:
            return self._grant(now) if self._in_flight == 0 else Wait(None)
        if self._may_probe_end(now):
            self._probing_end = True
            return self._grant(now)
        if self._in_flight + self._stragglers < self._allowed_in_flight():
            return self._grant(now)
        return Wait(max(0.0, self._next_chance(now) - now))

    def answered(self, grant: Grant, response: Response, now: float) -> None:
        """Take in the answer to a granted request."""
        self._return(grant)
        state = window_state(response.headers)
        if state is None:
            # A 401 or a proxy's page carries no headers and says nothing about the window.
            if self.limit is None and response.status < 400:
                self._without_headers = True
            return
        self._without_headers = False
        self.limit = state.limit
        if self._remaining is None:
            if grant.window == self._window:  # else a late answer from a window that is over
                self._open(state, grant, now)
        elif self._tells_of_later_window(state, now):
            self._open(state, grant, now)
        elif grant.window == self._window or now + state.reset > self._ends_early - _SPREAD:
            self._used_here += grant.window != self._window  # granted in the last window, counted in this one
            self._learn_end(state, grant, now)
            self._remaining = min(self._remaining, state.remaining)
        self._probing_end = False

    def lost(self, grant: Grant) -> None:
        """Take in that a granted request got no answer; it may have been counted."""
        self._return(grant)
        if grant.window == self._window and self._remaining is not None:
            self._remaining = max(0, self._remaining - 1)
        self._probing_end = False

    def unused(self, grant: Grant) -> None:
        """Take back a grant that nothing was sent for."""
        self._return(grant)
        if grant.window == self._window:
            self._used_here -= 1
        self._probing_end = False

    # ------------------------------------------------------------------ how much

    def _allowed_in_flight(self) -> int:
        """How many of our requests may be under way at once: those that the server has not yet subtracted for us."""
        assert self._remaining is not None
        spare = self._remaining - max(self.reserved, 1 if self._keeps_probe else 0)
        if spare <= 0 or not self._others_seen:
            return spare
        # Others' requests under way are unseen. Each run taking a share of what is left keeps the sum below the limit.
        return max(1, math.floor(spare * _FOREIGN_SHARE))

    @property
    def _others_seen(self) -> bool:
        assert self.limit is not None
        assert self._remaining is not None
        return self.limit - self._remaining > self._used_here

    @property
    def _keeps_probe(self) -> bool:
        return self.rounding is Rounding.UNKNOWN and (self.limit or 0) > 1

    # ------------------------------------------------------------------ when

    def _end(self) -> float:
        """When the present window is certainly over."""
        return self._ends_early if self.rounding is Rounding.UP else self._ends_late

    def _may_probe_end(self, now: float) -> bool:
        """Whether to try the earlier possible end with one request that the old window can still bear."""
        assert self._remaining is not None
        return (
            self._keeps_probe
            and not self._probing_end
            and self._in_flight == 0
            and self._remaining > 0
            and now >= self._ends_early
        )

    def _next_chance(self, now: float) -> float:
        if self._keeps_probe and self._remaining and now < self._ends_early:
            return self._ends_early
        return self._end()

    def _enter_unknown_window(self) -> None:
        self._next_window()
        self._remaining = None
        self._used_here = 0
        self._probing_end = False

    def _tells_of_later_window(self, state: WindowState, now: float) -> bool:
        """Whether an answer belongs to a window that opened after the one known here."""
        assert self._remaining is not None
        if self._probing_end and now >= self._ends_early:
            # In the old window one less would be left than before the probe.
            return state.remaining >= self._remaining or state.reset >= 2
        return now + state.reset > self._ends_late + _LATE

    def _open(self, state: WindowState, grant: Grant, now: float) -> None:
        """Begin to follow the window that `state` tells of."""
        if self._remaining is not None:
            if self._probing_end and self._opening is not None:
                # We saw this window open, so its early end was exact, and it was over by then: the seconds are rounded
                # up.
                self.rounding = Rounding.UP
            self._next_window()
            self._used_here = 1
        self._remaining = state.remaining
        self._opening = _Opening(grant.sent_at, state.reset) if state.remaining == state.limit - 1 else None
        self._ends_early = now + state.reset
        self._ends_late = self._ends_early + 1
        if state.reset == 0:
            self.rounding = Rounding.DOWN
        elif self.rounding is Rounding.UNKNOWN and self._opening is not None and now - grant.sent_at < 1:
            self.rounding = _rounding_of_length(state.reset)

    def _learn_end(self, state: WindowState, grant: Grant, now: float) -> None:
        if state.reset == 0 or (now > self._ends_early and grant.sent_at > self._ends_early):
            # Zero seconds left, or an answer from the old window after its early end: the seconds are rounded down.
            self.rounding = Rounding.DOWN
        elif self._opening is not None and state.reset < self._opening.reset and now - self._opening.sent_at < 1:
            # A window is a whole number of seconds, so before its first second is over only rounding down gives one
            # less.
            self.rounding = Rounding.DOWN
        self._ends_early = min(self._ends_early, now + state.reset)
        self._ends_late = min(self._ends_late, now + state.reset + 1)

    # ------------------------------------------------------------------ book-keeping

    def _grant(self, now: float) -> Grant:
        self._in_flight += 1
        self._used_here += 1
        return Grant(self._window, now)

    def _return(self, grant: Grant) -> None:
        if grant.window == self._window:
            self._in_flight -= 1
        else:
            self._stragglers -= 1

    def _next_window(self) -> None:
        """Count on in the next window; what is still under way may arrive in it, and is subtracted until it is back."""
        self._window += 1
        self._stragglers += self._in_flight
        self._in_flight = 0


def _rounding_of_length(reset: int) -> Rounding:
    """Tell from the seconds that are left at the very beginning of a window how they are rounded."""
    if reset % _ROUND == 0:
        return Rounding.UP
    return Rounding.DOWN if reset % _ROUND == _ROUND - 1 else Rounding.UNKNOWN
