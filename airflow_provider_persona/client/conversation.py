"""The request loop of both clients: one logical call, from its first attempt to its answer.

The loop is a generator, as httpx's auth flow is. It yields what it needs (`AwaitTurn`, `Sending`, `Sleep`), and a
driver, blocking or asynchronous, does it. So each rule stands once: a refused key is remembered, requests are counted
when they are sent, a circuit breaker ends retries, and no request goes out later than its caller allows.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from airflow_provider_persona.api.environment import EnvironmentGuard
from airflow_provider_persona.api.errors import PersonaAuthenticationError
from airflow_provider_persona.api.exchange import Exchange
from airflow_provider_persona.api.messages import FailurePoint, Outcome, Request, Response, TransportFailure
from airflow_provider_persona.api.patience import Patience
from airflow_provider_persona.api.rate_limit import Grant, Wait, WindowBudget
from airflow_provider_persona.api.retry import Decision, Done, Failed, RetryPolicy, SendAgain, given_up
from airflow_provider_persona.api.server_clock import ServerClock
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client.transport import Sending
from airflow_provider_persona.client.usage import Usage

log = logging.getLogger(__name__)

_WORTH_A_LINE = 1.0
"""Seconds of a wait for the window from which on it is logged."""

_LEAST_CONNECT_TIMEOUT = 0.001
"""Seconds; a timeout of zero means none to some libraries."""


class NotSent(StrEnum):
    """Why an exchange goes back to the caller unfinished."""

    STALE = "stale"
    """Too much time has passed since the read on which the caller decided."""
    LOOK_FIRST = "look_first"
    """It may have had its effect, and another attempt would repeat the effect."""


class RetryBreaker(Protocol):
    """Counts retries and successes, and says when further retries are useless."""

    is_open: bool

    def succeeded(self) -> None:
        """Count a request that need not be sent again."""

    def retried(self) -> None:
        """Count a request that has to be sent again, or was given up."""


@dataclass(frozen=True, slots=True)
class AwaitTurn:
    """Wait until the window budget grants a request, and answer with the `Grant`."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait, and answer with nothing.

    :param seconds: how long.
    """

    seconds: float


_AWAIT_TURN = AwaitTurn()

_NO_HEADERS: Mapping[str, str] = {}

Step: TypeAlias = AwaitTurn | Sending | Sleep
"""What a driver does next. It answers a `Sending` with the outcome."""

Conversation: TypeAlias = Generator[Step, Any, Response | NotSent]


class Client:
    """What both clients are: the state that all calls of one client share, and the loop that carries out each.

    :param settings: settings of the connection.
    :param policy: attempts and delays.
    :param budget: the window budget; by default one with the settings' reserve.
    :param clock: a monotonic clock in seconds.
    :param chance: gives random numbers in [0, 1), for jitter.
    :param lock: held while budget and counts change, because threads may share a blocking client.
    :param wake: called after each change of the budget, so that waiting calls ask again.
    """

    def __init__(
        self,
        settings: PersonaSettings,
        *,
        policy: RetryPolicy | None,
        budget: WindowBudget | None,
        clock: Callable[[], float],
        chance: Callable[[], float],
        lock: AbstractContextManager[Any],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.policy = policy or RetryPolicy()
        self.budget = budget or WindowBudget(settings.reserve)
        self.usage = Usage()
        self.environment = EnvironmentGuard(settings.expected_environment_id, settings.label)
        self.clock = clock
        self.server_clock = ServerClock()
        self._patience = Patience()
        self._breaker: RetryBreaker | None = None
        self._stop: Callable[[], BaseException | None] = lambda: None
        self._refusal: PersonaAuthenticationError | None = None
        self._chance = chance
        self._lock = lock
        self._wake = wake
        self._logged_until = -math.inf

    def set_breaker(self, breaker: RetryBreaker | None) -> None:
        """Report successes and retries to a circuit breaker from now on, and give up retries once it is open."""
        self._breaker = breaker

    def exchange(self, request: Request, identity: str, generation: int = 0, *, maybe_done: bool = False) -> Exchange:
        """Return a new exchange under this client's policy; parameters as for `Exchange`."""
        return Exchange(
            request,
            identity,
            self.policy,
            self.clock(),
            generation=generation,
            maybe_done=maybe_done,
            chance=self._chance,
        )

    def _ask(self) -> Grant | Wait:
        """Ask the budget whether a request may go out now."""
        with self._lock:
            return self.budget.ask(self.clock())

    def _conversation(
        self,
        exchange: Exchange,
        fresh_until: float = math.inf,
        *,
        may_repeat: bool = True,
        read_timeout: float | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Conversation:
        """Return the conversation that carries out an exchange, for a driver.

        :param fresh_until: time of the clock after which the request must not be written any more.
        :param may_repeat: whether it may be sent under another key after an answer that leaves its effect unknown.
        :param read_timeout: seconds until an answer must have arrived; by default the settings' read timeout.
        :param headers: further headers; they never replace those of the settings.
        :raises PersonaError: typed, when it did not succeed or its outcome is unknown.
        """
        longest = self.settings.read_timeout if read_timeout is None else read_timeout
        while True:
            generation = exchange.attempt.generation  # `conclude` moves the exchange on
            grant: Grant = yield _AWAIT_TURN
            # Asked after the wait: it may take a minute, and meanwhile the task may have to stop.
            hindrance = self._hindrance(exchange, fresh_until)
            if hindrance is not None:
                with self._lock:
                    self.budget.unused(grant)  # a grant that nobody gives back counts as under way for ever
                self._wake()
                if isinstance(hindrance, NotSent):
                    return hindrance
                # One error is raised for every call from here on. With its old trace it would keep the frames of all of
                # them, and their bodies.
                raise hindrance.with_traceback(None)
            wait_for = self._patience_for(exchange, longest)
            outcome = yield from self._attempt(exchange, grant, fresh_until, wait_for, headers)
            if _was_not_sent(outcome) and self.clock() > fresh_until:
                return NotSent.STALE  # making the connection took too long; that is no attempt
            # With a longer wait it could have been answered, so a breaker gives it up only after that.
            was_cut = wait_for < longest and isinstance(outcome, TransportFailure)
            decision = self._weigh(exchange, outcome, may_give_up=not was_cut)
            if isinstance(decision, Done):
                return decision.response
            if not isinstance(decision, SendAgain):
                if isinstance(decision.error, PersonaAuthenticationError) and not exchange.request.brings_own_login:
                    decision.error.name(self.settings.label)
                    self._refusal = decision.error
                raise decision.error
            self._report(exchange.request, decision, was_sent=not _was_not_sent(outcome))
            yield Sleep(decision.after)
            is_anew = exchange.attempt.generation != generation and exchange.attempt.maybe_done
            if is_anew and not may_repeat:
                return NotSent.LOOK_FIRST

    def _hindrance(self, exchange: Exchange, fresh_until: float) -> BaseException | NotSent | None:
        """Return why nothing may be sent now."""
        if (stop := self._stop()) is not None:
            return stop
        if self._refusal is not None:
            # Persona would refuse every further call with this key. It refused another call: what an earlier attempt of
            # this one did, before the key was refused, stays open.
            return given_up(exchange.request, exchange.attempt, self._refusal).error
        return NotSent.STALE if self.clock() > fresh_until else None

    def _patience_for(self, exchange: Exchange, longest: float) -> float:
        """Return how many seconds the next attempt waits for its answer."""
        if self._breaker is not None and self._breaker.is_open:
            return longest  # there is no attempt after it
        with self._lock:
            return self._patience.seconds_for(
                exchange.request, exchange.attempt, self.clock(), exchange.policy, longest
            )

    def _attempt(
        self, exchange: Exchange, grant: Grant, fresh_until: float, wait_for: float, headers: Mapping[str, str]
    ) -> Generator[Step, Any, Outcome]:
        request, began = exchange.request, self.clock()
        exchange.is_being_sent()  # first: who is cancelled while it is under way must find it counted
        left = max(fresh_until - began, _LEAST_CONNECT_TIMEOUT)
        try:
            connect_timeout = min(self.settings.connect_timeout, left)
            outcome: Outcome = yield Sending(request, exchange.idempotency_key, connect_timeout, wait_for, headers)
        except BaseException:  # a cancelled task, or a timeout of Airflow's that a signal raises
            with self._lock:
                self.usage.requests += 1  # it may have been sent
                self.budget.lost(grant)
            self._wake()
            raise
        now = self.clock()
        with self._lock:
            self.usage.requests += not _was_not_sent(outcome)
            self.usage.saw(outcome)
            self._patience.saw(request, outcome, now - began, wait_for)
            if isinstance(outcome, Response):
                self.budget.answered(grant, outcome, now)
                self.server_clock.saw(outcome, now)
            else:
                self.budget.lost(grant)
        self._wake()
        if isinstance(outcome, Response):
            self.environment.check(outcome)  # last, because it raises, and the grant must be back by then
        return outcome

    def _weigh(self, exchange: Exchange, outcome: Outcome, *, may_give_up: bool) -> Decision:
        before, breaker = exchange.attempt, self._breaker  # `conclude` replaces the attempt
        decision = exchange.conclude(outcome, self.clock())
        if breaker is None:
            return decision
        if isinstance(decision, SendAgain):
            if decision.for_limit or decision.is_under_way:
                return decision  # the service works, so neither may open the breaker
            breaker.retried()
            is_over = breaker.is_open and may_give_up
            return exchange.give_up(outcome, before, self.clock()) if is_over else decision
        if isinstance(decision, Done) or (isinstance(decision, Failed) and not decision.error.retryable):
            breaker.succeeded()  # a refusal of the call itself also comes from a service that works
        else:
            breaker.retried()
        return decision

    def _report(self, request: Request, decision: SendAgain, *, was_sent: bool) -> None:
        with self._lock:
            self.usage.retries += was_sent and not decision.for_limit
        # A bulk run makes thousands of calls and counts its retries in its report.
        log.log(
            logging.INFO if self._breaker is None else logging.DEBUG,
            "%s: %s; sending again in %.1f s (attempt %d of %d)",
            request.operation_id,
            decision.because,
            decision.after,
            decision.attempt.number,
            self.policy.attempts,
        )

    def _report_wait(self, seconds: float) -> None:
        """Log a long wait for the next window, once for each window. A bulk run logs its progress instead."""
        until = self.clock() + seconds
        if seconds < _WORTH_A_LINE or until < self._logged_until + _WORTH_A_LINE or self._breaker is not None:
            return
        self._logged_until = until
        log.info(
            "Persona's window is used up (%s of %s are left to others); waiting %.1f s for the next",
            self.budget.reserved,
            self.budget.limit,
            seconds,
        )


def _was_not_sent(outcome: Outcome) -> bool:
    return isinstance(outcome, TransportFailure) and outcome.point is FailurePoint.NOT_SENT
