"""Operators on API keys. They need a key with the permission `api_key.write`, which is off unless somebody set it.

A new key is a secret that Persona shows once. It goes to an Airflow Variable, which Airflow encrypts, or to a function
of yours; never to XCom or a log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_persona.tasks.argument_rules import exactly_one, not_in_result
from airflow_provider_persona.tasks.arguments import JsonObject, Names, Number, Text
from airflow_provider_persona.tasks.call_arguments import attribute, body, path
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.tasks.new_secrets import VARIABLE_DOC, as_variable, to_variable


def new_key(secrets: Mapping[str, Any]) -> str:
    """Return the new key among the secrets of an answer."""
    return str(secrets["value"])


class PersonaCreateApiKeyOperator(PersonaCallOperator):
    """Creates an API key, and returns its id (`api_…`).

    `deliver` is called with `{"id": "api_…", "value": …}`.

    Example: `PersonaCreateApiKeyOperator(task_id="key", name="warehouse", permissions=["case.read"],
    secret_variable="persona_warehouse_api_key")`
    """

    operation_id = "create-an-api-key"
    name: Text = attribute("its name.")
    permissions: Names | None = attribute('what it may do, like `["case.read", "case.write"]`.', default=None)
    note: Text | None = attribute("a note, for people.", default=None)
    ip_address_allowlist: Names | None = attribute("addresses from which it is taken; by default all.", default=None)
    attributes: JsonObject | None = body(
        "data.attributes", 'further settings by Persona\'s names, like `{"api-version": "2025-12-08"}`.', default=None
    )
    secret_variable: Text | None = argument(VARIABLE_DOC, default=None, reader=as_variable)
    rules = (exactly_one("secret_variable", "deliver"), not_in_result("data.attributes.value"))
    hand_over = to_variable(new_key)


class PersonaExpireApiKeyOperator(PersonaCallOperator):
    """Lets an API key expire, now or later.

    Example: `PersonaExpireApiKeyOperator(task_id="retire", api_key_id="api_…", expires_in=3600)`
    """

    operation_id = "expire-an-api-key"
    api_key_id: Text = path("api-key-id", "the key's id (`api_…`), which is not the key.")
    expires_in: Number = body("meta.expires-in-seconds", "seconds from now, at most 30 days.")
