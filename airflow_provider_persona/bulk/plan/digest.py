"""A plan in a few lines, for a person who decides about it: why rows are left out, and a sample of the others.

Everything comes from the plan's own file, whose hash was checked, and only from the part without personal data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Any, Final

from airflow_provider_persona.bulk.ledger.reasons import EXAMPLES, Reason, common_part
from airflow_provider_persona.bulk.plan.file import PLAN_FILE, Plan, PlanHeader, Planned
from airflow_provider_persona.bulk.plan.seals import sealed_lines
from airflow_provider_persona.storage.paths import read_lines

_MOST: Final = 10
"""Reasons that are told. The others are counted together."""

_DIFFERENT: Final = 200
"""Reasons, and kinds of changes, that are told apart, so that no plan needs much memory."""

_OTHERS: Final = "other reasons; see the plan"


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One row that would be changed.

    :param object_id: the object that it is about; None where the change makes one.
    :param from_status: its status when it was planned, or None when it was not read.
    :param to_status: the wanted status, or None where the row asks for none.
    """

    object_id: str | None
    from_status: str | None
    to_status: str | None


@dataclass(frozen=True, slots=True)
class PlanDigest:
    """What a person needs to know of a plan.

    :param header: the plan's header, with counts and hash.
    :param left_out: why rows are not to be changed, the most frequent reason first.
    :param sample: rows to be changed, as different ones as there are.
    """

    header: PlanHeader
    left_out: tuple[Reason, ...]
    sample: tuple[SampleRow, ...]

    @classmethod
    def of(cls, plan: Plan, samples: int = 10) -> PlanDigest:
        """Read a plan once, and return its digest.

        :param plan: the plan.
        :param samples: rows that the sample has at most.
        :raises PlanError: when the plan's file was changed since it was checked.
        """
        reasons: dict[str, list[Any]] = {}  # by reason: rows, and a few ids
        changes: dict[tuple[Any, Any], list[SampleRow]] = {}
        for record in _records(plan):
            intended = Planned(record.get("planned", Planned.CHANGE))
            if intended is Planned.CHANGE:
                _take_sample(changes, record, samples)
            else:
                _count(reasons, intended, record)
        # One of each kind of change first, then the second of each.
        alternately = chain.from_iterable(zip_longest(*changes.values()))
        sample = tuple(islice((row for row in alternately if row is not None), samples))
        return cls(plan.header, _most_frequent(reasons), sample)


def _records(plan: Plan) -> Iterator[Mapping[str, Any]]:
    lines = read_lines(plan.folder / PLAN_FILE)
    next(lines)
    for line in sealed_lines(lines, plan.row_seals, plan.uri):
        yield json.loads(line)


def _take_sample(changes: dict[tuple[Any, Any], list[SampleRow]], record: Mapping[str, Any], most: int) -> None:
    wish = record.get("wish")
    to_status = wish.get("status") if isinstance(wish, Mapping) else None
    row = SampleRow(record["object_id"], record.get("from"), to_status)
    if (row.from_status, row.to_status) in changes or len(changes) < _DIFFERENT:
        rows = changes.setdefault((row.from_status, row.to_status), [])
        if len(rows) < most:
            rows.append(row)


def _count(reasons: dict[str, list[Any]], intended: Planned, record: Mapping[str, Any]) -> None:
    reason = common_part(intended, record.get("reason", ""), record["object_id"])
    if reason not in reasons and len(reasons) >= _DIFFERENT:
        reason = _OTHERS
    counted = reasons.setdefault(reason, [0])
    counted[0] += 1
    if record["object_id"] not in (None, *counted[1:]) and len(counted) <= EXAMPLES:
        counted.append(record["object_id"])


def _most_frequent(reasons: Mapping[str, list[Any]]) -> tuple[Reason, ...]:
    found = [Reason(text, counted[0], tuple(counted[1:])) for text, counted in reasons.items()]
    found.sort(key=lambda one: (one.reason == _OTHERS, -one.count, one.reason))
    return (*found[:_MOST], *_rest(found[_MOST:]))


def _rest(found: Iterable[Reason]) -> Iterator[Reason]:
    count = sum(one.count for one in found)
    if count:
        yield Reason(_OTHERS, count)
