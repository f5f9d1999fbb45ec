"""What every task has in common that applies a plan: arguments, the run's folder, progress, the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.operators.rendered import as_bool, as_number, is_given

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.bulk.apply import ApplyOptions
    from airflow_provider_persona.bulk.checkpoint import Checkpoint, CheckpointStore
    from airflow_provider_persona.bulk.plan import Plan
    from airflow_provider_persona.bulk.report import Report
    from airflow_provider_persona.bulk.store import StorePath
    from airflow_provider_persona.client import AsyncPersonaClient
    from airflow_provider_persona.transfers.ledger_table import LedgerTable


class PlanKeepingOperator(BaseOperator):
    """A task with plans in a folder of its own below `state_path`.

    :param state_path: folder for plans and ledgers: a local path or an address in an object store; by default what
        `[persona] state_path` says, or the folder `persona` below AIRFLOW_HOME. Where workers lose their disks, or one
        task plans and another applies, give an object store.
    :param reserve: share of the request limit left to others; by default the connection's, or 0.2.
    :param concurrency: requests under way at once.
    :param persona_conn_id: connection of type `persona`.
    """

    template_fields: Sequence[str] = ("state_path", "persona_conn_id")
    ui_color = "#dce6ff"

    def __init__(
        self,
        *,
        state_path: str | None = None,
        reserve: float | None = None,
        concurrency: int = 24,
        persona_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
            raise ValueError(f"concurrency is a number of requests, 1 or more, not {concurrency!r}")
        self.state_path = state_path
        self.reserve = reserve
        self.concurrency = concurrency
        self.persona_conn_id = persona_conn_id

    def run_parts(self, context: Context) -> list[str]:
        """Return what tells this task's run from any other."""
        ti = context["ti"]
        parts = [ti.dag_id, ti.run_id, ti.task_id]
        if ti.map_index is not None and ti.map_index >= 0:
            parts.append(str(ti.map_index))
        return parts

    def folder(self, context: Context) -> StorePath:
        """Return the folder of this task's run."""
        from airflow_provider_persona.bulk.run import run_folder
        from airflow_provider_persona.state_root import state_root

        return run_folder(state_root(self.state_path if is_given(self.state_path) else None), self.run_parts(context))

    def is_retry(self, context: Context) -> bool:
        """Whether an earlier try of this task did not succeed; one that was cleared begins its tries anew."""
        ti: Any = context["ti"]
        return bool(ti.try_number > ti.max_tries - (self.retries or 0) + 1)

    def log_plan(self, plan: Plan) -> None:
        """Tell what is planned."""
        header = plan.header
        if not header.rows:
            self.log.info("No rows, so nothing to do")
            return
        planned = ", ".join(f"{count} {name}" for name, count in header.planned.items())
        transitions = ", ".join(f"{count} {name}" for name, count in header.transitions.items())
        self.log.info(
            "Planned %d rows: %s; %d repeats collapsed. To be changed: %s. Plan %s, hash %s",
            header.rows,
            planned,
            header.repeats,
            transitions or f"{header.planned.get('change', 0)}",
            plan.uri,
            header.hash,
        )


class ApplyingOperator(PlanKeepingOperator):
    """A task that applies a plan.

    :param dry_run: write nothing; the report says what would be done. May be a template that renders to true or false.
    :param max_failures: rows that may fail without failing the task: a number (int) or a share (float).
    :param max_retry_share: retries for every success that are bearable. When there are more, Persona does not work as
        it should: the run stops sending, and the task fails so that its next try goes on from there.
    :param concurrency: rows under way at once, which is also how many requests a killed task may have to repeat.
    :param verify: read the changed cases again at the end, in pages, and report those that are not as wished.
    :param ledger_table: table to copy the ledger to, `table` or `schema.table`; created when it is missing.
    :param ledger_conn_id: connection of the table's database.
    :param progress_every: seconds between lines of progress in the log.

    The other parameters are those of `PlanKeepingOperator`.
    """

    template_fields: Sequence[str] = (
        *PlanKeepingOperator.template_fields,
        "is_dry_run",
        "max_failures",
        "ledger_table",
        "ledger_conn_id",
    )

    def __init__(
        self,
        *,
        dry_run: bool | str = False,
        max_failures: float | str = 0,
        max_retry_share: float = 0.5,
        verify: bool = False,
        ledger_table: str | None = None,
        ledger_conn_id: str | None = None,
        progress_every: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.is_dry_run = dry_run  # `dry_run` is a method of every operator
        self.max_failures = max_failures
        self.max_retry_share = max_retry_share
        self.verify = verify
        self.ledger_table = ledger_table
        self.ledger_conn_id = ledger_conn_id
        self.progress_every = progress_every

    def apply_options(self, *, read_first: bool = False, heed_drift: bool = False) -> ApplyOptions:
        """Return the options of the engine.

        :raises BulkError: when an argument makes no sense.
        """
        from airflow_provider_persona.bulk.apply import ApplyOptions
        from airflow_provider_persona.bulk.report import FailureLimit

        return ApplyOptions(
            read_first=read_first,
            heed_drift=heed_drift,
            dry_run=as_bool(self.is_dry_run, "dry_run"),
            concurrency=self.concurrency,
            max_failures=FailureLimit(as_number(self.max_failures, "max_failures") or 0),
            max_retry_share=self.max_retry_share,
            verify=as_bool(self.verify, "verify"),
            progress_every=self.progress_every,
        )

    def prepared_ledger_table(self) -> LedgerTable | None:
        """Return the table to copy the ledger to, made ready, or None when there is none.

        :raises BulkError: when it cannot be had; before the first write to Persona.
        """
        if not is_given(self.ledger_table):
            return None
        from airflow_provider_persona.bulk.errors import BulkError
        from airflow_provider_persona.operators.row_sources import sql_hook_of
        from airflow_provider_persona.transfers.ledger_table import LedgerTable

        if not is_given(self.ledger_conn_id):
            raise BulkError("ledger_table needs ledger_conn_id, the connection of its database")
        table = LedgerTable(sql_hook_of(self.ledger_conn_id), self.ledger_table)
        table.prepare()
        return table

    async def apply(
        self,
        plan: Plan,
        client: AsyncPersonaClient,
        options: ApplyOptions,
        checkpoints: CheckpointStore | None,
        carried: Checkpoint | None = None,
    ) -> Report:
        """Apply a plan, with progress in the log and in the task's state."""
        from airflow_provider_persona.bulk.apply import apply_plan

        return await apply_plan(
            plan,
            client,
            options,
            on_progress=lambda progress: self.log.info("%s", progress),
            checkpoints=checkpoints,
            carried=carried,
        )

    def conclude(
        self, report: Report, options: ApplyOptions, table: LedgerTable | None, context: Context
    ) -> dict[str, Any]:
        """Copy the ledger, tell what became of the rows, and fail if need be.

        :returns: the report for XCom.
        :raises BulkError: when the run stopped or too many rows failed; the report is then pushed under `report`.
        """
        from airflow_provider_persona.bulk.run import judge

        self.log.info("%s. Plan: %s. Ledger: %s", report, report.plan, report.ledger)
        if report.differences:
            self.log.warning("%d changed cases are not as wished any more; see differences.jsonl", report.differences)
        try:
            if table is not None:
                self._copy_ledger(report, table)
            judge(report, options)
        except Exception:
            context["ti"].xcom_push(key="report", value=report.to_xcom())
            raise
        return report.to_xcom()

    def _copy_ledger(self, report: Report, table: LedgerTable) -> None:
        from airflow_provider_persona.bulk.ledger import read_results
        from airflow_provider_persona.state_root import store_path

        results = read_results(store_path(report.plan).parent, report.plan_hash)
        self.log.info("%d rows of the ledger are in %s", table.copy(results, report.plan_hash), self.ledger_table)
