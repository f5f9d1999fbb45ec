"""The trigger that watches one object with a life-cycle: an inquiry, a report, an importer and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_persona.api.lifecycle import lifecycle_of
from airflow_provider_persona.tasks.wait_trigger import PersonaWaitTrigger, WaitEnded

if TYPE_CHECKING:
    from airflow_provider_persona.api.lifecycle import Lifecycle, StatusGoal
    from airflow_provider_persona.tasks.wait_trigger import Look


class PersonaLifecycleTrigger(PersonaWaitTrigger):
    """Watches one object until it has a wanted status, or one that ends the wait badly.

    :param resource: what it is, for example `report`; the names are those of `api.lifecycle.LIFECYCLES`.
    :param resource_id: its id.
    :param target_statuses: statuses that end the wait well; None for the usual ones.
    :param failure_statuses: statuses that end it badly; None for the usual ones, an empty list for none.
    :param waiting: `persona_conn_id`, `poll_interval` and the other parameters of `PersonaWaitTrigger`.
    """

    watches = ("resource", "resource_id", "target_statuses", "failure_statuses")

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

    @property
    def lifecycle(self) -> Lifecycle:
        """The statuses of the resource."""
        return lifecycle_of(self.resource)

    @property
    def goal(self) -> StatusGoal:
        """What is waited for."""
        return self.lifecycle.goal(self.target_statuses, self.failure_statuses)

    def look(self) -> Look:
        """Read the object's state."""
        lifecycle, goal = self.lifecycle, self.goal
        state = lifecycle.state((yield lifecycle.request(self.resource_id)))
        self.seen = f"{self.resource} {self.resource_id} has status {state.status}"
        return WaitEnded.by(goal.verdict(state), status=state.status, facts=dict(state.facts) or None)

    def wanted(self) -> str:
        """Return which statuses end the wait."""
        return " or ".join(sorted(self.goal.targets))

    def result(self, ended: WaitEnded) -> dict[str, Any]:
        """Return the object's id and status, and what was read beside the status."""
        facts = {name.replace("-", "_"): (ended.facts or {}).get(name) for name in self.lifecycle.facts}
        return {"id": self.resource_id, "status": ended.status, **facts}

    def failure(self, ended: WaitEnded) -> str:
        """Say which status ended the wait."""
        return f"{self.resource} {self.resource_id} {self.goal.reason(ended.status)}"
