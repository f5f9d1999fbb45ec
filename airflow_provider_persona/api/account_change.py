"""A change of an account's custom fields and tags, and the calls that bring the account there.

Persona takes an account's fields as plain values and returns them as `{"type": "string", "value": "…"}` (published
specification, schema `account`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from pydantic import Field, model_validator

from airflow_provider_persona.api.models import Account
from airflow_provider_persona.api.object_change import ObjectChange
from airflow_provider_persona.api.steps import Step, TagOperations, check_tags, holds_typed, lacks

_step = partial(Step, "account")
_TAGS = TagOperations("account", "accounts-set-all-tags", "accounts-add-tag", "accounts-remove-tag")


class AccountChange(ObjectChange):
    """The wanted state of one account. What is not given stays as it is.

    :param fields: fields to set, by their configured names.
    :param tags: all tags that the account should have; not together with the next two.
    :param add_tags: tags to add.
    :param remove_tags: tags to remove.
    """

    fields: dict[str, Any] = Field(default_factory=dict, repr=False)
    tags: tuple[str, ...] | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _tags_make_sense(self) -> AccountChange:
        check_tags(self.tags, self.add_tags, self.remove_tags)
        return self

    @property
    def status(self) -> str | None:
        """Always None: Persona has no call that changes an account's status."""
        return None

    def _all_steps(self) -> Iterator[Step]:
        if self.fields:
            yield _set_fields(self.fields)
        yield from _TAGS.steps(self.tags, self.add_tags, self.remove_tags)


def _set_fields(wanted: Mapping[str, Any]) -> Step:
    def shown(account: Account) -> bool:
        return holds_typed(account.attributes.fields, wanted)

    def denied(account: Account) -> bool:
        return lacks(account.attributes.fields, wanted)

    body = {"data": {"attributes": {"fields": dict(wanted)}}}
    return _step("fields", "update-an-account", body, shown, ("fields",), denied)
