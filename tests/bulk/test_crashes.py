"""Workers that are killed with SIGKILL at any instant of their lives, again and again, and what is true in the end.

What is counted as repeated: the requests that the simulator received from all attempts of a run, less those that it
received from the same run left alone. Each kill may cost 25 of them.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import crash_worker
import pytest
from bulk_runs import SET_STATUS, assert_each_changed_once, decisions, other_decision
from crash_worker import Job
from lengths import CRASHES as RUNS, SOAK

from airflow_provider_persona.bulk.ledger.ledger import read_results
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.plan.file import read_plan
from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorControl, SimulatorServer
from tests.airflow_process import AirflowProcess, run_program, wait_for_what_was_sent
from tests.bulk.audited import is_foreign
from tests.bulk.kinds import KINDS, Kind

REPOSITORY = Path(__file__).parents[2]
A_KILL_MAY_REPEAT = 25
A_NEW_PLAN_ASKS = 10
"""Requests at most that a plan which is made anew needs to look up the statuses of its guards and rows."""
A_CHECKPOINT_MAY_READ = 24
"""Rows of several calls that are read first because a checkpoint puts them in doubt, where the kept ledger has notes of
others and no outcome yet: the checkpoint is believed too."""
EXTERNAL_ID = "external-integration-id"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of run.

    :param name: what tests call it.
    :param rows: how many.
    :param already: how many of the cases are as wished before.
    :param invalid: how many rows beside them are none, spread among them.
    :param parts: whether each row wishes for tags and fields too, which takes three calls.
    :param kind: the kind of objects, where they are no cases.
    :param in_store: whether plan and ledger are in an object store.
    :param slack: requests by which two undisturbed runs may differ.
    :param limit: requests a second, or None for no limit.
    :param options: further ones of `Job`.
    """

    name: str
    rows: int = 120
    already: int = 0
    invalid: int = 0
    parts: bool = False
    kind: Kind | None = None
    in_store: bool = False
    slack: int = 0
    limit: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


CREATE = {
    "operation_id": "create-a-case",
    "body": {f"data.attributes.fields.{EXTERNAL_ID}": "number"},
    "constants": {"data.attributes.case-template-id": "ctmpl_kyc"},
}
TAG = {"operation_id": "add-tag", "path": {"case-id": "case_id"}, "body": {"meta.tag-name": "tag"}}

SCENARIOS = [
    Scenario("blind"),
    Scenario("blind, one at a time", rows=60, options={"concurrency": 1}),
    Scenario("guarded", options={"never_from": ["nothing"], "concurrency": 16}),
    Scenario("read first", already=40, options={"compare": "get"}),
    Scenario("several calls a row", rows=100, parts=True),
    Scenario("guarded, several calls a row", rows=100, parts=True, options={"never_from": ["nothing"]}),
    Scenario("compared by list", rows=300, already=200, slack=8, options={"compare": "list"}),
    Scenario("compared as pays", rows=300, already=250, slack=8, options={"compare": "auto"}),
    Scenario("verified", slack=8, options={"verify": True}),
    Scenario("verified one by one", rows=5, slack=0, options={"verify": True, "concurrency": 2}),
    Scenario("in an object store", in_store=True),
    Scenario("compared in an object store", already=40, slack=8, in_store=True, options={"compare": "list"}),
    Scenario(
        "planned, then applied", already=40, slack=8, options={"compare": "list", "heeds_drift": True, "planned": True}
    ),
    Scenario("planned, then applied, in an object store", in_store=True, options={"planned": True, "concurrency": 8}),
    Scenario("calls that create", options={"call": CREATE}),
    Scenario("calls that create, in an object store", in_store=True, options={"call": CREATE, "concurrency": 12}),
    Scenario("calls that tag", options={"call": TAG, "concurrency": 20}),
    Scenario("within a limit", rows=250, limit=100),
    *(
        Scenario(kind.subject.plural, rows=80, kind=kind, options={"kind": kind.name, "compare": compare})
        for kind, compare in zip(KINDS[1:], ("never", "list", "get", "never"), strict=True)
    ),
]


@pytest.fixture(scope="module")
def persona_to_crash_at() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatorConfig(cases=400, limit=1_000_000, latency_ms=8)) as server:
        yield server


class Nursery:
    """A process that forks workers."""

    def __init__(self) -> None:
        program = Path(crash_worker.__file__)
        self._process = subprocess.Popen(
            [sys.executable, program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        self._said = b""

    def close(self) -> None:
        self._process.communicate(timeout=10)

    def finish(self, job: Job) -> None:
        """Let a worker come to its end."""
        self._start(job)
        assert self._number(60) == 0

    def kill(self, job: Job, instant: float) -> bool:
        """Start a worker and SIGKILL it after so many seconds; False when it had ended by then."""
        worker = self._start(job)
        exit_code = self._number(instant)
        if exit_code is None:
            with suppress(ProcessLookupError):  # it may have ended this moment
                os.kill(worker, signal.SIGKILL)
            exit_code = self._number(10)
        assert exit_code in (0, -signal.SIGKILL)
        wait_for_what_was_sent(SimulatorControl(job.url))
        return exit_code != 0

    def _start(self, job: Job) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(job.to_line().encode())
        self._process.stdin.flush()
        worker = self._number(60)
        assert worker is not None
        return worker

    def _number(self, patience: float) -> int | None:
        """Return what the process says next, a worker's process id or its exit code; None when it says nothing."""
        pipe = self._process.stdout
        assert pipe is not None
        while b"\n" not in self._said:
            if not select.select([pipe], [], [], patience)[0]:
                return None
            self._said += os.read(pipe.fileno(), 100)
        number, _, self._said = self._said.partition(b"\n")
        return int(number)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def job_for(scenario: Scenario, sim: SimulatorServer, folder: Path) -> Job:
    """Begin the simulator anew and return the job."""
    sim.reset()
    if scenario.limit is not None:
        sim.configure(limit=scenario.limit, window_seconds=1.0)
    rows = _rows(scenario, sim)
    state = f"shelf:{folder}/state" if scenario.in_store else f"{folder}/state"
    options = dict(scenario.options)
    if "checkpoints" in options:
        options["checkpoints"] = str(folder / options["checkpoints"])
    job = Job(sim.url, state, rows, f"{folder}/report.json", **options)
    if job.planned:
        crash_worker.plan(replace(job, planned=False))
    return job


def _rows(scenario: Scenario, sim: SimulatorServer) -> list[dict[str, Any]]:
    if scenario.kind is not None:
        return scenario.kind.rows(scenario.kind.ids(sim, scenario.rows))
    if scenario.options.get("call") is CREATE:
        return [{"number": f"row {number}"} for number in range(scenario.rows)]
    cases = random.Random(1).sample(sorted(sim.statuses().items()), scenario.rows)
    if scenario.options.get("call") is TAG:
        return [{"case_id": case_id, "tag": f"crash {n % 7}"} for n, (case_id, _) in enumerate(cases)]
    rows = [
        {"case_id": case_id, "status": status if n < scenario.already else other_decision(status)}
        for n, (case_id, status) in enumerate(cases)
    ]
    if scenario.parts:
        rows = [row | {"tags": ["crash"], "fields": {EXTERNAL_ID: f"row {n}"}} for n, row in enumerate(rows)]
    for n in range(scenario.invalid):
        rows.insert(n * len(rows) // scenario.invalid, {"case_id": None, "status": "Open"})
    return rows


def assert_done_once(scenario: Scenario, job: Job, sim: SimulatorServer, before: dict[str, str]) -> None:
    """Hold the journal against the rows: each applied, once, and nothing else."""
    effects = [effect for effect in sim.journal() if effect.changed]
    if job.call is CREATE:
        made = [case["fields"][EXTERNAL_ID] for case in sim.cases() if case["case_id"] not in before]
        assert Counter(made) == Counter(row["number"] for row in job.rows)
        assert len(effects) == len(made)
        return
    if scenario.kind is not None:
        calls = Counter((effect.object_id, effect.operation) for effect in effects if not is_foreign(effect))
        assert set(calls.values()) == {1}
        assert {object_id for object_id, _ in calls} == {row[scenario.kind.subject.id_column] for row in job.rows}
        assert len({operation for _, operation in calls}) * scenario.rows == len(calls)
        return
    parts = Counter((effect.case_id, part) for effect in effects for part in effect.parts)
    if job.call is TAG:
        assert parts == Counter((row["case_id"], "tags") for row in job.rows)
        return
    after = {case["case_id"]: case for case in sim.cases()}
    rows = [row for row in job.rows if row["case_id"] is not None]
    changing = [row for row in rows if before[row["case_id"]] != row["status"]]
    wanted = Counter((row["case_id"], "status") for row in changing)
    if scenario.parts:
        wanted.update((row["case_id"], "tags") for row in rows)
        wanted.update((row["case_id"], f"fields.{EXTERNAL_ID}") for row in rows)
    assert parts == wanted
    assert {row["case_id"]: after[row["case_id"]]["status"] for row in rows} == {
        row["case_id"]: row["status"] for row in rows
    }


def assert_balanced(scenario: Scenario, job: Job, report: dict[str, Any]) -> None:
    """Hold report and ledger against the rows: each has its one outcome, and none failed."""
    counts = Counter({name: count for name, count in report["counts"].items() if count})
    assert counts.total() == report["rows"] == len(job.rows)
    assert set(counts) <= {RowOutcome.UPDATED, RowOutcome.UNCHANGED, RowOutcome.INVALID}
    assert counts[RowOutcome.INVALID] == scenario.invalid
    assert report["not_done"] == 0
    if job.checkpoints is not None:
        return  # the ledger's beginning may be lost
    plan = read_plan(job.path / "1")
    assert plan is not None
    results = list(read_results(plan.folder, plan.header.hash))
    assert sorted(result.row for result in results) == list(range(1, len(job.rows) + 1))
    assert Counter(result.outcome.value for result in results) == counts


def kill_and_finish(job: Job, nursery: Nursery, chance: random.Random, seconds: float, lost: Path | None = None) -> int:
    """Kill attempts one, two or three times, then let one come to its end; return how many were killed.

    :param seconds: how long an attempt takes, to spread the instants over.
    :param lost: a folder that is lost after a kill, most of the times.
    """
    for kills in range(chance.choice((1, 1, 2, 3))):
        if not nursery.kill(job, chance.uniform(0, seconds)):
            return kills
        if lost is not None and chance.random() < 0.8:
            shutil.rmtree(lost, ignore_errors=True)
        job = replace(job, is_retry=True)
    nursery.finish(job)
    return kills + 1


_left_alone: dict[str, tuple[int, float]] = {}


def left_alone(scenario: Scenario, sim: SimulatorServer, nursery: Nursery, folder: Path) -> tuple[int, float]:
    """Return how many requests a run takes that nobody kills, and how many seconds."""
    if scenario.name not in _left_alone:
        folder.mkdir()
        job = job_for(scenario, sim, folder)
        before = sim.statuses()
        sent = len(sim.requests())
        began = time.monotonic()
        nursery.finish(job)
        seconds = time.monotonic() - began
        assert_balanced(scenario, job, job.reported())
        assert_done_once(scenario, job, sim, before)
        _left_alone[scenario.name] = len(sim.requests()) - sent, seconds
    return _left_alone[scenario.name]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(RUNS))
def test_killed_at_any_instant_nothing_is_lost_and_nothing_is_done_twice(
    persona_to_crash_at: SimulatorServer, nursery: Nursery, tmp_path: Path, seed: int
) -> None:
    sim, chance = persona_to_crash_at, random.Random(seed)
    scenario = SCENARIOS[seed % len(SCENARIOS)]
    undisturbed, seconds = left_alone(scenario, sim, nursery, tmp_path / "left alone")
    folder = tmp_path / "killed"
    folder.mkdir()
    job = job_for(scenario, sim, folder)
    before, sent = sim.statuses(), len(sim.requests())
    kills = kill_and_finish(job, nursery, chance, seconds)
    report = job.reported()
    assert_balanced(scenario, job, report)
    assert_done_once(scenario, job, sim, before)
    repeated = len(sim.requests()) - sent - undisturbed
    assert repeated <= A_KILL_MAY_REPEAT * kills + scenario.slack


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(4 if SOAK else 1))
def test_the_real_operator_killed_at_any_instant_loses_nothing_either(
    persona_to_crash_at: SimulatorServer, tmp_path: Path, seed: int
) -> None:
    """Its process spends most of its time on Airflow's imports, so the instants begin with its first request."""
    sim, chance = persona_to_crash_at, random.Random(seed)
    sim.reset()
    rows = decisions(sim)
    with closing(sqlite3.connect(tmp_path / "rows.sqlite")) as db, db:
        db.execute("CREATE TABLE case_updates (id INTEGER PRIMARY KEY, case_id TEXT, new_status TEXT)")
        db.executemany("INSERT INTO case_updates (case_id, new_status) VALUES (:case_id, :status)", rows)
    files = {"--database": "rows.sqlite", "--report": "report.json", "--state": "state"}
    named = [part for name, file in files.items() for part in (name, str(tmp_path / file))]
    script = REPOSITORY / "benchmarks" / "apply_rows.py"
    arguments = ["--base-url", sim.url, "--api-key", SANDBOX_KEY, *named]
    with AirflowProcess(script, arguments) as worker:
        while not sim.state()["requests"] and worker.is_running:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.1))
        worker.kill()
    wait_for_what_was_sent(sim)
    done = run_program(script, arguments)
    assert done.returncode == 0, done.stderr
    assert_each_changed_once(sim, rows)
    assert len(sim.requests(operation=SET_STATUS)) <= len(rows) + A_KILL_MAY_REPEAT
    assert json.loads((tmp_path / "report.json").read_text()) == {"failed": []}


LOSING = [
    Scenario("losing the disk", options={"checkpoints": "checkpoint.json"}),
    Scenario("losing the disk, guarded", options={"checkpoints": "checkpoint.json", "never_from": ["nothing"]}),
    Scenario("losing the disk, calls that create", options={"checkpoints": "checkpoint.json", "call": CREATE}),
    Scenario("losing the disk, several calls", rows=100, parts=True, options={"checkpoints": "checkpoint.json"}),
    Scenario("losing the disk, with invalid rows", invalid=240, options={"checkpoints": "checkpoint.json"}),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(RUNS // 4))
def test_killed_and_its_disk_lost_it_goes_on_from_its_checkpoint(
    persona_to_crash_at: SimulatorServer, nursery: Nursery, tmp_path: Path, seed: int
) -> None:
    sim, chance = persona_to_crash_at, random.Random(seed)
    scenario = LOSING[seed % len(LOSING)]
    undisturbed, seconds = left_alone(scenario, sim, nursery, tmp_path / "left alone")
    folder = tmp_path / "killed"
    folder.mkdir()
    job = job_for(scenario, sim, folder)
    before, sent = sim.statuses(), len(sim.requests())
    kills = kill_and_finish(job, nursery, chance, seconds, lost=Path(job.folder))
    assert_balanced(scenario, job, job.reported())
    assert_done_once(scenario, job, sim, before)
    repeated = len(sim.requests()) - sent - undisturbed
    allowed = A_KILL_MAY_REPEAT + A_NEW_PLAN_ASKS + (A_CHECKPOINT_MAY_READ if scenario.parts else 0)
    assert repeated <= allowed * kills
