"""What a client has used of the API so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from airflow_provider_persona.api.messages import Outcome, Response


@dataclass(slots=True)
class Usage:
    """Counts of one client.

    :param requests: requests that were sent, or may have been; an attempt that made no connection is none.
    :param waited: seconds spent waiting for the request limit; overlapping waits count once.
    :param retries: how many of them failed and are sent again (waits for a limit do not count).
    :param statuses: answers by HTTP status; 0 counts requests without an answer.
    :param waiting_until: seconds of the client's clock until which it waits for the window now, or None.
    :param waiting_since: seconds of the client's clock since which it waits, or None; `waited` does not count it yet.
    """

    requests: int = 0
    waited: float = 0.0
    retries: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    waiting_until: float | None = None
    waiting_since: float | None = None

    def copy(self) -> Usage:
        """Return the counts as they are now."""
        return replace(self, statuses=self.statuses.copy())

    def saw(self, outcome: Outcome) -> None:
        """Count an answer, or its absence."""
        self.statuses[outcome.status if isinstance(outcome, Response) else 0] += 1

    @property
    def throttled(self) -> int:
        """How many requests were refused with 429."""
        return self.statuses[429]
