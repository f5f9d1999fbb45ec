"""Decides what an outcome means: done, send again (when, and under which key), failed, or unknown.

Pure: one function without a clock and without sleep, for both clients.

Persona stores the first answer to an `Idempotency-Key`, also a 5xx, and replays it (docs.withpersona.com/idempotence,
/errors, /rate-limiting). From that follows:

- No answer arrived: send again under the same key. A replay tells what happened.
- A 5xx or a 409 for a stale object arrived: the same key would replay it, so a key of the next generation is needed.
  Under a new key Persona makes the change once more, so only a repeatable operation is sent again.
- 401 and 429 come before the key is looked at, and are not stored.
- What two requests under one key at a time get is not documented. A 409 after no answer may say that the first is still
  under way, so it tells nothing of the effect, and the same key is right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_persona.api.answers import fault_of
from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaError,
    PersonaKeyPermissionError,
    PersonaRateLimitError,
    PersonaTransportError,
    PersonaUnresolvedError,
    error_for,
    first_problem,
    is_personas,
    is_quota,
)
from airflow_provider_persona.api.limits import LONGEST_WAIT, wait_of
from airflow_provider_persona.api.messages import FailurePoint, Outcome, Request, Response, TransportFailure

KEY_GOOD_FOR = 45 * 60.0
"""Seconds for which Persona is trusted to know a key. Its older documentation says an hour; this leaves a margin."""

SHORTEST_WAIT = 1.0
"""Seconds of the shortest wait after a refusal for a limit. Zero seconds left may be one that was rounded down."""

SANE_WAIT = float(LONGEST_WAIT)
"""Seconds that one call waits for a limit in all. Windows last a minute, so after this a person should look."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number of attempts, and the delays between them.

    :param delays: seconds before the 2nd, 3rd, … attempt; there is one attempt more than delays. By default the first
        is short, and the others are those that Persona advises (docs.withpersona.com/errors).
    :param jitter: the largest share that is added to a delay, so that many callers do not come back together.
    """

    delays: tuple[float, ...] = (1.0, 5.0, 10.0, 20.0, 40.0)
    jitter: float = 0.2

    @property
    def attempts(self) -> int:
        """The largest number of attempts; a wait for a limit is no attempt."""
        return len(self.delays) + 1


NO_RETRIES = RetryPolicy(delays=())

_NOT_TAKEN_IN = frozenset({401, 407, 413, 414, 431})
"""Refusals after which nobody has acted on the request, whoever refuses it: for its login or its size."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a call.

    :param key_born: time at which its key was first sent, in seconds of the clock given as `now`.
    :param number: 1 for the first attempt. A wait for a limit does not add to it.
    :param generation: generation of its idempotency key.
    :param throttled: number of refusals for a limit so far.
    :param throttled_for: seconds that the call has waited because of them.
    :param maybe_done: whether an earlier attempt may have had its effect.
    :param maybe_done_elsewhere: whether one under an earlier key may have, of which no answer to this key tells.
    :param maybe_under_way: whether Persona may still be working on an earlier attempt under the same key.
    """

    key_born: float
    number: int = 1
    generation: int = 0
    throttled: int = 0
    throttled_for: float = 0.0
    maybe_done: bool = False
    maybe_done_elsewhere: bool = False
    maybe_under_way: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """The call succeeded."""

    response: Response


@dataclass(frozen=True, slots=True)
class SendAgain:
    """The request must be sent again.

    :param after: seconds to wait first.
    :param attempt: the next attempt.
    :param because: the reason, in a few words for the log.
    :param for_limit: whether it was refused for a limit, which is no failure.
    :param is_under_way: whether Persona seems to work on an earlier attempt, which is no failure either.
    """

    after: float
    attempt: Attempt
    because: str
    for_limit: bool = False
    is_under_way: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The call had no effect, and there is no further attempt."""

    error: PersonaError


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The call may have had its effect, and another attempt could repeat the effect."""

    error: PersonaUnresolvedError


Decision = Done | SendAgain | Failed | Unresolved


def decide(
    request: Request, outcome: Outcome, attempt: Attempt, now: float, policy: RetryPolicy, chance: float = 0.0
) -> Decision:
    """Return what an outcome means.

    :param request: the request that was sent.
    :param outcome: the answer, or how far the request came without one.
    :param attempt: the attempt that had this outcome.
    :param now: the time, in seconds of the monotonic clock of `attempt.key_born`.
    :param policy: attempts and delays.
    :param chance: a random number in [0, 1), for the jitter.
    """
    pause = _Pause(policy, attempt, now, chance)
    if isinstance(outcome, TransportFailure):
        decision = _after_silence(request, outcome, pause)
    elif outcome.status in request.success or 200 <= outcome.status < 300:  # Persona says 200 or 201 for some calls
        decision = _after_success(request, outcome, pause)
    else:
        decision = _after_refusal(request, outcome, pause)
    return _remembering(request, outcome, attempt, now, decision)


@dataclass(frozen=True, slots=True)
class _Pause:
    """Makes the next attempt under a policy, or None when the attempts are used up."""

    policy: RetryPolicy
    attempt: Attempt
    now: float
    chance: float

    def same_key(self, because: str, *, maybe_done: bool = True) -> SendAgain | None:
        under_way = self.attempt.maybe_under_way or maybe_done
        return self._next(because, maybe_done=maybe_done, maybe_under_way=under_way)

    def next_key(self, because: str, *, maybe_done: bool = True) -> SendAgain | None:
        return self._next(
            because,
            maybe_done=maybe_done,
            maybe_done_elsewhere=self.attempt.maybe_done or maybe_done,
            generation=self.attempt.generation + 1,
            key_born=self.now,
            maybe_under_way=False,
        )

    def _next(self, because: str, *, maybe_done: bool, **changes: Any) -> SendAgain | None:
        if self.attempt.number >= self.policy.attempts:
            return None
        delay = self.policy.delays[self.attempt.number - 1]
        following = replace(
            self.attempt,
            number=self.attempt.number + 1,
            maybe_done=self.attempt.maybe_done or maybe_done,
            **changes,
        )
        return SendAgain(delay * (1 + self.policy.jitter * self.chance), following, because)

    @property
    def key_is_fresh(self) -> bool:
        return self.now - self.attempt.key_born <= KEY_GOOD_FOR


def given_up(request: Request, attempt: Attempt, error: PersonaError) -> Failed | Unresolved:
    """Return what becomes of a call of which no further attempt is made, for a reason that tells nothing of the others.

    :param request: the request.
    :param attempt: the attempt that is not made, or that failed for that reason.
    :param error: the reason.
    """
    is_open = attempt.maybe_done and not request.only_reads
    return Unresolved(_unknown(request, str(error), error)) if is_open else Failed(error)


def _remembering(request: Request, outcome: Outcome, attempt: Attempt, now: float, decision: Decision) -> Decision:
    """Return a decision, corrected where earlier attempts may have had their effect."""
    if request.only_reads:
        return decision
    if isinstance(decision, Failed) and not _tells_of_the_effect(request, outcome, attempt, decision.error):
        return given_up(request, attempt, decision.error)
    if not isinstance(decision, SendAgain) or not request.takes_idempotency_key or not decision.attempt.maybe_done:
        return decision
    if now + decision.after - decision.attempt.key_born <= KEY_GOOD_FOR:
        return decision
    if request.repeatable:  # Persona may have forgotten the key, and a forgotten key is as good as a new one
        generation, born = decision.attempt.generation + 1, now + decision.after
        following = replace(
            decision.attempt, generation=generation, key_born=born, maybe_done_elsewhere=True, maybe_under_way=False
        )
        return replace(decision, attempt=following)
    return Unresolved(_unknown(request, f"{decision.because}, and its key is too old to tell"))


def _tells_of_the_effect(request: Request, outcome: Outcome, attempt: Attempt, error: PersonaError) -> bool:
    """Whether a refusal tells what became of the earlier attempts: under one key it is the answer to all of them.

    401 and 429 come before Persona looks at the key, and so does a 403 about the API key, which can lose a permission
    between two attempts. A refusal under another key, or of a call without one, may be about what an earlier attempt
    has done: nothing is redacted or approved twice. A page of a firewall is no answer to any of them.
    """
    if not request.takes_idempotency_key or attempt.maybe_done_elsewhere or not isinstance(outcome, Response):
        return False
    comes_before = isinstance(error, PersonaKeyPermissionError) or outcome.status in (401, 429)
    return outcome.status >= 400 and not comes_before and is_personas(outcome)


def _after_silence(request: Request, failure: TransportFailure, pause: _Pause) -> Decision:
    reason = f"no answer: {failure.reason}"
    error = PersonaTransportError(
        f"Persona gave no answer to {request.operation_id} ({failure.reason}), tried {_times(pause.attempt.number)}; "
        "check host, proxy and network",
        operation_id=request.operation_id,
    )
    if failure.point is FailurePoint.NOT_SENT:  # leaves no doubt, so a creation too may be sent again
        return pause.same_key(reason, maybe_done=False) or _give_up(request, error, pause)
    if request.takes_idempotency_key and pause.key_is_fresh:
        # If Persona has made the change, it replays the answer: that is safe for creations too.
        return pause.same_key(reason) or _give_up(request, error, pause, maybe_done=True)
    if request.repeatable:
        return pause.next_key(reason) or _give_up(request, error, pause, maybe_done=True)
    return Unresolved(_unknown(request, failure.reason))


def _after_success(request: Request, response: Response, pause: _Pause) -> Decision:
    fault = fault_of(request, response)
    if fault is None:
        return Done(response)
    error = PersonaAnswerError(
        f"Persona answered {response.status} to {request.operation_id} with {fault}",
        status=response.status,
        request_id=response.request_id,
        operation_id=request.operation_id,
        retryable=True,
    )
    if response.damage is not None:
        return _give_up(request, error, pause, maybe_done=True)  # Persona would send the same answer again
    # The change was made, and Persona has stored the sound answer: the body was damaged on its way.
    if request.repeatable or request.takes_idempotency_key:
        return pause.same_key("unreadable answer") or _give_up(request, error, pause, maybe_done=True)
    return Unresolved(_unknown(request, "unreadable answer"))


def _after_refusal(request: Request, response: Response, pause: _Pause) -> Decision:
    status = response.status
    error = error_for(response, request)
    if status == 429 or is_quota(response):  # before the rest, since a quota may come as a 403
        return _after_throttle(response, error, pause)
    if status == 408 or not 200 <= status < 500:  # what is no status of HTTP tells nothing either
        if request.repeatable:
            return pause.next_key(f"status {status}") or _give_up(request, error, pause, maybe_done=True)
        return Unresolved(_unknown(request, f"status {status}", response))
    if 300 <= status < 400:
        return Failed(_redirect_refused(request, response))
    if status not in _NOT_TAKEN_IN and not is_personas(response):
        # Some firewalls look at answers too, and put their page in the place of one after Persona has acted.
        return _give_up(request, error, pause, maybe_done=True)
    return _after_conflict(request, response, error, pause) if status == 409 else Failed(error)


def _after_conflict(request: Request, response: Response, error: PersonaError, pause: _Pause) -> Decision:
    title = str(first_problem(response).get("title", "")).lower()
    if "unique" in title:
        return Failed(error)  # no attempt passes (docs.withpersona.com/errors)
    if request.takes_idempotency_key and pause.attempt.maybe_under_way and "stale" not in title:
        # It may be about the key and not about the object, and a next key would make the change a second time.
        following = pause.same_key("an earlier attempt is under way")
        return replace(following, is_under_way=True) if following else _give_up(request, error, pause, maybe_done=True)
    if request.repeatable:
        return pause.next_key("stale object", maybe_done=False) or Failed(error)
    return Failed(error)


def _after_throttle(response: Response, error: PersonaError, pause: _Pause) -> Decision:
    """Return the wait for a limit. It is no attempt, since Persona did nothing."""
    if response.headers.get("ratelimit-limit") == "0":
        return Failed(_with_advice(error, PersonaRateLimitError, "the limit is zero, nothing can be sent"))
    delays = pause.policy.delays
    wait = error.retry_after = wait_of(response)
    if wait is None and pause.attempt.throttled < len(delays):
        wait = delays[pause.attempt.throttled]
    if wait is None or not delays:  # `NO_RETRIES` means no waits either: a test of a connection keeps a page waiting
        return Failed(error)
    wait = max(wait, SHORTEST_WAIT)
    waited = pause.attempt.throttled_for + wait
    if waited > SANE_WAIT:
        advice = (
            f"it asks to wait {min(wait, 1e9):.0f} s more, and a call waits {SANE_WAIT / 60:.0f} minutes for a limit "
            "at most. A retry resumes from here; look who else uses the limit"
        )
        return Failed(_with_advice(error, type(error), advice))
    following = replace(pause.attempt, throttled=pause.attempt.throttled + 1, throttled_for=waited)
    because = error.title or f"status {response.status}"
    # A fraction of a second is added, not a share: the end of a window is known, and waiting longer wastes the next.
    return SendAgain(wait + pause.chance * pause.policy.jitter, following, because, for_limit=True)


def _with_advice(error: PersonaError, kind: type[PersonaError], advice: str) -> PersonaError:
    return kind(
        f"{error}: {advice}",
        status=error.status,
        request_id=error.request_id,
        operation_id=error.operation_id,
        retry_after=error.retry_after,
    )


def _give_up(request: Request, error: PersonaError, pause: _Pause, *, maybe_done: bool = False) -> Decision:
    if maybe_done and not request.only_reads:
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
