"""Plan, wait for a person's answer, apply what was approved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_provider_persona.operators.approval import PersonaApprovalOperator
from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.version_compat import DAG, chain

with DAG("e2e_approval", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):
    plan = PersonaPlanCaseUpdatesOperator(
        task_id="plan",
        sql="SELECT case_id, 'Declined' AS status FROM disputes",
        sql_conn_id="warehouse",
        max_changes=100,
        forbid_transitions="Approved -> *",
    )
    approve = PersonaApprovalOperator(task_id="approve", plan=plan.output, response_timeout=timedelta(hours=1))
    apply = PersonaApplyPlanOperator(task_id="apply", plan=approve.output, retries=3)
    chain(plan, approve, apply)
