"""### Take a change back

Plans the way back of a run that changed objects in Persona. The plan holds only what that run really changed, and only
where the status is still the one that the run gave. With the param `dry_run`, which is on by default, it ends there:
the tab Persona of the task `plan_the_way_back` shows each row. Without it, a person is asked under "Required Actions",
and exactly the plan that this person approved is applied.

The tab Persona of the run that is to be taken back triggers this Dag, with plan and hash filled in. Whoever may trigger
it can plan the way back of every run below the state path, so grant that right accordingly. On Airflow before 3.1,
which has no tab and cannot wait for a person, give the plan's address and hash from the report of the run, look at the
log of the dry run, and trigger it once more without `dry_run`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_persona.operators.approval import PersonaApprovalOperator
from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaRevertPlanOperator
from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS, DAG, Param, chain, task

with DAG(
    "persona_revert_run",
    dag_display_name="Persona: take a change back",
    description="Plans the way back of a run, asks a person, and applies exactly what was approved.",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    is_paused_upon_creation=True,
    params={
        "plan": Param(default="", type="string", description="Address of the plan that the run applied (…/plan.jsonl)"),
        "plan_hash": Param(default="", type="string", description="Its hash, as the run's report says"),
        "dry_run": Param(default=True, type="boolean", description="Plan the way back, and change nothing"),
        "max_changes": Param(
            default=5000, type="integer", minimum=0, description="Plan no more changes than this; else fail"
        ),
    },
    tags=["persona"],
):

    @task.short_circuit
    def go_on_unless_dry_run(params: Mapping[str, Any] | None = None) -> bool:
        """Skip what follows in a dry run."""
        return params is not None and not params["dry_run"]

    plan = PersonaRevertPlanOperator(
        task_id="plan_the_way_back",
        report={"plan": "{{ params.plan }}", "plan_hash": "{{ params.plan_hash }}"},
        max_changes="{{ params.max_changes }}",
        retries=2,
    )
    go_on = go_on_unless_dry_run()
    if AIRFLOW_V_3_1_PLUS:
        approve = PersonaApprovalOperator(
            task_id="approve",
            plan=plan.output,
            require_reason=True,
            response_timeout=timedelta(days=1),  # no answer in time means no
        )
    apply = PersonaApplyPlanOperator(
        task_id="apply",
        plan=approve.output if AIRFLOW_V_3_1_PLUS else plan.output,
        dry_run="{{ params.dry_run }}",
        max_age=timedelta(days=2),
        retries=3,
    )
    chain(plan, go_on, *([approve] if AIRFLOW_V_3_1_PLUS else []), apply)
