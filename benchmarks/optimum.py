"""The shortest time in which a client could send so many requests. The measured time is compared with it."""

from __future__ import annotations

import math


def least_seconds(requests: int, *, limit: int | None, window: float, latency: float, concurrency: int) -> float:
    """Return the least seconds between the first and the last of `requests`, for a client that knows everything.

    A window opens with its first request and takes `limit` of them, at once. So the last request lies
    `full = ceil(requests / limit) - 1` whole windows after the first, and in that last window the rest,
    `last = requests - full * limit`, goes out in rounds of `concurrency`, each `latency` after the one before:

        full * window + (ceil(last / concurrency) - 1) * latency

    Where a window is too short to use its limit up at this concurrency, the rounds alone count:

        (ceil(requests / concurrency) - 1) * latency

    The larger of the two is a lower bound for every client. CPU time is left out: a client and a server that take no
    time of their own would reach it.

    :param requests: how many must be sent.
    :param limit: requests per window, what is left to others already taken off; None for no limit.
    :param window: seconds.
    :param latency: seconds that every answer takes.
    :param concurrency: requests under way at once.
    """
    if requests < 1:
        return 0.0
    by_rounds = (math.ceil(requests / concurrency) - 1) * latency
    if limit is None:
        return by_rounds
    full = full_windows(requests, limit)
    last = requests - full * limit
    return max(by_rounds, full * window + (math.ceil(last / concurrency) - 1) * latency)


def full_windows(requests: int, limit: int) -> int:
    """Return how many windows must be waited out to send `requests`."""
    return max(0, math.ceil(requests / limit) - 1)


def rounding_seconds(requests: int, *, limit: int | None, window: float, latency: float, concurrency: int) -> float:
    """Return the seconds that a client must lose because `RateLimit-Reset` comes in whole seconds, rounded up.

    An answer that leaves the server `age` seconds after the window opened says `ceil(window - age)`. From it a client
    knows only that the window ends by `age + ceil(window - age)`. The ages of the answers of one burst are the
    multiples of `latency` up to `ceil(limit / concurrency) * latency`. The best of them is all that a client can know
    without risking a 429, and it loses the difference to `window` at the end of every window. The parameters are those
    of `least_seconds`.
    """
    if limit is None or latency <= 0:
        return 0.0
    ages = [latency * (number + 1) for number in range(math.ceil(limit / concurrency)) if latency * number < window]
    # Rounded, so that 5 - 4.000000000000001 seconds count as one second.
    known = min(age + math.ceil(round(window - age, 6)) for age in ages)
    return full_windows(requests, limit) * max(0.0, known - window)
