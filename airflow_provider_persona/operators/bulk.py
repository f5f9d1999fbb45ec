"""Updates many cases in one task, by rows that are at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_persona.tasks.bulk_arguments import (
    APPLYING,
    COLUMNS,
    COMPARE,
    GIVEN_ROWS,
    GUARDS,
    IN_VAIN,
    KEEPING,
    THRESHOLDS,
    one_step_job,
)
from airflow_provider_persona.tasks.bulk_task import BulkOperator, run_bulk_task
from airflow_provider_persona.tasks.failure import fail_without_retry
from airflow_provider_persona.tasks.row_sources import GivenSource
from airflow_provider_persona.tasks.stopping import stop_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class PersonaBulkUpdateCasesOperator(BulkOperator):
    """Updates cases by rows that are at hand: a list in the Dag, or another task's result.

    For rows in a database use `SqlToPersonaCasesOperator`, which streams them; what is said there holds here too.

    Returns to XCom the report: counts by outcome, the addresses of plan and ledger, requests and seconds; never a row.
    When the task fails for its rows, the same report is pushed under the key `report`.
    """

    arguments = GIVEN_ROWS + COLUMNS + GUARDS + COMPARE + THRESHOLDS + APPLYING + IN_VAIN + KEEPING

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan or resume, apply, report.

        :raises AirflowFailException: when it failed in a way that a retry would meet again.
        :raises PersonaError: when Persona failed before a row could.
        :raises BulkError: when it stopped or too many rows failed, and a retry may help.
        """
        with stop_of(self).heeded(), fail_without_retry():
            given = self.given()
            job = one_step_job("case", GivenSource.of(given["changes"]), given)
            return run_bulk_task(self, job, context)
