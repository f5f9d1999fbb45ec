"""Accounts: their custom fields and tags."""

from __future__ import annotations

from typing import Any

from airflow_provider_persona.api.account_change import AccountChange
from airflow_provider_persona.api.models import Account
from airflow_provider_persona.bulk.subjects.subject import (
    MatchFacts,
    MatchKey,
    ObjectState,
    ObjectSubject,
    Part,
    PartType,
)


def _read(resource: Any, operation_id: str) -> ObjectState:
    return ObjectState.of(Account.from_resource(resource, operation_id))


ACCOUNT = ObjectSubject(
    name="account",
    plural="accounts",
    resource_type="account",
    id_column="account_id",
    parts={
        "fields": Part(PartType.OBJECT, is_private=True),
        "tags": Part(PartType.NAMES),
        "add_tags": Part(PartType.NAMES),
        "remove_tags": Part(PartType.NAMES),
    },
    change=AccountChange,
    list_operation="list-all-accounts",
    read_operation="retrieve-an-account",
    read=_read,
    match=MatchFacts({"reference-id": MatchKey("reference-id", takes_several=True)}, "account-type", "account-status"),
)
