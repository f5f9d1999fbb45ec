"""Operators on transactions."""

from __future__ import annotations

from airflow_provider_persona.tasks.arguments import JsonObject, Names, Number, Text
from airflow_provider_persona.tasks.call_arguments import attribute, body, path
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.tasks.tag_calls import ADD_DOC, ALL_DOC, REMOVE_DOC, tag_calls, tags_or_changes


class PersonaCreateTransactionOperator(PersonaCallOperator):
    """Creates a transaction, and returns its id. A reference id that is taken is an error.

    Example: `PersonaCreateTransactionOperator(task_id="txn", transaction_type_id="txntp_…", reference_id="order-1")`
    """

    operation_id = "create-a-transaction"
    transaction_type_id: Text = attribute("its type (`txntp_…`).")
    reference_id: Text | None = attribute("your own id of it.", default=None, private=True)
    fields: JsonObject | None = attribute("fields by their configured names.", default=None, private=True)
    tags: Names | None = attribute("names of tags.", default=None)


class PersonaUpdateTransactionOperator(PersonaCallOperator):
    """Changes a transaction; what is not given stays.

    Persona may answer that the object is stale when fields and status change together; use two tasks, the status last.

    Example: `PersonaUpdateTransactionOperator(task_id="txn", transaction_id="txn_…", status="blocked")`
    """

    operation_id = "update-a-transaction"
    transaction_id: Text = path("transaction-id", "the transaction (`txn_…`).")
    status: Text | None = attribute("a status of its type.", default=None)
    fields: JsonObject | None = attribute("fields to set, by their configured names.", default=None, private=True)
    reference_id: Text | None = attribute("your own id of it.", default=None, private=True)
    tags: Names | None = attribute("exactly these tags.", default=None)


class PersonaLabelTransactionOperator(PersonaCallOperator):
    """Tells Persona what a transaction turned out to be, for its models to learn from.

    Example: `PersonaLabelTransactionOperator(task_id="label", transaction_id="txn_…", transaction_label="fraud")`
    """

    operation_id = "create-a-transaction-label"
    transaction_id: Text = path("transaction-id", "the transaction (`txn_…`).")
    transaction_label: Text = body("meta.label", "what it is, like `fraud`.")
    score: Number | None = body("meta.score", "how sure you are.", default=None)
    model_version: Text | None = body("meta.model-version", "the version of your model that said so.", default=None)


class PersonaTagTransactionOperator(PersonaCallOperator):
    """Changes the tags of a transaction: one call to replace them all, or one for each tag added or removed.

    Example: `PersonaTagTransactionOperator(task_id="tag", transaction_id="txn_…", tags=["checked"])`
    """

    transaction_id: Text = path("transaction-id", "the transaction (`txn_…`).")
    tags: Names | None = argument(ALL_DOC, default=None)
    add_tags: Names | None = argument(ADD_DOC, default=None)
    remove_tags: Names | None = argument(REMOVE_DOC, default=None)
    rules = (tags_or_changes,)
    calls_of = tag_calls("transactions-set-tags", "transactions-add-tag", "transactions-remove-tag")
