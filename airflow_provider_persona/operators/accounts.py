"""Operators on accounts. To import many at once there is `importers.PersonaImportAccountsOperator`."""

from __future__ import annotations

from typing import Literal

from airflow_provider_persona.tasks.arguments import JsonObject, Names, Text
from airflow_provider_persona.tasks.call_arguments import attribute, body, confirmation, path
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.tasks.tag_calls import ADD_DOC, ALL_DOC, REMOVE_DOC, tag_calls, tags_or_changes


class PersonaCreateAccountOperator(PersonaCallOperator):
    """Creates an account, and returns its id.

    Example: `PersonaCreateAccountOperator(task_id="account", reference_id="{{ params.customer }}")`
    """

    operation_id = "create-an-account"
    account_type_id: Text | None = attribute("its type (`acttp_…`); by default the organisation's.", default=None)
    reference_id: Text | None = attribute(
        "your own id of the person. One that is taken is an error, unless `upsert_by` says otherwise.",
        default=None,
        private=True,
    )
    fields: JsonObject | None = attribute("fields by their configured names.", default=None, private=True)
    tags: Names | None = attribute("names of tags.", default=None)
    upsert_by: Text | None = body(
        "meta.upsert-by",
        "what tells that the account exists already, like `reference-id`; that account is changed then.",
        default=None,
    )
    attributes: JsonObject | None = body(
        "data.attributes",
        'further attributes by Persona\'s names, like `{"country-code": "DE"}`.',
        default=None,
        private=True,
    )


class PersonaUpdateAccountOperator(PersonaCallOperator):
    """Changes an account; what is not given stays.

    Example: `PersonaUpdateAccountOperator(task_id="account", account_id="act_…", fields={"tier": "gold"})`
    """

    operation_id = "update-an-account"
    account_id: Text = path("account-id", "the account (`act_…`).")
    fields: JsonObject | None = attribute("fields to set, by their configured names.", default=None, private=True)
    reference_id: Text | None = attribute("your own id of the person.", default=None, private=True)
    account_status: Text | None = attribute("a status of its type (`actst_…`).", default=None)
    tags: Names | None = attribute("exactly these tags.", default=None)
    attributes: JsonObject | None = body(
        "data.attributes", "further attributes by Persona's names.", default=None, private=True
    )


class PersonaConsolidateAccountsOperator(PersonaCallOperator):
    """Merges accounts into one. Persona continues after it has answered.

    Example: `PersonaConsolidateAccountsOperator(task_id="merge", account_id="act_…", source_account_ids=["act_…"])`
    """

    operation_id = "consolidate-into-an-account"
    account_id: Text = path("account-id", "the account that stays (`act_…`).")
    source_account_ids: Names = body("meta.source-account-ids", "the accounts that are merged into it.")


class PersonaTagAccountOperator(PersonaCallOperator):
    """Changes the tags of an account: one call to replace them all, or one for each tag added or removed.

    Example: `PersonaTagAccountOperator(task_id="tag", account_id="act_…", add_tags=["vip"])`
    """

    account_id: Text = path("account-id", "the account (`act_…`).")
    tags: Names | None = argument(ALL_DOC, default=None)
    add_tags: Names | None = argument(ADD_DOC, default=None)
    remove_tags: Names | None = argument(REMOVE_DOC, default=None)
    rules = (tags_or_changes,)
    calls_of = tag_calls("accounts-set-all-tags", "accounts-add-tag", "accounts-remove-tag")


class PersonaRedactAccountOperator(PersonaCallOperator):
    """Erases an account's personal data for ever, and that of its inquiries, verifications and reports.

    Persona erases the data of what belongs to the account after it has answered. An account can be written to
    afterwards.

    Example: `PersonaRedactAccountOperator(task_id="erase", account_id="act_…", confirm=True)`
    """

    operation_id = "redact-an-account"
    account_id: Text = path("account-id", "the account (`act_…`).")
    confirm: Literal[True] = confirmation()
