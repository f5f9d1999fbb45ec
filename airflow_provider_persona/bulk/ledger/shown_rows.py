"""A row as it is shown to people: ids, statuses, outcome and reason, whether it comes from the plan or the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_persona.bulk.ledger.outcomes import RowResult
from airflow_provider_persona.bulk.plan.file import Plan, Planned

OPEN: Final = "open"
"""State of a row without an outcome, once the plan is being applied."""


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row as it is shown.

    :param number: its number in the plan, from 1.
    :param object_id: the object that it is about; None for a row without a usable id.
    :param state: its outcome, what the plan intends for it, or `open`.
    :param from_status: status before, when it was read.
    :param to_status: wanted status, when one was.
    :param reason: why, for a person; empty where the state says all.
    :param result: its record, or None where it has no outcome.
    """

    number: int
    object_id: str | None
    state: str
    from_status: str | None = None
    to_status: str | None = None
    reason: str = ""
    result: RowResult | None = None


def row_of_ledger(result: RowResult) -> ShownRow:
    """Return the row of a record."""
    return ShownRow(
        number=result.row,
        object_id=result.object_id,
        state=result.outcome.value,
        from_status=result.from_status,
        to_status=result.to_status,
        reason=result.reason,
        result=result,
    )


def row_of_plan(record: Mapping[str, Any]) -> ShownRow:
    """Return the row of a plan's line. Its queue, tags and objects are left out: one looks at them in the plan."""
    wish = record.get("wish")
    return ShownRow(
        number=record["row"],
        object_id=record["object_id"],
        state=Planned(record.get("planned", Planned.CHANGE)).value,
        from_status=record.get("from"),
        to_status=wish.get("status") if isinstance(wish, Mapping) else None,
        reason=record.get("reason", ""),
    )


def rows_of_plan(plan: Plan) -> Iterator[ShownRow]:
    """Yield the rows of a plan in order, without their values, which may be gone.

    :raises PlanError: when the file was changed since it was checked.
    """
    yield from map(row_of_plan, plan.records())
