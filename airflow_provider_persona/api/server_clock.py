"""Persona's clock, read from the `Date` of its answers (RFC 9110, 6.6.1), and its comparison with a worker's clock.

Persona forgets an idempotency key after an hour. The age of a key must not depend on one worker's clock: another worker
may have recorded the time at which the key was first sent, and either clock may be hours off.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from airflow_provider_persona.api.messages import Response

CLOCKS_AGREE = 60.0
"""Seconds by which two clocks may differ. `Date` has whole seconds, and an answer is under way for some time."""

_LONGEST_DATE = 40


class ServerClock:
    """Persona's time, as its answers tell it."""

    def __init__(self) -> None:
        self._text = ""
        self._date: datetime | None = None
        self._seen_at = 0.0

    def saw(self, response: Response, now: float) -> None:
        """Learn from an answer.

        :param now: the time, in seconds of a monotonic clock.
        """
        text = response.headers.get("date", "")
        # An answer can come late and never early, so the first one with a date tells the time best.
        if text == self._text or len(text) > _LONGEST_DATE:
            return
        self._text = text  # many answers have the same date, and it is parsed once
        try:
            date = parsedate_to_datetime(text)
            self._date, self._seen_at = date.replace(tzinfo=date.tzinfo or UTC).astimezone(UTC), now
        except (TypeError, ValueError, OverflowError):
            return

    def time(self, now: float) -> datetime | None:
        """Return Persona's time in UTC, or None when no answer has told it.

        :param now: the time, in seconds of the same monotonic clock.
        """
        if self._date is None:
            return None
        try:
            return self._date + timedelta(seconds=now - self._seen_at)
        except OverflowError:
            return None


def time_to_note(own: datetime, persona: datetime | None) -> datetime:
    """Return the time for a record: the worker's own, or Persona's where the two disagree.

    :param own: time of the worker's clock.
    :param persona: Persona's time, or None when it is unknown.
    """
    return own if persona is None or abs((persona - own).total_seconds()) <= CLOCKS_AGREE else persona


def latest_time(own: datetime, persona: datetime | None) -> datetime:
    """Return the later of two times, so that no key counts as younger than it is.

    Parameters as for `time_to_note`.
    """
    return own if persona is None else max(own, persona)


def is_fresh(seconds: float, limit: float) -> bool:
    """Whether Persona certainly knows a key of this age.

    :param seconds: its age. Below zero the clocks contradict each other, so the age is unknown.
    :param limit: seconds for which Persona certainly knows a key.
    """
    return -CLOCKS_AGREE <= seconds <= limit
