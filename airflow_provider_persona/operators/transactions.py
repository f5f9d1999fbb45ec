"""Operators on transactions.

Every operator takes the parameters of `PersonaCallOperator` too: `result` and `persona_conn_id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider_persona.operators.named import NamedOperator, TagOperator


class PersonaCreateTransactionOperator(NamedOperator):
    """Creates a transaction, and returns its id. A reference id that is taken is an error.

    Example: `PersonaCreateTransactionOperator(task_id="txn", transaction_type_id="txntp_…", reference_id="order-1")`

    :param transaction_type_id: its type (`txntp_…`).
    :param reference_id: your own id of it. Not kept by Airflow.
    :param fields: fields by their configured names. Not kept by Airflow.
    :param tags: names of tags.
    """

    operation_id = "create-a-transaction"
    private = ("reference_id", "fields")
    mappings = ("fields",)
    name_lists = ("tags",)
    in_body: ClassVar = {
        "data.attributes.transaction-type-id": "transaction_type_id",
        "data.attributes.reference-id": "reference_id",
        "data.attributes.fields": "fields",
        "data.attributes.tags": "tags",
    }

    def __init__(
        self,
        *,
        transaction_type_id: str,
        reference_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.transaction_type_id = transaction_type_id
        self.reference_id = reference_id
        self.fields = fields
        self.tags = tags


class TransactionOperator(NamedOperator):
    """What the operators on one transaction share.

    :param transaction_id: the transaction (`txn_…`).
    """

    in_path: ClassVar = {"transaction-id": "transaction_id"}

    def __init__(self, *, transaction_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.transaction_id = transaction_id


class PersonaUpdateTransactionOperator(TransactionOperator):
    """Changes a transaction; what is not given stays.

    Persona may answer that the object is stale when fields and status change together; use two tasks, the status last.

    Example: `PersonaUpdateTransactionOperator(task_id="txn", transaction_id="txn_…", status="blocked")`

    :param transaction_id: the transaction (`txn_…`).
    :param status: a status of its type.
    :param fields: fields to set, by their configured names. Not kept by Airflow.
    :param reference_id: your own id of it. Not kept by Airflow.
    :param tags: exactly these tags.
    """

    operation_id = "update-a-transaction"
    private = ("fields", "reference_id")
    mappings = ("fields",)
    name_lists = ("tags",)
    in_body: ClassVar = {
        "data.attributes.status": "status",
        "data.attributes.fields": "fields",
        "data.attributes.reference-id": "reference_id",
        "data.attributes.tags": "tags",
    }

    def __init__(
        self,
        *,
        status: str | None = None,
        fields: Mapping[str, Any] | None = None,
        reference_id: str | None = None,
        tags: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.status = status
        self.fields = fields
        self.reference_id = reference_id
        self.tags = tags


class PersonaLabelTransactionOperator(TransactionOperator):
    """Tells Persona what a transaction turned out to be, for its models to learn from.

    Example: `PersonaLabelTransactionOperator(task_id="label", transaction_id="txn_…", transaction_label="fraud")`

    :param transaction_id: the transaction (`txn_…`).
    :param transaction_label: what it is, like `fraud`.
    :param score: how sure you are.
    :param model_version: the version of your model that said so.
    """

    operation_id = "create-a-transaction-label"
    numbers = ("score",)
    in_body: ClassVar = {
        "meta.label": "transaction_label",
        "meta.score": "score",
        "meta.model-version": "model_version",
    }

    def __init__(
        self,
        *,
        transaction_label: str,
        score: float | str | None = None,
        model_version: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.transaction_label = transaction_label
        self.score = score
        self.model_version = model_version


class PersonaTagTransactionOperator(TransactionOperator, TagOperator):
    """Changes the tags of a transaction.

    Example: `PersonaTagTransactionOperator(task_id="tag", transaction_id="txn_…", tags=["checked"])`

    :param transaction_id: the transaction (`txn_…`).
    :param tags: exactly these tags, or
    :param add_tags: these tags too, and
    :param remove_tags: not these tags.
    """

    set_operation = "transactions-set-tags"
    add_operation = "transactions-add-tag"
    remove_operation = "transactions-remove-tag"
