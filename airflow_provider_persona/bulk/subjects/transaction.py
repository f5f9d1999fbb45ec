"""Transactions: their custom fields, label and tags."""

from __future__ import annotations

from typing import Any

from airflow_provider_persona.api.models import Transaction
from airflow_provider_persona.api.transaction_change import TransactionChange
from airflow_provider_persona.bulk.subjects.subject import (
    MatchFacts,
    MatchKey,
    ObjectState,
    ObjectSubject,
    Part,
    PartType,
)


def _read(resource: Any, operation_id: str) -> ObjectState:
    return ObjectState.of(Transaction.from_resource(resource, operation_id))


TRANSACTION = ObjectSubject(
    name="transaction",
    plural="transactions",
    resource_type="transaction",
    id_column="transaction_id",
    parts={
        "fields": Part(PartType.OBJECT, is_private=True),
        "label": Part(PartType.VALUE),
        "tags": Part(PartType.NAMES),
        "add_tags": Part(PartType.NAMES),
        "remove_tags": Part(PartType.NAMES),
    },
    change=TransactionChange,
    list_operation="list-all-transactions",
    read_operation="retrieve-a-transaction",
    read=_read,
    match=MatchFacts({"reference-id": MatchKey("reference-id")}, "transaction-type"),
)
