"""A change of an account's custom fields and tags, and the calls that bring the account there.

Persona takes an account's fields as plain values and returns them as `{"type": "string", "value": "…"}` (published
specification, schema `account`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field

from airflow_provider_persona.api.models import Account
from airflow_provider_persona.api.object_change import Change
from airflow_provider_persona.api.steps import Step, holds_typed, lacks


class AccountChange(Change):
    """The wanted state of one account. What is not given stays as it is. Tags as for `Change`.

    :param fields: fields to set, by their configured names.
    """

    resource_type = "account"
    tag_operations = ("accounts-set-all-tags", "accounts-add-tag", "accounts-remove-tag")
    status: ClassVar[None] = None
    """Persona has no call that changes an account's status."""

    fields: dict[str, Any] = Field(default_factory=dict, repr=False)

    def _all_steps(self) -> Iterator[Step]:
        if self.fields:
            yield _set_fields(self.fields)
        yield from self._tag_steps()


def _set_fields(wanted: Mapping[str, Any]) -> Step:
    def shown(account: Account) -> bool:
        return holds_typed(account.attributes.fields, wanted)

    def denied(account: Account) -> bool:
        return lacks(account.attributes.fields, wanted)

    body = {"data": {"attributes": {"fields": dict(wanted)}}}
    return Step("account", "fields", "update-an-account", body, shown, ("fields",), denied)
