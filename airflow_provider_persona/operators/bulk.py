"""Operators that change many cases in one task: plan, apply, ledger, report."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.operators.private_templates import PrivateTemplate, revealed
from airflow_provider_persona.task_failure import failing_for_good_when_useless_to_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.bulk.apply import ApplyOptions
    from airflow_provider_persona.bulk.plan import Plan
    from airflow_provider_persona.bulk.report import Report
    from airflow_provider_persona.bulk.rows import InvalidRow, Wish
    from airflow_provider_persona.bulk.store import StorePath
    from airflow_provider_persona.hooks.persona import PersonaHook


class BulkCaseUpdateOperator(BaseOperator):
    """What all operators share that change many cases; they differ in where the rows come from.

    The rows become a plan in a file, the plan is applied with many rows under way at once within the request limit, and
    what became of each row is on a ledger beside the plan. A retry after a crash goes on where the ledger ends.

    Returns to XCom the report: counts by outcome, the addresses of plan and ledger, requests and seconds; never a row.
    When the task fails for its rows, the same report is pushed under the key `report`.

    :param mapping: from our names (`case_id`, `status`, `expected_status`, `assignee`, `case_queue_id`,
        `sla_expires_in`, `tags`, `add_tags`, `remove_tags`, `add_objects`, `remove_objects`, `fields`) to columns.
        Columns that have our names need none. Under `fields`: the column with an object, or a mapping of custom fields
        to columns.
    :param only_from: change a case only while its status is this one, or one of these.
    :param never_from: never change a case from this status, or these.
    :param compare: `never` writes without looking, except where a guard must look; `get` reads each case first and
        leaves alone what is already so.
    :param dry_run: write nothing; the report says what would be done. May be a template that renders to true or false.
    :param max_failures: rows that may fail without failing the task: a number (int) or a share (float).
    :param concurrency: rows under way at once, which is also how many requests a killed task may have to repeat.
    :param reserve: share of the request limit left to others; by default the connection's, or 0.2.
    :param state_path: folder for plans and ledgers: a local path or an address in an object store; by default what
        `[persona] state_path` says, or the folder `persona` below AIRFLOW_HOME. Where workers lose their disks, give
        an object store.
    :param progress_every: seconds between lines of progress in the log.
    :param persona_conn_id: connection of type `persona`.
    """

    template_fields: Sequence[str] = (
        "mapping",
        "only_from",
        "never_from",
        "is_dry_run",
        "max_failures",
        "state_path",
        "persona_conn_id",
    )
    ui_color = "#dce6ff"

    def __init__(
        self,
        *,
        mapping: Mapping[str, Any] | None = None,
        only_from: str | Sequence[str] | None = None,
        never_from: str | Sequence[str] | None = None,
        compare: str = "never",
        dry_run: bool | str = False,
        max_failures: float | str = 0,
        concurrency: int = 24,
        reserve: float | None = None,
        state_path: str | None = None,
        progress_every: float = 5.0,
        persona_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mapping = mapping
        self.only_from = only_from
        self.never_from = never_from
        self.compare = compare
        self.is_dry_run = dry_run  # `dry_run` is a method of every operator
        self.max_failures = max_failures
        self.concurrency = concurrency
        self.reserve = reserve
        self.state_path = state_path
        self.progress_every = progress_every
        self.persona_conn_id = persona_conn_id

    @abstractmethod
    def read_wishes(self) -> Iterator[Wish | InvalidRow]:
        """Yield what each row wishes for, read as they are asked for."""

    @abstractmethod
    def source(self) -> str:
        """Return a fingerprint of where the rows come from, as rendered."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan or resume, apply, report.

        :raises AirflowFailException: when it failed in a way that a retry would meet again.
        :raises PersonaError: when Persona failed before a row could.
        :raises BulkError: when it stopped or too many rows failed, and a retry may help.
        """
        from airflow_provider_persona.bulk.run import judge
        from airflow_provider_persona.hooks.persona import PersonaHook

        with failing_for_good_when_useless_to_retry():
            options = self._options()
            hook = PersonaHook(self.persona_conn_id, reserve=self.reserve)
            plan = self._plan(hook, context)
            report = asyncio.run(self._apply(plan, hook, options))
            if options.dry_run:
                plan.forget_values()  # this task is the only one that could have applied it
            self.log.info("%s. Plan: %s. Ledger: %s", report, report.plan, report.ledger)
            try:
                judge(report, options)
            except Exception:
                context["ti"].xcom_push(key="report", value=report.to_xcom())
                raise
        return report.to_xcom()

    def _plan(self, hook: PersonaHook, context: Context) -> Plan:
        from airflow_provider_persona.bulk.run import plan_or_resume, run_folder

        ti = context["ti"]
        parts = [ti.dag_id, ti.run_id, ti.task_id]
        if ti.map_index is not None and ti.map_index >= 0:
            parts.append(str(ti.map_index))
        plan = plan_or_resume(
            self.read_wishes,
            run_folder(self._state_root(), parts),
            run="/".join(parts),
            source=self.source(),
            environment=hook.settings.expected_environment_id,
        )
        header = plan.header
        if not header.rows:
            self.log.info("No rows, so nothing to do")
            return plan
        wishes = ", ".join(f"{count} to {status or '(no status)'}" for status, count in header.wishes.items())
        self.log.info(
            "Planned %d rows: %s; %d invalid, %d repeats collapsed. Plan %s, hash %s",
            header.rows,
            wishes or "none valid",
            header.invalid,
            header.repeats,
            plan.uri,
            header.hash,
        )
        return plan

    async def _apply(self, plan: Plan, hook: PersonaHook, options: ApplyOptions) -> Report:
        from airflow_provider_persona.bulk.apply import apply_plan

        async with hook.async_client(connections=options.concurrency) as client:
            return await apply_plan(plan, client, options, on_progress=lambda progress: self.log.info("%s", progress))

    def _options(self) -> ApplyOptions:
        from airflow_provider_persona.bulk.apply import ApplyOptions
        from airflow_provider_persona.bulk.guards import Guards
        from airflow_provider_persona.bulk.report import FailureLimit

        return ApplyOptions(
            guards=Guards.of(self.only_from, self.never_from),
            compare=self.compare,
            dry_run=_as_bool(self.is_dry_run),
            concurrency=self.concurrency,
            max_failures=FailureLimit(_as_number(self.max_failures)),
            progress_every=self.progress_every,
        )

    def _state_root(self) -> StorePath:
        import os
        from pathlib import Path

        given = self.state_path or conf.get("persona", "state_path", fallback="")
        if not given:
            return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "persona"
        if "://" not in given:
            return Path(given).expanduser()
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        path: Any = ObjectStoragePath(given)  # a UPath, which its type does not tell on every Airflow
        return cast("StorePath", path)


class PersonaBulkUpdateCasesOperator(BulkCaseUpdateOperator):
    """Changes cases by rows that are at hand: a list in the Dag, or another task's result.

    For rows in a database use `SqlToPersonaCasesOperator`, which streams them.

    :param changes: rows as mappings, like `[{"case_id": "case_…", "status": "Declined"}]`. A template; what
        it renders to is not kept by Airflow, because rows may hold personal data.

    The other parameters are those of `BulkCaseUpdateOperator`.
    """

    template_fields: Sequence[str] = ("changes", *BulkCaseUpdateOperator.template_fields)
    changes = PrivateTemplate()

    def __init__(self, *, changes: Iterable[Mapping[str, Any]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.changes = changes

    def read_wishes(self) -> Iterator[Wish | InvalidRow]:
        """Yield what each of the given rows wishes for."""
        from airflow_provider_persona.bulk.run import wishes_of

        yield from wishes_of(self._rows(), self.mapping)

    def source(self) -> str:
        """Return a fingerprint of the rows and the mapping."""
        from airflow_provider_persona.bulk.run import fingerprint

        return fingerprint(self._rows(), self.mapping)

    def _rows(self) -> list[Mapping[str, Any]]:
        """Return the rows as rendered.

        :raises BulkError: when `changes` is no list of mappings.
        """
        from airflow_provider_persona.bulk.errors import BulkError

        given = revealed(self.changes)
        rows = list(given) if isinstance(given, Iterable) and not isinstance(given, str | Mapping) else [given]
        if not all(isinstance(row, Mapping) for row in rows) or isinstance(given, Mapping):
            raise BulkError("changes is a list of mappings, like [{'case_id': 'case_…', 'status': 'Declined'}]")
        self.changes = rows  # a generator can be read once only
        return rows


def _as_bool(value: bool | str) -> bool:  # noqa: FBT001 - it is what is converted
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "1", "yes"):
        return True
    if text in ("false", "0", "no", "none", ""):
        return False
    from airflow_provider_persona.bulk.errors import BulkError

    raise BulkError(f"dry_run is true or false, not {value!r}")


def _as_number(value: float | str) -> int | float:
    if not isinstance(value, str):
        return value
    try:
        return float(value) if "." in value else int(value)
    except ValueError:
        from airflow_provider_persona.bulk.errors import BulkError

        raise BulkError(f"max_failures is a number of rows or a share like 0.01, not {value!r}") from None
