"""A change of a transaction's fields, label and tags, and the calls that bring the transaction there.

Two calls set a label: `PATCH` and `POST /transactions/{id}/label`. `PATCH` is used, because doing it twice is as good
as once, and because it takes the fields too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from pydantic import Field, model_validator

from airflow_provider_persona.api.models import Transaction
from airflow_provider_persona.api.object_change import ObjectChange
from airflow_provider_persona.api.steps import Step, TagOperations, check_tags, holds_typed, lacks

_step = partial(Step, "transaction")
_TAGS = TagOperations("transaction", "transactions-set-tags", "transactions-add-tag", "transactions-remove-tag")


class TransactionChange(ObjectChange):
    """The wanted state of one transaction. What is not given stays as it is.

    :param fields: fields to set, by their configured names.
    :param label: its label. A transaction shows that it has one, and not which.
    :param tags: all tags that the transaction should have; not together with the next two.
    :param add_tags: tags to add.
    :param remove_tags: tags to remove.
    """

    fields: dict[str, Any] = Field(default_factory=dict, repr=False)
    label: str | None = Field(default=None, min_length=1)
    tags: tuple[str, ...] | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _tags_make_sense(self) -> TransactionChange:
        check_tags(self.tags, self.add_tags, self.remove_tags)
        return self

    @property
    def status(self) -> str | None:
        """Always None: the statuses of transactions are not changed here."""
        return None

    def _all_steps(self) -> Iterator[Step]:
        if self.fields or self.label is not None:
            yield _patch(self.fields, self.label)
        yield from _TAGS.steps(self.tags, self.add_tags, self.remove_tags)


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
    return _step("fields", "update-a-transaction", body, shown, shows_in, denied, absence_tells=label is None)
