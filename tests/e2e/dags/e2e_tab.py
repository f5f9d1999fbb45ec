"""What the tests of the tab look at: a plan that a person approves, its application, and what OpenLineage is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.openlineage.utils.selective_enable import enable_lineage

from airflow_provider_persona.operators.approval import PersonaApprovalOperator
from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.version_compat import DAG, chain

with DAG("e2e_tab", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):
    plan = PersonaPlanCaseUpdatesOperator(
        task_id="plan_decisions",
        sql="SELECT case_id, status FROM officer_decisions ORDER BY ROWID",
        sql_conn_id="warehouse",
        never_from="Approved",
        max_changes=500,
    )
    approve = PersonaApprovalOperator(
        task_id="approve", plan=plan.output, require_reason=True, response_timeout=timedelta(hours=1)
    )
    apply = PersonaApplyPlanOperator(task_id="apply_decisions", plan=approve.output, concurrency=4, progress_every=1)
    chain(plan, approve, apply)

# On the task that asks it would be one more field of the form, which the answer must then have.
for told in (plan, apply):
    enable_lineage(told)
