"""Floor 2: the only place with sockets. Still no Airflow."""

from airflow_provider_persona.client.asynchronous import AsyncPersonaClient, NotSent
from airflow_provider_persona.client.blocking import PersonaClient

__all__ = ["AsyncPersonaClient", "NotSent", "PersonaClient"]
