"""What a bulk run can change: one module for each kind of object, all behind one protocol."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from airflow_provider_persona.bulk.subjects.subject import ObjectSubject, Subject


OBJECT_KINDS: Final = ("case", "account", "inquiry", "transaction", "report")
"""Names of the kinds of objects."""


def object_subject(name: str) -> ObjectSubject:
    """Return the kind of object with that name.

    :raises BulkError: when there is none.
    """
    kinds = _object_subjects()
    if name not in kinds:
        from airflow_provider_persona.bulk.errors import BulkError

        raise BulkError(f"{name!r} is no kind of object that a bulk run can change; it knows {', '.join(kinds)}")
    return kinds[name]


@cache
def _object_subjects() -> Mapping[str, ObjectSubject]:
    # Imported here: a kind's module imports its models, and reading a ledger needs none of them.
    from airflow_provider_persona.bulk.subjects.account import ACCOUNT
    from airflow_provider_persona.bulk.subjects.case import CASE
    from airflow_provider_persona.bulk.subjects.inquiry import INQUIRY
    from airflow_provider_persona.bulk.subjects.report import REPORT
    from airflow_provider_persona.bulk.subjects.transaction import TRANSACTION

    return {kind.name: kind for kind in (CASE, ACCOUNT, INQUIRY, TRANSACTION, REPORT)}


def operation_subject(operation_id: str) -> Subject:
    """Return the subject of rows that call an operation of the catalogue."""
    from airflow_provider_persona.bulk.subjects.operation import OperationSubject

    return OperationSubject(operation_id)
