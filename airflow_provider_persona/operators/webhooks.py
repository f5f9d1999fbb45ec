"""Operators on webhooks.

A webhook's secret proves that an event comes from Persona. It goes to an Airflow Variable, which Airflow encrypts, or
to a function of yours; never to XCom or a log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.tasks.argument_rules import exactly_one, not_in_result
from airflow_provider_persona.tasks.arguments import JsonObject, Names, Number, Text
from airflow_provider_persona.tasks.call_arguments import attribute, body, path
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.tasks.new_secrets import VARIABLE_DOC, as_variable, to_variable

_RULES = (exactly_one("secret_variable", "deliver"), not_in_result("data.attributes.secret", "data.attributes.secrets"))


def lasting_secret(secrets: Mapping[str, Any]) -> str:
    """Return the secret that does not expire: while it changes, a webhook has two.

    :raises PersonaAnswerError: when there is none.
    """
    listed = [each for each in secrets.get("secrets") or () if isinstance(each, Mapping)]
    lasting = [each.get("value") for each in listed if each.get("expires-at") is None]
    secret = next((each for each in [*lasting, secrets.get("secret")] if isinstance(each, str) and each), None)
    if secret is None:
        raise PersonaAnswerError("the answer holds no secret that lasts; look at the webhook in Persona")
    return secret


class PersonaCreateWebhookOperator(PersonaCallOperator):
    """Creates a webhook, and returns its id. It is disabled until it is enabled (`enable-a-webhook`).

    `deliver` is called with `{"id": "wbh_…", "secret": …, "secrets": […]}`.

    Example: `PersonaCreateWebhookOperator(task_id="hook", name="cases", url="https://example.com/persona",
    enabled_events=["case.status-updated"], secret_variable="persona_webhook_secret")`
    """

    operation_id = "create-a-webhook"
    name: Text = attribute("its name, not empty.")
    url: Text = attribute("where Persona sends the events.")
    enabled_events: Names = attribute('names of events, or `["*"]`.')
    attributes: JsonObject | None = body(
        "data.attributes",
        'further settings by Persona\'s names, like `{"payload-filter": {…}}`.',
        default=None,
        private=True,  # custom headers for the receiver may be credentials
    )
    secret_variable: Text | None = argument(VARIABLE_DOC, default=None, reader=as_variable)
    rules = _RULES
    hand_over = to_variable(lasting_secret)


class PersonaRotateWebhookSecretOperator(PersonaCallOperator):
    """Gives a webhook a new secret, and returns the webhook's id. The old one is good for a while longer.

    `deliver` is called with `{"id": "wbh_…", "secret": …, "secrets": […]}`.

    Example: `PersonaRotateWebhookSecretOperator(task_id="rotate", webhook_id="wbh_…", expires_in=7200,
    secret_variable="persona_webhook_secret")`
    """

    operation_id = "rotate-a-webhook-secret"
    webhook_id: Text = path("webhook-id", "the webhook (`wbh_…`).")
    expires_in: Number | None = body(
        "meta.expires-in-seconds", "seconds for which the old secret stays good.", default=None
    )
    secret_variable: Text | None = argument(VARIABLE_DOC, default=None, reader=as_variable)
    rules = _RULES
    hand_over = to_variable(lasting_secret)
