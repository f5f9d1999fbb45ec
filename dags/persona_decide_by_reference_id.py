"""### Decide cases by reference id

The warehouse knows people by its own ids, which Persona keeps as reference ids, and no case ids. The first task finds
the case of each person and writes a plan; it changes nothing. A person without a case, or with several cases of the
template, becomes an invalid row. The second task applies ten rows of the plan and reads these cases again. If all went
well, the third task applies the rest. Cases that a human has decided are left alone.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.version_compat import DAG, Param, chain

with DAG(
    "persona_decide_by_reference_id",
    dag_display_name="Persona: decide cases by reference id",
    description="Finds the cases of a warehouse's customers by reference id, and sets their status.",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    params={
        "sample": Param(default=10, type="integer", minimum=1, description="Rows to apply before all others"),
        "dry_run": Param(default=True, type="boolean", description="Report what would be changed, change nothing"),
        "max_changes": Param(
            default=5000, type="integer", minimum=0, description="Fail before the first change when there are more"
        ),
    },
    tags=["persona"],
):
    plan = PersonaPlanCaseUpdatesOperator(
        task_id="plan",
        sql="sql/customer_decisions.sql",
        sql_conn_id="warehouse",
        match_by="reference-id",
        never_from=["Approved", "Declined"],
        max_changes="{{ params.max_changes }}",
        max_invalid=0.1,
        retries=2,
    )
    apply_sample = PersonaApplyPlanOperator(
        task_id="apply_sample",
        plan=plan.output,
        sample="{{ params.sample }}",
        dry_run="{{ params.dry_run }}",
        retries=3,
    )
    apply = PersonaApplyPlanOperator(
        task_id="apply",
        plan=plan.output,
        dry_run="{{ params.dry_run }}",
        max_failures=0.01,
        retries=3,
    )
    chain(plan, apply_sample, apply)
