"""A change of a transaction's fields, label and tags, and the calls that bring the transaction there.

Two calls set a label: `PATCH` and `POST /transactions/{id}/label`. `PATCH` is used, because doing it twice is as good
as once, and because it takes the fields too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field

from airflow_provider_persona.api.models import Transaction
from airflow_provider_persona.api.object_change import Change
from airflow_provider_persona.api.steps import Step, holds_typed, lacks


class TransactionChange(Change):
    """The wanted state of one transaction. What is not given stays as it is. Tags as for `Change`.

    :param fields: fields to set, by their configured names.
    :param label: its label. A transaction shows that it has one, and not which.
    """

    resource_type = "transaction"
    tag_operations = ("transactions-set-tags", "transactions-add-tag", "transactions-remove-tag")
    status: ClassVar[None] = None
    """The statuses of transactions are not changed here."""

    fields: dict[str, Any] = Field(default_factory=dict, repr=False)
    label: str | None = Field(default=None, min_length=1)

    def _all_steps(self) -> Iterator[Step]:
        if self.fields or self.label is not None:
            yield _patch(self.fields, self.label)
        yield from self._tag_steps()


def _patch(fields: Mapping[str, Any], label: str | None) -> Step:
    attributes: dict[str, Any] = {"fields": dict(fields)} if fields else {}
    if label is not None:
        attributes["label"] = label

    def shown(transaction: Transaction) -> bool:
        return label is None and holds_typed(transaction.attributes.fields, fields)

    def denied(transaction: Transaction) -> bool:
        unlabelled = label is not None and not transaction.related("transaction-label")
        return unlabelled or lacks(transaction.attributes.fields, fields)

    body = {"data": {"attributes": attributes}}
    shows_in = ("fields", "transaction-label")
    return Step(
        "transaction", "fields", "update-a-transaction", body, shown, shows_in, denied, absence_tells=label is None
    )
