"""Outcomes: exactly one for each row, and the line that the ledger keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class RowOutcome(StrEnum):
    """The outcome of one row of a plan."""

    UPDATED = "updated"
    """The object was changed and Persona's answer, or a later read, shows it."""
    UNCHANGED = "unchanged"
    """The object was already as wanted; nothing was written."""
    SKIPPED_GUARD = "skipped_guard"
    """A guard forbade the change, for example because a human had decided meanwhile."""
    INVALID = "invalid"
    """The row cannot be a change; it was never sent."""
    FAILED = "failed"
    """Persona refused it, or all attempts were used up without an effect."""
    UNRESOLVED = "unresolved"
    """Whether it was done is unknown, and reading the object was impossible too."""
    PLANNED = "planned"
    """It would have been sent, but this was a dry run, or it was not in the sample."""


OWN_DOING = "already so after an interruption; it may have been this run's own doing"
"""Reason of `unchanged` when an attempt that broke off may have made the change."""

NOT_DONE = frozenset({RowOutcome.FAILED, RowOutcome.UNRESOLVED})
"""The outcomes that count as failures. A later attempt tries such rows again."""


@dataclass(frozen=True, slots=True)
class RowResult:
    """The record of one row. Holds ids and statuses only: no fields, no names, no addresses.

    :param row: number of the row in the plan, from 1.
    :param object_id: the object that the row is about; None for a row without a usable id.
    :param outcome: its outcome.
    :param from_status: status before, when it was read.
    :param to_status: wanted status, when one was.
    :param reason: why, for a person; empty where the outcome says all.
    :param http_status: status of the last answer, or None when none arrived.
    :param request_ids: Persona's API logs of the writes (`req_…`).
    :param generation: last generation of the idempotency keys used.
    :param attempts: requests sent for writing, repeats included.
    :param retryable: for a failure, whether it may pass on another day.
    :param at: UTC time of the record, ISO 8601.
    """

    row: int
    object_id: str | None
    outcome: RowOutcome
    from_status: str | None = None
    to_status: str | None = None
    reason: str = ""
    http_status: int | None = None
    request_ids: tuple[str, ...] = ()
    generation: int = 0
    attempts: int = 0
    retryable: bool = False
    at: str = ""

    @property
    def may_be_own_doing(self) -> bool:
        """Whether the run itself may have changed the object, although it was found as wanted."""
        return self.outcome is RowOutcome.UNCHANGED and self.reason == OWN_DOING

    def to_line(self, plan_hash: str) -> dict[str, Any]:
        """Return the ledger's line as plain data."""
        return {
            "plan": plan_hash,
            "row": self.row,
            "object_id": self.object_id,
            "from": self.from_status,
            "to": self.to_status,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "http_status": self.http_status,
            "request_ids": list(self.request_ids),
            "generation": self.generation,
            "attempts": self.attempts,
            "retryable": self.retryable,
            "at": self.at,
        }

    @classmethod
    def from_line(cls, line: Mapping[str, Any]) -> RowResult:
        """Return the record that a ledger's line holds.

        :raises KeyError: when the line is damaged; so do `TypeError` and `ValueError`.
        """
        return cls(
            row=line["row"],
            object_id=_text_or_none(line["object_id"]),
            outcome=RowOutcome(line["outcome"]),
            from_status=_text_or_none(line["from"]),
            to_status=_text_or_none(line["to"]),
            reason=_text(line["reason"]),
            http_status=None if line["http_status"] is None else whole_number(line["http_status"]),
            request_ids=tuple(map(_text, line["request_ids"])),
            generation=whole_number(line["generation"]),
            attempts=whole_number(line["attempts"]),
            retryable=bool(line["retryable"]),
            at=time_of(line["at"]),
        )


def whole_number(value: Any, most: int = 10**9) -> int:
    """Return a number that a line of a ledger holds.

    :raises ValueError: when it is none from 0 to `most`; the line is damaged then.
    """
    # JSON's `true` is an int to Python, and 1e9 of JSON is none.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError("no number")
    return value


def time_of(value: Any) -> str:
    """Return a time, with its offset from UTC, that a line of a ledger holds.

    :raises ValueError: when it is none; the line is damaged then.
    """
    if datetime.fromisoformat(_text(value)).tzinfo is None:  # Python compares no such time with one that has an offset
        raise ValueError("no offset")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")  # noqa: TRY004 - every damage of a line is one kind of error
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)
