"""What the tests of the tab look at: a plan that a person approves, and its application."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator

from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.version_compat import DAG, chain

with DAG("e2e_tab", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):
    plan = PersonaPlanCaseUpdatesOperator(
        task_id="plan_decisions",
        sql="SELECT case_id, status FROM officer_decisions ORDER BY ROWID",
        sql_conn_id="warehouse",
        never_from="Approved",
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Change these cases in Persona?",
        body="{% set plan = ti.xcom_pull(task_ids='plan_decisions') %}{{ plan['outcomes'] }} {{ plan['hash'] }}",
        response_timeout=timedelta(hours=1),
    )
    apply = PersonaApplyPlanOperator(task_id="apply_decisions", plan=plan.output, concurrency=4)
    chain(plan, approve, apply)
