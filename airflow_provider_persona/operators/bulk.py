"""Updates many cases in one task, by rows that are at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_persona.tasks.bulk_arguments import (
    Applying,
    Compare,
    GivenRows,
    Guards,
    InVain,
    Thresholds,
    columns,
    one_step_job,
)
from airflow_provider_persona.tasks.bulk_task import BulkOperator, run_bulk_task
from airflow_provider_persona.tasks.failure import at_work
from airflow_provider_persona.tasks.row_sources import GivenSource

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class PersonaBulkUpdateCasesOperator(BulkOperator):
    """Updates cases by rows that are at hand: a list in the Dag, or another task's result.

    For rows in a database use `SqlToPersonaCasesOperator`, which streams them; what is said there holds here too.

    Returns to XCom the report: counts by outcome, the addresses of plan and ledger, requests and seconds; never a row.
    When the task fails for its rows, the same report is pushed under the key `report`.
    """

    groups = (GivenRows, columns("case"), Guards, Compare, Thresholds, Applying, InVain)

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan or resume, apply, report.

        :raises AirflowFailException: when it failed in a way that a retry would meet again.
        :raises PersonaError: when Persona failed before a row could.
        :raises BulkError: when it stopped or too many rows failed, and a retry may help.
        """
        with at_work(self):
            given = self.given()
            job = one_step_job("case", GivenSource.of(given["changes"]), given)
            return run_bulk_task(self, job, context)
