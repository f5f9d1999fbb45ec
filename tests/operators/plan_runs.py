"""Dags that plan, are meddled with, and apply: what the tests of the planning operators share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.version_compat import DAG, task

SET_STATUS = "set-status-for-a-case"


def new_dag(dag_id: str = "plans", **arguments: Any) -> DAG:
    """Return an empty Dag."""
    return DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, **arguments)


@dataclass(frozen=True)
class PlanRun:
    """A run of a Dag with the tasks `plan` and `apply`."""

    run: Any

    def state(self, task_id: str) -> str:
        return str(self.run.get_task_instance(task_id).state)

    def tries(self, task_id: str) -> int:
        return int(self.run.get_task_instance(task_id).try_number)

    def returned(self, task_id: str, key: str = "return_value") -> Any:
        return self.run.get_task_instance(task_id).xcom_pull(task_ids=task_id, key=key)

    @property
    def plan(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.returned("plan")
        return found

    @property
    def counts(self) -> dict[str, int]:
        """Outcomes of the task `apply` that occurred."""
        report = self.returned("apply") or self.returned("apply", "report")
        return counts_of(report)


def counts_of(report: Mapping[str, Any]) -> dict[str, int]:
    """Outcomes of a report that occurred."""
    return {outcome: count for outcome, count in report["counts"].items() if count}


def plan_and_apply(
    run_dag: Callable[..., Any],
    planning: Mapping[str, Any],
    applying: Mapping[str, Any] | None = None,
    between: Callable[[Mapping[str, Any]], None] | None = None,
) -> PlanRun:
    """Run a Dag that plans, lets `between` do something with what was planned, and applies."""
    with new_dag() as dag:
        planned = PersonaPlanCaseUpdatesOperator(task_id="plan", **planning)
        apply = PersonaApplyPlanOperator(task_id="apply", **{"plan": planned.output, **(applying or {})})

        @task
        def meddle(given: Mapping[str, Any]) -> None:
            if between is not None:
                between(given)

        planned >> meddle(planned.output) >> apply
    return PlanRun(run_dag(dag))


def execute(operator: Any, try_number: int = 1, pushed: dict[str, Any] | None = None) -> Any:
    """Render an operator's templates and let it work, as a worker does, without the half second of a Dag run.

    :param pushed: takes what it pushes to XCom.
    """
    taken = {} if pushed is None else pushed
    ti = SimpleNamespace(
        dag_id="plans",
        run_id="run",
        task_id=operator.task_id,
        map_index=-1,
        try_number=try_number,
        max_tries=operator.retries,
        xcom_push=lambda key, value: taken.update({key: value}),
    )
    operator.render_template_fields({"ti": ti})
    return operator.execute({"ti": ti})


def with_status(persona: Any, status: str, count: int | None = None) -> list[str]:
    """Ids of cases that have a status now."""
    return [case_id for case_id, now in persona.statuses().items() if now == status][:count]


def to_status(case_ids: list[str], status: str = "Declined", **more: Any) -> list[dict[str, Any]]:
    """Rows that wish a status for each case."""
    return [{"case_id": case_id, "status": status, **more} for case_id in case_ids]


def changed(persona: Any) -> list[str]:
    """Cases that the API really changed, one entry for each change, sorted."""
    return sorted(effect.case_id for effect in persona.journal() if effect.changed and effect.actor != "human")


def told(caplog: Any, capfd: Any) -> str:
    """Everything that was logged or printed."""
    return str(caplog.text) + "".join(capfd.readouterr())
