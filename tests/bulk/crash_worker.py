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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from object_shelf import shelf_path

from airflow_provider_persona.api.rate_limit import WindowBudget
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.job import BulkJob, judge, run
from airflow_provider_persona.bulk.ledger.checkpoint import Checkpoint
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.plan.compare import CompareMode
from airflow_provider_persona.bulk.plan.draft import Draft, PlanOptions, complete, resume_or_draft
from airflow_provider_persona.bulk.plan.file import Plan, read_plan
from airflow_provider_persona.bulk.plan.guards import Guards
from airflow_provider_persona.bulk.source.columns import ObjectRows
from airflow_provider_persona.bulk.source.rows import MappedRows
from airflow_provider_persona.bulk.subjects import object_subject, operation_subject
from airflow_provider_persona.bulk.subjects.operation import OperationRows
from airflow_provider_persona.client import AsyncPersonaClient
from airflow_provider_persona.storage.paths import StorePath
from persona_simulator import SANDBOX_KEY

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
    :param kind: name of the kind of object that rows change.
    :param call: arguments of `OperationRows` for rows that are calls, else None.
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
    kind: str = "case"
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
    def bulk_job(self) -> BulkJob:
        planning = PlanOptions(CompareMode(self.compare), record_states=self.heeds_drift)
        reads_first = self.compare == "get" and not planning.looks_while_planning
        applying = ApplyOptions(
            read_first=reads_first, heed_drift=self.heeds_drift, concurrency=self.concurrency, verify=self.verify
        )
        kind = object_subject(self.kind)
        mapping = ObjectRows(kind) if self.call is None else OperationRows(**self.call)
        subject = kind if self.call is None else operation_subject(self.call["operation_id"])
        guards = Guards.of(None, self.never_from)
        return BulkJob(MappedRows(GivenRows(self.rows), mapping), subject, guards, planning, applying)

    def begin(self, checkpoint: Checkpoint | None = None) -> Plan | Draft:
        job = self.bulk_job
        header = job.header("run", None, MORNING.isoformat())
        return resume_or_draft(job.rows.read, self.path, header, checkpoint=checkpoint, is_retry=self.is_retry)

    def client(self) -> AsyncPersonaClient:
        settings = PersonaSettings.checked(api_key=SANDBOX_KEY, host=self.url, reserve=0.0)
        return AsyncPersonaClient(settings, connections=self.concurrency, budget=WindowBudget(0.0))


@dataclass(frozen=True)
class GivenRows:
    """Rows that the job brings along."""

    given: Sequence[Mapping[str, Any]]

    @contextmanager
    def open(self) -> Iterator[tuple[list[str] | None, Iterable[Mapping[str, Any]]]]:
        yield None, self.given

    def parts(self) -> tuple[Any, ...]:
        return ("rows",)


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
    judge(report, job.bulk_job.applying)
    Path(job.report).write_text(json.dumps(report.to_xcom()))


def plan(job: Job) -> Plan:
    """Only plan."""
    return asyncio.run(planned(job, job.client()))


async def planned(job: Job, client: AsyncPersonaClient) -> Plan:
    """Plan with a client, and close it."""
    draft = job.begin()
    assert isinstance(draft, Draft)
    async with client:
        return await complete(draft, client, job.bulk_job.planning)


async def _attempt(job: Job) -> Report:
    store = CheckpointFile(Path(job.checkpoints)) if job.checkpoints is not None else None
    kept = store.load() if store is not None else None
    begun = read_plan(job.path / "1") if job.planned else job.begin(kept)
    assert begun is not None
    async with job.client() as client:
        return await run(job.bulk_job, begun, client, checkpoints=store, carried=kept)


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
