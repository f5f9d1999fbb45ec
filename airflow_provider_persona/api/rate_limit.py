"""The window budget: how many requests may be sent now, from the headers of each answer.

Pure: time is an argument. One budget serves all requests of one client.

Persona counts requests per environment in fixed windows. A window opens with the first request after the end of the
window before (docs.withpersona.com/rate-limiting). `RateLimit-Remaining` counts the requests of everybody: it is the
state that tasks, workers and other clients share. `RateLimit-Reset` is whole seconds left. From that follows:

- Within a window all requests are sent at once, and then all wait for its end. Spreading them out would waste time.
- The first request in a new window is sent alone, as a probe. Its answer tells how many requests are left. While it has
  none, another follows now and then, so that one request that hangs does not hold up all the others.
- A share of the limit, the reserve, is left to others.
- Persona does not document whether it rounds the seconds up or down. The first answer in a window that our request
  opened shows the whole length, and lengths are round: 60 is a minute rounded up, 59 a minute rounded down. Where that
  does not tell, one request of the window is kept to try the earlier of the two possible ends. So finding out costs no
  429.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_persona.api.limits import (
    DEFAULT_RESERVE,
    WINDOW,
    WindowState,
    share_of,
    time_for,
    window_state,
)
from airflow_provider_persona.api.messages import Response

_SHARE_BESIDE_OTHERS = 0.5
"""Share of the remaining requests that may be under way at once while others use the limit too."""
_PROBE_PATIENCE = 2.0
"""Seconds after which a probe without an answer is followed by another."""
_LATE = 0.75
"""Seconds after the latest end of the present window from which on an announced end belongs to a later window."""
_ROUND = 5
"""Seconds; the length of a window is a multiple of this: a minute at Persona, less in simulators."""
_SPREAD = 3.0
"""Seconds by which the ends that two answers in one window announce may differ, by rounding and time on the way."""


class Rounding(StrEnum):
    """How the server rounds the seconds left in a window."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Grant:
    """One request may be sent. The caller gives the grant back with the outcome.

    :param window: number of the window in which it was granted, as counted here.
    :param sent_at: time of the grant.
    """

    window: int
    sent_at: float


@dataclass(frozen=True, slots=True)
class Wait:
    """No request may be sent now.

    :param seconds: seconds after which to ask again. After any answer it makes sense to ask again earlier.
    :param for_answer: whether the answer to a probe is waited for, and not the end of a window.
    """

    seconds: float
    for_answer: bool = False


@dataclass(frozen=True, slots=True)
class _Opening:
    """Our request that opened the present window, and the seconds that its answer said were left."""

    sent_at: float
    reset: int


class WindowBudget:
    """Decides when the next request may be sent.

    It has no lock: a client with several threads holds one while it calls this.

    :param reserve: share of the limit that is left to others, from 0 to below 1.
    :raises ValueError: when the reserve is no such share.
    """

    def __init__(self, reserve: float = DEFAULT_RESERVE) -> None:
        if not 0 <= reserve < 1:
            raise ValueError(f"reserve is the share of the limit left to others, from 0 to below 1, not {reserve}")
        self.reserve = reserve
        self.limit: int | None = None
        self.rounding = Rounding.UNKNOWN
        self._remaining: int | None = None
        self._ends_early = self._ends_late = self._probed_at = -math.inf
        self._window = 0
        self._in_flight = 0
        self._stragglers = 0
        self._used_here = 0
        self._opening: _Opening | None = None
        self._end_probe: Grant | None = None
        self._without_headers = False
        self._length: float | None = None
        self._used_by_others = 0

    @property
    def reserved(self) -> int:
        """Requests of each window that are left to others."""
        return self.limit - share_of(self.limit, self.reserve) if self.limit else 0

    def ask(self, now: float) -> Grant | Wait:
        """Return a grant for one request, or how long to wait.

        :param now: the time, in seconds of a monotonic clock.
        """
        if self._without_headers or self.limit == 0:
            return self._grant(now)  # no wait would help against a limit of zero; `retry.py` says it with the answer
        if self._remaining is not None and now >= self._end():
            self._enter_unknown_window()
        if self._remaining is None:
            return self._probe(now)
        if self._may_probe_end(now):
            self._end_probe = self._grant(now)
            return self._end_probe
        if self._in_flight + self._stragglers < self._allowed_in_flight():
            return self._grant(now)
        return Wait(max(0.0, self._next_chance(now) - now))

    def _probe(self, now: float) -> Grant | Wait:
        """Return a grant for a request into a window of which nothing is known, one at a time."""
        if self._in_flight == 0 or now >= self._probed_at + _PROBE_PATIENCE:
            self._probed_at = now
            return self._grant(now)
        return Wait(self._probed_at + _PROBE_PATIENCE - now, for_answer=True)

    def answered(self, grant: Grant, response: Response, now: float) -> None:
        """Learn from the answer to a granted request."""
        self._return(grant)
        state = window_state(response.headers)
        if state is None:
            # A 401 or the page of a proxy has no such headers and tells nothing about the window.
            if self.limit is None and response.status < 400:
                self._without_headers = True
            return
        self._without_headers = False
        self.limit = state.limit
        if self._remaining is None:
            if grant.window == self._window:  # otherwise it is a late answer from an earlier window
                self._open(state, grant, now)
        elif self._tells_of_later_window(state, grant, now):
            self._open(state, grant, now)
        elif grant.window == self._window or now + state.reset > self._ends_early - _SPREAD:
            self._used_here += grant.window != self._window  # granted in an earlier window, counted in this one
            self._learn_end(state, grant, now)
            # Answers overtake one another, and within a window the number only falls.
            self._remaining = min(self._remaining, state.remaining)
        self._end_probing(grant)

    def lost(self, grant: Grant) -> None:
        """Learn that a granted request got no answer. Persona may have counted it."""
        self._return(grant)
        if grant.window == self._window and self._remaining is not None:
            self._remaining = max(0, self._remaining - 1)
        self._end_probing(grant)

    def unused(self, grant: Grant) -> None:
        """Take back a grant for which nothing was sent."""
        self._return(grant)
        if grant.window == self._window:
            self._used_here -= 1
        self._end_probing(grant)

    def time_for(self, requests: int, now: float) -> tuple[float, int] | None:
        """Return the seconds until the window opens in which the last of some requests goes out, and how many go there.

        It goes by what others used of the last whole window, and by the length of a window as its opening showed it;
        before one was seen, a minute.

        :param requests: number of requests.
        :param now: the time, in seconds of a monotonic clock.
        :returns: None where no limit is known.
        """
        if not self.limit:
            return None
        length = self._length or float(WINDOW)
        ours = max(1, self.limit - max(self.reserved, self._used_by_others))
        is_new = self._remaining is None or now >= self._end()
        remaining = self.limit if is_new or self._remaining is None else self._remaining
        reset = length if is_new else self._end() - now
        return time_for(requests, WindowState(self.limit, remaining, math.ceil(reset)), ours, length)

    def window(self, now: float) -> tuple[int, int] | None:
        """Return the limit, and the requests that are left of it in the present window.

        :param now: the time, in seconds of a monotonic clock.
        :returns: None where no limit is known, or no answer of the present window has come yet.
        """
        if not self.limit or self._remaining is None or now >= self._end():
            return None
        return self.limit, self._remaining

    # ------------------------------------------------------------------ how much

    def _allowed_in_flight(self) -> int:
        """Return how many of our requests may be under way at once; the server has not subtracted those yet."""
        assert self._remaining is not None
        spare = self._remaining - max(self.reserved, 1 if self._keeps_probe else 0)
        if spare <= 0 or not self._others_seen:
            return spare
        # The requests of others that are under way cannot be seen. If each client takes a share of what is left, their
        # sum stays below the limit. One is always allowed, or the last one would be left to nobody.
        return max(1, math.floor(spare * _SHARE_BESIDE_OTHERS))

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
        """Return the time at which the present window is certainly over."""
        return self._ends_early if self.rounding is Rounding.UP else self._ends_late

    def _may_probe_end(self, now: float) -> bool:
        """Whether to try the earlier possible end, with one request that is left in the old window."""
        assert self._remaining is not None
        return (
            self._keeps_probe
            and self._end_probe is None
            and self._remaining > self._in_flight
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
        self._end_probe = None

    def _tells_of_later_window(self, state: WindowState, grant: Grant, now: float) -> bool:
        """Whether an answer belongs to a window that opened after the one known here."""
        assert self._remaining is not None
        if grant is self._end_probe:
            # In the old window one less would be left than before the probe. Only the probe's own answer tells that:
            # requests that hang do not hold it back, so an answer may be older than what is known.
            return state.remaining >= self._remaining or state.reset >= 2
        return now + state.reset > self._ends_late + _LATE

    def _open(self, state: WindowState, grant: Grant, now: float) -> None:
        """Follow the window that an answer describes."""
        if self._remaining is not None:
            if grant is self._end_probe and self._opening is not None:
                # Our request had opened the old window, and it ended at the earlier end: the seconds are rounded up.
                self.rounding = Rounding.UP
            self._next_window()
            self._used_here = 1
        self._remaining = state.remaining
        self._opening = _Opening(grant.sent_at, state.reset) if state.remaining == state.limit - 1 else None
        self._ends_early = now + state.reset
        self._ends_late = self._ends_early + 1  # where the seconds are rounded down, up to one more is left
        # Within the first second the rounded seconds are still those of the whole window.
        if self._opening is not None and now - grant.sent_at < 1:
            self._length = _length_shown_by(state.reset)
        if state.reset == 0:
            self.rounding = Rounding.DOWN
        elif self.rounding is Rounding.UNKNOWN and self._opening is not None and now - grant.sent_at < 1:
            self.rounding = _rounding_of_length(state.reset)

    def _learn_end(self, state: WindowState, grant: Grant, now: float) -> None:
        if state.reset == 0 or grant.sent_at > self._ends_early:
            # Zero seconds left, or an answer from the old window after its earlier end: the seconds are rounded down.
            self.rounding = Rounding.DOWN
        elif self._opening is not None and state.reset < self._opening.reset and now - self._opening.sent_at < 1:
            # A window lasts whole seconds, so only rounding down shows one less before its first second is over.
            self.rounding = Rounding.DOWN
        # Only ever earlier: a slow answer shows the seconds that were left when Persona wrote it.
        self._ends_early = min(self._ends_early, now + state.reset)
        self._ends_late = min(self._ends_late, now + state.reset + 1)

    # ------------------------------------------------------------------ book-keeping

    def _end_probing(self, grant: Grant) -> None:
        if grant is self._end_probe:
            self._end_probe = None

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
        """Begin the next window. Requests that are still under way may be counted in it."""
        # The first window had a life before us, unless we opened it: what was used may have been our own last attempt.
        is_ours_to_judge = self._opening is not None or self._window > 0
        if is_ours_to_judge and self.limit is not None and self._remaining is not None:
            self._used_by_others = max(0, self.limit - self._remaining - self._used_here)
        self._window += 1
        self._stragglers += self._in_flight  # `_return` tells them by the number of their window
        self._in_flight = 0


def _rounding_of_length(reset: int) -> Rounding:
    """Return how the server rounds, from the seconds that are left when a window opens."""
    if reset % _ROUND == 0:
        return Rounding.UP
    return Rounding.DOWN if reset % _ROUND == _ROUND - 1 else Rounding.UNKNOWN


def _length_shown_by(reset: int) -> float:
    """Return the length of a window, from the seconds that are left when it opens."""
    return float(reset if _rounding_of_length(reset) is Rounding.UP else reset + 1)
