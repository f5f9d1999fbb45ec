"""Operators that a type checker refuses. Where mypy refuses one no more, `make lint` fails at its unused `ignore`."""

from airflow_provider_persona.operators.accounts import PersonaCreateAccountOperator, PersonaTagAccountOperator
from airflow_provider_persona.operators.case_actions import PersonaCreateCaseOperator
from airflow_provider_persona.operators.inquiries import PersonaApproveInquiryOperator, PersonaRedactInquiryOperator
from airflow_provider_persona.operators.operation import PersonaOperator

PersonaCreateAccountOperator(task_id="a", reference_id=7)  # type: ignore[arg-type]
PersonaCreateAccountOperator(task_id="b", fields=["name-first"])  # type: ignore[arg-type]
PersonaCreateAccountOperator(task_id="c", tags={"a": 1}.values())  # type: ignore[arg-type]
PersonaCreateAccountOperator(task_id="d", reference="r")  # type: ignore[call-arg]
PersonaTagAccountOperator(task_id="e", add_tags=["a"])  # type: ignore[call-arg]
PersonaCreateCaseOperator(case_template_id="ctmpl_1")  # type: ignore[call-arg]
PersonaCreateCaseOperator(task_id="g", case_template_id="ctmpl_1", sla_expires_in=[60])  # type: ignore[arg-type]
PersonaApproveInquiryOperator("h", inquiry_id="inq_1")  # type: ignore[call-arg, arg-type]
PersonaApproveInquiryOperator(task_id="i", inquiry_id="inq_1", retries="two")  # type: ignore[arg-type]
PersonaRedactInquiryOperator(task_id="j", inquiry_id="inq_1", confirm=False)  # type: ignore[arg-type]
PersonaRedactInquiryOperator(task_id="k", inquiry_id="inq_1")  # type: ignore[call-arg]
PersonaOperator(task_id="l", path={"case-id": "case_1"})  # type: ignore[call-arg]
PersonaOperator(task_id="m", operation_id="retrieve-case", max_items="many")  # type: ignore[arg-type]
