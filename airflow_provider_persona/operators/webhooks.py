"""Operators on webhooks.

A webhook's secret proves that an event comes from Persona. It goes to an Airflow Variable, which Airflow encrypts, or
to a function of yours; never to XCom or a log. Every operator takes the parameters of `PersonaCallOperator` too:
`result`, `deliver` and `persona_conn_id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.operators.named import SecretOperator


class WebhookOperator(SecretOperator):
    """What the operators share that make a webhook's secret."""

    def secret_of(self, secrets: Mapping[str, Any]) -> str:
        """Return the secret that does not expire: while it changes, a webhook has two.

        :raises PersonaAnswerError: when there is none.
        """
        listed = [each for each in secrets.get("secrets") or () if isinstance(each, Mapping)]
        lasting = [each.get("value") for each in listed if each.get("expires-at") is None]
        secret = next((each for each in [*lasting, secrets.get("secret")] if isinstance(each, str) and each), None)
        if secret is None:
            raise PersonaAnswerError(
                f"the answer to {self.operation_id} holds no secret that lasts; look at the webhook in Persona",
                operation_id=self.operation_id,
            )
        return secret


class PersonaCreateWebhookOperator(WebhookOperator):
    """Creates a webhook, and returns its id. It is disabled until it is enabled (`enable-a-webhook`).

    Example: `PersonaCreateWebhookOperator(task_id="hook", name="cases", url="https://example.com/persona",
    enabled_events=["case.status-updated"], secret_variable="persona_webhook_secret")`

    :param name: its name, not empty.
    :param url: where Persona sends the events.
    :param enabled_events: names of events, or `["*"]`.
    :param attributes: further settings by Persona's names, like `{"payload-filter": {…}}`. Not kept by Airflow.
    :param secret_variable: name of the Airflow Variable that the secret goes to, or
    :param deliver: a function that puts it elsewhere, called with `{"id": "wbh_…", "secret": …, "secrets": […]}`.
    """

    operation_id = "create-a-webhook"
    private = ("attributes",)  # custom headers for the receiver may be credentials
    mappings = ("attributes",)
    name_lists = ("enabled_events",)
    in_body: ClassVar = {
        "data.attributes": "attributes",
        "data.attributes.name": "name",
        "data.attributes.url": "url",
        "data.attributes.enabled-events": "enabled_events",
    }

    def __init__(
        self,
        *,
        name: str,
        url: str,
        enabled_events: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.url = url
        self.enabled_events = enabled_events
        self.attributes = attributes


class PersonaRotateWebhookSecretOperator(WebhookOperator):
    """Gives a webhook a new secret, and returns the webhook's id. The old one is good for a while longer.

    Example: `PersonaRotateWebhookSecretOperator(task_id="rotate", webhook_id="wbh_…", expires_in=7200,
    secret_variable="persona_webhook_secret")`

    :param webhook_id: the webhook (`wbh_…`).
    :param expires_in: seconds for which the old secret stays good.
    :param secret_variable: name of the Airflow Variable that the new secret goes to, or
    :param deliver: a function that puts it elsewhere, called with `{"id": "wbh_…", "secret": …, "secrets": […]}`.
    """

    operation_id = "rotate-a-webhook-secret"
    numbers = ("expires_in",)
    in_path: ClassVar = {"webhook-id": "webhook_id"}
    in_body: ClassVar = {"meta.expires-in-seconds": "expires_in"}

    def __init__(self, *, webhook_id: str, expires_in: int | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.webhook_id = webhook_id
        self.expires_in = expires_in
