"""Operators on verifications.

Inquiries make verifications. For the restricted calls that make one without an inquiry use `PersonaOperator`.
"""

from __future__ import annotations

from typing import Literal

from airflow_provider_persona.tasks.answers import Result
from airflow_provider_persona.tasks.arguments import Text
from airflow_provider_persona.tasks.call_arguments import confirmation, part, path
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.tasks.files import LIMIT_DOC, MAX_BYTES, OUTPUT_DOC


class PersonaGetVerificationOperator(PersonaCallOperator):
    """Reads a verification of any kind, and returns its id, type and status.

    Example: `PersonaGetVerificationOperator(task_id="look", verification_id="ver_…", result=["status", "checks"])`
    """

    operation_id = "retrieve-a-verification"
    verification_id: Text = path("verification-id", "the verification (`ver_…`).")
    result: Result = argument(
        'what goes to XCom, as for `PersonaOperator`; by default `["id", "type", "status"]`.',
        default=("id", "type", "status"),
        is_template=False,
    )


class PersonaPrintVerificationOperator(PersonaCallOperator):
    """Prints a verification as a PDF into a file, and returns `uri`, `size` in bytes and `content_type`.

    Example: `PersonaPrintVerificationOperator(task_id="print", verification_id="ver_…", output_path="/mnt/audit/")`
    """

    operation_id = "print-a-verification-as-pdf"
    verification_id: Text = path("verification-id", "the verification (`ver_…`).")
    output_path: Text = part("output_path", OUTPUT_DOC)
    max_bytes: int = part("max_bytes", LIMIT_DOC, default=MAX_BYTES, is_template=False)


class PersonaRedactVerificationOperator(PersonaCallOperator):
    """Erases a verification's personal data for ever, unless it is under an investigation lock.

    Example: `PersonaRedactVerificationOperator(task_id="erase", verification_id="ver_…", confirm=True)`
    """

    operation_id = "redact-a-verification"
    verification_id: Text = path("verification-id", "the verification (`ver_…`).")
    confirm: Literal[True] = confirmation()
