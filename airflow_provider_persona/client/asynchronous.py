"""`AsyncPersonaClient`: calls to Persona on one pooled `aiohttp` session, many at a time.

What an outcome means and when a request may go out is decided on floor 1; this module sends, waits and reads.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from airflow_provider_persona.api.environment import EnvironmentGuard
from airflow_provider_persona.api.exchange import Exchange
from airflow_provider_persona.api.messages import FailurePoint, Outcome, Request, Response, TransportFailure
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.pagination import items_of, next_page
from airflow_provider_persona.api.rate_limit import Grant, Wait, WindowBudget
from airflow_provider_persona.api.retry import Done, RetryPolicy, SendAgain
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client.usage import Usage

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)


class AsyncPersonaClient:
    """A client of one environment of Persona, for one event loop.

    :param settings: where and as whom.
    :param connections: how many connections may be open at once.
    :param policy: attempts and delays.
    :param budget: the window budget; by default one with the settings' reserve.
    :param clock: a monotonic clock in seconds.
    :param sleep: waits so many seconds.
    :param chance: random numbers in [0, 1), for jitter.
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
    ) -> None:
        self.settings = settings
        self.policy = policy or RetryPolicy()
        self.budget = budget or WindowBudget(settings.reserve)
        self.usage = Usage()
        self.environment = EnvironmentGuard(settings.expected_environment_id)
        self.clock = clock
        self._connections = connections
        self._sleep = sleep
        self._chance = chance
        self._session: aiohttp.ClientSession | None = None
        # aiohttp would count the wait for a free connection against the timeout of the request.
        self._places = asyncio.Semaphore(connections)
        self._door = asyncio.Lock()
        self._answer_seen = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the pooled connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        operation_id: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        identity: str | None = None,
    ) -> Response:
        """Make one call by the name of its operation. Parameters as for `Operation.bind` and `send`."""
        return await self.send(operation(operation_id).bind(path, query, body), identity)

    async def send(self, request: Request, identity: str | None = None) -> Response:
        """Send a request, again and after waiting where that is right, and return its successful answer.

        :param request: what to send.
        :param identity: what makes this call the same when it is made again, for its idempotency key; by default every
            call is a new one.
        :raises PersonaError: typed, when it did not succeed or its outcome is unknown.
        """
        response = await self.carry_out(self.exchange(request, identity or uuid.uuid4().hex))
        assert response is not None
        return response

    def exchange(self, request: Request, identity: str, generation: int = 0) -> Exchange:
        """Return a new exchange under this client's policy, for `carry_out`."""
        return Exchange(request, identity, self.policy, self.clock(), generation=generation, chance=self._chance)

    async def carry_out(self, exchange: Exchange, fresh_until: float = math.inf) -> Response | None:
        """Like `send`, for an exchange of the caller's, who can read attempts and generation from it.

        :param fresh_until: time of the client's clock after which it must not be sent any more, because what the caller
            decided on has grown old. Then None is returned; the exchange can be carried on with.
        """
        question = self.environment.question_before(exchange.request)
        if question is not None:
            await self.send(question)
            self.environment.require_known()
        while True:
            async with self._places:
                grant = await self._wait_for_turn()
                if self.clock() > fresh_until:
                    self.budget.unused(grant)
                    self._answer_seen.set()
                    return None
                outcome = await self._try_once(exchange, grant)
            decision = exchange.conclude(outcome, self.clock())
            if isinstance(decision, Done):
                return decision.response
            if not isinstance(decision, SendAgain):
                raise decision.error
            await self._before_sending_again(exchange.request, decision)

    async def pages(self, request: Request) -> AsyncIterator[list[Mapping[str, Any]]]:
        """Yield the resources of a list or search, page by page, until the last.

        :raises PersonaError: typed, also when a link leads elsewhere or back.
        """
        following: Request | None = request
        while following is not None:
            page = (await self.send(following)).json()
            yield items_of(following, page)
            following = next_page(following, page)

    async def _try_once(self, exchange: Exchange, grant: Grant) -> Outcome:
        self.usage.requests += 1
        try:
            outcome = await self._transmit(exchange.request, exchange.idempotency_key)
        except BaseException:  # a cancelled task, for one
            self.budget.lost(grant)
            self._answer_seen.set()
            raise
        self.usage.saw(outcome)
        if isinstance(outcome, Response):
            self.budget.answered(grant, outcome, self.clock())
        else:
            self.budget.lost(grant)
        self._answer_seen.set()
        if isinstance(outcome, Response):
            self.environment.check(outcome)
        return outcome

    async def _wait_for_turn(self) -> Grant:
        turn = self.budget.ask(self.clock()) if not self._door.locked() else None
        if isinstance(turn, Grant):
            return turn
        async with self._door:  # one waits for the budget, the others wait for the one: first come, first served
            while isinstance(turn := self.budget.ask(self.clock()), Wait):
                await self._wait_for_window(turn)
            return turn

    async def _wait_for_window(self, wait: Wait) -> None:
        since = self.clock()
        self._answer_seen.clear()
        self.usage.waiting_until = None if wait.seconds is None else since + wait.seconds
        try:
            async with asyncio.timeout(wait.seconds):
                await self._answer_seen.wait()
        except TimeoutError:
            pass
        finally:
            self.usage.waiting_until = None
            self.usage.waited += self.clock() - since

    async def _before_sending_again(self, request: Request, decision: SendAgain) -> None:
        self.usage.retries += not decision.for_limit
        log.debug("%s: %s; sending again in %.1f s", request.operation_id, decision.because, decision.after)
        await self._sleep(decision.after)

    async def _transmit(self, request: Request, key: str | None) -> Outcome:
        import aiohttp
        from yarl import URL

        session = self._session or self._new_session()
        try:
            async with session.request(
                request.method,
                URL(self.settings.host + request.target, encoded=True),
                data=request.content(),
                headers=request.headers(key),
                allow_redirects=False,
                proxy=self._proxy or None,
            ) as answer:
                return Response(answer.status, dict(answer.headers), await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return _failure(error)

    @cached_property
    def _proxy(self) -> str:
        """The settings' proxy, else the environment's; aiohttp would take netrc's logins from there too."""
        from urllib.request import getproxies, proxy_bypass

        host = urlsplit(self.settings.host)
        if self.settings.proxies:
            return self.settings.proxies.get(host.scheme, "")
        return "" if proxy_bypass(host.netloc) else getproxies().get(host.scheme, "")

    def _new_session(self) -> aiohttp.ClientSession:
        import ssl

        import aiohttp

        verify = self.settings.verify
        context: ssl.SSLContext | bool = (
            verify if isinstance(verify, bool) else ssl.create_default_context(cafile=verify)
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=context, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(
                total=self.settings.connect_timeout + self.settings.read_timeout,
                sock_connect=self.settings.connect_timeout,
                sock_read=self.settings.read_timeout,
            ),
            headers={
                **self.settings.headers(),
                "Authorization": self.settings.authorization(),
                "User-Agent": "airflow-provider-persona",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self._session


def _failure(error: Exception) -> TransportFailure:
    """Say how far a request came; exceptions' texts hold addresses and are left out."""
    import aiohttp

    never_connected = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
    if isinstance(error, never_connected):
        return TransportFailure(FailurePoint.NOT_SENT, type(error).__name__)
    return TransportFailure(FailurePoint.MAYBE_SENT, type(error).__name__)
