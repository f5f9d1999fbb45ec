"""`AsyncPersonaClient`: many calls at a time on one event loop. The request loop is in `conversation.py`."""

from __future__ import annotations

import asyncio
import math
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import Any, Self

from airflow_provider_persona.api.exchange import Exchange
from airflow_provider_persona.api.messages import Request, Response
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.pagination import SeenPages, items_of, next_page
from airflow_provider_persona.api.rate_limit import Grant, Wait, WindowBudget
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client.conversation import AwaitTurn, Client, Conversation, NotSent, Step
from airflow_provider_persona.client.transport import AsyncTransport, Sending


class AsyncPersonaClient(Client):
    """A client of one environment of Persona, for one event loop.

    :param settings: settings of the connection.
    :param connections: how many connections may be open at once.
    :param policy: attempts and delays.
    :param budget: the window budget; by default one with the settings' reserve.
    :param clock: a monotonic clock in seconds.
    :param sleep: waits so many seconds.
    :param chance: gives random numbers in [0, 1), for jitter.
    :param transport: what sends the requests; by default a pooled `aiohttp` session.
    """

    def __init__(
        self,
        settings: PersonaSettings,
        *,
        connections: int = 32,
        policy: RetryPolicy | None = None,
        budget: WindowBudget | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        transport: AsyncTransport | None = None,
    ) -> None:
        self._answer_seen = asyncio.Event()
        super().__init__(
            settings,
            policy=policy,
            budget=budget,
            clock=clock,
            chance=chance,
            lock=nullcontext(),  # all calls run on one loop, and none awaits while it changes the budget
            wake=self._answer_seen.set,
        )
        self._connections = connections
        self._sleep = sleep
        self._chosen_transport = transport
        # A transport would count the wait for a free connection against the timeout of the request.
        self._places = asyncio.Semaphore(connections)
        self._door = asyncio.Lock()
        self._asking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def heed(self, stop: Callable[[], BaseException | None]) -> None:
        """Send nothing once the caller must stop, also before a cancellation has reached the event loop.

        :param stop: returns what is raised then instead of sending; None until then.
        """
        self._stop = stop

    def check_stop(self) -> None:
        """Raise what ends the caller, once it must stop; for work that keeps the event loop to itself for seconds."""
        if (stop := self._stop()) is not None:
            raise stop

    def stop_sending(self) -> None:
        """Send nothing from now on: a call that wants to is cancelled. Requests under way still get their answers."""
        self._stop = asyncio.CancelledError  # the class, so that each call gets an error of its own

    async def close(self) -> None:
        """Close the pooled connections. The client can be used again; it then makes new ones."""
        if self._chosen_transport is not None:
            await self._chosen_transport.close()

    async def call(
        self,
        operation_id: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        identity: str | None = None,
    ) -> Response:
        """Make one call by the name of its operation. Parameters as for `Operation.bind` and `send`."""
        return await self.send(operation(operation_id).bind(path, query, body, headers), identity)

    async def send(self, request: Request, identity: str | None = None) -> Response:
        """Send a request, again and after waiting where that is right, and return its successful answer.

        :param request: what to send.
        :param identity: names the call. Persona answers a second call with the same name within an hour with the
            stored answer, and changes nothing. By default each call is a new one.
        :raises PersonaError: typed, when it did not succeed or its outcome is unknown.
        """
        response = await self.carry_out(self.exchange(request, identity or uuid.uuid4().hex))
        assert isinstance(response, Response)
        return response

    async def carry_out(
        self, exchange: Exchange, fresh_until: float = math.inf, *, may_repeat: bool = True
    ) -> Response | NotSent:
        """Like `send`, for an exchange that the caller keeps, to read attempts and generation from it.

        Once Persona has refused the key with 401, every further call raises the same and sends nothing.

        :param fresh_until: time of the client's clock after which the request must not be written any more, because the
            read that the caller decided on is too old then.
        :param may_repeat: whether it may be sent under another key after an answer that leaves its effect unknown. If
            not, the caller has to look first.
        :returns: the answer, or why the exchange is unfinished; it can then be carried out again.
        :raises PersonaError: typed, when it did not succeed or its outcome is unknown.
        """
        await self._make_sure_of_environment(exchange.request)
        return await self._drive(self._conversation(exchange, fresh_until, may_repeat=may_repeat))

    async def pages(self, request: Request) -> AsyncIterator[list[Mapping[str, Any]]]:
        """Yield the resources of a list or search, page by page, until the last.

        :raises PersonaError: typed, also when a link leads back.
        """
        following: Request | None = request
        seen: SeenPages = set()
        while following is not None:
            page = (await self.send(following)).json()
            yield items_of(following, page)
            following = next_page(following, page, seen)

    async def _make_sure_of_environment(self, request: Request) -> None:
        """Ask which environment answers, once, before the first write that must not go to another one."""
        if self.environment.question_before(request) is None:
            return
        async with self._asking:
            question = self.environment.question_before(request)  # once more: another call may have asked meanwhile
            if question is not None:
                await self.send(question)
                self.environment.require_known()

    async def _drive(self, conversation: Conversation) -> Response | NotSent:
        """Do what a conversation asks for until it ends, and return its result."""
        answer: Any = None
        error: BaseException | None = None
        place = _Place(self._places)
        try:
            while True:
                try:
                    step = conversation.send(answer) if error is None else conversation.throw(error)
                except StopIteration as end:
                    result: Response | NotSent = end.value
                    return result
                try:
                    answer, error = await self._do(step, place), None
                except BaseException as raised:  # noqa: BLE001 - the conversation gives its grant back, and raises it
                    error = raised
        finally:
            place.leave()

    async def _do(self, step: Step, place: _Place) -> Any:
        if isinstance(step, AwaitTurn):
            # The place first: a grant is for now, and its window may be over when a place is free.
            await place.take()
            return await self._wait_for_turn()
        if isinstance(step, Sending):
            return await self._transport.transmit(step)
        place.leave()  # a call that sleeps must not keep others from sending
        return await self._sleep(step.seconds)

    async def _wait_for_turn(self) -> Grant:
        turn = self._ask() if not self._door.locked() else None  # else it would overtake those who wait
        if isinstance(turn, Grant):
            return turn
        async with self._door:  # one waits for the budget, the others wait for that one: first come, first served
            while isinstance(turn := self._ask(), Wait):
                await self._wait_for_window(turn)
            return turn

    async def _wait_for_window(self, wait: Wait) -> None:
        since = self.clock()
        # No `await` between the question to the budget and this line, or an answer in between would wake nobody.
        self._answer_seen.clear()
        if not wait.for_answer:
            self._report_wait(wait.seconds)
            self.usage.waiting_until = since + wait.seconds
            self.usage.waiting_since = since
        try:
            async with asyncio.timeout(wait.seconds):
                await self._answer_seen.wait()
        except TimeoutError:
            pass
        finally:
            self.usage.waiting_until = self.usage.waiting_since = None
            self.usage.waited += self.clock() - since

    @property
    def _transport(self) -> AsyncTransport:
        if self._chosen_transport is None:
            from airflow_provider_persona.client.aiohttp_transport import AiohttpTransport

            self._chosen_transport = AiohttpTransport(self.settings, self._connections)
        return self._chosen_transport


class _Place:
    """One of the places for calls that send, or none yet."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._is_taken = False

    async def take(self) -> None:
        """Wait for a free place and take it.

        A call holds none when it comes here: it comes first, or from a `Sleep`, which left the place.
        """
        await self._places.acquire()
        self._is_taken = True

    def leave(self) -> None:
        """Give the place back, if it was taken."""
        if self._is_taken:  # a call may be cancelled while it waits for a place
            self._is_taken = False
            self._places.release()
