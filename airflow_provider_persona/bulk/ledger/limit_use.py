"""How much of the request limit was used when: numbers only, in at most 200 samples however long an attempt takes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

MOST: Final = 200
"""Samples that are kept. When there are as many, each two become one."""


class LimitSample(NamedTuple):
    """What was known at one moment.

    :param at: when, in whole Unix seconds.
    :param sent: requests that the attempt had sent by then.
    :param limit: requests that a window allows everybody.
    :param remaining: how many of them were left in the window, for everybody.
    """

    at: int
    sent: int
    limit: int
    remaining: int

    @property
    def left(self) -> float:
        """The share of the window that was left."""
        return self.remaining / self.limit


class LimitUse:
    """The samples of one attempt.

    :param reserve: share of the limit that the attempt leaves to others.
    """

    def __init__(self, reserve: float) -> None:
        self.reserve = reserve
        self._samples: list[LimitSample] = []
        self._pause = 1

    def note(self, at: datetime, sent: int, window: tuple[int, int] | None) -> None:
        """Take a sample, unless there is nothing to know. Where the last one is young, the fuller window stays.

        :param at: UTC time.
        :param sent: requests that the attempt has sent.
        :param window: limit and remaining requests of the present window, or None while they are not known.
        """
        if window is None or window[0] <= 0:
            return
        # After a clock was set back, new samples go into the last one until it has caught up: times never fall.
        new = LimitSample(int(at.timestamp()), sent, *window)
        if self._samples and new.at < self._samples[-1].at + self._pause:
            fuller = min(self._samples[-1], new, key=lambda one: one.left)
            self._samples[-1] = fuller._replace(at=self._samples[-1].at, sent=sent)
            return
        self._samples.append(new)
        if len(self._samples) >= MOST:
            self._thin()

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data, a list of numbers for each sample: Airflow's task state takes no tuples."""
        return {"reserve": self.reserve, "samples": [list(sample) for sample in self._samples]}

    def _thin(self) -> None:
        # Of each two the fuller window stays. So what shows is the most that was used, and never a lucky moment.
        pairs = zip(self._samples[::2], self._samples[1::2], strict=True)
        self._samples = [min(pair, key=lambda one: one.left) for pair in pairs]
        self._pause = -(-(self._samples[-1].at - self._samples[0].at) // (MOST // 2))


def limit_use_of(record: Any) -> tuple[float | None, list[LimitSample]]:
    """Return the reserve and the samples that plain data holds; what is no sample is left out.

    :param record: what `LimitUse.to_json` returned, or anything else that somebody wrote in its place.
    """
    if not isinstance(record, Mapping):
        return None, []
    reserve, given = record.get("reserve"), record.get("samples")
    samples = [LimitSample(*one) for one in given[:MOST] if _is_sample(one)] if isinstance(given, list) else []
    is_share = isinstance(reserve, int | float) and not isinstance(reserve, bool) and 0 <= reserve < 1
    return float(reserve) if is_share else None, samples  # type: ignore[arg-type]  # a number by now


def _is_sample(given: Any) -> bool:
    if not isinstance(given, list | tuple) or len(given) != len(LimitSample._fields):
        return False
    are_counts = all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in given)
    return are_counts and given[2] > 0 and given[3] <= given[2] and given[0] < 10**11
