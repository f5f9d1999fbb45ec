"""The base of the sensors that wait for Persona: one hook for all looks, and the way into and out of a deferral."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow_provider_persona.api.dashboard import address_of_id
from airflow_provider_persona.api.durations import in_words
from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.links import PersonaObjectLink
from airflow_provider_persona.tasks.arguments import as_seconds
from airflow_provider_persona.tasks.declared_arguments import Argument, TakesArguments, argument, given_to
from airflow_provider_persona.tasks.failure import fail_without_retry
from airflow_provider_persona.tasks.lineage import TaskDeed
from airflow_provider_persona.tasks.openlineage import lineage_of
from airflow_provider_persona.tasks.stopping import end_task, stop_of
from airflow_provider_persona.version_compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.hooks.persona import PersonaHook
    from airflow_provider_persona.tasks.wait_trigger import PersonaWaitTrigger, WaitEnded

SHORTEST_DEFERRAL: Final = 15.0
"""Seconds: a task that comes back sooner may be taken for a failed one by Airflow 3.3.2 (its issue 71580)."""

_LAST_LOOK: Final = 120.0
"""Seconds that the trigger's last look may take, retries included, before Airflow ends the deferral itself."""


class PersonaWaitSensor(BaseSensorOperator, metaclass=TakesArguments):
    """Waits in a worker or in the triggerer. A subclass says what for: with its arguments, and with a trigger.

    Both ways of waiting use that trigger: it says what a look asks for and what the answers mean.
    """

    arguments: ClassVar[Mapping[str, Argument]]
    operator_extra_links = (PersonaObjectLink(),)
    _looked: PersonaWaitTrigger | None = None
    on_kill = end_task

    persona_conn_id: str = argument("connection of type `persona`.", default=DEFAULT_CONN_ID)
    deferrable: bool = argument(
        "wait in the triggerer instead of a worker. The task looks once before it defers.",
        default=conf.getboolean("operators", "default_deferrable", fallback=False),
        is_template=False,
    )
    first_poll_after: float | timedelta | None = argument(
        "seconds, or a timedelta, before the first look in the triggerer; by default `poke_interval`, and no less than "
        "15 s. `poke_interval`, `timeout`, `mode` and `soft_fail` are those of every sensor, also when it is deferred; "
        "`exponential_backoff` acts in a worker only.",
        default=None,
        is_template=False,
    )

    def check_arguments(self) -> None:
        """Check arguments that are no templates, when the Dag is parsed.

        :raises ValueError: when an argument makes no sense.
        """
        if self.first_poll_after is not None:
            as_seconds(self.first_poll_after, "first_poll_after")

    def given(self) -> dict[str, Any]:
        """Return the values of the arguments by name, as rendered."""
        return given_to(self)

    @cached_property
    def hook(self) -> PersonaHook:
        """The hook of all looks of this task."""
        from airflow_provider_persona.hooks.persona import PersonaHook

        hook = PersonaHook(self.persona_conn_id)
        stop_of(self).hold(hook.client)
        return hook

    def trigger(self, **waiting: Any) -> PersonaWaitTrigger:
        """Return the trigger that watches what this sensor waits for.

        :param waiting: the arguments of every `PersonaWaitTrigger`.
        """
        raise NotImplementedError

    def objection(self, result: Any) -> str | None:  # noqa: ARG002 - for those that override it
        """Return why a wait that ended well still fails the task; None when it does not."""
        return None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's signature
        """Return inputs, outputs and counts for OpenLineage, after success and after failure."""
        # After a deferral nothing was asked in this process, so only the connection can name the environment.
        seen = self.hook.client.environment.seen or self.hook.settings.expected_environment_id
        return lineage_of(TaskDeed(getattr(self, "resource", "case"), seen))

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - the context is Airflow's
        """Look once.

        :raises AirflowFailException: when there is nothing more to wait for.
        :raises PersonaError: when a retry may help.
        """
        from airflow_provider_persona.tasks.wait_trigger import look_now

        with fail_without_retry():
            self._looked = self._trigger()
            ended = look_now(self.hook.client, self._looked.look())
            if ended is not None:
                self.log.info("%s. The wait is over: %s", self._looked.seen, ended.ended)
            return PokeReturnValue(ended is not None, self._take(ended) if ended else None)

    def execute(self, context: Context) -> Any:
        """Wait here, or look once and then in the triggerer."""
        with stop_of(self).heeded():
            return self._wait(context)

    def _wait(self, context: Context) -> Any:
        with self._failing_as_when_poking(), fail_without_retry():
            # Before the first look, so that the link is there while the task waits, and when that look fails.
            watched = self._trigger().watched()
            ids = (address_of_id(each, self.hook.settings.dashboard_url) for each in watched.values())
            PersonaObjectLink.push(context, next(filter(None, ids), None))
        if not self.deferrable:
            try:
                return super().execute(context)
            except AirflowSensorTimeout:
                raise AirflowSensorTimeout(
                    self._timed_out(self._looked.seen if self._looked is not None else None)
                ) from None
        with self._failing_as_when_poking():
            first = self._first_look(context)
        if first.is_done:
            return first.xcom_value
        if self._looked is not None:
            self.log.info("%s, in the triggerer", self._looked.told(self.timeout))
        usual = max(self.poke_interval, SHORTEST_DEFERRAL)
        # What somebody gives is taken as it is, in tests also below `SHORTEST_DEFERRAL`.
        given = self.first_poll_after
        first_poll_after = usual if given is None else as_seconds(given, "first_poll_after")
        self.defer(
            timeout=timedelta(seconds=self.timeout + _LAST_LOOK),
            trigger=self._trigger(
                first_poll_after=first_poll_after,
                give_up_at=time.time() + self.timeout,
                silent_fail=self.silent_fail,
            ),
            method_name="execute_complete",
        )
        return None

    def execute_complete(self, context: Context, event: Any = None) -> Any:  # noqa: ARG002 - the context is Airflow's
        """Return what the trigger's event means for the task.

        :raises AirflowFailException: when there is nothing more to wait for.
        :raises AirflowSensorTimeout: when it took too long.
        :raises PersonaError: as the trigger met it, when a retry may help.
        """
        from airflow_provider_persona.tasks.wait_trigger import WaitEnded

        with stop_of(self).heeded(), self._failing_as_when_poking(), fail_without_retry():
            ended = WaitEnded.from_event(event)
            if ended.ended == "timeout":
                raise AirflowSensorTimeout(self._timed_out(ended.seen))
            return self._take(ended)

    def _get_next_poke_interval(self, started_at: Any, run_duration: Any, poke_count: int) -> float:
        """Tell how the wait stands. Airflow asks for the next interval after each look that did not end the wait."""
        if self._looked is not None:
            self.log.info("%s", self._looked.told(self.timeout - run_duration()))
        interval: float = super()._get_next_poke_interval(started_at, run_duration, poke_count)
        return interval

    def _timed_out(self, seen: str | None) -> str:
        return (
            f"the wait took longer than its timeout of {in_words(self.timeout)}. Last seen: {seen or 'nothing'}. "
            f"Waited for {self._trigger().wanted()}"
        )

    def _trigger(self, **waiting: Any) -> PersonaWaitTrigger:
        return self.trigger(persona_conn_id=self.persona_conn_id, poll_interval=self.poke_interval, **waiting)

    def _take(self, ended: WaitEnded) -> Any:
        """Return what a wait's end means for the task, or fail it."""
        trigger = self._trigger()
        if ended.ended == "failed":
            raise AirflowFailException(trigger.failure(ended))
        result = trigger.result(ended)
        if objection := self.objection(result):
            raise AirflowFailException(objection)
        return result

    def _first_look(self, context: Context) -> PokeReturnValue:
        from airflow_provider_persona.api.errors import PersonaError

        try:
            return self.poke(context)
        except PersonaError as error:  # those that a retry may mend
            if not self.silent_fail:
                raise
            self.log.warning("%s; looking again in the triggerer", error)
            return PokeReturnValue(is_done=False)

    @contextmanager
    def _failing_as_when_poking(self) -> Iterator[None]:
        """End the task as `BaseSensorOperator.execute` does after an error: skipped where its arguments say so."""
        try:
            yield
        except AirflowSkipException:  # it is an `Exception` too, and would be wrapped below
            raise
        except (AirflowFailException, AirflowSensorTimeout) as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(f"skipped instead of failed: {error}") from error
            raise
        except Exception as error:
            if self.never_fail:
                raise AirflowSkipException(f"skipped instead of failed: {error}") from error
            raise
