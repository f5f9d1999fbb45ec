"""Operators on API keys. They need a key with the permission `api_key.write`, which is off unless somebody set it.

A new key is a secret that Persona shows once. It goes to an Airflow Variable, which Airflow encrypts, or to a function
of yours; never to XCom or a log. Every operator takes the parameters of `PersonaCallOperator` too: `result`, `deliver`
and `persona_conn_id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider_persona.operators.named import NamedOperator, SecretOperator


class PersonaCreateApiKeyOperator(SecretOperator):
    """Creates an API key, and returns its id (`api_…`).

    Example: `PersonaCreateApiKeyOperator(task_id="key", name="warehouse", permissions=["case.read"],
    secret_variable="persona_warehouse_api_key")`

    :param name: its name.
    :param permissions: what it may do, like `["case.read", "case.write"]`.
    :param note: a note, for people.
    :param ip_address_allowlist: addresses from which it is taken; by default all.
    :param attributes: further settings by Persona's names, like `{"api-version": "2025-12-08"}`.
    :param secret_variable: name of the Airflow Variable that the key goes to, or
    :param deliver: a function that puts it elsewhere, called with `{"id": "api_…", "value": …}`.
    """

    operation_id = "create-an-api-key"
    mappings = ("attributes",)
    name_lists = ("permissions", "ip_address_allowlist")
    in_body: ClassVar = {
        "data.attributes": "attributes",
        "data.attributes.name": "name",
        "data.attributes.permissions": "permissions",
        "data.attributes.note": "note",
        "data.attributes.ip-address-allowlist": "ip_address_allowlist",
    }

    def __init__(
        self,
        *,
        name: str,
        permissions: Sequence[str] | None = None,
        note: str | None = None,
        ip_address_allowlist: Sequence[str] | None = None,
        attributes: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.permissions = permissions
        self.note = note
        self.ip_address_allowlist = ip_address_allowlist
        self.attributes = attributes


class PersonaExpireApiKeyOperator(NamedOperator):
    """Lets an API key expire, now or later.

    Example: `PersonaExpireApiKeyOperator(task_id="retire", api_key_id="api_…", expires_in=3600)`

    :param api_key_id: the key's id (`api_…`), which is not the key.
    :param expires_in: seconds from now, at most 30 days.
    """

    operation_id = "expire-an-api-key"
    numbers = ("expires_in",)
    in_path: ClassVar = {"api-key-id": "api_key_id"}
    in_body: ClassVar = {"meta.expires-in-seconds": "expires_in"}

    def __init__(self, *, api_key_id: str, expires_in: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.api_key_id = api_key_id
        self.expires_in = expires_in
