"""Sensors that wait for cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.tasks.arguments import as_mapping
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.tasks.wait_sensor import PersonaWaitSensor

if TYPE_CHECKING:
    from airflow_provider_persona.triggers.cases import PersonaCasesTrigger, PersonaCaseTrigger

_WAITS_FOR_NOTHING: Final = "waits for nothing; give target_statuses or resolved=True"


class PersonaCaseSensor(PersonaWaitSensor):
    """Waits until one case has a wanted status.

    Statuses are labels that your templates define; which of them are final cannot be told from a case. Name them, or
    let `resolved` stand in for them. The case's status is returned to XCom.
    """

    case_id: str = argument("the case (`case_…`).")
    target_statuses: str | Sequence[str] | None = argument("a status, or several, that end the wait.", default=None)
    failure_statuses: str | Sequence[str] | None = argument(
        "a status, or several, that fail the task at once.", default=None
    )
    resolved: bool = argument(
        "end the wait when the case has a time of resolution, whatever its status.", default=False, is_template=False
    )

    def check_arguments(self) -> None:
        """Refuse a wait that would never end.

        :raises ValueError: when neither `target_statuses` nor `resolved` is given.
        """
        super().check_arguments()
        given = self.given()
        if given["target_statuses"] in (None, [], ()) and not given["resolved"]:
            raise ValueError(f"{self.task_id} {_WAITS_FOR_NOTHING}")

    def trigger(self, **waiting: Any) -> PersonaCaseTrigger:
        """Return the trigger that watches the case.

        :raises PersonaSettingsError: when `target_statuses` renders to no status, and `resolved` is not given.
        """
        from airflow_provider_persona.api.errors import PersonaSettingsError
        from airflow_provider_persona.api.lifecycle import labels
        from airflow_provider_persona.triggers.cases import PersonaCaseTrigger

        given = self.given()
        targets, failures = sorted(labels(given["target_statuses"])), sorted(labels(given["failure_statuses"]))
        if not targets and not given["resolved"]:
            raise PersonaSettingsError(_WAITS_FOR_NOTHING)
        return PersonaCaseTrigger(given["case_id"], targets, failures, resolved=given["resolved"], **waiting)


class PersonaCasesSensor(PersonaWaitSensor):
    """Waits until a filter finds few enough cases, or enough.

    Without a number it waits until none remain. Cases are counted no further than the answer needs, so "none remain" is
    one request. Their number, up to that, is returned to XCom.
    """

    filters: Mapping[str, str] = argument(
        "by filter name: `status`, `case-template-id`, `account-id`, `reference-id`, `inquiry-id`, `report-id`, one "
        "value each. The trigger of a deferred sensor needs them: Airflow keeps its arguments encrypted, as long as "
        "the wait lasts.",
        private=True,
    )
    at_most: int | None = argument(
        "wait until so many cases remain, or fewer; 0 when neither number is given.", default=None, is_template=False
    )
    at_least: int | None = argument(
        "wait until so many cases are there, or more; 1 at least.", default=None, is_template=False
    )

    def check_arguments(self) -> None:
        """Refuse numbers that make no sense.

        :raises ValueError: when both are given, or one is too small.
        """
        super().check_arguments()
        at_most, at_least = self.given()["at_most"], self.given()["at_least"]
        if at_most is not None and at_least is not None:
            raise ValueError(f"{self.task_id}: give either at_most or at_least")
        if (at_most is not None and at_most < 0) or (at_least is not None and at_least < 1):
            raise ValueError(f"{self.task_id}: give an at_most of 0 or more, or an at_least of 1 or more")

    def trigger(self, **waiting: Any) -> PersonaCasesTrigger:
        """Return the trigger that counts the cases.

        :raises BadCallError: when `filters` renders to no mapping.
        """
        from airflow_provider_persona.triggers.cases import PersonaCasesTrigger

        given = self.given()
        filters = as_mapping(given["filters"], "filters")
        if filters is None:  # a template that found nothing must not become the filter that finds all
            raise BadCallError("filters is a mapping, and an empty one for all cases; it is not given")
        at_most, at_least = given["at_most"], given["at_least"]
        if at_most is None and at_least is None:
            at_most = 0
        return PersonaCasesTrigger(filters, at_most=at_most, at_least=at_least, **waiting)
