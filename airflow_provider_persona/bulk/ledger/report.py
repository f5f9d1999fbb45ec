"""The report: what a run did, in counts. It is small enough for XCom and holds no row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_persona.api.durations import in_words
from airflow_provider_persona.bulk.ledger.outcomes import NOT_DONE, RowOutcome
from airflow_provider_persona.bulk.ledger.reasons import Reason
from airflow_provider_persona.bulk.plan.limits import why_in_vain

LONGEST_REASON: Final = 1000
"""Characters of a reason that are kept."""

_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's answer to the question whether a plan is to be applied: kept on the ledger and in the report.

    :param by: the person's name, as Airflow knows it; None where nobody was named.
    :param at: UTC time of the answer, ISO 8601, or None.
    :param reason: what the person gave as the reason, or None.
    """

    by: str | None
    at: str | None
    reason: str | None

    @classmethod
    def of(cls, given: Any) -> Approval | None:
        """Return the approval that plain data holds, or None when it holds none; long texts are cut."""
        if not isinstance(given, Mapping):
            return None
        return cls(
            _text(given.get("by"), _LONGEST_NAME),
            _text(given.get("at"), 40),
            _text(given.get("reason"), LONGEST_REASON),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"by": self.by, "at": self.at, "reason": self.reason}


def _text(given: Any, longest: int) -> str | None:
    return given.strip()[:longest] or None if isinstance(given, str) else None


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a plan.

    :param counts: rows by outcome.
    :param rows: rows in the plan.
    :param repeats: rows of the source that were collapsed into others.
    :param plan_hash: the plan's hash.
    :param plan: address of the plan's file.
    :param ledger: address of the folder with the ledger's segments.
    :param requests: requests that this attempt sent.
    :param retries: requests of it that were sent again after a failure.
    :param throttled: requests of it that were refused with 429.
    :param waited: seconds of it spent waiting for the request limit.
    :param seconds: seconds that this attempt took.
    :param resumed: rows that an earlier attempt had settled.
    :param retryable_failures: failed or unresolved rows that another attempt may help.
    :param verified: changed objects that were read again at the end, or None when that was not done.
    :param differences: those of them that are not as wanted, or None.
    :param stopped: why the attempt stopped before its end, or None.
    :param stopped_for_good: whether another attempt would stop at the same thing.
    :param retry_after: seconds until the limit that stopped it is reset, or None.
    :param environment: id of the environment that answered, when it was named.
    :param unknown_labels: statuses of guards and rows that no object and no template has.
    :param reasons: why rows failed or are invalid, the most frequent first, as far as somebody has read the ledger.
    :param sample: rows in the sample that the attempt kept to, or None.
    :param approval: who approved the plan, or None when nobody was asked.
    """

    counts: Counter[RowOutcome]
    rows: int
    repeats: int
    plan_hash: str
    plan: str
    ledger: str
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    waited: float = 0.0
    seconds: float = 0.0
    resumed: int = 0
    retryable_failures: int = 0
    verified: int | None = None
    differences: int | None = None
    stopped: str | None = None
    stopped_for_good: bool = False
    retry_after: float | None = None
    environment: str | None = None
    unknown_labels: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
    sample: int | None = None
    approval: Approval | None = None

    @property
    def tried(self) -> int:
        """Rows that were not left to a later attempt because they are not in the sample."""
        return self.rows if self.sample is None else self.rows - self.counts[RowOutcome.PLANNED]

    @property
    def settled(self) -> int:
        """Rows with an outcome."""
        return self.counts.total()

    @property
    def is_balanced(self) -> bool:
        """Whether every row of the plan has exactly one outcome."""
        return self.settled == self.rows

    @property
    def failures(self) -> int:
        """Rows that failed or are unresolved."""
        return sum(self.counts[outcome] for outcome in NOT_DONE)

    @property
    def changes(self) -> int:
        """Objects that were changed."""
        return self.counts[RowOutcome.UPDATED]

    @property
    def in_vain(self) -> str | None:
        """Why nothing could be done for any row, where that looks like a mistake; None when something could."""
        invalid, skipped = self.counts[RowOutcome.INVALID], self.counts[RowOutcome.SKIPPED_GUARD]
        return why_in_vain(self.rows, invalid, skipped, self.unknown_labels)

    @property
    def why(self) -> str:
        """The most frequent reasons, for the end of an error; empty when none is known."""
        return f". Most frequent: {'; '.join(map(str, self.reasons[:3]))}" if self.reasons else ""

    @property
    def not_done(self) -> int:
        """Rows that have no outcome, failed or are unresolved."""
        return self.rows - self.settled + self.failures

    def to_xcom(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "counts": {outcome.value: self.counts[outcome] for outcome in RowOutcome},
            "rows": self.rows,
            "repeats": self.repeats,
            "plan_hash": self.plan_hash,
            "plan": self.plan,
            "ledger": self.ledger,
            "requests": self.requests,
            "retries": self.retries,
            "throttled": self.throttled,
            "waited_seconds": round(self.waited, 3),
            "seconds": round(self.seconds, 3),
            "resumed": self.resumed,
            "not_done": self.not_done,
            "verified": self.verified,
            "differences": self.differences,
            "environment": self.environment,
            "unknown_statuses": list(self.unknown_labels),
            "sample": self.sample,
            "failures": [reason.to_xcom() for reason in self.reasons],
            "approval": None if self.approval is None else self.approval.to_json(),
        }

    def lines(self) -> list[str]:
        """Return the report in short lines: what became of the rows, and what it took."""
        counts = ", ".join(f"{self.counts[outcome]} {outcome.value}" for outcome in RowOutcome if self.counts[outcome])
        collapsed = f" ({self.repeats} repeated rows collapsed)" if self.repeats else ""
        resumed = f", {self.resumed} of them settled before" if self.resumed else ""
        took = (
            f"{self.requests} requests ({self.retries} repeated, {self.throttled} refused for the limit), waited "
            f"{self.waited:.1f} s for the limit, {self.seconds:.1f} s in all"
        )
        second_look = f"of {self.verified} changed objects read again, {self.differences} are not as wanted"
        looked = [] if self.verified is None else [second_look]
        return [f"{self.rows} rows{collapsed}: {counts or 'nothing to do'}{resumed}", took, *looked]

    def __str__(self) -> str:
        return "; ".join(self.lines())


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, for a line in the log.

    :param done: rows with an outcome.
    :param rows: rows in the plan.
    :param counts: rows by outcome.
    :param rate: rows a second, over this attempt.
    :param waits_for: seconds until the window that is waited for, or None.
    :param left: estimated seconds left, or None while unknown.
    :param note: what else is to be said.
    """

    done: int
    rows: int
    counts: Mapping[RowOutcome, int] = field(default_factory=dict)
    rate: float = 0.0
    waits_for: float | None = None
    left: float | None = None
    note: str = ""

    def __str__(self) -> str:
        share = f"{100 * self.done / self.rows:.0f} %" if self.rows else "all"
        parts = [f"{self.done} of {self.rows} rows ({share})", f"{self.rate:.1f}/s"]
        parts += [f"{count} {outcome.value}" for outcome, count in self.counts.items() if count]
        if self.waits_for is not None:
            parts.append(f"waiting {max(1, round(self.waits_for))} s for the next window")
        if self.left is not None:
            parts.append(f"about {in_words(self.left)} left")
        if self.note:
            parts.append(self.note)
        return ", ".join(parts)
