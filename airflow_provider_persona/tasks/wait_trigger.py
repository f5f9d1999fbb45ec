"""The base of the triggers that wait, and the event that says how a wait ended.

A trigger says once what a look asks for and what the answers mean (`look`). The triggerer sends its requests with the
asynchronous client, and a sensor that waits in a worker sends the same requests with the blocking one (`look_now`).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Generator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from airflow.triggers.base import BaseTrigger, TriggerEvent
from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_provider_persona.api.durations import in_words
from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaError,
    PersonaSettingsError,
    error_from_event,
)
from airflow_provider_persona.api.lifecycle import Verdict
from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.hooks.persona import PersonaAsyncHook
from airflow_provider_persona.version_compat import AirflowNotFoundException

if TYPE_CHECKING:
    from airflow_provider_persona.api.messages import Request, Response
    from airflow_provider_persona.client import AsyncPersonaClient, PersonaClient

_End = Literal["reached", "failed", "timeout", "error"]
_ENDS: dict[Verdict, _End] = {Verdict.REACHED: "reached", Verdict.FAILED: "failed"}


class WaitEnded(BaseModel):
    """The event of a trigger: how a wait ended.

    :param ended: `reached`, `failed`, `timeout`, or `error` when it could not be waited on.
    :param status: the object's status, where one object was watched.
    :param count: how many cases were found, where cases were counted; not above what the goal needs to know.
    :param facts: attributes that were read beside the status, by name.
    :param seen: what the last look before a timeout saw, for people.
    :param error: the error, as `PersonaError.to_event` gives it.
    """

    model_config = ConfigDict(extra="forbid")

    ended: _End
    status: str | None = None
    count: int | None = None
    facts: dict[str, bool | int | None] | None = None
    seen: str | None = None
    error: dict[str, Any] | None = None

    @classmethod
    def by(cls, verdict: Verdict, **seen: Any) -> WaitEnded | None:
        """Return the end that a verdict means, None while the wait goes on."""
        return None if verdict is Verdict.WAITING else cls(ended=_ENDS[verdict], **seen)

    @classmethod
    def from_event(cls, event: Any) -> WaitEnded:
        """Return what an event says.

        :raises PersonaError: the error that the trigger met, typed as it was there.
        :raises PersonaAnswerError: when the event comes from another trigger.
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


Look: TypeAlias = "Generator[Request, Response, WaitEnded | None]"
"""One look: yields requests, takes their responses, and returns how the wait ended, or None when it goes on."""


def look_now(client: PersonaClient, look: Look) -> WaitEnded | None:
    """Look once with a blocking client.

    :raises PersonaError: typed.
    """
    try:
        request = next(look)
        while True:
            request = look.send(client.send(request))
    except StopIteration as done:
        ended: WaitEnded | None = done.value
        return ended


class PersonaWaitTrigger(BaseTrigger):
    """Looks, waits and looks again, on one client, until the wait is over. What it watches is up to subclasses.

    :param persona_conn_id: connection of type `persona`.
    :param poll_interval: seconds between looks.
    :param first_poll_after: seconds before the first look, None for `poll_interval`. The task has looked just before,
        and a deferral that ends at once can fail on Airflow 3.3.2 (its issue 71580).
    :param give_up_at: epoch seconds of the last look; None to wait until Airflow ends the deferral. It is a point in
        time, so it also holds after the trigger moved to another triggerer, and in `dag.test()`, which ends no
        deferral.
    :param silent_fail: whether a look that failed, and may succeed later, counts as "not yet".
    """

    watches: ClassVar[Sequence[str]]
    """Arguments that say what is watched; a subclass names them, and keeps each under its name."""

    def __init__(
        self,
        *,
        persona_conn_id: str,
        poll_interval: float,
        first_poll_after: float | None = None,
        give_up_at: float | None = None,
        silent_fail: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self.persona_conn_id = persona_conn_id
        self.poll_interval = poll_interval
        self.first_poll_after = first_poll_after
        self.give_up_at = give_up_at
        self.silent_fail = silent_fail
        self.seen: str | None = None

    def watched(self) -> dict[str, Any]:
        """Return the arguments that say what is watched, beside those of this class."""
        return {name: getattr(self, name) for name in self.watches}

    def look(self) -> Look:
        """Look once, and put what is there into `seen`, in words and without personal data."""
        raise NotImplementedError

    def wanted(self) -> str:
        """Return what is waited for, in words and without personal data."""
        raise NotImplementedError

    def told(self, seconds_left: float) -> str:
        """Return how the wait stands, for a line in the log.

        :param seconds_left: seconds until it is given up.
        """
        left = "" if math.isinf(seconds_left) else f", {in_words(seconds_left)} left"
        return f"{self.seen or 'Not seen yet'}. Waiting for {self.wanted()}{left}"

    def result(self, ended: WaitEnded) -> Any:
        """Return what the task returns to XCom after a wait that ended well."""
        raise NotImplementedError

    def failure(self, ended: WaitEnded) -> str:
        """Say why a wait ended badly."""
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the arguments to make the trigger again."""
        waiting = ("persona_conn_id", "poll_interval", "first_poll_after", "give_up_at", "silent_fail")
        arguments = {**self.watched(), **{name: getattr(self, name) for name in waiting}}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the wait is over; the one event says how it ended."""
        # What leaves a trigger fails the task in the triggerer, where neither `soft_fail` nor the type of the error
        # counts. So whatever a look may meet becomes an event, and the sensor decides.
        try:
            async with await PersonaAsyncHook(self.persona_conn_id).get_client() as client:
                ended = await self._wait(client)
        except PersonaError as error:
            ended = WaitEnded(ended="error", error=error.to_event())
        except BadCallError as error:
            ended = _unusable(str(error))
        except AirflowNotFoundException:
            ended = _unusable(
                f"the triggerer does not find the connection {self.persona_conn_id}; a connection from environment "
                "variables must be set for the triggerer too"
            )
        yield ended.to_event()

    async def _wait(self, client: AsyncPersonaClient) -> WaitEnded:
        pause = self.poll_interval if self.first_poll_after is None else self.first_poll_after
        while True:
            # The last look comes at the end of the time, however long the pause is.
            await asyncio.sleep(min(pause, max(self._seconds_left(), 0)))
            ended = await self._look_if_possible(client)
            if ended is not None:
                self.log.info("%s. The wait is over: %s", self.seen, ended.ended)
                return ended
            self.log.info("%s", self.told(self._seconds_left()))
            if self._seconds_left() <= 0:
                return WaitEnded(ended="timeout", seen=self.seen)
            pause = self.poll_interval

    async def _look_if_possible(self, client: AsyncPersonaClient) -> WaitEnded | None:
        try:
            return await _look_async(client, self.look())
        except PersonaError as error:
            if not (self.silent_fail and error.retryable):
                raise
            self.log.warning("%s; looking again in %s s", error, self.poll_interval)
            return None

    def _seconds_left(self) -> float:
        # Wall time, since another triggerer, on another machine, may take the trigger over.
        return float("inf") if self.give_up_at is None else self.give_up_at - time.time()


async def _look_async(client: AsyncPersonaClient, look: Look) -> WaitEnded | None:
    try:
        request = next(look)
        while True:
            request = look.send(await client.send(request))
    except StopIteration as done:
        ended: WaitEnded | None = done.value
        return ended


def _unusable(message: str) -> WaitEnded:
    return WaitEnded(ended="error", error=PersonaSettingsError(message).to_event())
