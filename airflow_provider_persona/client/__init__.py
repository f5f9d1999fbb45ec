"""Floor 2: the only place with sockets. No Airflow here."""

from airflow_provider_persona.client.asynchronous import AsyncPersonaClient
from airflow_provider_persona.client.blocking import PersonaClient
from airflow_provider_persona.client.conversation import NotSent

__all__ = ["AsyncPersonaClient", "NotSent", "PersonaClient"]
