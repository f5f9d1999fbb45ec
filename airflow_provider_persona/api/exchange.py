"""One logical call through all of its attempts, without sending any: what to put on the wire, what an outcome means."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_persona.api.idempotency import idempotency_key
from airflow_provider_persona.api.messages import Outcome, Request
from airflow_provider_persona.api.retry import Attempt, Decision, RetryPolicy, SendAgain, decide


class Exchange:
    """The state of one logical call.

    :param request: what to send.
    :param identity: what makes it the same call when it is made again (run and row), for its idempotency key.
    :param policy: attempts and delays.
    :param now: seconds of a monotonic clock.
    :param generation: generation of the key to begin with, for a call that goes on after a restart.
    :param chance: source of random numbers in [0, 1).
    """

    def __init__(
        self,
        request: Request,
        identity: str,
        policy: RetryPolicy,
        now: float,
        *,
        generation: int = 0,
        chance: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.request = request
        self.identity = identity
        self.policy = policy
        self.attempt = Attempt(key_born=now, generation=generation)
        self._chance = chance
        self._key = self._make_key()

    @property
    def idempotency_key(self) -> str | None:
        """The key of the present attempt; None for methods that take none."""
        return self._key

    def conclude(self, outcome: Outcome, now: float) -> Decision:
        """Say what the outcome of the present attempt means, and become the next attempt when there is one."""
        decision = decide(self.request, outcome, self.attempt, now, self.policy, self._chance())
        if isinstance(decision, SendAgain):
            moved_on = decision.attempt.generation != self.attempt.generation
            self.attempt = decision.attempt
            if moved_on:
                self._key = self._make_key()
        return decision

    def _make_key(self) -> str | None:
        if not self.request.takes_idempotency_key:
            return None
        return idempotency_key(self.identity, self.request, self.attempt.generation)
