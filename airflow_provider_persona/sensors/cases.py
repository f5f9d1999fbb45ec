"""Sensors that wait for cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_persona.operators.private_templates import PrivateTemplate, revealed
from airflow_provider_persona.sensors.waiting import PersonaWaitSensor

if TYPE_CHECKING:
    from airflow_provider_persona.api.lifecycle import CaseGoal, CountGoal
    from airflow_provider_persona.triggers.waiting import PersonaWaitTrigger, WaitEnded


class PersonaCaseSensor(PersonaWaitSensor):
    """Waits until one case has a wanted status.

    Statuses are labels that your templates define; which of them are final cannot be told from a case. Name them, or
    let `resolved` stand in for them. The case's status is returned to XCom.

    :param case_id: the case (`case_…`).
    :param target_statuses: a status, or several, that end the wait.
    :param failure_statuses: a status, or several, that fail the task at once.
    :param resolved: end the wait when the case has a time of resolution, whatever its status.
    :param persona_conn_id: connection of type `persona`.
    :param deferrable: wait in the triggerer instead of a worker.
    :param first_poll_after: seconds before the first look in the triggerer; by default `poke_interval`, and no less
        than 15 s.

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

    def look(self) -> WaitEnded | None:
        """Read the case's status once."""
        from airflow_provider_persona.triggers.waiting import WaitEnded

        case = self.hook.get_case(self.case_id, fields=["status", "resolved-at"])
        self.log.info("%s has status %s", self.case_id, case.status)
        return WaitEnded.by(self.goal.verdict(case), status=case.status)

    def trigger(self, **waiting: Any) -> PersonaWaitTrigger:
        """Return the trigger that watches the case."""
        from airflow_provider_persona.triggers.cases import PersonaCaseTrigger

        goal = self.goal
        targets, failures = sorted(goal.target_statuses), sorted(goal.failure_statuses)
        return PersonaCaseTrigger(self.case_id, targets, failures, resolved=goal.resolved, **waiting)

    def take(self, ended: WaitEnded) -> str | None:
        """Return the status that ended the wait."""
        if ended.ended == "failed":
            raise AirflowFailException(
                f"{self.case_id} has status {ended.status}, which the sensor takes for a failure"
            )
        return ended.status


class PersonaCasesSensor(PersonaWaitSensor):
    """Waits until a filter finds few enough cases, or enough.

    Without a number it waits until none remain. Cases are counted no further than the answer needs, so "none remain" is
    one request. Their number, up to that, is returned to XCom.

    :param filters: by filter name: `status`, `case-template-id`, `account-id`, `reference-id`, `inquiry-id`,
        `report-id`, one value each. Not kept by Airflow as a rendered template. A deferrable sensor's trigger needs
        them: Airflow keeps its arguments encrypted, as long as the wait lasts.
    :param at_most: wait until so many remain, or fewer; 0 when neither is given.
    :param at_least: wait until so many are there, or more; 1 at least.
    :param persona_conn_id: connection of type `persona`.
    :param deferrable: wait in the triggerer instead of a worker.
    :param first_poll_after: seconds before the first look in the triggerer; by default `poke_interval`, and no less
        than 15 s.

    `poke_interval`, `timeout`, `mode` and `soft_fail` are those of every sensor.
    """

    template_fields: Sequence[str] = ("filters", "persona_conn_id")
    filters = PrivateTemplate()

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
        if (at_most is not None and at_most < 0) or (at_least is not None and at_least < 1):
            raise ValueError(f"{self.task_id}: give an at_most of 0 or more, or an at_least of 1 or more")

    @property
    def goal(self) -> CountGoal:
        """What is waited for."""
        from airflow_provider_persona.api.lifecycle import CountGoal

        nothing_given = self.at_most is None and self.at_least is None
        return CountGoal(0 if nothing_given else self.at_most, self.at_least)

    def look(self) -> WaitEnded | None:
        """Count the cases once."""
        from airflow_provider_persona.api.pagination import PAGE_SIZE
        from airflow_provider_persona.triggers.waiting import WaitEnded

        goal = self.goal
        filters = revealed(self.filters)
        cases = self.hook.list_cases(filters=filters, fields=["status"], page_size=min(goal.enough, PAGE_SIZE))
        seen = sum(1 for _ in islice(cases, goal.enough))
        self.log.info("The filter finds %s%d cases", "at least " if seen == goal.enough else "", seen)
        return WaitEnded.by(goal.verdict(seen), count=seen)

    def trigger(self, **waiting: Any) -> PersonaWaitTrigger:
        """Return the trigger that counts the cases."""
        from airflow_provider_persona.triggers.cases import PersonaCasesTrigger

        goal = self.goal
        return PersonaCasesTrigger(revealed(self.filters), at_most=goal.at_most, at_least=goal.at_least, **waiting)

    def take(self, ended: WaitEnded) -> int | None:
        """Return the number of cases that ended the wait."""
        return ended.count
