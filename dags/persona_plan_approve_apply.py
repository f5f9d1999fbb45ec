"""### Plan, let a person approve, apply

The first task reads the warehouse's decisions and the live cases, and writes a plan; nothing is changed. A person then
sees under "Required Actions" how many cases would go from which status to which, and how long that takes. Approved,
exactly that plan is applied; a case that has changed since it was planned is left alone. Rejected, or not answered
within a day, nothing is written.

Needs Airflow 3.1 or later; older ones have no operator that waits for a person. There this Dag does not exist, so that
nothing is applied that nobody approved.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, chain

from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS

# What the person reads: counts only. The rows stay in the plan's file.
ASKED = "Change {{ ti.xcom_pull('plan')['outcomes'].get('change', 0) }} cases in Persona?"
SHOWN = """
{%- set plan = ti.xcom_pull('plan') -%}
| planned | rows |
|---|---|
{% for outcome, count in plan['outcomes'].items() -%}
| {{ outcome }} | {{ count }} |
{% endfor %}
| from -> to | cases |
|---|---|
{% for transition, count in plan['transitions'].items() -%}
| {{ transition }} | {{ count }} |
{% endfor %}
About {{ plan['estimate']['requests'] }} requests
{%- if plan['estimate']['seconds'] is not none %}, {{ plan['estimate']['seconds'] | int }} s{% endif %}
at a limit of {{ plan['estimate']['limit'] }} with a reserve of {{ plan['estimate']['reserve'] }}.

Environment {{ plan['environment'] }}. Plan {{ plan['plan'] }}, hash {{ plan['hash'] }}.
"""

if AIRFLOW_V_3_1_PLUS:
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    with DAG(
        "persona_plan_approve_apply",
        doc_md=__doc__,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        tags=["persona"],
    ):
        plan = PersonaPlanCaseUpdatesOperator(
            task_id="plan",
            sql="sql/case_decisions.sql",
            sql_conn_id="warehouse",
            never_from=["Approved", "Declined"],
            max_invalid=0.01,
            retries=2,
        )
        approve = ApprovalOperator(
            task_id="approve",
            subject=ASKED,
            body=SHOWN,
            defaults=ApprovalOperator.REJECT,  # what silence means
            response_timeout=timedelta(days=1),
        )
        apply = PersonaApplyPlanOperator(
            task_id="apply",
            plan=plan.output,
            max_age=timedelta(days=2),
            max_failures=0.01,
            verify=True,
            retries=3,
        )
        chain(plan, approve, apply)
