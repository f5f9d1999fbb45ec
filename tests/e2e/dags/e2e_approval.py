"""Plan, wait for a person's answer, apply what was approved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, chain
from airflow.providers.standard.operators.hitl import ApprovalOperator

from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator

with DAG("e2e_approval", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):
    plan = PersonaPlanCaseUpdatesOperator(
        task_id="plan",
        sql="SELECT case_id, 'Declined' AS status FROM disputes",
        sql_conn_id="warehouse",
        max_changes=100,
        forbid_transitions="Approved -> *",
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Change these cases in Persona?",
        body="{% set plan = ti.xcom_pull(task_ids='plan') %}{{ plan['outcomes'] }} {{ plan['hash'] }}",
        response_timeout=timedelta(hours=1),
    )
    apply = PersonaApplyPlanOperator(task_id="apply", plan=plan.output, retries=3)
    chain(plan, approve, apply)
