"""The trigger that watches one object with a life-cycle: an inquiry, a report, an importer and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_persona.api.lifecycle import lifecycle_of
from airflow_provider_persona.triggers.waiting import PersonaWaitTrigger, WaitEnded

if TYPE_CHECKING:
    from airflow_provider_persona.client import AsyncPersonaClient


class PersonaLifecycleTrigger(PersonaWaitTrigger):
    """Watches one object until it has a wanted status, or one that ends the wait badly.

    :param resource: what it is, for example `report`; the names are those of `api.lifecycle.LIFECYCLES`.
    :param resource_id: its id.
    :param target_statuses: statuses that end the wait well; None for the usual ones.
    :param failure_statuses: statuses that end it badly; None for the usual ones, an empty list for none.
    :param waiting: `persona_conn_id`, `poll_interval` and the other parameters of `PersonaWaitTrigger`.
    """

    def __init__(
        self,
        resource: str,
        resource_id: str,
        target_statuses: list[str] | None = None,
        failure_statuses: list[str] | None = None,
        **waiting: Any,
    ) -> None:
        super().__init__(**waiting)
        self.resource = resource
        self.resource_id = resource_id
        self.target_statuses = target_statuses
        self.failure_statuses = failure_statuses

    def watched(self) -> dict[str, Any]:
        """Return which object is watched, and for what."""
        return {
            "resource": self.resource,
            "resource_id": self.resource_id,
            "target_statuses": self.target_statuses,
            "failure_statuses": self.failure_statuses,
        }

    async def look(self, client: AsyncPersonaClient) -> WaitEnded | None:
        """Read the object's state."""
        lifecycle = lifecycle_of(self.resource)
        goal = lifecycle.goal(self.target_statuses, self.failure_statuses)
        state = lifecycle.state(await client.send(lifecycle.request(self.resource_id)))
        self.log.info("%s has status %s", self.resource_id, state.status)
        return WaitEnded.by(goal.verdict(state), status=state.status, facts=dict(state.facts) or None)
