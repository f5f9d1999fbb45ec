"""Why rows failed or are invalid, in a few lines for people: equal reasons are counted together, with examples."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_persona.bulk.ledger.outcomes import NOT_DONE, RowOutcome, RowResult

EXAMPLES: Final = 3
MOST: Final = 10
"""Reasons that are told. The others are counted together."""

_DIFFERENT: Final = 200
"""Reasons that are told apart while they are counted, so that no ledger needs much memory."""

# What tells one row from another in reasons that are the same.
_OF_ONE_ROW: Final = (
    (re.compile(r" \[req_[^\]]*\]"), ""),
    (re.compile(r"\brow \d+"), "row …"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)?"), "…"),
)
_OTHERS: Final = "other reasons; see the ledger"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, and how many rows have it.

    :param reason: the text, without what tells one row from another.
    :param count: rows.
    :param example_ids: ids of the first objects, three at most; rows without an id give none.
    """

    reason: str
    count: int
    example_ids: tuple[str, ...] = ()

    def to_xcom(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"reason": self.reason, "count": self.count, "example_ids": list(self.example_ids)}

    def __str__(self) -> str:
        examples = f" ({', '.join(self.example_ids)}{', …' if self.count > len(self.example_ids) else ''})"
        return f"{self.count} x {self.reason}{examples if self.example_ids else ''}"


def top_reasons(results: Iterable[RowResult]) -> tuple[Reason, ...]:
    """Return why rows failed, are unresolved or invalid, the most frequent reason first; ten at most.

    :param results: the records of a ledger in the order of writing. The last one of a row counts: a row that failed may
        have succeeded in a later attempt.
    """
    count = ReasonCount()
    for _ in count.over(results):
        pass
    return count.top()


class ReasonCount:
    """Counts the reasons of a ledger's records while somebody else reads them."""

    def __init__(self) -> None:
        self._codes = array("B")  # by row: place of its reason in `_kept`, 0 for a row that did not fail
        self._kept = [_Rows("")]
        self._places: dict[str, int] = {}

    def over(self, results: Iterable[RowResult]) -> Iterator[RowResult]:
        """Yield records, each when it was counted."""
        for result in results:
            self._add(result)
            yield result

    def _add(self, result: RowResult) -> None:
        codes, kept = self._codes, self._kept
        codes.extend(bytes(max(0, result.row + 1 - len(codes))))
        kept[codes[result.row]].remove(result)
        codes[result.row] = 0
        if result.outcome not in (*NOT_DONE, RowOutcome.INVALID):
            return
        reason = common_part(result.outcome, result.reason, result.object_id)
        if reason not in self._places and len(self._places) >= _DIFFERENT:
            reason = _OTHERS
        if reason not in self._places:
            self._places[reason] = len(kept)
            kept.append(_Rows(reason))
        codes[result.row] = self._places[reason]
        kept[self._places[reason]].add(result)

    def top(self) -> tuple[Reason, ...]:
        """Return the most frequent reasons first; ten at most."""
        ordered = sorted(self._kept[1:], key=lambda rows: (rows.reason == _OTHERS, -rows.count, rows.reason))
        found = [Reason(rows.reason, rows.count, tuple(rows.examples.values())) for rows in ordered if rows.count]
        if len(found) <= MOST:
            return tuple(found)
        rest = found[MOST - 1 :]
        return (*found[: MOST - 1], Reason(_OTHERS, sum(one.count for one in rest), rest[0].example_ids))


@dataclass(slots=True)
class _Rows:
    """The rows that have one reason now.

    :param reason: the reason.
    :param count: rows.
    :param examples: ids of a few of their objects, by row.
    """

    reason: str
    count: int = 0
    examples: dict[int, str] = field(default_factory=dict)

    def add(self, result: RowResult) -> None:
        self.count += 1
        if result.object_id is not None and len(self.examples) < EXAMPLES:
            self.examples[result.row] = result.object_id

    def remove(self, result: RowResult) -> None:
        self.count -= 1
        self.examples.pop(result.row, None)


def common_part(outcome: str, reason: str, object_id: str | None) -> str:
    """Return the outcome and the reason of a row, without what tells it from other rows of the same reason."""
    text = f"{outcome}: {reason}"
    for pattern, plain in _OF_ONE_ROW:
        text = pattern.sub(plain, text)
    return text if object_id is None else text.replace(object_id, "…")
