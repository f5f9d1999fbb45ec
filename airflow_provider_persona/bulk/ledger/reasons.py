"""Why rows failed, are invalid or are left out, in a few lines for people: equal reasons are counted together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_persona.bulk.ledger.outcomes import NOT_DONE, RowOutcome, RowResult

EXAMPLES: Final = 3
MOST: Final = 10
"""Reasons that a report names. The others are counted together."""

_DIFFERENT: Final = 250
"""Texts that are counted separately; with the code for no text and the one for all others they fit into a byte."""

OTHERS: Final = "others"
"""Stands for all texts after the first ones, so that no ledger needs much memory."""

OTHER_REASONS: Final = "other reasons; see the ledger"

# What tells one row from another in reasons that are the same.
_OF_ONE_ROW: Final = (
    (re.compile(r" \[req_[^\]]*\]"), ""),
    (re.compile(r"\brow \d+"), "row …"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)?"), "…"),
)


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


class Labels:
    """The text that each row has now, or none: each text is kept once, and a row holds one byte for it.

    `codes` has the code of each row's text, 0 for none.

    :param others: what is shown for the texts that are not told apart.
    """

    def __init__(self, others: str = OTHERS) -> None:
        self.others = others
        self.codes = bytearray()
        self._known = {"": 0}

    def make_room(self, rows: int) -> None:
        """Give that many rows a place in `codes`."""
        self.codes.extend(bytes(max(0, rows - len(self.codes))))

    def put(self, row: int, text: str) -> tuple[int, int]:
        """Give a row a text, empty for none, and return the code of the one until now and the code of the new one."""
        self.make_room(row + 1)
        if text not in self._known and len(self._known) > _DIFFERENT:
            text = self.others
        before, code = self.codes[row], self._known.setdefault(text, len(self._known))
        self.codes[row] = code
        return before, code

    def code_of(self, text: str) -> int:
        """Return the code of a text, 0 when no row has ever had it."""
        return self._known.get(text, 0)

    def counts(self) -> list[tuple[str, int]]:
        """Return each text that rows have with the number of rows, the most frequent first."""
        found = [(text, count) for text, code in self._known.items() if code and (count := self.codes.count(code))]
        return sorted(found, key=lambda one: (one[0] == self.others, -one[1], one[0]))


class ReasonCount:
    """Counts the reasons of rows; only the last one of a row counts, since a row that failed may succeed later.

    :param others: what is said for the reasons that are not told.
    """

    def __init__(self, others: str = OTHER_REASONS) -> None:
        self._labels = Labels(others)
        self._examples: defaultdict[int, dict[int, str]] = defaultdict(dict)  # by code: ids of a few objects, by row

    def over(self, results: Iterable[RowResult]) -> Iterator[RowResult]:
        """Yield the records of a ledger, each when the reason of its row was counted, if it failed or is invalid."""
        for result in results:
            is_told = result.outcome in (*NOT_DONE, RowOutcome.INVALID)
            reason = common_part(result.outcome, result.reason, result.object_id) if is_told else ""
            self.add(result.row, reason, result.object_id)
            yield result

    def add(self, row: int, reason: str, object_id: str | None) -> None:
        """Take in the reason of a row.

        :param row: its number.
        :param reason: what `common_part` returned; empty where there is none any more.
        :param object_id: the object that it is about, or None.
        """
        before, code = self._labels.put(row, reason)
        self._examples[before].pop(row, None)
        examples = self._examples[code]
        if code and object_id not in (None, *examples.values()) and len(examples) < EXAMPLES:
            examples[row] = str(object_id)

    def top(self) -> tuple[Reason, ...]:
        """Return the most frequent reasons first; ten at most."""
        found = [
            Reason(text, count, tuple(self._examples[self._labels.code_of(text)].values()))
            for text, count in self._labels.counts()
        ]
        if len(found) <= MOST:
            return tuple(found)
        rest = found[MOST - 1 :]
        return (*found[: MOST - 1], Reason(self._labels.others, sum(one.count for one in rest), rest[0].example_ids))


def common_part(outcome: str, reason: str, object_id: str | None) -> str:
    """Return the outcome and the reason of a row, without what tells it from other rows of the same reason."""
    text = f"{outcome}: {reason}"
    for pattern, plain in _OF_ONE_ROW:
        text = pattern.sub(plain, text)
    return text if object_id is None else text.replace(object_id, "…")
