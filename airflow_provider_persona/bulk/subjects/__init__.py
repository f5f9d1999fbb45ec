"""What a bulk run can change: the kinds of objects, and any operation of the catalogue, behind one protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_persona.bulk.subjects.subject import ObjectSubject, Subject


def object_subject(name: str) -> ObjectSubject:
    """Return the kind of object with that name.

    :raises BulkError: when there is none.
    """
    # Imported here: the kinds import their models, and reading a ledger needs none of them.
    from airflow_provider_persona.bulk.errors import BulkError
    from airflow_provider_persona.bulk.subjects.kinds import KINDS

    if name not in KINDS:
        raise BulkError(f"{name!r} is no kind of object that a bulk run can change; it knows {', '.join(KINDS)}")
    return KINDS[name]


def operation_subject(operation_id: str) -> Subject:
    """Return the subject of rows that call an operation of the catalogue."""
    from airflow_provider_persona.bulk.subjects.operation import OperationSubject

    return OperationSubject(operation_id)
