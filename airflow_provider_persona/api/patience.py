"""How long an attempt waits for its answer, before the same call is sent once more.

Pure: seconds are arguments. One `Patience` serves all calls of one client.

A request that hangs would hold its row until the read timeout, a minute by default, although an answer takes a fraction
of a second. So an attempt is cut early where that is safe, and then treated like every request without an answer. Safe
means that a second request cannot add a second effect: reads, and writes that Persona knows by their idempotency key.
A write that was cut may still take effect. The next attempt has the same key, and gets the stored answer to it.

A service that is slow must not be mistaken for one that hangs:

- An attempt waits for a multiple of the time that nearly all answers to the same operation take. While few of them
  are known, it goes by the answers to all operations.
- An attempt that was cut counts as an answer that took so long. When many are cut, the next ones wait longer.
- Each attempt waits twice as long as the one before, and the last one waits for the whole read timeout.
"""

from __future__ import annotations

import math

from airflow_provider_persona.api.messages import Outcome, Request, Response
from airflow_provider_persona.api.retry import KEY_GOOD_FOR, Attempt, RetryPolicy

LEAST_PATIENCE = 5.0
"""Seconds that every attempt waits at least."""

_MULTIPLE = 4.0
_SHARE = 0.95
"""An attempt waits for this multiple of the seconds within which this share of the answers arrive."""

_ENOUGH = 20
"""Answers from which on their latencies tell something."""

_REMEMBERED = 128
"""Answers after which each counts half, so that old ones are forgotten."""


class Latencies:
    """How long the latest answers to one operation took.

    They are counted in classes, and each class ends at twice the seconds of the one before. So any number of answers
    takes the same memory, and a quantile is at most twice too long.
    """

    _PER_SECOND = 64
    _CLASSES = 24

    def __init__(self) -> None:
        self._counts = [0.0] * self._CLASSES
        self._total = 0.0

    def add(self, seconds: float) -> None:
        """Take in an answer that took so many seconds."""
        if self._total >= _REMEMBERED:
            self._counts = [count / 2 for count in self._counts]
            self._total /= 2
        number = min(int(seconds * self._PER_SECOND).bit_length(), self._CLASSES - 1)  # doubling classes: a logarithm
        self._counts[number] += 1
        self._total += 1

    @property
    def are_enough(self) -> bool:
        """Whether there are enough answers to tell something."""
        return self._total >= _ENOUGH

    def quantile(self, share: float) -> float:
        """Return the seconds within which a share of the answers arrive."""
        reached = 0.0
        for number, count in enumerate(self._counts):
            reached += count
            if reached >= share * self._total:
                return 2.0**number / self._PER_SECOND
        return math.inf


class Patience:
    """Knows for each operation how long its answers take, and from that how long to wait for the next one."""

    def __init__(self) -> None:
        self._of_all = Latencies()
        self._by_operation: dict[str, Latencies] = {}

    def seconds_for(
        self, request: Request, attempt: Attempt, now: float, policy: RetryPolicy, read_timeout: float
    ) -> float:
        """Return how many seconds an attempt waits for its whole answer.

        :param request: the request that is about to be sent.
        :param attempt: the attempt.
        :param now: the time, in seconds of the clock of `attempt.key_born`.
        :param policy: attempts and delays of the call.
        :param read_timeout: seconds of the longest wait.
        """
        if read_timeout <= LEAST_PATIENCE or not _may_be_cut(request, attempt, now + read_timeout, policy):
            return read_timeout
        own = self._by_operation.get(request.operation_id)
        latencies = own if own is not None and own.are_enough else self._of_all
        if not latencies.are_enough:
            return read_timeout
        return min(
            max(_MULTIPLE * latencies.quantile(_SHARE), LEAST_PATIENCE) * 2.0 ** (attempt.number - 1), read_timeout
        )

    def saw(self, request: Request, outcome: Outcome, seconds: float, waited_for: float) -> None:
        """Take in the outcome of an attempt.

        :param request: its request.
        :param outcome: its outcome.
        :param seconds: seconds that it took.
        :param waited_for: seconds after which it would be, or was, cut.
        """
        # Refusals are quick and say nothing of the time that the work itself takes; neither does a broken connection.
        is_sound = isinstance(outcome, Response) and outcome.status < 400
        if is_sound or (not isinstance(outcome, Response) and seconds >= 0.99 * waited_for):
            self._of_all.add(seconds)
            self._by_operation.setdefault(request.operation_id, Latencies()).add(seconds)


def _may_be_cut(request: Request, attempt: Attempt, until: float, policy: RetryPolicy) -> bool:
    """Whether an attempt may be cut early: there is another one, and it cannot add a second effect."""
    if request.binary or attempt.number >= policy.attempts:
        return False  # a file takes as long as it is large
    if request.only_reads:
        return True
    # Without a key, what was cut could take effect after the next attempt, and over what others did meanwhile. An old
    # key may be forgotten. Half of its time leaves enough for the waits of all attempts.
    return request.takes_idempotency_key and until - attempt.key_born <= KEY_GOOD_FOR / 2
