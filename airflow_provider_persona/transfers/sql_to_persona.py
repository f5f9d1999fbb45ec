"""From a query of a warehouse to changed cases, inquiries and other objects, or to any calls of Persona's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.tasks.arguments import as_mapping, as_text
from airflow_provider_persona.tasks.bulk_arguments import (
    Applying,
    Compare,
    Guards,
    InVain,
    Query,
    Thresholds,
    ThresholdsWithoutStatus,
    apply_options,
    columns,
    one_step_job,
    query_source,
)
from airflow_provider_persona.tasks.bulk_task import BulkOperator, run_bulk_task
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.tasks.failure import at_work

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class SqlToPersonaCasesOperator(BulkOperator):
    """Updates Persona cases from a SQL query, in one task.

    The query is streamed, so a large result needs no more memory than a small one. It needs a column `case_id` and at
    least one that says what should be true of the case, most often `status`; see `mapping` for the others and for other
    names. The rows become a plan in a file. The plan is applied with many rows under way at once, within the request
    limit, and what became of each row is on a ledger beside the plan. A retry after a crash resumes where the ledger
    ends.

    Returns to XCom the report: counts by outcome, the addresses of plan and ledger, requests and seconds; never a row.
    When the task fails for its rows, the same report is pushed under the key `report`.
    """

    groups = (Query, columns("case"), Guards, Compare, Thresholds, Applying, InVain)
    template_ext: Sequence[str] = (".sql",)

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan or resume, apply, report.

        :raises AirflowFailException: when it failed in a way that a retry would meet again.
        :raises PersonaError: when Persona failed before a row could.
        :raises BulkError: when it stopped or too many rows failed, and a retry may help.
        """
        return _change(self, "case", context)


class SqlToPersonaInquiriesOperator(BulkOperator):
    """Decides, reviews, expires or resumes Persona inquiries from a SQL query, and sets their fields, note and tags.

    The query needs a column `inquiry_id` and at least one of the others, see `mapping`. A `status` becomes the action
    that leads there: `approved`, `declined` (both with a `comment`, if there is such a column), `needs_review`,
    `expired`, or `pending`, which resumes an expired inquiry. A row with another status is invalid. Where the state of
    an inquiry forbids the action, that row fails with what Persona says, and the others are done. No action takes back
    a decision or a review.

    All else is as for `SqlToPersonaCasesOperator`, what it returns too.
    """

    groups = (Query, columns("inquiry"), Guards, Compare, Thresholds, Applying, InVain)
    template_ext: Sequence[str] = (".sql",)

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan or resume, apply, report; errors as for `SqlToPersonaCasesOperator`."""
        return _change(self, "inquiry", context)


class SqlToPersonaAccountsOperator(BulkOperator):
    """Sets fields and tags of Persona accounts from a SQL query.

    The query needs a column `account_id` and at least one of the others, see `mapping`. Accounts have no status that a
    call sets, so there are no guards. An account that changed since it was planned is left alone all the same.

    All else is as for `SqlToPersonaCasesOperator`, what it returns too.
    """

    groups = (Query, columns("account"), Compare, ThresholdsWithoutStatus, Applying, InVain)
    template_ext: Sequence[str] = (".sql",)

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan or resume, apply, report; errors as for `SqlToPersonaCasesOperator`."""
        return _change(self, "account", context)


class SqlToPersonaTransactionsOperator(BulkOperator):
    """Sets fields, labels and tags of Persona transactions from a SQL query.

    The query needs a column `transaction_id` and at least one of the others, see `mapping`. A transaction does not show
    which label it has, so a row with a `label` is never found right, and each run sets the label again.

    All else is as for `SqlToPersonaAccountsOperator`.
    """

    groups = (Query, columns("transaction"), Compare, ThresholdsWithoutStatus, Applying, InVain)
    template_ext: Sequence[str] = (".sql",)

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan or resume, apply, report; errors as for `SqlToPersonaCasesOperator`."""
        return _change(self, "transaction", context)


class SqlToPersonaReportsOperator(BulkOperator):
    """Dismisses and reviews matches of Persona reports, pauses and resumes monitoring, from a SQL query; and sets tags.

    The query needs a column `report_id` and at least one of the others, see `mapping`. `dismiss_reason` dismisses all
    matches, or those whose ids are in a column `dismiss_matches`, in which NULL makes a row invalid; reports of adverse
    media need ids. `monitoring` is `active` or `paused`. Where `rerun` is true the report runs again, for which Persona
    may charge. A run that was lost without an answer is not repeated later: its row ends `unresolved`.

    A report does not say when it was changed, so changes between plan and apply go unnoticed. All else is as for
    `SqlToPersonaAccountsOperator`.
    """

    groups = (Query, columns("report"), Compare, ThresholdsWithoutStatus, Applying, InVain)
    template_ext: Sequence[str] = (".sql",)

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan or resume, apply, report; errors as for `SqlToPersonaCasesOperator`."""
        return _change(self, "report", context)


def _change(task: BulkOperator, kind: str, context: Context) -> dict[str, Any]:
    """Change objects of one kind as the task's query says."""
    with at_work(task):
        given = task.given()
        return run_bulk_task(task, one_step_job(kind, query_source(given), given), context)


class SqlToPersonaOperator(BulkOperator):
    """Makes one call of Persona's API for each row of a SQL query, whatever operation it is.

    The calls stay within the request limit, each is made once, and a ledger lets a retry resume after a crash, as for
    changes of cases. What is safe to send again follows from the operation: one that leaves the same state when done
    twice is repeated after a failure; one that makes something new is repeated only under the key that makes Persona
    answer with what it did before, and the row ends `unresolved` where that is impossible. Rows that repeat another are
    called once. A retry resumes where the try before it ended; a task that is cleared after it has made its calls
    makes them again.

    The objects are not looked at first, so there are no guards and no comparison here; for the status of cases use
    `SqlToPersonaCasesOperator`.

    Returns to XCom the report, as `SqlToPersonaCasesOperator` does.
    """

    operation_id: str = argument("the operation, for example `create-an-email-address-list-item`; one that writes.")
    path: Mapping[str, str] | None = argument(
        'from path parameters to columns, like `{"account-id": "account_id"}`.', default=None
    )
    body: Mapping[str, str] | None = argument(
        'from body keys, dotted, to columns, like `{"meta.tag-name": "tag"}`. A column that is NULL is left out.',
        default=None,
    )
    constants: Mapping[str, Any] | None = argument(
        "path parameters and dotted body keys that are the same for every row.", default=None, private=True
    )
    groups = (Query, Applying, InVain)
    template_ext: Sequence[str] = (".sql",)

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan or resume, make the calls, report.

        :raises AirflowFailException: when it failed in a way that a retry would meet again.
        :raises PersonaError: when Persona failed before a row could.
        :raises BulkError: when it stopped or too many rows failed, and a retry may help.
        """
        from airflow_provider_persona.bulk.job import BulkJob
        from airflow_provider_persona.bulk.source.rows import MappedRows
        from airflow_provider_persona.bulk.subjects import operation_subject
        from airflow_provider_persona.bulk.subjects.operation import OperationRows

        with at_work(self):
            given = self.given()
            operation_id = as_text(given["operation_id"], "operation_id") or ""
            parts = (as_mapping(given[name], name) or {} for name in ("path", "body", "constants"))
            job = BulkJob(
                rows=MappedRows(query_source(given), OperationRows(operation_id, *parts)),
                subject=operation_subject(operation_id),
                applying=apply_options(given),
            )
            return run_bulk_task(self, job, context)
