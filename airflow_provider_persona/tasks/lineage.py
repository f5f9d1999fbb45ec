"""What a task did, in numbers: for OpenLineage, and for the events of its assets. No ids of objects, no values.

A task notes it while it works. Nothing here needs OpenLineage; `tasks/openlineage.py` makes its datasets of the notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from airflow_provider_persona.bulk.ledger.report import Report
    from airflow_provider_persona.bulk.plan.file import PlanHeader

UNKNOWN_ENVIRONMENT: Final = "unknown"
"""Stands for the environment where neither the connection nor an answer has named it."""


@dataclass(frozen=True, slots=True)
class TaskDeed:
    """What a task did with one kind of Persona's objects.

    :param kind: kind of object, like `case`.
    :param environment: id of Persona's environment, None when nothing has named it.
    :param wrote: whether it was there to change the objects, and not only to read or plan.
    :param rows: rows of its plan, or objects that it read; None where it counts none.
    :param counts: rows by outcome, or for a plan by what is intended.
    :param transitions: rows to be changed, by `from -> to` status.
    :param plan_hash: hash of its plan.
    """

    kind: str
    environment: str | None
    wrote: bool = False
    rows: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    transitions: Mapping[str, int] = field(default_factory=dict)
    plan_hash: str | None = None

    @classmethod
    def planned(cls, header: PlanHeader) -> Self:
        """Return what a task that only plans did."""
        kind = kind_of_operation(header.operation_id) if header.operation_id else header.object_kind
        return cls(
            kind,
            header.environment,
            rows=header.rows,
            counts=dict(header.planned),
            transitions=dict(header.transitions),
            plan_hash=header.hash,
        )

    def applied(self, report: Report) -> TaskDeed:
        """Return what the task that applied this plan did."""
        from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome

        return replace(
            self,
            environment=report.environment or self.environment,
            # A dry run leaves rows `planned`, and so does a sample, which has written all the same.
            wrote=bool(report.counts[RowOutcome.UPDATED]) or not report.counts[RowOutcome.PLANNED],
            counts={outcome.value: report.counts[outcome] for outcome in RowOutcome if report.counts[outcome]},
        )

    @property
    def namespace(self) -> str:
        """The environment as OpenLineage's namespace."""
        return f"persona://{self.environment or UNKNOWN_ENVIRONMENT}"

    def to_extra(self) -> dict[str, Any]:
        """Return it as plain data for the event of an asset, without what is not known."""
        plain = asdict(self)
        del plain["wrote"]
        return {name: value for name, value in plain.items() if value not in (None, {})}


def kind_of_operation(operation_id: str) -> str:
    """Return the kind of object that an operation is about, like `case` for `list-all-cases`.

    :raises BadCallError: when there is no such operation.
    """
    from airflow_provider_persona.api.operations import operation

    resource = operation(operation_id).resource
    return f"{resource[:-3]}y" if resource.endswith("ies") else resource.removesuffix("s")


def tell_assets(task: Any, context: Any, deed: TaskDeed) -> None:
    """Add what a task did to the events of its outlets.

    :param task: the operator; its outlets may be any assets.
    :param context: Airflow's context of the try. A context without such events, as in a test, is left alone.
    """
    events: Any = context["outlet_events"] if "outlet_events" in context else None  # noqa: SIM401 - 2.11 has no `get`
    outlets: Iterable[Any] = getattr(task, "outlets", None) or ()
    for outlet in outlets if events is not None else ():
        if getattr(outlet, "uri", None):  # an alias has no event of its own before it is resolved
            events[outlet].extra.update(deed.to_extra())
