"""Operators on accounts. To import many at once there is `importers.PersonaImportAccountsOperator`.

Every operator takes the parameters of `PersonaCallOperator` too: `result` and `persona_conn_id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider_persona.operators.named import NamedOperator, RedactOperator, TagOperator


class PersonaCreateAccountOperator(NamedOperator):
    """Creates an account, and returns its id.

    Example: `PersonaCreateAccountOperator(task_id="account", reference_id="{{ params.customer }}")`

    :param account_type_id: its type (`acttp_…`); by default the organisation's.
    :param reference_id: your own id of the person. One that is taken is an error, unless `upsert_by` says otherwise.
        Not kept by Airflow.
    :param fields: fields by their configured names. Not kept by Airflow.
    :param tags: names of tags.
    :param upsert_by: what tells that the account is there already, like `reference-id`; it is changed then.
    :param attributes: further attributes by Persona's names, like `{"country-code": "DE"}`. Not kept by Airflow.
    """

    operation_id = "create-an-account"
    private = ("reference_id", "fields", "attributes")
    mappings = ("fields", "attributes")
    name_lists = ("tags",)
    in_body: ClassVar = {
        "data.attributes": "attributes",
        "data.attributes.account-type-id": "account_type_id",
        "data.attributes.reference-id": "reference_id",
        "data.attributes.fields": "fields",
        "data.attributes.tags": "tags",
        "meta.upsert-by": "upsert_by",
    }

    def __init__(
        self,
        *,
        account_type_id: str | None = None,
        reference_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        upsert_by: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.account_type_id = account_type_id
        self.reference_id = reference_id
        self.fields = fields
        self.tags = tags
        self.upsert_by = upsert_by
        self.attributes = attributes


class AccountOperator(NamedOperator):
    """What the operators on one account share.

    :param account_id: the account (`act_…`).
    """

    in_path: ClassVar = {"account-id": "account_id"}

    def __init__(self, *, account_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.account_id = account_id


class PersonaUpdateAccountOperator(AccountOperator):
    """Changes an account; what is not given stays.

    Example: `PersonaUpdateAccountOperator(task_id="account", account_id="act_…", fields={"tier": "gold"})`

    :param account_id: the account (`act_…`).
    :param fields: fields to set, by their configured names. Not kept by Airflow.
    :param reference_id: your own id of the person. Not kept by Airflow.
    :param account_status: a status of its type (`actst_…`).
    :param tags: exactly these tags.
    :param attributes: further attributes by Persona's names. Not kept by Airflow.
    """

    operation_id = "update-an-account"
    private = ("fields", "reference_id", "attributes")
    mappings = ("fields", "attributes")
    name_lists = ("tags",)
    in_body: ClassVar = {
        "data.attributes": "attributes",
        "data.attributes.fields": "fields",
        "data.attributes.reference-id": "reference_id",
        "data.attributes.account-status": "account_status",
        "data.attributes.tags": "tags",
    }

    def __init__(
        self,
        *,
        fields: Mapping[str, Any] | None = None,
        reference_id: str | None = None,
        account_status: str | None = None,
        tags: Sequence[str] | None = None,
        attributes: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fields = fields
        self.reference_id = reference_id
        self.account_status = account_status
        self.tags = tags
        self.attributes = attributes


class PersonaConsolidateAccountsOperator(AccountOperator):
    """Merges accounts into one. Persona goes on with it after it has answered.

    Example: `PersonaConsolidateAccountsOperator(task_id="merge", account_id="act_…", source_account_ids=["act_…"])`

    :param account_id: the account that stays (`act_…`).
    :param source_account_ids: the accounts that are merged into it.
    """

    operation_id = "consolidate-into-an-account"
    name_lists = ("source_account_ids",)
    in_body: ClassVar = {"meta.source-account-ids": "source_account_ids"}

    def __init__(self, *, source_account_ids: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source_account_ids = source_account_ids


class PersonaTagAccountOperator(AccountOperator, TagOperator):
    """Changes the tags of an account.

    Example: `PersonaTagAccountOperator(task_id="tag", account_id="act_…", add_tags=["vip"])`

    :param account_id: the account (`act_…`).
    :param tags: exactly these tags, or
    :param add_tags: these tags too, and
    :param remove_tags: not these tags.
    """

    set_operation = "accounts-set-all-tags"
    add_operation = "accounts-add-tag"
    remove_operation = "accounts-remove-tag"


class PersonaRedactAccountOperator(AccountOperator, RedactOperator):
    """Erases an account's personal data for ever, and that of its inquiries, verifications and reports.

    Persona goes on with what belongs to it after it has answered. An account can be written to afterwards.

    Example: `PersonaRedactAccountOperator(task_id="erase", account_id="act_…", confirm=True)`

    :param account_id: the account (`act_…`).
    :param confirm: must be True, since it cannot be undone.
    """

    operation_id = "redact-an-account"
