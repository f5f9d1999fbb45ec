"""Triggers that watch cases, and the events in which they say how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from airflow.triggers.base import BaseTrigger, TriggerEvent
from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaError, error_from_event
from airflow_provider_persona.api.lifecycle import CaseGoal, CountGoal, Verdict
from airflow_provider_persona.api.models import Case
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.pagination import PAGE_SIZE
from airflow_provider_persona.hooks.persona import PersonaAsyncHook

if TYPE_CHECKING:
    from airflow_provider_persona.client import AsyncPersonaClient


_End = Literal["reached", "failed", "error"]
_ENDS: dict[Verdict, _End] = {Verdict.REACHED: "reached", Verdict.FAILED: "failed"}


class WaitEnded(BaseModel):
    """The event of a trigger: how a wait ended.

    :param ended: `reached`, `failed`, or `error` when it could not be waited on.
    :param status: the case's status, where one case was watched.
    :param count: how many cases were found, where cases were counted; not above what the goal needs to know.
    :param error: the error, as `PersonaError.to_event` gives it.
    """

    model_config = ConfigDict(extra="forbid")

    ended: _End
    status: str | None = None
    count: int | None = None
    error: dict[str, Any] | None = None

    @classmethod
    def from_event(cls, event: Any) -> WaitEnded:
        """Return what an event says.

        :raises PersonaError: the error that the trigger met, typed as it was there.
        :raises PersonaAnswerError: when the event is none of these triggers'.
        """
        try:
            ended = cls.model_validate(event)
        except ValidationError:
            raise PersonaAnswerError("the trigger's event is not one of a Persona trigger") from None
        if ended.error is not None or ended.ended == "error":
            raise error_from_event(ended.error or {})
        return ended

    def to_event(self) -> TriggerEvent:
        """Return the event."""
        return TriggerEvent(self.model_dump(exclude_none=True))  # type: ignore[no-untyped-call,unused-ignore]


class _CaseWatch(BaseTrigger):
    """What the triggers share: look, wait, look again, on one client."""

    def __init__(self, persona_conn_id: str, poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self.persona_conn_id = persona_conn_id
        self.poll_interval = poll_interval

    async def look(self, client: AsyncPersonaClient) -> WaitEnded | None:
        """Look once; None when the wait goes on."""
        raise NotImplementedError

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the wait is over. The task has looked just before it deferred, so the first look is late."""
        try:
            async with await PersonaAsyncHook(self.persona_conn_id).get_client() as client:
                while True:
                    await asyncio.sleep(self.poll_interval)
                    ended = await self.look(client)
                    if ended is not None:
                        yield ended.to_event()
                        return
        except PersonaError as error:
            yield WaitEnded(ended="error", error=error.to_event()).to_event()


class PersonaCaseTrigger(_CaseWatch):
    """Watches one case until it has a wanted status.

    :param case_id: the case.
    :param target_statuses: statuses that end the wait well.
    :param failure_statuses: statuses that end it badly.
    :param resolved: whether a time of resolution ends it well.
    :param persona_conn_id: connection of type `persona`.
    :param poll_interval: seconds between looks, and before the first.
    """

    def __init__(
        self,
        case_id: str,
        target_statuses: list[str],
        failure_statuses: list[str],
        *,
        resolved: bool,
        persona_conn_id: str,
        poll_interval: float,
    ) -> None:
        super().__init__(persona_conn_id, poll_interval)
        self.case_id = case_id
        self.target_statuses = target_statuses
        self.failure_statuses = failure_statuses
        self.resolved = resolved

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the arguments to make the trigger anew."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "case_id": self.case_id,
                "target_statuses": self.target_statuses,
                "failure_statuses": self.failure_statuses,
                "resolved": self.resolved,
                "persona_conn_id": self.persona_conn_id,
                "poll_interval": self.poll_interval,
            },
        )

    async def look(self, client: AsyncPersonaClient) -> WaitEnded | None:
        """Read the case's status."""
        response = await client.call(
            "retrieve-case", path={"case-id": self.case_id}, query={"fields[case]": "status,resolved-at"}
        )
        case = Case.from_resource(response.json().get("data"))
        goal = CaseGoal(frozenset(self.target_statuses), frozenset(self.failure_statuses), self.resolved)
        verdict = goal.verdict(case)
        return None if verdict is Verdict.WAITING else WaitEnded(ended=_ENDS[verdict], status=case.status)


class PersonaCasesTrigger(_CaseWatch):
    """Watches how many cases a filter finds.

    :param filters: by filter name, like `{"status": "Open"}`.
    :param at_most: the wait is over when so many remain, or fewer.
    :param at_least: the wait is over when so many are there, or more.
    :param persona_conn_id: connection of type `persona`.
    :param poll_interval: seconds between looks, and before the first.
    """

    def __init__(
        self,
        filters: Mapping[str, str],
        *,
        at_most: int | None,
        at_least: int | None,
        persona_conn_id: str,
        poll_interval: float,
    ) -> None:
        super().__init__(persona_conn_id, poll_interval)
        self.filters = dict(filters)
        self.at_most = at_most
        self.at_least = at_least

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the arguments to make the trigger anew."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "filters": self.filters,
                "at_most": self.at_most,
                "at_least": self.at_least,
                "persona_conn_id": self.persona_conn_id,
                "poll_interval": self.poll_interval,
            },
        )

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
        return WaitEnded(ended="reached", count=seen) if goal.verdict(seen) is Verdict.REACHED else None
