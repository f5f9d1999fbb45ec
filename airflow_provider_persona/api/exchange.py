"""One call through all of its attempts: its idempotency key, and what each outcome means. It sends nothing itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from airflow_provider_persona.api.messages import Outcome, Request
from airflow_provider_persona.api.retry import NO_RETRIES, Attempt, Decision, RetryPolicy, SendAgain, decide


class Exchange:
    """The state of one call. An attempt sends its request once.

    :param request: the request.
    :param identity: names the call, such as run and row, for its idempotency key.
    :param policy: attempts and delays.
    :param now: the time, in seconds of a monotonic clock.
    :param generation: generation of the first key; not 0 when the call continues after a restart.
    :param maybe_done: whether the call may have had its effect before that restart.
    :param chance: returns random numbers in [0, 1).

    `sent` counts the attempts that were begun. `sent_generation` is the generation of the key of the last one.
    """

    def __init__(
        self,
        request: Request,
        identity: str,
        policy: RetryPolicy,
        now: float,
        *,
        generation: int = 0,
        maybe_done: bool = False,
        chance: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.request = request
        self.identity = identity
        self.policy = policy
        self.attempt = Attempt(
            now,
            generation=generation,
            maybe_done=maybe_done,
            maybe_done_elsewhere=maybe_done and generation > 0,
            maybe_under_way=maybe_done,
        )
        self.sent = 0
        self.sent_generation = generation
        self._chance = chance
        self.idempotency_key = self._make_key()
        """The key of the present attempt; None for methods that take none."""

    def was_begun(self, seconds_ago: float) -> None:
        """Note that an earlier process may have sent it already, so that its key is older.

        :param seconds_ago: age of the key in seconds.
        """
        if seconds_ago:
            self.attempt = replace(self.attempt, key_born=self.attempt.key_born - seconds_ago)

    def is_being_sent(self) -> None:
        """Note that an attempt begins."""
        self.sent += 1
        self.sent_generation = self.attempt.generation  # kept apart, since `conclude` moves on to one never sent

    def conclude(self, outcome: Outcome, now: float) -> Decision:
        """Return what the outcome of the present attempt means, and move on to the next attempt if there is one."""
        decision = decide(self.request, outcome, self.attempt, now, self.policy, self._chance())
        if isinstance(decision, SendAgain):
            moved_on = decision.attempt.generation != self.attempt.generation
            self.attempt = decision.attempt
            if moved_on:
                self.idempotency_key = self._make_key()
        return decision

    def give_up(self, outcome: Outcome, attempt: Attempt, now: float) -> Decision:
        """Return what an outcome means when there must be no further attempt.

        :param attempt: the attempt that had this outcome.
        """
        self.attempt = attempt
        return decide(self.request, outcome, attempt, now, NO_RETRIES)

    def _make_key(self) -> str | None:
        if not self.request.takes_idempotency_key:
            return None
        return idempotency_key(self.identity, self.request, self.attempt.generation)


def idempotency_key(identity: str, request: Request, generation: int) -> str:
    """Return the idempotency key of a request.

    It is a hash, so nobody can read ids or personal data from it. The body is part of it, because Persona refuses a key
    that comes back with other parameters (docs.withpersona.com/idempotence).

    :param identity: names the call, such as run and row; a call that is made again has the same identity.
    :param request: the request.
    :param generation: 0 for the first key; one more each time that Persona must not replay a failure that it stored.
    """
    # NUL stands in none of the parts, so no two calls have the same text. What is hashed here must not change: a run
    # that goes on under a later release needs the keys of before.
    told = "\0".join((identity, request.method, request.target, str(generation), ""))
    return hashlib.sha256(told.encode() + (request.content() or b"")).hexdigest()[:40]
