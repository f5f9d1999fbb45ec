"""### Plan, let a person approve, apply

The first task reads the warehouse's decisions and the live cases, and writes a plan; it changes nothing. A person then
sees under "Required Actions" how many cases would go from which status to which, why other rows are left out, some of
the cases, and when it would be done. After the approval exactly that plan is applied, and a case that has changed since
is left alone. If the person rejects the plan, or does not answer within a day, nothing is written.

Needs Airflow 3.1 or later; older versions have no operator that waits for a person. There this Dag does not exist, so
that no plan is applied without approval.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_provider_persona.operators.approval import PersonaApprovalOperator
from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS, DAG, Param, chain

if AIRFLOW_V_3_1_PLUS:
    with DAG(
        "persona_plan_approve_apply",
        dag_display_name="Persona: update cases after an approval",
        description="Plans changes of cases from a query, asks a person, and applies exactly what was approved.",
        doc_md=__doc__,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=True,
        params={
            "max_changes": Param(
                default=5000, type="integer", minimum=0, description="Plan no more changes than this; else fail"
            ),
        },
        tags=["persona"],
    ):
        plan = PersonaPlanCaseUpdatesOperator(
            task_id="plan",
            sql="sql/case_decisions.sql",
            sql_conn_id="warehouse",
            never_from=["Approved", "Declined"],
            max_changes="{{ params.max_changes }}",
            max_invalid=0.01,
            retries=2,
        )
        approve = PersonaApprovalOperator(
            task_id="approve",
            plan=plan.output,
            response_timeout=timedelta(days=1),  # no answer in time means no
        )
        apply = PersonaApplyPlanOperator(
            task_id="apply",
            plan=approve.output,  # the plan that the person saw, whatever was planned since
            max_age=timedelta(days=2),
            max_failures=0.01,
            verify=True,
            retries=3,
        )
        chain(plan, approve, apply)
