"""One plan of rows on virtual time, and everything that happens to it: deaths, pauses, lost disks, faults of storage.

A death is what it leaves: the files as they are at that instant, and the requests that are under way, which Persona
carries out all the same.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from bulk_runs import last_results, other_decision
from crash_worker import CheckpointFile, Job

from airflow_provider_persona.api.messages import Outcome
from airflow_provider_persona.bulk.job import run
from airflow_provider_persona.bulk.ledger.outcomes import OWN_DOING, RowOutcome, RowResult
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.plan.file import PLAN_FILE, read_plan
from airflow_provider_persona.storage.errors import FencedError
from persona_simulator import SimulatorConfig
from persona_simulator.in_memory import InMemoryTransport
from persona_simulator.journal import Effect
from tests.bulk.audited import is_foreign
from tests.bulk.kinds import KINDS, CallKind, Kind
from tests.virtual_time import VirtualPersona

ROWS = 40
FIELD = "external-integration-id"
CREATE = CallKind(
    "create a case",
    {
        "operation_id": "create-a-case",
        "body": {f"data.attributes.fields.{FIELD}": "number"},
        "constants": {"data.attributes.case-template-id": "ctmpl_kyc"},
    },
    "number",
    made=FIELD,
)
CASE = KINDS[0]
DECIDED = {"Pending", "escalated"}
"""Statuses that nobody but a human sets, and that the guarded runs never change."""

A_DEATH_MAY_REPEAT = 25


class End(StrEnum):
    """How an attempt is ended from outside."""

    KILLED = "SIGKILL"
    STOPPED = "SIGTERM, on_kill or a timeout"
    PAUSED = "SIGSTOP, and CONT once the next attempt is at work"


class Doomed:
    """Sends for a process until that is gone."""

    def __init__(self, transport: InMemoryTransport) -> None:
        self._transport = transport
        self.is_gone = False
        self.may_go_on: asyncio.Event | None = None

    async def transmit(self, sending: Any) -> Outcome:
        if self.may_go_on is not None:
            await self.may_go_on.wait()
        if self.is_gone:
            raise asyncio.CancelledError
        return await self._transport.transmit(sending)

    async def close(self) -> None:
        await self._transport.close()


@dataclass
class Trial:
    """One plan of rows, and everything that happens to it.

    :param seed: what decides about all of it.
    :param folder: where the run's files stand.
    :param store: what stands before the folder in its address, such as `shelf:` for an object store.
    :param kind: what the rows are about; every fourth trial over cases makes new ones.
    """

    seed: int
    folder: Path
    store: str = ""
    kind: Kind | CallKind = CASE

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.sim = VirtualPersona(SimulatorConfig(cases=ROWS, limit=1_000_000, latency_ms=15))
        is_case = self.kind is CASE
        if is_case and self.seed % 4 == 3:
            self.kind = CREATE
        self.is_creating = isinstance(self.kind, CallKind) and bool(self.kind.made)
        self.is_guarded = self.seed % 4 in (1, 2) and isinstance(self.kind, Kind) and self.kind.subject.has_status
        self.has_parts = self.seed % 8 in (2, 4)
        self.decided: dict[str, int] = {}
        self.deaths = Counter[End]()
        self.statuses = self.sim.statuses()
        self.job = Job(self.sim.url, f"{self.store}{self.folder}", self._rows(), "", **self._options())

    def _rows(self) -> list[dict[str, Any]]:
        if isinstance(self.kind, CallKind):
            return self.kind.rows(self.sim, ROWS)
        if self.kind is not CASE:
            return self.kind.rows(self.kind.ids(self.sim, ROWS))
        rows = [{"case_id": name, "status": other_decision(status)} for name, status in self.statuses.items()]
        return [row | {"fields": {FIELD: "x"}, "add_tags": ["t"]} if self.has_parts else row for row in rows]

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"concurrency": self.chance.choice((1, 4, 12, 24))}
        if self.chance.random() < 0.3:
            options["checkpoints"] = str(self.folder.with_suffix(".checkpoint"))
        if isinstance(self.kind, CallKind):
            return options | {"call": self.kind.call}
        options["kind"] = self.kind.name
        if self.is_guarded:
            never_from = sorted(DECIDED) if self.kind is CASE else [self.kind.decided]
            options |= {"never_from": never_from, "heeds_drift": self.chance.random() < 0.3}
        return options | {"compare": self.chance.choice(("never", "get", "list"))}

    @property
    def last_writes(self) -> int:
        """How often the call was sent that settles a row."""
        # A 409 is no repeat: of two attempts at once, Persona refuses the second while it works on the first.
        return sum(request.status != 409 for request in self.sim.requests(operation=self.kind.last_step))

    # ------------------------------------------------------------------ attempts

    async def attempt(self, transport: Doomed) -> Report:
        """Plan or resume, and apply."""
        store = CheckpointFile(Path(self.job.checkpoints)) if self.job.checkpoints is not None else None
        kept = store.load() if store is not None else None
        async with self.sim.client(transport=transport) as client:
            begun = self.job.begin(kept)
            return await run(self.job.bulk_job, begun, client, checkpoints=store, carried=kept, utc=self.sim.utc)

    def ended(self, end: End, after: float, during: AbstractContextManager[object] | None = None) -> Report | None:
        """Make an attempt that is ended after so many seconds; return its report when it was faster than that.

        :param during: what holds meanwhile, such as a storm over its files; by default nothing.
        """
        left = self.folder.with_suffix(".left")

        async def main() -> Report | None:
            transport = Doomed(self.sim.transport(self.job.client().settings))
            task = asyncio.ensure_future(self.attempt(transport))

            def die() -> None:
                if end is End.KILLED:
                    shutil.rmtree(left, ignore_errors=True)
                    shutil.copytree(self.folder, left)
                    transport.is_gone = True
                if end is End.PAUSED:
                    transport.may_go_on = asyncio.Event()
                else:
                    task.cancel()

            timer = asyncio.get_running_loop().call_later(after, die)
            if end is not End.PAUSED:
                try:
                    return await task
                except asyncio.CancelledError:
                    return None
                finally:
                    timer.cancel()
            await asyncio.wait([task], timeout=after + 1.0)
            if task.done():
                return task.result()
            return await self._overtaken(task, transport)

        self.folder.mkdir(exist_ok=True)
        with during or nullcontext():
            report = self.sim.run(main())
        if report is None:
            self.deaths[end] += 1
        if report is None and end is End.KILLED:
            shutil.rmtree(self.folder)
            left.rename(self.folder)
        return report

    async def _overtaken(self, paused: asyncio.Task[Report], transport: Doomed) -> None:
        """Let a newer attempt come to its end half-way, wake the paused one, and wait for both."""
        self.job = replace(self.job, is_retry=True)
        newer = asyncio.ensure_future(self.attempt(Doomed(self.sim.transport(self.job.client().settings))))
        await asyncio.wait([newer], timeout=self.chance.uniform(0, 1.5))
        assert transport.may_go_on is not None
        transport.may_go_on.set()
        ends = await asyncio.gather(paused, newer, return_exceptions=True)
        # While neither has a plan yet, the first to write one goes on, and the other ends and may be tried again.
        assert all(isinstance(end, Report | FencedError) for end in ends), ends
        assert any(isinstance(end, Report) for end in ends), ends

    # ------------------------------------------------------------------ between attempts

    def meanwhile(self) -> None:
        """Let time pass, and a human decide."""
        self.job = replace(self.job, is_retry=True)
        self.sim.time.pass_by(self.chance.choice((30.0, 20 * 60.0, 50 * 60.0, 3 * 3600.0)))
        if self.is_guarded and self.kind is not CASE:
            assert isinstance(self.kind, Kind)
            for row in self.chance.sample(self.job.rows, 4):
                object_id = row[self.kind.subject.id_column]
                self.kind.decide_as_human(self.sim, object_id)
                self.decided[object_id] = len(self.sim.journal())
        elif self.is_guarded:
            for case_id in self.chance.sample(sorted(self.statuses), 4):
                template_has_it = self.statuses[case_id] in ("Open", "Pending", "In Review", "Approved", "Declined")
                self.sim.act_as_human(case_id, status="Pending" if template_has_it else "escalated")
                self.decided[case_id] = len(self.sim.journal())

    def lose_disk(self) -> None:
        if self.job.checkpoints is not None and self.chance.random() < 0.4:
            shutil.rmtree(self.folder)

    # ------------------------------------------------------------------ what must hold

    def assert_true(self, report: Report | None) -> None:
        number = max((int(path.name) for path in self.folder.iterdir() if (path / PLAN_FILE).exists()), default=0)
        plan = read_plan(self.folder / str(number))
        assert plan is not None
        assert report is None or report.is_balanced
        results = last_results(plan)
        journal = self.sim.journal()
        if self.is_creating:
            made = Counter(map(self._value_of, self._made(journal)))
            assert max(made.values()) == 1
            unresolved = [row for row in results.values() if row.outcome is RowOutcome.UNRESOLVED]
            assert len(made) >= ROWS - len(unresolved)
            return
        mine = [(index, effect) for index, effect in enumerate(journal) if effect.changed and not is_foreign(effect)]
        settling = "status" if isinstance(self.kind, Kind) and self.kind.subject.has_status else None
        ours = [(index, effect) for index, effect in mine if settling is None or settling in effect.parts]
        by_operation = Counter((effect.object_id, effect.operation) for _, effect in ours)
        assert max(by_operation.values(), default=0) <= 1
        for case_id, since in self.decided.items():
            assert not [effect for index, effect in ours if effect.case_id == case_id and index >= since]
        changed = {effect.case_id for _, effect in ours}
        for result in results.values():
            self.assert_outcome(result, is_changed=result.object_id in changed)

    def _made(self, journal: list[Effect]) -> list[str]:
        assert isinstance(self.kind, CallKind)
        return [effect.object_id for effect in journal if effect.operation == self.kind.last_step]

    def _value_of(self, object_id: str) -> str:
        """Return what a row gave to the new thing that it made."""
        assert isinstance(self.kind, CallKind)
        if self.kind is CREATE:
            return next(str(case["fields"][FIELD]) for case in self.sim.cases() if case["case_id"] == object_id)
        return str(self.sim.object(object_id)["attributes"][self.kind.made])

    def assert_outcome(self, result: RowResult, *, is_changed: bool) -> None:
        if result.outcome is RowOutcome.UPDATED:
            assert is_changed, result
        elif result.outcome is RowOutcome.UNCHANGED:
            assert not is_changed or result.reason == OWN_DOING, result
        else:
            assert result.outcome is RowOutcome.SKIPPED_GUARD, result
            assert not is_changed or "an attempt that was cut off began this row" in result.reason, result


def reached_by(trial: Trial) -> set[str]:
    """Which of the rare ways a trial went."""
    plan = next(iter(sorted(trial.folder.glob("*/" + PLAN_FILE), reverse=True)))
    found = read_plan(plan.parent)
    assert found is not None
    results = list(last_results(found).values())
    ways: dict[str, Callable[[RowResult], bool]] = {
        "a key told what became of a row": lambda it: it.generation == 0 and it.attempts > 0 and not it.reason,
        "a look told it": lambda it: it.reason == OWN_DOING,
        "a human decided on what was perhaps written": lambda it: "was cut off began this row" in it.reason,
        "a creation too old to tell": lambda it: it.outcome is RowOutcome.UNRESOLVED,
        "a human decided first": lambda it: it.outcome is RowOutcome.SKIPPED_GUARD and "was cut off" not in it.reason,
    }
    reached = {name for name, is_it in ways.items() if any(is_it(result) for result in results)}
    reached |= {str(end) for end in trial.deaths}
    if any(request.replayed for request in trial.sim.requests()):
        reached.add("Persona replayed an answer")
    return reached
