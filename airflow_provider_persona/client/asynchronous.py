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
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import urlsplit

from airflow_provider_persona.api.environment import EnvironmentGuard
from airflow_provider_persona.api.errors import PersonaAuthenticationError
from airflow_provider_persona.api.exchange import Exchange
from airflow_provider_persona.api.messages import FailurePoint, Outcome, Request, Response, TransportFailure
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.pagination import SeenPages, items_of, next_page
from airflow_provider_persona.api.rate_limit import Grant, Wait, WindowBudget
from airflow_provider_persona.api.retry import Decision, Done, Failed, RetryPolicy, SendAgain
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client.usage import Usage

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)


class NotSent(StrEnum):
    """Why an exchange was handed back before it came to its end."""

    STALE = "stale"
    """It could not go out soon enough after what the caller decided on."""
    LOOK_FIRST = "look_first"
    """It may have been done, and sending it again would do it anew."""


class RetryBreaker(Protocol):
    """Weighs retries against successes, to tell when sending again is of no use."""

    is_open: bool

    def succeeded(self) -> None:
        """Take in a request after which nothing is to be sent again."""

    def retried(self) -> None:
        """Take in a request that has to be sent again, or was given up."""


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
        self._asking = asyncio.Lock()
        self._answer_seen = asyncio.Event()
        self._breaker: RetryBreaker | None = None
        self._refusal: PersonaAuthenticationError | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def heed(self, breaker: RetryBreaker | None) -> None:
        """Report successes and retries to a circuit breaker from now on, and give up retries once it is open."""
        self._breaker = breaker

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
        assert isinstance(response, Response)
        return response

    def exchange(self, request: Request, identity: str, generation: int = 0, *, maybe_done: bool = False) -> Exchange:
        """Return a new exchange under this client's policy, for `carry_out`; parameters as for `Exchange`."""
        return Exchange(
            request,
            identity,
            self.policy,
            self.clock(),
            generation=generation,
            maybe_done=maybe_done,
            chance=self._chance,
        )

    async def carry_out(
        self, exchange: Exchange, fresh_until: float = math.inf, *, may_repeat: bool = True
    ) -> Response | NotSent:
        """Like `send`, for an exchange of the caller's, who can read attempts and generation from it.

        Once the key was refused with 401, nothing more is sent with it; every further call raises the same.

        When it comes back without a response, the exchange can be carried on with.

        :param fresh_until: time of the client's clock after which it must not be sent any more, because what the caller
            decided on has grown old.
        :param may_repeat: whether it may be done anew under another key after an answer that leaves open whether it was
            done. If not, the caller is asked to look first.
        """
        await self._make_sure_of_environment(exchange.request)
        while True:
            generation = exchange.attempt.generation
            async with self._places:
                grant = await self._wait_for_turn()
                if self._refusal is not None or self.clock() > fresh_until:
                    self.budget.unused(grant)
                    self._answer_seen.set()
                    if self._refusal is not None:
                        raise self._refusal
                    return NotSent.STALE
                outcome = await self._try_once(exchange, grant)
            decision = self._weigh(exchange, outcome)
            if isinstance(decision, Done):
                return decision.response
            if not isinstance(decision, SendAgain):
                if isinstance(decision.error, PersonaAuthenticationError):
                    self._refusal = decision.error
                raise decision.error
            await self._before_sending_again(exchange.request, decision)
            is_anew = exchange.attempt.generation != generation and exchange.attempt.maybe_done
            if is_anew and not may_repeat:
                return NotSent.LOOK_FIRST

    async def _make_sure_of_environment(self, request: Request) -> None:
        """Ask which environment answers, once, before the first write that must not go to another one."""
        if self.environment.question_before(request) is None:
            return
        async with self._asking:
            question = self.environment.question_before(request)
            if question is not None:
                await self.send(question)
                self.environment.require_known()

    def _weigh(self, exchange: Exchange, outcome: Outcome) -> Decision:
        before, breaker = exchange.attempt, self._breaker
        decision = exchange.conclude(outcome, self.clock())
        if breaker is None:
            return decision
        if isinstance(decision, SendAgain):
            if decision.for_limit:
                return decision
            breaker.retried()
            return exchange.give_up(outcome, before, self.clock()) if breaker.is_open else decision
        if isinstance(decision, Done) or (isinstance(decision, Failed) and not decision.error.retryable):
            breaker.succeeded()  # a refusal of the call itself, too, comes from a service that works
        else:
            breaker.retried()
        return decision

    async def pages(self, request: Request) -> AsyncIterator[list[Mapping[str, Any]]]:
        """Yield the resources of a list or search, page by page, until the last.

        :raises PersonaError: typed, also when a link leads elsewhere or back.
        """
        following: Request | None = request
        seen: SeenPages = set()
        while following is not None:
            page = (await self.send(following)).json()
            yield items_of(following, page)
            following = next_page(following, page, seen)

    async def _try_once(self, exchange: Exchange, grant: Grant) -> Outcome:
        self.usage.requests += 1
        exchange.is_being_sent()
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
                return Response(answer.status, answer.headers, await answer.read())
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
        # It would send a GET or DELETE again by itself, past the budget, the breaker and the count of requests.
        self._session._retry_connection = False  # noqa: SLF001 - there is no public way
        return self._session


def _failure(error: Exception) -> TransportFailure:
    """Say how far a request came; exceptions' texts hold addresses and are left out."""
    import aiohttp

    never_connected = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
    if isinstance(error, never_connected):
        return TransportFailure(FailurePoint.NOT_SENT, type(error).__name__)
    return TransportFailure(FailurePoint.MAYBE_SENT, type(error).__name__)
