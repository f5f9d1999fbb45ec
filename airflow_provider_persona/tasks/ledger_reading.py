"""Reads the ledger of a run that has ended, once for all that need it."""

from __future__ import annotations

from airflow_provider_persona.bulk.ledger.ledger import read_results
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.ledger.reasons import Reason, ReasonCount
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.ledger.table import LedgerTable
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.tasks.state_path import store_path


def read_once(report: Report, table: LedgerTable | None) -> tuple[tuple[Reason, ...], int | StoreError | None]:
    """Read the ledger once, where anything needs it: for why rows failed or are invalid, and for its table.

    :returns: the reasons, and how many rows the table holds now, or why it could not be written.
    """
    if table is None and not report.failures and not report.counts[RowOutcome.INVALID]:
        return (), None
    count = ReasonCount()
    results = count.over(read_results(store_path(report.plan).parent, report.plan_hash))
    copied: int | StoreError | None = None
    try:
        if table is not None:
            copied = table.copy(results, report.plan_hash)
    except StoreError as error:  # returned, since the reasons are still to be logged before it ends the task
        copied = error
    for _ in results:
        pass  # without a table, or after it refused a line, the reasons are still to be counted
    return count.top(), copied
