"""Sensors that wait for cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseSensorOperator, PokeReturnValue, conf

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.task_failure import failing_for_good_when_useless_to_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.api.lifecycle import CaseGoal, CountGoal
    from airflow_provider_persona.hooks.persona import PersonaHook
    from airflow_provider_persona.triggers.cases import WaitEnded, _CaseWatch


class _CaseSensor(BaseSensorOperator):
    """What the sensors on cases share: one hook for all looks, and the way into and out of a deferral.

    :param persona_conn_id: connection of type `persona`.
    :param deferrable: wait in the triggerer instead of a worker. The first look there comes one `poke_interval` late.
    """

    def __init__(
        self,
        *,
        persona_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.persona_conn_id = persona_conn_id
        self.deferrable = deferrable

    @cached_property
    def hook(self) -> PersonaHook:
        """The hook of all looks of this task."""
        from airflow_provider_persona.hooks.persona import PersonaHook

        return PersonaHook(self.persona_conn_id)

    def look(self) -> PokeReturnValue:
        """Look once."""
        raise NotImplementedError

    def trigger(self) -> _CaseWatch:
        """Return the trigger that waits in this sensor's stead."""
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
            return self.look()

    def execute(self, context: Context) -> Any:
        """Wait here, or look once and then in the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        first = self.poke(context)
        if first.is_done:
            return first.xcom_value
        self.defer(timeout=timedelta(seconds=self.timeout), trigger=self.trigger(), method_name="execute_complete")
        return None

    def execute_complete(self, context: Context, event: Any = None) -> Any:  # noqa: ARG002 - the context is Airflow's
        """Take in the trigger's event.

        :raises AirflowFailException: when waiting is of no use any more.
        :raises PersonaError: as the trigger met it, when a retry may help.
        """
        from airflow_provider_persona.triggers.cases import WaitEnded

        with failing_for_good_when_useless_to_retry():
            return self.take(WaitEnded.from_event(event))


class PersonaCaseSensor(_CaseSensor):
    """Waits until one case has a wanted status.

    Statuses are labels that your templates define; which of them are final cannot be told from a case. Name them, or
    let `resolved` stand in for them. The case's status is returned to XCom.

    :param case_id: the case (`case_…`).
    :param target_statuses: a status, or several, that end the wait.
    :param failure_statuses: a status, or several, that fail the task at once.
    :param resolved: end the wait when the case has a time of resolution, whatever its status.
    :param persona_conn_id: connection of type `persona`.
    :param deferrable: wait in the triggerer instead of a worker.

    `poke_interval`, `timeout`, `mode` and `soft_fail` are those of every sensor.
    """

    template_fields: Sequence[str] = ("case_id", "target_statuses", "failure_statuses", "persona_conn_id")

    def __init__(
        self,
        *,
        case_id: str,
        target_statuses: str | Sequence[str] | None = None,
        failure_statuses: str | Sequence[str] | None = None,
        resolved: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.case_id = case_id
        self.target_statuses = target_statuses
        self.failure_statuses = failure_statuses
        self.resolved = resolved
        if target_statuses is None and not resolved:
            raise ValueError(f"{self.task_id} waits for nothing; give target_statuses or resolved=True")

    @property
    def goal(self) -> CaseGoal:
        """What is waited for, as rendered."""
        from airflow_provider_persona.api.lifecycle import CaseGoal, labels

        return CaseGoal(labels(self.target_statuses), labels(self.failure_statuses), self.resolved)

    def look(self) -> PokeReturnValue:
        """Read the case's status once."""
        from airflow_provider_persona.api.lifecycle import Verdict

        case = self.hook.get_case(self.case_id, fields=["status", "resolved-at"])
        self.log.info("%s has status %s", self.case_id, case.status)
        verdict = self.goal.verdict(case)
        if verdict is Verdict.FAILED:
            raise AirflowFailException(f"{self.case_id} has status {case.status}, which the sensor takes for a failure")
        return PokeReturnValue(is_done=verdict is Verdict.REACHED, xcom_value=case.status)

    def trigger(self) -> _CaseWatch:
        """Return the trigger that watches the case."""
        from airflow_provider_persona.triggers.cases import PersonaCaseTrigger

        goal = self.goal
        return PersonaCaseTrigger(
            self.case_id,
            sorted(goal.target_statuses),
            sorted(goal.failure_statuses),
            resolved=goal.resolved,
            persona_conn_id=self.persona_conn_id,
            poll_interval=self.poke_interval,
        )

    def take(self, ended: WaitEnded) -> str | None:
        """Return the status that ended the wait."""
        if ended.ended == "failed":
            raise AirflowFailException(
                f"{self.case_id} has status {ended.status}, which the sensor takes for a failure"
            )
        self.log.info("%s has status %s", self.case_id, ended.status)
        return ended.status


class PersonaCasesSensor(_CaseSensor):
    """Waits until a filter finds few enough cases, or enough.

    Without a number it waits until none remain. Cases are counted no further than the answer needs, so "none remain" is
    one request. Their number, up to that, is returned to XCom.

    :param filters: by filter name: `status`, `case-template-id`, `account-id`, `reference-id`, `inquiry-id`,
        `report-id`, one value each.
    :param at_most: wait until so many remain, or fewer; 0 when neither is given.
    :param at_least: wait until so many are there, or more.
    :param persona_conn_id: connection of type `persona`.
    :param deferrable: wait in the triggerer instead of a worker.

    `poke_interval`, `timeout`, `mode` and `soft_fail` are those of every sensor.
    """

    template_fields: Sequence[str] = ("filters", "persona_conn_id")

    def __init__(
        self,
        *,
        filters: Mapping[str, str],
        at_most: int | None = None,
        at_least: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.at_most = at_most
        self.at_least = at_least
        if at_most is not None and at_least is not None:
            raise ValueError(f"{self.task_id}: give either at_most or at_least")

    @property
    def goal(self) -> CountGoal:
        """What is waited for."""
        from airflow_provider_persona.api.lifecycle import CountGoal

        nothing_given = self.at_most is None and self.at_least is None
        return CountGoal(0 if nothing_given else self.at_most, self.at_least)

    def look(self) -> PokeReturnValue:
        """Count the cases once."""
        from airflow_provider_persona.api.lifecycle import Verdict
        from airflow_provider_persona.api.pagination import PAGE_SIZE

        goal = self.goal
        cases = self.hook.list_cases(filters=self.filters, fields=["status"], page_size=min(goal.enough, PAGE_SIZE))
        seen = sum(1 for _ in islice(cases, goal.enough))
        self.log.info("The filter finds %s%d cases", "at least " if seen == goal.enough else "", seen)
        return PokeReturnValue(is_done=goal.verdict(seen) is Verdict.REACHED, xcom_value=seen)

    def trigger(self) -> _CaseWatch:
        """Return the trigger that counts the cases."""
        from airflow_provider_persona.triggers.cases import PersonaCasesTrigger

        goal = self.goal
        return PersonaCasesTrigger(
            self.filters,
            at_most=goal.at_most,
            at_least=goal.at_least,
            persona_conn_id=self.persona_conn_id,
            poll_interval=self.poke_interval,
        )

    def take(self, ended: WaitEnded) -> int | None:
        """Return the number of cases that ended the wait."""
        self.log.info("The filter finds %s cases", ended.count)
        return ended.count
