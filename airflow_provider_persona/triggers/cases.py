"""Triggers that watch cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.api.lifecycle import CaseGoal, CountGoal
from airflow_provider_persona.api.models import Case
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.pagination import PAGE_SIZE
from airflow_provider_persona.triggers.waiting import PersonaWaitTrigger, WaitEnded

if TYPE_CHECKING:
    from airflow_provider_persona.client import AsyncPersonaClient

__all__ = ["PersonaCaseTrigger", "PersonaCasesTrigger", "WaitEnded"]


class PersonaCaseTrigger(PersonaWaitTrigger):
    """Watches one case until it has a wanted status.

    :param case_id: the case.
    :param target_statuses: statuses that end the wait well.
    :param failure_statuses: statuses that end it badly.
    :param resolved: whether a time of resolution ends it well.
    :param waiting: `persona_conn_id`, `poll_interval` and the other parameters of `PersonaWaitTrigger`.
    """

    def __init__(
        self,
        case_id: str,
        target_statuses: list[str],
        failure_statuses: list[str],
        *,
        resolved: bool,
        **waiting: Any,
    ) -> None:
        super().__init__(**waiting)
        self.case_id = case_id
        self.target_statuses = target_statuses
        self.failure_statuses = failure_statuses
        self.resolved = resolved

    def watched(self) -> dict[str, Any]:
        """Return which case is watched, and for what."""
        return {
            "case_id": self.case_id,
            "target_statuses": self.target_statuses,
            "failure_statuses": self.failure_statuses,
            "resolved": self.resolved,
        }

    async def look(self, client: AsyncPersonaClient) -> WaitEnded | None:
        """Read the case's status."""
        response = await client.call(
            "retrieve-case", path={"case-id": self.case_id}, query={"fields[case]": "status,resolved-at"}
        )
        case = Case.from_resource(response.json().get("data"))
        goal = CaseGoal(frozenset(self.target_statuses), frozenset(self.failure_statuses), self.resolved)
        return WaitEnded.by(goal.verdict(case), status=case.status)


class PersonaCasesTrigger(PersonaWaitTrigger):
    """Watches how many cases a filter finds.

    :param filters: by filter name, like `{"status": "Open"}`.
    :param at_most: the wait is over when so many remain, or fewer.
    :param at_least: the wait is over when so many are there, or more.
    :param waiting: `persona_conn_id`, `poll_interval` and the other parameters of `PersonaWaitTrigger`.
    """

    def __init__(
        self,
        filters: Mapping[str, str],
        *,
        at_most: int | None,
        at_least: int | None,
        **waiting: Any,
    ) -> None:
        super().__init__(**waiting)
        self.filters = dict(filters)
        self.at_most = at_most
        self.at_least = at_least

    def watched(self) -> dict[str, Any]:
        """Return which cases are counted, and up to when."""
        return {
            "filters": self.filters,
            "at_most": self.at_most,
            "at_least": self.at_least,
        }

    async def look(self, client: AsyncPersonaClient) -> WaitEnded | None:
        """Count the cases, no further than the goal needs to know."""
        goal = CountGoal(self.at_most, self.at_least)
        query = {f"filter[{name}]": value for name, value in self.filters.items()}
        size = min(goal.enough, PAGE_SIZE)
        seen = 0
        request = operation("list-all-cases").bind(query={**query, "fields[case]": "status", "page[size]": size})
        async for page in client.pages(request):
            seen += len(page)
            if seen >= goal.enough:
                break
        return WaitEnded.by(goal.verdict(seen), count=seen)
