"""Workers to be killed: each does what the bulk operators do from rows to report, without Airflow around it.

As a program it is a nursery: it reads a job a line, forks a worker for it, writes the worker's process id, and then its
exit code when it has ended. So a worker needs no time to import, and is a process like any other all the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from object_shelf import shelf_path

from airflow_provider_persona.api.rate_limit import WindowBudget
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.bulk.apply import ApplyOptions, apply_plan
from airflow_provider_persona.bulk.calls import CallMapping, calls_of
from airflow_provider_persona.bulk.checkpoint import Checkpoint
from airflow_provider_persona.bulk.compare import CompareMode
from airflow_provider_persona.bulk.plan import Plan, PlanHeader, read_plan
from airflow_provider_persona.bulk.report import Report
from airflow_provider_persona.bulk.rows import InvalidRow
from airflow_provider_persona.bulk.run import Draft, PlanOptions, complete, judge, resume_or_draft, wishes_of
from airflow_provider_persona.bulk.spool import Written
from airflow_provider_persona.bulk.store import StorePath
from airflow_provider_persona.client import AsyncPersonaClient
from airflow_provider_persona.simulator import SANDBOX_KEY

MORNING = datetime(2026, 1, 5, 8, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is told; the same for each attempt, but for `is_retry`.

    :param url: Persona.
    :param folder: the run's folder, local or `shelf:…`.
    :param rows: the rows.
    :param report: file for the report of an attempt that came to its end.
    :param concurrency: rows under way at once.
    :param compare: how rows are compared with the live cases.
    :param never_from: a guard.
    :param verify: whether the changed cases are read again at the end.
    :param call: arguments of `CallMapping` for rows that are calls, else None.
    :param heeds_drift: whether the plan holds the states of the cases and drift is heeded.
    :param planned: whether `folder` holds a plan that was made before, so that only applying is left.
    :param checkpoints: file for checkpoints, or None.
    :param is_retry: whether an attempt was killed before.
    """

    url: str
    folder: str
    rows: list[dict[str, Any]]
    report: str
    concurrency: int = 24
    compare: str = "never"
    never_from: list[str] = field(default_factory=list)
    verify: bool = False
    call: Mapping[str, Any] | None = None
    heeds_drift: bool = False
    planned: bool = False
    checkpoints: str | None = None
    is_retry: bool = False

    def to_line(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    def reported(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(Path(self.report).read_text())
        return report

    @property
    def path(self) -> StorePath:
        return shelf_path(self.folder) if self.folder.startswith("shelf:") else Path(self.folder)

    @property
    def planning(self) -> PlanOptions:
        return PlanOptions(CompareMode.of(self.compare), record_states=self.heeds_drift)

    @property
    def options(self) -> ApplyOptions:
        reads_first = self.compare == "get" and not self.planning.looks_while_planning
        return ApplyOptions(
            read_first=reads_first, heed_drift=self.heeds_drift, concurrency=self.concurrency, verify=self.verify
        )

    def client(self) -> AsyncPersonaClient:
        settings = PersonaSettings.checked(api_key=SANDBOX_KEY, host=self.url, reserve=0.0)
        return AsyncPersonaClient(settings, connections=self.concurrency, budget=WindowBudget(0.0))

    def wishes(self) -> Iterator[Written | InvalidRow]:
        if self.call is not None:
            return calls_of(self.rows, CallMapping(**self.call))
        return wishes_of(self.rows, None)

    def header(self) -> PlanHeader:
        operation_id = None if self.call is None else self.call["operation_id"]
        return PlanHeader("run", "rows", None, MORNING.isoformat(), operation_id, never_from=sorted(self.never_from))


class CheckpointFile:
    """Checkpoints in a file of their own, as another machine would keep them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Checkpoint | None:
        return Checkpoint.from_json(json.loads(self._path.read_text())) if self._path.exists() else None

    def save(self, checkpoint: Checkpoint) -> None:
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(checkpoint.to_json()))
        part.replace(self._path)


def work(job: Job) -> None:
    """Make one attempt, and put down its report."""
    report = asyncio.run(_attempt(job))
    judge(report, job.options)
    Path(job.report).write_text(json.dumps(report.to_xcom()))


def plan(job: Job) -> Plan:
    """Only plan."""
    return asyncio.run(_plan(job))


async def _plan(job: Job) -> Plan:
    draft = resume_or_draft(job.wishes, job.path, job.header(), one_wish_each=None if job.call else "case")
    assert isinstance(draft, Draft)
    try:
        async with job.client() as client:
            return await complete(draft, client, job.planning)
    finally:
        draft.close()


async def _attempt(job: Job) -> Report:
    store = CheckpointFile(Path(job.checkpoints)) if job.checkpoints is not None else None
    kept = store.load() if store is not None else None
    found: Plan | Draft
    if job.planned:
        approved = read_plan(job.path / "1")
        assert approved is not None
        found = approved
    else:
        found = resume_or_draft(
            job.wishes,
            job.path,
            job.header(),
            checkpoint=kept,
            one_wish_each=None if job.call else "case",
            is_retry=job.is_retry,
        )
    try:
        async with job.client() as client:
            ready = await complete(found, client, job.planning) if isinstance(found, Draft) else found
            return await apply_plan(ready, client, job.options, checkpoints=store, carried=kept)
    finally:
        if isinstance(found, Draft):
            found.close()


def _nurse() -> None:
    for line in sys.stdin:
        worker = os.fork()
        if not worker:
            try:
                work(Job(**json.loads(line)))
            except BaseException:  # noqa: BLE001 - it ends here, whatever it is
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(worker, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]), flush=True)


if __name__ == "__main__":
    import aiohttp  # noqa: F401 - so that no worker needs to

    _nurse()
