"""One logical call through all of its attempts, without sending any: what to put on the wire, what an outcome means."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_persona.api.idempotency import idempotency_key
from airflow_provider_persona.api.messages import Outcome, Request
from airflow_provider_persona.api.retry import NO_RETRIES, Attempt, Decision, RetryPolicy, SendAgain, decide


class Exchange:
    """The state of one logical call.

    :param request: what to send.
    :param identity: what makes it the same call when it is made again (run and row), for its idempotency key.
    :param policy: attempts and delays.
    :param now: seconds of a monotonic clock.
    :param generation: generation of the key to begin with, for a call that goes on after a restart.
    :param maybe_done: whether the call may have had its effect before that restart.
    :param chance: source of random numbers in [0, 1).

    `sent` counts how often it was sent, and `sent_generation` is the generation of the last key that it was sent under.
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
        self.attempt = Attempt(key_born=now, generation=generation, maybe_done=maybe_done)
        self.sent = 0
        self.sent_generation = generation
        self._chance = chance
        self._key = self._make_key()

    @property
    def idempotency_key(self) -> str | None:
        """The key of the present attempt; None for methods that take none."""
        return self._key

    def is_being_sent(self) -> None:
        """Take in that it goes out now."""
        self.sent += 1
        self.sent_generation = self.attempt.generation

    def conclude(self, outcome: Outcome, now: float) -> Decision:
        """Say what the outcome of the present attempt means, and become the next attempt when there is one."""
        decision = decide(self.request, outcome, self.attempt, now, self.policy, self._chance())
        if isinstance(decision, SendAgain):
            moved_on = decision.attempt.generation != self.attempt.generation
            self.attempt = decision.attempt
            if moved_on:
                self._key = self._make_key()
        return decision

    def give_up(self, outcome: Outcome, attempt: Attempt, now: float) -> Decision:
        """Say what an outcome means when nothing may be sent again.

        :param attempt: the attempt that had this outcome.
        """
        self.attempt = attempt
        return decide(self.request, outcome, attempt, now, NO_RETRIES)

    def _make_key(self) -> str | None:
        if not self.request.takes_idempotency_key:
            return None
        return idempotency_key(self.identity, self.request, self.attempt.generation)
