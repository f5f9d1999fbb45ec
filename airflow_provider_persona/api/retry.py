"""Deciding what an outcome means: done, send again (when, under which key), failed, or unknown.

Pure: one function, no clock, no sleeping. Both clients and every test share it.

The facts behind it (docs.withpersona.com/idempotence, /errors, /rate-limiting): Persona keeps the first answer to an
`Idempotency-Key`, 5xx included. So when no answer arrived the same key is right (a replay tells what happened), and
when a 5xx or a stale-object 409 arrived the same key would replay it: the next *generation* of the key is needed, and
that does the thing anew, which only a repeatable operation may risk. 401 and 429 come before the key and are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaError,
    PersonaRateLimitError,
    PersonaTransportError,
    PersonaUnresolvedError,
    error_for,
    first_problem,
    is_quota,
)
from airflow_provider_persona.api.messages import FailurePoint, Outcome, Request, Response, TransportFailure

KEY_GOOD_FOR = 45 * 60.0
"""Seconds for which a key is trusted to be remembered. The older docs promise 1 h, so this leaves a margin."""

SHORTEST_WAIT = 1.0
"""Seconds that we wait at least when refused for a limit: zero seconds left may be a rounded-down one."""

SANE_WAIT = 15 * 60.0
"""Seconds that we are willing to wait on the server's word. Windows last a minute; more is no throttle but a fault."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and after how long to send again.

    :param delays: seconds before the 2nd, 3rd, … attempt. After a first quick one this is the ladder that Persona
        advises (docs.withpersona.com/errors). Their number plus one is the number of attempts.
    :param jitter: share by which a delay is lengthened at most, so that many callers do not return together.
    """

    delays: tuple[float, ...] = (1.0, 5.0, 10.0, 20.0, 40.0)
    jitter: float = 0.2

    @property
    def attempts(self) -> int:
        """How many times a request is sent at most; waits for a limit do not count."""
        return len(self.delays) + 1


NO_RETRIES = RetryPolicy(delays=())


@dataclass(frozen=True, slots=True)
class Attempt:
    """Where a logical call stands.

    :param number: attempts made, this one included. Waits for a limit do not add to it.
    :param generation: generation of the idempotency key of this attempt.
    :param key_born: time at which this generation was first sent, in seconds of the clock given as `now`.
    :param throttled: how often the call was refused for a limit so far.
    :param maybe_done: whether an earlier attempt may have had its effect.
    """

    key_born: float
    number: int = 1
    generation: int = 0
    throttled: int = 0
    maybe_done: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """It succeeded."""

    response: Response


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Send it once more.

    :param after: seconds to wait first. A wait for the request limit is also known to the window budget.
    :param attempt: what the next attempt is.
    :param because: why, in a few words for the log.
    :param for_limit: whether it was refused for a limit, which is no failure.
    """

    after: float
    attempt: Attempt
    because: str
    for_limit: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not happen, and sending it again is of no use (any more)."""

    error: PersonaError


@dataclass(frozen=True, slots=True)
class Unresolved:
    """It may or may not have happened, and sending it again could do it twice."""

    error: PersonaUnresolvedError


Decision = Done | SendAgain | Failed | Unresolved


def decide(
    request: Request, outcome: Outcome, attempt: Attempt, now: float, policy: RetryPolicy, chance: float = 0.0
) -> Decision:
    """Say what `outcome` means for `request`.

    :param request: what was sent.
    :param outcome: the answer, or how far the request came without one.
    :param attempt: the attempt that had this outcome.
    :param now: seconds of a monotonic clock, the one of `attempt.key_born`.
    :param policy: attempts and delays.
    :param chance: a random number in [0, 1), for the jitter.
    """
    pause = _Pause(policy, attempt, now, chance)
    if isinstance(outcome, TransportFailure):
        decision = _after_silence(request, outcome, pause)
    elif outcome.status in request.success or 200 <= outcome.status < 300:
        decision = _after_success(request, outcome, pause)
    else:
        decision = _after_refusal(request, outcome, pause)
    return _remembering(request, outcome, attempt, now, decision)


@dataclass(frozen=True, slots=True)
class _Pause:
    """The next attempt under a policy."""

    policy: RetryPolicy
    attempt: Attempt
    now: float
    chance: float

    def same_key(self, because: str, *, maybe_done: bool = True) -> SendAgain | None:
        return self._next(because, self.attempt.generation, self.attempt.key_born, maybe_done=maybe_done)

    def next_key(self, because: str, *, maybe_done: bool = True) -> SendAgain | None:
        return self._next(because, self.attempt.generation + 1, self.now, maybe_done=maybe_done)

    def _next(self, because: str, generation: int, born: float, *, maybe_done: bool) -> SendAgain | None:
        if self.attempt.number >= self.policy.attempts:
            return None
        delay = self.policy.delays[self.attempt.number - 1]
        following = replace(
            self.attempt,
            number=self.attempt.number + 1,
            generation=generation,
            key_born=born,
            maybe_done=self.attempt.maybe_done or maybe_done,
        )
        return SendAgain(delay * (1 + self.policy.jitter * self.chance), following, because)

    @property
    def key_is_fresh(self) -> bool:
        return self.now - self.attempt.key_born <= KEY_GOOD_FOR


def _remembering(request: Request, outcome: Outcome, attempt: Attempt, now: float, decision: Decision) -> Decision:
    """Correct a decision by what earlier attempts may have done."""
    if request.method == "GET":
        return decision
    if isinstance(decision, Failed) and attempt.maybe_done and not _tells_of_the_effect(outcome):
        return Unresolved(_unknown(request, str(decision.error), decision.error))
    if not isinstance(decision, SendAgain) or not request.takes_idempotency_key or not decision.attempt.maybe_done:
        return decision
    if now + decision.after - decision.attempt.key_born <= KEY_GOOD_FOR:
        return decision
    if request.repeatable:  # under a key that may be forgotten it is done anew, so it might as well have one of its own
        following = replace(decision.attempt, generation=decision.attempt.generation + 1, key_born=now + decision.after)
        return replace(decision, attempt=following)
    return Unresolved(_unknown(request, f"{decision.because}, and its key is too old to tell"))


def _tells_of_the_effect(outcome: Outcome) -> bool:
    """Whether an outcome says what became of the call: not when it comes from before Persona's store of answers."""
    return isinstance(outcome, Response) and outcome.status not in (401, 429) and outcome.status >= 400


def _after_silence(request: Request, failure: TransportFailure, pause: _Pause) -> Decision:
    reason = f"no answer: {failure.reason}"
    error = PersonaTransportError(
        f"Persona gave no answer to {request.operation_id} ({failure.reason}), tried {_times(pause.attempt.number)}; "
        "check host, proxy and network",
        operation_id=request.operation_id,
    )
    if failure.point is FailurePoint.NOT_SENT:
        return pause.same_key(reason, maybe_done=False) or _give_up(request, error, pause)
    if request.takes_idempotency_key and pause.key_is_fresh:
        # The key makes Persona replay what it did, if it did it: safe for creations too.
        return pause.same_key(reason) or _give_up(request, error, pause, maybe_done=True)
    if request.repeatable:
        return pause.next_key(reason) or _give_up(request, error, pause, maybe_done=True)
    return Unresolved(_unknown(request, failure.reason))


def _after_success(request: Request, response: Response, pause: _Pause) -> Decision:
    if request.binary or _is_json_object(response):
        return Done(response)
    error = PersonaAnswerError(
        f"Persona answered {response.status} to {request.operation_id} with a body that is not a JSON object",
        status=response.status,
        request_id=response.request_id,
        operation_id=request.operation_id,
        retryable=True,
    )
    # The effect is there; Persona (not whoever broke the body) kept the answer under the key.
    if request.repeatable or request.takes_idempotency_key:
        return pause.same_key("unreadable answer") or _give_up(request, error, pause, maybe_done=True)
    return Unresolved(_unknown(request, "unreadable answer"))


def _after_refusal(request: Request, response: Response, pause: _Pause) -> Decision:
    status = response.status
    error = error_for(response, request.operation_id)
    if status == 429 or is_quota(response):
        return _after_throttle(response, error, pause)
    if status == 408 or status >= 500:
        if request.repeatable:
            return pause.next_key(f"status {status}") or _give_up(request, error, pause, maybe_done=True)
        return Unresolved(_unknown(request, f"status {status}", response))
    if status == 409 and request.repeatable and _is_stale(response):
        return pause.next_key("stale object", maybe_done=False) or Failed(error)
    if 300 <= status < 400:
        return Failed(_redirect_refused(request, response))
    return Failed(error)


def _after_throttle(response: Response, error: PersonaError, pause: _Pause) -> Decision:
    """Wait for a limit; that is no attempt, since Persona did nothing."""
    wait = wait_of(response)
    if response.headers.get("ratelimit-limit") == "0":
        return Failed(PersonaRateLimitError(f"{error}: the limit is zero, nothing can be sent", status=error.status))
    if wait is None:
        ladder = pause.policy.delays or (0.0,)
        if pause.attempt.throttled >= len(ladder) or not pause.policy.delays:
            return Failed(error)
        wait = ladder[pause.attempt.throttled]
    wait = max(wait, SHORTEST_WAIT)
    if wait > SANE_WAIT or not pause.policy.delays:
        return Failed(error)
    following = replace(pause.attempt, throttled=pause.attempt.throttled + 1)
    because = error.title or f"status {response.status}"
    return SendAgain(wait + pause.chance * pause.policy.jitter, following, because, for_limit=True)


def wait_of(response: Response) -> float | None:
    """Return the seconds that a refusal asks to wait, or None when it does not say.

    `RateLimit-Reset` and `Quota-Reset` are seconds left, not a time of day. Persona sends no `Retry-After`, a proxy
    may. The specification and the prose spell the quota headers differently, so both spellings are read.
    """
    names = ["retry-after", "ratelimit-reset"]
    if is_quota(response):
        names = ["retry-after", "quota-reset", "quotalimit-reset"]
    for name in names:
        seconds = _seconds(response.headers, name)
        if seconds is not None:
            return seconds
    return None


def _seconds(headers: Mapping[str, str], name: str) -> float | None:
    try:
        seconds = float(headers[name])
    except (KeyError, ValueError):
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _is_stale(response: Response) -> bool:
    """Whether a 409 may pass after a while. `Record not unique` never does (docs.withpersona.com/errors)."""
    return "unique" not in str(first_problem(response).get("title", "")).lower()


def _is_json_object(response: Response) -> bool:
    try:
        return isinstance(response.json(), Mapping)
    except ValueError:
        return False


def _give_up(request: Request, error: PersonaError, pause: _Pause, *, maybe_done: bool = False) -> Decision:
    if maybe_done and request.method != "GET":
        return Unresolved(_unknown(request, f"tried {_times(pause.attempt.number)}, last: {error}", error))
    return Failed(error)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _unknown(request: Request, reason: str, last: Response | PersonaError | None = None) -> PersonaUnresolvedError:
    return PersonaUnresolvedError(
        f"whether Persona did {request.operation_id} is unknown ({reason}); look before doing it again",
        status=last.status if last else None,
        request_id=last.request_id if last else None,
        operation_id=request.operation_id,
        retryable=request.repeatable,
    )


def _redirect_refused(request: Request, response: Response) -> PersonaAnswerError:
    return PersonaAnswerError(
        f"Persona answered {response.status}, a redirect, to {request.operation_id}; redirects are refused so that the "
        "key never leaves the host. Check the connection's host",
        status=response.status,
        operation_id=request.operation_id,
    )
