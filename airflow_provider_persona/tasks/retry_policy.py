"""Which of Persona's errors Airflow retries, and when, under Airflow's own retry policies (3.3 and later).

Operators say "fail at once" by an `AirflowFailException` on every Airflow (`tasks/failure.py`), and no policy is asked
about that one. What is left for a policy: to wait until a limit is reset, and to decide in tasks of your own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_persona.version_compat import (
    AIRFLOW_V_3_3_PLUS,
    AirflowOptionalProviderFeatureException,
    RetryDecision,
    RetryPolicy,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

LONGEST_DELAY: Final = timedelta(hours=24)
"""Airflow's own longest delay between two tries; a quota may ask for weeks."""


class PersonaRetryPolicy(RetryPolicy):
    """Retries Persona's errors when a retry can succeed. The operators of this provider have it by default.

    - 400, 401, 403, 404, 422 and every other error that a retry would meet again: the task fails at once.
    - A request limit or a quota is used up, and Persona said when it is reset: the next try begins then.
    - All other errors, also those of others: as `retries`, `retry_delay` and the like say.

    No decision goes beyond `retries`. Another `retry_policy` of the task or in `default_args` takes the place of this
    one; `ExceptionRetryPolicy(rules=[])` leaves all to Airflow's delays. Give it to tasks of your own that call Persona
    with a `PersonaHook`: `@task(retries=3, retry_policy=PersonaRetryPolicy())`.

    :raises AirflowOptionalProviderFeatureException: on Airflow before 3.3, which has no retry policies.
    """

    def __init__(self) -> None:
        if not AIRFLOW_V_3_3_PLUS:
            raise AirflowOptionalProviderFeatureException(
                "retry policies need Airflow 3.3 or later; leave retry_policy out, and set retries and retry_delay"
            )

    def __repr__(self) -> str:
        return "PersonaRetryPolicy()"  # without the object's address: Airflow may hash the text of default_args

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow's signature
        max_tries: int,  # noqa: ARG002
        context: Context | None = None,  # noqa: ARG002
    ) -> RetryDecision:
        """Return what to do after a failure.

        :param exception: what the task failed with.
        :param try_number: number of the failed try.
        :param max_tries: how many retries the task has.
        :param context: Airflow's context of the try.
        """
        from airflow_provider_persona.api.errors import ProviderError

        if not isinstance(exception, ProviderError):
            return RetryDecision.default()
        if not exception.retryable:
            return RetryDecision.fail(f"a retry would meet it again: {exception}")
        if exception.retry_after is None:
            return RetryDecision.default()
        # The smaller one first: a timedelta overflows at a delay that a strange answer may name.
        delay = timedelta(seconds=min(exception.retry_after, LONGEST_DELAY.total_seconds()))
        return RetryDecision.retry(delay, f"the limit is reset in {exception.retry_after:.0f} s")

    def serialize(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"__type": type(self).__name__}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> PersonaRetryPolicy:  # noqa: ARG003 - it has no parameters
        """Return it from what `serialize` returned."""
        return cls()


def take_default_policy(task: Any) -> None:
    """Give an operator this provider's policy, where Airflow has policies and its Dag gives no other one.

    :param task: the operator, after Airflow's `__init__` has seen its arguments and `default_args`.
    """
    if AIRFLOW_V_3_3_PLUS and task.retry_policy is None:
        task.retry_policy = PersonaRetryPolicy()
