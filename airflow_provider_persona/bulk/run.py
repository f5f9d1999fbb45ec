"""A bulk run from rows to report in one step, in a folder of its own: plan or resume, apply, judge."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_persona.api.messages import canonical_json
from airflow_provider_persona.bulk.apply import ApplyOptions
from airflow_provider_persona.bulk.errors import PlanError, RunFailedError, RunStoppedError
from airflow_provider_persona.bulk.ledger import read_ledger
from airflow_provider_persona.bulk.plan import Plan, read_plan, write_plan
from airflow_provider_persona.bulk.report import Report
from airflow_provider_persona.bulk.rows import ColumnMapping, InvalidRow, Wish
from airflow_provider_persona.bulk.store import StorePath, names_in, prepare_folder

log = logging.getLogger(__name__)

_LONGEST_NAME = 120


def fingerprint(*parts: Any) -> str:
    """Return a short hash of what rows come from, to tell a plan of the same source from another's."""
    return hashlib.sha256(canonical_json([str(part) for part in parts])).hexdigest()[:16]


def wishes_of(
    rows: Iterable[Mapping[str, Any]], mapping: Mapping[str, Any] | None, columns: Iterable[str] | None = None
) -> Iterator[Wish | InvalidRow]:
    """Yield what each row wishes for.

    :param rows: the rows.
    :param mapping: as for `ColumnMapping.of`.
    :param columns: the columns, where they are known without a row; by default those of each row.
    :raises MissingColumnError: when the rows lack a column; with `columns`, also when there are no rows.
    """
    known = None if columns is None else ColumnMapping.of(mapping, columns)
    of_keys: dict[tuple[str, ...], ColumnMapping] = {}
    for row in rows:
        keys = tuple(row)
        if known is None and keys not in of_keys:
            of_keys[keys] = ColumnMapping.of(mapping, keys)
        yield (known or of_keys[keys]).read(row)


def plan_or_resume(
    wishes: Callable[[], Iterable[Wish | InvalidRow]],
    folder: StorePath,
    *,
    run: str,
    source: str,
    environment: str | None,
    utc: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Plan:
    """Return the plan that an interrupted attempt left in `folder`, or a new one.

    A plan is taken up again while it has rows to settle. One that is settled stays as the record of what was done, and
    a new one is made beside it: whoever runs a task again after success wants the warehouse looked at again.

    :param wishes: gives the rows, asked only for a new plan.
    :param folder: the run's own folder; each plan stands in a numbered one below it.
    :param run: identity of the run.
    :param source: fingerprint of where the rows come from; a plan of another source is not taken up.
    :param environment: id of the environment it is for, when known.
    :param utc: UTC time, for records.
    :raises StoreError: when the folder cannot be written to.
    :raises PlanError: when the plan found there is damaged or for another environment.
    """
    numbers = [int(name) for name in names_in(folder) if name.isdecimal()]
    last = max(numbers, default=0)
    found = read_plan(folder / str(last)) if last else None
    if found is not None and _is_to_be_resumed(found, source):
        if found.header.environment not in (None, environment) and environment is not None:
            raise PlanError(
                f"{found.uri} is for environment {found.header.environment}, the connection is for {environment}"
            )
        log.info("Going on with the plan of an earlier attempt, %s", found.uri)
        return found
    number = last + 1 if found is not None else max(last, 1)
    prepare_folder(folder / str(number))
    plan = write_plan(
        wishes(),
        folder / str(number),
        run=f"{run}/{number}",  # two plans of a run must not share keys, however soon one follows the other
        source=source,
        environment=environment,
        created_at=utc().isoformat(timespec="seconds"),
    )
    if found is not None:
        found.forget_values()  # nothing will ever take it up again
    return plan


def _is_to_be_resumed(plan: Plan, source: str) -> bool:
    if plan.header.source != source:
        log.info("%s came from another query or mapping; planning anew", plan.uri)
        return False
    return read_ledger(plan.folder, plan.header.hash).is_worth_another_attempt


def judge(report: Report, options: ApplyOptions) -> None:
    """Fail a run that did not end well, after all it could do was done.

    :raises RunStoppedError: when it stopped before its end.
    :raises RunFailedError: when more rows failed than are allowed, or the balance does not hold.
    """
    if report.stopped is not None:
        left = report.rows - report.settled + report.failures
        raise RunStoppedError(
            f"the run stopped with {left} of {report.rows} rows not done: {report.stopped}. {report}",
            retryable=not report.stopped_for_good,
        )
    if not report.is_balanced:
        raise RunFailedError(f"{report.settled} outcomes for {report.rows} rows; the ledger is at {report.ledger}")
    if options.max_failures.is_exceeded_by(report.failures, report.rows):
        raise RunFailedError(
            f"{report.failures} of {report.rows} rows failed, {options.max_failures.allowed} may; each with its reason "
            f"in the ledger, {report.ledger}. {report}",
            retryable=report.retryable_failures > 0,
        )


def run_folder(root: StorePath, parts: Iterable[str]) -> StorePath:
    """Return the folder of a run below `root`; each part becomes one name that is safe in any store."""
    folder = root
    for part in parts:
        folder = folder / _safe(part)
    return folder


def _safe(part: str) -> str:
    kept = "".join(character if _is_safe(character) else "_" for character in part)
    if kept == part and part.strip(".") and len(part) <= _LONGEST_NAME:
        return part
    return f"{kept.strip('.')[:80]}-{fingerprint(part)[:8]}"


def _is_safe(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character in "-_.")
