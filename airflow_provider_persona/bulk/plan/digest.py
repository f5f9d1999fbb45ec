"""A plan in a few lines, for a person who decides about it: why rows are left out, and a sample of the others.

Everything comes from the plan's own file, after a check of its hash, and only from the part without personal data.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Final

from airflow_provider_persona.bulk.ledger.reasons import Reason, ReasonCount, common_part
from airflow_provider_persona.bulk.ledger.shown_rows import ShownRow, rows_of_plan
from airflow_provider_persona.bulk.plan.file import Plan, PlanHeader, Planned

_DIFFERENT: Final = 200
"""Kinds of changes that are counted separately, so that no plan needs much memory."""


@dataclass(frozen=True, slots=True)
class PlanDigest:
    """What a person needs to know of a plan.

    :param header: the plan's header, with counts and hash.
    :param left_out: why rows are not to be changed, the most frequent reason first.
    :param sample: rows to be changed, as different ones as there are.
    """

    header: PlanHeader
    left_out: tuple[Reason, ...]
    sample: tuple[ShownRow, ...]

    @classmethod
    def of(cls, plan: Plan, samples: int = 10) -> PlanDigest:
        """Read a plan once, and return its digest.

        :param plan: the plan.
        :param samples: rows that the sample has at most.
        :raises PlanError: when the plan's file was changed since it was checked.
        """
        left_out = ReasonCount("other reasons; see the plan")
        changes: dict[tuple[str | None, str | None], list[ShownRow]] = {}
        for row in rows_of_plan(plan):
            if row.state != Planned.CHANGE:
                left_out.add(row.number, common_part(row.state, row.reason, row.object_id), row.object_id)
                continue
            transition = (row.from_status, row.to_status)
            if transition in changes or len(changes) < _DIFFERENT:
                alike = changes.setdefault(transition, [])
                if len(alike) < samples:
                    alike.append(row)
        # One of each kind of change first, then the second of each.
        alternately = chain.from_iterable(zip_longest(*changes.values()))
        sample = tuple(islice((row for row in alternately if row is not None), samples))
        return cls(plan.header, left_out.top(), sample)
