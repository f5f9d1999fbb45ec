"""The rare ways of the engine, and how often a long run went each: a suite proves nothing about a way it never went.

A way is known by what it leaves: a record of the ledger, a report, a request of the simulator's log. Nothing in the
engine counts for the tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from airflow_provider_persona.bulk.apply.object_writer import SHOWN_LATER
from airflow_provider_persona.bulk.ledger.outcomes import OWN_DOING, RowOutcome, RowResult
from airflow_provider_persona.bulk.ledger.report import Report
from persona_simulator.journal import LoggedRequest

OF_RECORDS: Final[Mapping[str, Callable[[RowResult], bool]]] = {
    "a look after an unclear answer found it done": lambda it: SHOWN_LATER in it.reason,
    "a look found what an attempt before may have done": lambda it: it.reason == OWN_DOING,
    "a guard forbade what was perhaps written": lambda it: "was cut off began this row" in it.reason,
    "a guard forbade the rest of a row": lambda it: (
        it.outcome is RowOutcome.SKIPPED_GUARD and "already changed" in it.reason
    ),
    "a row failed after a part of it was done": lambda it: it.outcome in _NOT_DONE and "already changed" in it.reason,
    "drift of the status": lambda it: it.reason.startswith("drift: its status is"),
    "drift of something else": lambda it: it.reason.startswith("drift: it was changed at"),
    "a look did not show the change": lambda it: "a later read does not show the change" in it.reason,
    "nothing could tell whether it was done": lambda it: it.outcome is RowOutcome.UNRESOLVED,
    "a key of a later generation": lambda it: it.generation > 0 and it.outcome is RowOutcome.UPDATED,
    "a write that was repeated": lambda it: it.attempts > 1,
    "a failure that a retry may mend": lambda it: it.outcome is RowOutcome.FAILED and it.retryable,
    "a case that does not exist": lambda it: it.http_status == 404,
    "a status that does not exist": lambda it: it.http_status == 422,
}
"""Ways that a record of the ledger tells of."""

OF_REQUESTS: Final[Mapping[str, Callable[[LoggedRequest], bool]]] = {
    "Persona replayed an answer": lambda it: it.replayed,
    "the limit refused": lambda it: it.status == 429,
    "a key in use": lambda it: it.status == 409,
}
"""Ways that a request tells of."""

OF_REPORTS: Final[Mapping[str, Callable[[Report], bool]]] = {
    "the breaker opened": lambda it: it.stopped is not None,
    "rows were resumed": lambda it: it.resumed > 0,
    "it waited for the limit": lambda it: it.waited > 0,
}
"""Ways that the report of an attempt tells of."""

OF_ATTEMPTS: Final = (
    "died at clock",
    "died at record",
    "died at record, torn",
    "died at checkpoint",
    "lost its disk",
    "nothing was left to do",
    "a dry run",
    "taken back",
    "planned anew after a fault",
)
"""Ways that the machine itself sends an attempt, where the attempt was made to the point."""

_ONLY_AT_LENGTH: Final = frozenset(
    {"drift of something else", "Persona replayed an answer", "a row failed after a part of it was done"}
)
"""Gone once or twice in 2,000 steps, so that only the soak of 20,000 may insist on them."""

_ON_PURPOSE: Final = frozenset({"a guard forbade the rest of a row", "planned anew after a fault"})
"""Too rare for the machine's chance to insist on them. `test_accounting.py` sends the machine there on purpose."""

_NOT_DONE = (RowOutcome.FAILED, RowOutcome.UNRESOLVED)


class WaysGone:
    """How often each rare way was gone."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def saw_records(self, results: Iterable[RowResult]) -> None:
        """Take in records of a ledger."""
        for result in results:
            self.counts.update(name for name, is_it in OF_RECORDS.items() if is_it(result))

    def saw_requests(self, requests: Iterable[LoggedRequest]) -> None:
        """Take in requests."""
        for request in requests:
            self.counts.update(name for name, is_it in OF_REQUESTS.items() if is_it(request))

    def saw_report(self, report: Report) -> None:
        """Take in the report of an attempt that came to an end of its own."""
        self.counts.update(name for name, is_it in OF_REPORTS.items() if is_it(report))

    def went(self, way: str) -> None:
        """Take in that the machine sent an attempt a way."""
        assert way in OF_ATTEMPTS, way
        self.counts[way] += 1

    def never_gone(self, *, at_length: bool) -> set[str]:
        """Return the ways that were never gone, of those that a run must go.

        :param at_length: whether it was a soak.
        """
        demanded = {*OF_RECORDS, *OF_REQUESTS, *OF_REPORTS, *OF_ATTEMPTS} - _ON_PURPOSE
        return demanded - set(self.counts) - (frozenset() if at_length else _ONLY_AT_LENGTH)
