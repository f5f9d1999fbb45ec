"""How a plan is applied: what the arguments of a task come to."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_persona.bulk.apply.halt import DEFAULT_RETRY_SHARE, CircuitBreaker
from airflow_provider_persona.bulk.ledger.report import Approval
from airflow_provider_persona.bulk.ledger.writer import unsynced_rows
from airflow_provider_persona.bulk.plan.limits import check_count, check_count_or_share

DEFAULT_CONCURRENCY = 24
"""Rows under way at once. It is also how many requests a killed process may have to repeat."""


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How a plan is applied. Its guards are the plan's own.

    :param read_first: whether to read every object before writing to it, and leave out what is already right.
    :param heed_drift: whether to leave alone an object that was changed after it was read for the plan.
    :param dry_run: whether to write nothing; rows that would be sent become `planned`.
    :param sample: how many rows are changed at most, spread over the plan's transitions, and then read again; all
        others that would be sent become `planned`. None to change all. A dry run has no sample.
    :param concurrency: rows under way at once.
    :param max_failures: how many rows (int), or which share of them (float), may fail without failing the run.
    :param max_retry_share: retries for every success that are bearable before the run stops.
    :param verify: whether to read the changed objects again at the end and report differences.
    :param progress_every: seconds between reports of progress.
    :param fail_in_vain: whether a run fails that could do nothing for any row, because all are invalid or no object has
        the status that they expect.
    :param keys_may_be_old: whether an attempt that left no trace here may have used the run's idempotency keys in
        the last hour, so that Persona may repeat the answers of then. An answer that shows an older state is then
        checked by a look, which costs a read for each row that was right already. False only where the run's identity
        is certainly new.
    :param approval: who approved the plan, or None when nobody was asked.
    """

    read_first: bool = False
    heed_drift: bool = False
    dry_run: bool = False
    sample: int | None = None
    concurrency: int = DEFAULT_CONCURRENCY
    max_failures: int | float = 0
    max_retry_share: float = DEFAULT_RETRY_SHARE
    verify: bool = False
    progress_every: float = 5.0
    fail_in_vain: bool = True
    keys_may_be_old: bool = True
    approval: Approval | None = None

    def __post_init__(self) -> None:
        check_count(self.concurrency, "concurrency", least=1)
        if self.sample is not None:
            check_count(self.sample, "sample", least=1)
        check_count_or_share(self.max_failures, "max_failures")
        CircuitBreaker(self.max_retry_share)

    def unsynced_rows(self, rows: int) -> int:
        """Return of how many rows a power cut may take all lines of the ledger: the first that have no outcome.

        :param rows: rows of the plan. Those of a sample are begun here and there, so any may be among them.
        """
        if self.dry_run:
            return 0  # it begins none
        return rows if self.sample is not None else unsynced_rows(self.concurrency)
