"""Operators that a type checker refuses; each line names mypy's codes."""

from airflow_provider_persona.operators.accounts import PersonaCreateAccountOperator, PersonaTagAccountOperator
from airflow_provider_persona.operators.case_actions import PersonaCreateCaseOperator
from airflow_provider_persona.operators.inquiries import PersonaApproveInquiryOperator, PersonaRedactInquiryOperator
from airflow_provider_persona.operators.operation import PersonaOperator

PersonaCreateAccountOperator(task_id="a", reference_id=7)  # refused: arg-type
PersonaCreateAccountOperator(task_id="b", fields=["name-first"])  # refused: arg-type
PersonaCreateAccountOperator(task_id="c", tags={"a": 1}.values())  # refused: arg-type
PersonaCreateAccountOperator(task_id="d", reference="r")  # refused: call-arg
PersonaTagAccountOperator(task_id="e", add_tags=["a"])  # refused: call-arg
PersonaCreateCaseOperator(case_template_id="ctmpl_1")  # refused: call-arg
PersonaCreateCaseOperator(task_id="g", case_template_id="ctmpl_1", sla_expires_in=[60])  # refused: arg-type
PersonaApproveInquiryOperator("h", inquiry_id="inq_1")  # refused: call-arg, arg-type
PersonaApproveInquiryOperator(task_id="i", inquiry_id="inq_1", retries="two")  # refused: arg-type
PersonaRedactInquiryOperator(task_id="j", inquiry_id="inq_1", confirm=False)  # refused: arg-type
PersonaRedactInquiryOperator(task_id="k", inquiry_id="inq_1")  # refused: call-arg
PersonaOperator(task_id="l", path={"case-id": "case_1"})  # refused: call-arg
PersonaOperator(task_id="m", operation_id="retrieve-case", max_items="many")  # refused: arg-type
