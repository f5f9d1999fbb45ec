"""What every sensor that waits for Persona shares: one hook for all looks, and the way into and out of a deferral."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.task_failure import failing_for_good_when_useless_to_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.hooks.persona import PersonaHook
    from airflow_provider_persona.triggers.waiting import PersonaWaitTrigger, WaitEnded

SHORTEST_DEFERRAL: Final = 15.0
"""Seconds: a task that comes back sooner may be taken for a failed one by Airflow 3.3.2 (its issue 71580)."""

_LAST_LOOK: Final = 120.0
"""Seconds that the trigger's last look may take, retries included, before Airflow ends the deferral itself."""


class PersonaWaitSensor(BaseSensorOperator):
    """What the sensors that wait for Persona share.

    :param persona_conn_id: connection of type `persona`.
    :param deferrable: wait in the triggerer instead of a worker. The task looks once before it defers.
    :param first_poll_after: seconds before the first look in the triggerer; by default `poke_interval`, and no less
        than 15 s.

    `poke_interval`, `timeout`, `mode`, `soft_fail`, `never_fail` and `silent_fail` are those of every sensor, also when
    it is deferred. `exponential_backoff` acts in a worker only.
    """

    def __init__(
        self,
        *,
        persona_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        first_poll_after: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.persona_conn_id = persona_conn_id
        self.deferrable = deferrable
        self.first_poll_after = first_poll_after

    @cached_property
    def hook(self) -> PersonaHook:
        """The hook of all looks of this task."""
        from airflow_provider_persona.hooks.persona import PersonaHook

        return PersonaHook(self.persona_conn_id)

    def look(self) -> WaitEnded | None:
        """Look once; None when the wait goes on."""
        raise NotImplementedError

    def trigger(self, **waiting: Any) -> PersonaWaitTrigger:
        """Return the trigger that waits in this sensor's stead.

        :param waiting: the arguments of every `PersonaWaitTrigger`.
        """
        raise NotImplementedError

    def take(self, ended: WaitEnded) -> Any:
        """Return what a wait's end means for the task, or fail it."""
        raise NotImplementedError

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - the context is Airflow's
        """Look once.

        :raises AirflowFailException: when waiting is of no use any more.
        :raises PersonaError: when a retry may help.
        """
        with failing_for_good_when_useless_to_retry():
            ended = self.look()
            return PokeReturnValue(ended is not None, self.take(ended) if ended else None)

    def execute(self, context: Context) -> Any:
        """Wait here, or look once and then in the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        with self._failing_as_when_poking():
            first = self._first_look(context)
        if first.is_done:
            return first.xcom_value
        first_poll_after = self.first_poll_after
        self.defer(
            timeout=timedelta(seconds=self.timeout + _LAST_LOOK),
            trigger=self.trigger(
                persona_conn_id=self.persona_conn_id,
                poll_interval=self.poke_interval,
                first_poll_after=max(self.poke_interval, SHORTEST_DEFERRAL)
                if first_poll_after is None
                else first_poll_after,
                give_up_at=time.time() + self.timeout,
                silent_fail=self.silent_fail,
            ),
            method_name="execute_complete",
        )
        return None

    def execute_complete(self, context: Context, event: Any = None) -> Any:  # noqa: ARG002 - the context is Airflow's
        """Take in the trigger's event.

        :raises AirflowFailException: when waiting is of no use any more.
        :raises AirflowSensorTimeout: when it took too long.
        :raises PersonaError: as the trigger met it, when a retry may help.
        """
        from airflow_provider_persona.triggers.waiting import WaitEnded

        with self._failing_as_when_poking(), failing_for_good_when_useless_to_retry():
            ended = WaitEnded.from_event(event)
            if ended.ended == "timeout":
                raise AirflowSensorTimeout(f"the wait took longer than its timeout of {self.timeout:g} s")
            return self.take(ended)

    def _first_look(self, context: Context) -> PokeReturnValue:
        from airflow_provider_persona.api.errors import PersonaError

        try:
            return self.poke(context)
        except PersonaError as error:  # those that are of use to retry
            if not self.silent_fail:
                raise
            self.log.warning("%s; looking again in the triggerer", error)
            return PokeReturnValue(is_done=False)

    @contextmanager
    def _failing_as_when_poking(self) -> Iterator[None]:
        """End the task as `BaseSensorOperator.execute` does after an error: skipped where the sensor is told so."""
        try:
            yield
        except AirflowSkipException:
            raise
        except (AirflowFailException, AirflowSensorTimeout) as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(f"skipped instead of failed: {error}") from error
            raise
        except Exception as error:
            if self.never_fail:
                raise AirflowSkipException(f"skipped instead of failed: {error}") from error
            raise
