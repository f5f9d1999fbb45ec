"""Dags that a type checker accepts: values, templates, outputs of other tasks, and Airflow's own arguments."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow_provider_persona.operators.accounts import PersonaCreateAccountOperator, PersonaTagAccountOperator
from airflow_provider_persona.operators.api_keys import PersonaCreateApiKeyOperator
from airflow_provider_persona.operators.case_actions import PersonaCreateCaseOperator
from airflow_provider_persona.operators.importers import PersonaImportAccountsOperator
from airflow_provider_persona.operators.inquiries import PersonaApproveInquiryOperator, PersonaRedactInquiryOperator
from airflow_provider_persona.operators.lists import PersonaAddListItemOperator
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.tasks.call_arguments import body, path
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.version_compat import DAG, XComArg


def deliver(secrets: Any) -> None:
    """Take the secrets."""


class LockOperator(PersonaCallOperator):
    """Locks a verification."""

    operation_id = "investigation-lock-a-verification"
    verification_id: str = path("verification-id", "the verification.")
    reasons: list[str] | None = body("meta.reasons", "why.", default=None)


def dag(of_task: XComArg) -> DAG:
    """Return a Dag."""
    with DAG("typed", schedule=None, start_date=datetime(2026, 1, 1)) as made:  # noqa: DTZ001
        account = PersonaCreateAccountOperator(
            task_id="account", reference_id="{{ params.id }}", fields={"name-first": "A"}, tags=["a"], retries=2
        )
        tag = PersonaTagAccountOperator(task_id="tag", account_id=account.output, add_tags=("b", "c"))
        account >> tag  # type: ignore[operator, unused-ignore] # typed by Airflow, in some versions only
        PersonaCreateCaseOperator(task_id="case", case_template_id="ctmpl_1", fields=of_task, sla_expires_in="{{ 60 }}")
        PersonaApproveInquiryOperator(
            task_id="approve",
            inquiry_id=of_task,
            retry_delay=timedelta(seconds=1),
            on_failure_callback=deliver,
            trigger_rule="all_done",
            execution_timeout=timedelta(minutes=1),
            doc_md="approves",
            pool=None,
            result=["status"],
        )
        PersonaApproveInquiryOperator.partial(task_id="many", comment="seen").expand(inquiry_id=["inq_1"])
        PersonaRedactInquiryOperator(task_id="redact", inquiry_id="inq_1", confirm=True)
        PersonaAddListItemOperator(task_id="item", kind="string", list_id="lst_1", item="x")
        PersonaImportAccountsOperator(task_id="import", rows=[{"reference_id": "r"}], max_bytes=10)
        PersonaCreateApiKeyOperator(task_id="key", name="k", deliver=deliver)
        PersonaOperator(task_id="any", operation_id="retrieve-case", path={"case-id": "case_1"}, result="attributes")
        LockOperator(task_id="lock", verification_id="ver_1", reasons=["x"])
    return made
