"""Operators on verifications. Inquiries make them; the restricted calls that make one apart are `PersonaOperator`'s.

Every operator takes the parameters of `PersonaCallOperator` too: `result` and `persona_conn_id`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from airflow_provider_persona.operators.answers import Result
from airflow_provider_persona.operators.named import NamedOperator, PrintOperator, RedactOperator


class VerificationOperator(NamedOperator):
    """What the operators on one verification share.

    :param verification_id: the verification (`ver_…`).
    """

    in_path: ClassVar = {"verification-id": "verification_id"}

    def __init__(self, *, verification_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.verification_id = verification_id


class PersonaGetVerificationOperator(VerificationOperator):
    """Reads a verification of any kind, and returns its id, type and status.

    Example: `PersonaGetVerificationOperator(task_id="look", verification_id="ver_…", result=["status", "checks"])`

    :param verification_id: the verification (`ver_…`).
    :param result: what goes to XCom, as for `PersonaCallOperator`; by default `["id", "type", "status"]`.
    """

    operation_id = "retrieve-a-verification"

    def __init__(self, *, result: Result = ("id", "type", "status"), **kwargs: Any) -> None:
        super().__init__(result=result, **kwargs)


class PersonaPrintVerificationOperator(VerificationOperator, PrintOperator):
    """Prints a verification as a PDF into a file, and returns `uri`, `size` in bytes and `content_type`.

    Example: `PersonaPrintVerificationOperator(task_id="print", verification_id="ver_…", output_path="/mnt/audit/")`

    :param verification_id: the verification (`ver_…`).
    :param output_path: a local path or an address in an object store; with a slash at its end a folder.
    :param max_bytes: bytes that the file may have at most.
    """

    operation_id = "print-a-verification-as-pdf"


class PersonaRedactVerificationOperator(VerificationOperator, RedactOperator):
    """Erases a verification's personal data for ever, unless it is under an investigation lock.

    Example: `PersonaRedactVerificationOperator(task_id="erase", verification_id="ver_…", confirm=True)`

    :param verification_id: the verification (`ver_…`).
    :param confirm: must be True, since it cannot be undone.
    """

    operation_id = "redact-a-verification"
