"""Persona's request limit: how it is read from the headers of an answer, and how long requests take under it. Pure.

Persona counts requests per environment in fixed windows of a minute. Each answer names the limit, the requests that
remain for everybody, and the whole seconds until the window ends (docs.withpersona.com/rate-limiting). Persona sends no
`Retry-After`; a proxy in between may.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_persona.api.errors import is_quota
from airflow_provider_persona.api.messages import Response

DEFAULT_RESERVE = 0.2
"""Share of the limit that is left to others. Persona advises to slow down below about 15 % remaining."""

WINDOW = 60
"""Seconds of a window."""

LONGEST_WAIT = 15 * 60
"""Seconds of the longest wait that is accepted from a server, after a refusal or a success. Windows last a minute, so a
longer one is a mistake, for example a time of day in place of seconds."""

_LARGEST_LIMIT = 10**9

# `int` and `float` would also take `1_000`, the digits of other scripts, which only one of the two clients decodes, and
# more digits than a number has room for.
_WHOLE = re.compile("[0-9]{1,18}")
_SECONDS = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")


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


def window_state(headers: Mapping[str, str]) -> WindowState | None:
    """Return what the three headers say, or None when one is missing or is no sensible number.

    A reset beyond `LONGEST_WAIT` cannot be a number of seconds. It counts as a whole window, so the limit holds and
    nobody waits for years.

    :param headers: the headers, with names in lower case.
    """
    texts = [headers.get(f"ratelimit-{name}", "") for name in ("limit", "remaining", "reset")]
    if not all(map(_WHOLE.fullmatch, texts)):
        return None
    limit, remaining, reset = map(int, texts)
    if max(limit, remaining) > _LARGEST_LIMIT:
        return None
    return WindowState(limit, remaining, reset if reset <= LONGEST_WAIT else WINDOW)


def wait_of(response: Response) -> float | None:
    """Return the seconds that a refusal asks to wait, or None when it names none.

    `RateLimit-Reset` and `Quota-Reset` are seconds left, not a time of day. Persona's specification and its guides
    spell the quota headers in two ways, so both are read.
    """
    # Not both kinds: the window of the request limit ends within a minute, and a quota may last for much longer.
    own = ("quota-reset", "quotalimit-reset") if is_quota(response) else ("ratelimit-reset",)
    return next((seconds for name in ("retry-after", *own) if (seconds := _seconds(response, name)) is not None), None)


def share_of(limit: int, reserve: float) -> int:
    """Return how many requests of a window we may use; at least one, unless the limit is zero.

    :param limit: requests per window.
    :param reserve: share of the limit left to others.
    """
    return limit - min(math.ceil(limit * reserve), limit - 1) if limit else 0


def seconds_for(requests: int, window: WindowState, reserve: float) -> float:
    """Return the least number of seconds that some requests take, if others need no more than the reserve.

    :param requests: number of requests.
    :param window: the present window, with a limit above zero.
    :param reserve: share of the limit left to others.
    """
    return time_for(requests, window, share_of(window.limit, reserve), WINDOW)[0]


def time_for(requests: int, window: WindowState, ours: int, length: float) -> tuple[float, int]:
    """Return the seconds until the window opens in which the last of some requests goes out, and how many go out there.

    :param requests: number of requests.
    :param window: the present window.
    :param ours: requests of each window that are ours, 1 or more.
    :param length: seconds of a window.
    """
    now = max(0, min(ours, window.remaining - (window.limit - ours)))
    later = max(0, requests - now)
    if not later:
        return 0.0, requests
    windows = math.ceil(later / ours)
    return window.reset + (windows - 1) * length, later - (windows - 1) * ours


def _seconds(response: Response, name: str) -> float | None:
    text = response.headers.get(name, "")
    return float(text) if _SECONDS.fullmatch(text) else None
