"""Anything that can happen to a plan, in any order, held against the simulator's journal and never against our word.

A machine of hypothesis plans, applies, kills, resumes, loses answers and disks, turns the clock, changes the limit,
acts as a human in between, and takes changes back. After each attempt `books` asks the journal what really happened.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from books import Book, Journal, expected_of, torn_line
from bulk_runs import segment_names
from fates import Fate, KeptCheckpoints, until_death
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from lengths import SOAK, STEPS, STEPS_OF_A_FURTHER_KIND
from rare_ways import WaysGone

from airflow_provider_persona.api.errors import PersonaError
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.plan.compare import CompareMode
from airflow_provider_persona.bulk.plan.draft import Draft, PlanOptions, complete, new_draft, resume_or_draft
from airflow_provider_persona.bulk.plan.file import VALUES_FILE, Plan, PlanHeader, read_plan
from airflow_provider_persona.bulk.plan.guards import Guards
from airflow_provider_persona.bulk.plan.revert import RowsToRevert
from persona_simulator import FaultKind, SimulatorConfig, usual_rates
from tests.bulk.audited import AUDITED, CASES, Audited
from tests.virtual_time import VirtualPersona

STEPS_A_RUN = 40
THINGS = 12
NO_LIMIT = 1_000_000
A_LATE_ANSWER = 0.02

FAULTS = [fault for fault in FaultKind if fault is not FaultKind.SLOW]


class Steps:
    """How many steps were taken, over all runs of the machine."""

    taken = 0
    ways = WaysGone()


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "thing": st.integers(0, THINGS - 1),
            "status": st.integers(0, 4),
            "kind": st.sampled_from(["plain"] * 6 + ["expects", "expects", "expects other", "note", "tag", "all"]),
            "flaw": st.sampled_from([None] * 12 + ["no id", "no status", "no such thing", "no such status", "bad id"]),
        }
    ),
    min_size=1,
    max_size=10,
)


class Accounting(RuleBasedStateMachine):
    """One environment, up to three plans in it, and everything that can happen to them."""

    def __init__(self, kind: Audited, folder: Path) -> None:
        super().__init__()
        self.kind = kind
        self.sim = VirtualPersona(
            SimulatorConfig(cases=THINGS, limit=NO_LIMIT, search_lag_seconds=0, idempotency_ttl_seconds=3600.0)
        )
        self.journal = Journal(self.sim, kind, THINGS)
        self.folder = folder
        self.turned = 0.0
        self.made = 0
        self.books: list[Book] = []
        self.stores: dict[int, KeptCheckpoints] = {}
        self.last: Book | None = None
        self.is_sound = True
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

    # ------------------------------------------------------------------ planning

    @initialize(rows=ROWS)
    def begin(self, rows: list[dict[str, Any]]) -> None:
        self.plan(rows, "never", guard=0, keeps_states=False, reads_first=False)

    @rule(
        rows=ROWS,
        compare=st.sampled_from(["never", "never", "list", "auto", "get"]),
        guard=st.integers(0, 3),
        keeps_states=st.booleans(),
        reads_first=st.booleans(),
    )
    def plan(
        self, rows: list[dict[str, Any]], compare: str, guard: int, *, keeps_states: bool, reads_first: bool
    ) -> None:
        """Make a plan: in one step with applying, or for approval, with the states of the cases in it."""
        Steps.taken += 1
        self._make_room()
        given = [self._row(row) for row in rows]
        guards = self._guards(guard)
        if self.kind.call is not None:
            compare, reads_first = "never", False  # nothing is known of what it does
        keeps_states = keeps_states and compare != "never"
        self.made += 1
        root = self.folder / f"run {self.made}"
        only_from = None if guards.only_from is None else sorted(guards.only_from)
        header = replace(self._header("rows"), only_from=only_from, never_from=sorted(guards.never_from))
        book = Book(
            self.kind,
            root,
            header,
            given,
            expected_of(given, self.kind),
            guards,
            PlanOptions(CompareMode(compare), record_states=keeps_states),
        )
        book.reads_first, book.heeds_drift = reads_first, keeps_states
        self._draw_up(book, KeptCheckpoints())

    def _header(self, source: str) -> PlanHeader:
        return PlanHeader(f"run {self.made}", source, None, self._utc().isoformat(), **self.kind.in_header)

    def _guards(self, number: int) -> Guards:
        if not self.kind.has_status:
            return Guards()
        lets, forbids = self.kind.guarded
        return (
            Guards(),
            Guards.of(None, [forbids, "closed"]),
            Guards.of([lets, lets.lower()]),
            Guards.of(None, "x"),
        )[number]

    def _draw_up(self, book: Book, store: KeptCheckpoints) -> bool:
        """Plan; return whether that could be done."""
        self._catch_up()
        book.watch(self.journal)
        found = resume_or_draft(
            lambda: self.kind.read(book.given), book.root, book.header, checkpoint=store.load(), is_retry=True
        )
        assert isinstance(found, Draft)
        plan = self._completed(found, book.planning)
        self.journal.catch_up()
        book.planned(self.journal)
        if plan is not None:
            book.plan = plan
            self.books.append(book)
            self.stores[id(book)] = store
        return plan is not None

    def _completed(self, draft: Draft, planning: PlanOptions) -> Plan | None:
        async def go() -> Plan | None:
            async with self.sim.client() as client:
                try:
                    return await complete(draft, client, planning)
                except PersonaError:
                    return None

        try:
            return self.sim.run(go())
        finally:
            draft.close()

    def _row(self, drawn: dict[str, Any]) -> dict[str, Any]:
        thing_id, now = sorted(self.journal.things.items())[drawn["thing"]]
        row: dict[str, Any] = {self.kind.id_column: thing_id}
        kind, flaw, number = drawn["kind"], drawn["flaw"], drawn["status"]
        flaws = {
            "no id": {self.kind.id_column: None},
            "bad id": {self.kind.id_column: "a/b"},
            "no such thing": {self.kind.id_column: f"{thing_id.partition('_')[0]}_missing"},
        }
        if self.kind.has_status:
            labels = self.kind.labels_like(now.status)
            row["status"] = labels[number % len(labels)]
            if kind == "expects":
                row["expected_status"] = now.status
            if kind == "expects other":
                row["expected_status"] = next(label for label in labels[number:] + labels if label != now.status)
            flaws |= {"no status": {"status": ""}, "no such status": {"status": "Nonsense"}}
        if kind in ("note", "all") or not self.kind.has_status:
            row |= self.kind.note_in(self.kind.note(number))
        if kind in ("tag", "all") and self.kind.tag:
            row["add_tags"] = [f"tag {number}"]
        return row | flaws.get(flaw, {})

    @rule(which=st.integers(0, 2), keeps_states=st.booleans())
    def take_back(self, which: int, *, keeps_states: bool) -> None:
        """Make the plan that takes a settled one back."""
        done = [book for book in self.books if book.is_complete]
        if not done or not self.kind.has_status:
            return
        Steps.taken += 1
        old = done[which % len(done)]
        self.made += 1
        header = self._header("revert")
        options = PlanOptions(CompareMode.AUTO if keeps_states else CompareMode.NEVER, record_states=keeps_states)
        root = self.folder / f"run {self.made}"
        self._make_room()
        self._catch_up()
        before = dict(self.journal.things)
        plan = self._completed(new_draft(RowsToRevert(old.plan).read(), root, header), options)
        if plan is None:
            return
        book = old.takes_back(header, plan, self.journal, heeds_drift=keeps_states)
        assert before == self.journal.things
        book.watch(self.journal)
        book.planned(self.journal)
        self.books.append(book)
        self.stores[id(book)] = KeptCheckpoints()
        Steps.ways.went("taken back")

    # ------------------------------------------------------------------ applying

    @rule(which=st.integers(0, 2), concurrency=st.integers(1, 6))
    def apply(self, which: int, concurrency: int) -> None:
        """Make an attempt, or resume, and let it come to its end."""
        Steps.taken += 1
        self._attempt(self._book(which), concurrency)

    @rule(
        which=st.integers(0, 2),
        sample=st.integers(1, 4),
        instant=st.none() | st.integers(1, 40),
        at=st.sampled_from(["clock", "record", "checkpoint"]),
    )
    def apply_sample(self, which: int, sample: int, instant: int | None, at: str) -> None:
        """Make an attempt at a sample of the rows, or resume it; it may die amid it."""
        Steps.taken += 1
        self._attempt(self._book(which), 3, fate=None if instant is None else Fate(at, instant), sample=sample)

    @rule(which=st.integers(0, 2))
    def look_only(self, which: int) -> None:
        """Make a dry run."""
        Steps.taken += 1
        self._attempt(self._book(which), 3, dry_run=True)

    @rule(
        which=st.integers(0, 2),
        concurrency=st.integers(1, 6),
        instant=st.integers(1, 60),
        at=st.sampled_from(["clock", "clock", "record", "torn record", "checkpoint"]),
    )
    def die(self, which: int, concurrency: int, instant: int, at: str) -> None:
        """Make an attempt that dies at some look at its clock, while it notes an outcome, or keeps a checkpoint."""
        Steps.taken += 1
        place = at.removeprefix("torn ")
        # An attempt at ten rows looks at its clock often, notes some outcomes, and keeps two or three checkpoints.
        every = {"clock": 1, "record": 4, "checkpoint": 20}[place]
        fate = Fate(place, 1 + instant // every, tears=at.startswith("torn"))
        self._attempt(self._book(which), concurrency, fate=fate)

    @rule(
        which=st.integers(0, 2),
        instant=st.integers(1, 30),
        case=st.integers(0, THINGS - 1),
        status=st.integers(0, 4),
        does=st.sampled_from(["decides", "notes", "turns clock", "narrows limit", "widens limit", "closes limit"]),
    )
    def meddle(self, which: int, instant: int, case: int, status: int, does: str) -> None:
        """Make an attempt, and let something happen in its middle."""
        Steps.taken += 1

        def act() -> None:
            if does == "decides":
                self._decide(case, status)
            elif does == "notes":
                self._note(case)
            elif does == "turns clock":
                self._turn(1800.0)
                book.clock_was_turned = True
            else:
                self._limit({"narrows limit": 3, "widens limit": NO_LIMIT, "closes limit": 0}[does])
            book.snapshot(self.journal)

        book = self._book(which)
        self._attempt(book, 4, fate=Fate("clock", instant, act))

    @rule(which=st.integers(0, 2))
    def lose_disk(self, which: int) -> None:
        """Lose plan and ledger; what is kept is a checkpoint. Then plan the same rows again."""
        candidates = [book for book in self.books if self._may_lose(book)]
        if not candidates:
            return
        Steps.taken += 1
        book = candidates[which % len(candidates)]
        shutil.rmtree(book.root)
        self.books.remove(book)
        book.lost()
        Steps.ways.went("lost its disk")
        store = self.stores.pop(id(book))
        if not self._draw_up(book, store):
            self._mend()
            assert self._draw_up(book, store)
            Steps.ways.went("planned anew after a fault")

    def _may_lose(self, book: Book) -> bool:
        return bool(book.given) and not book.heeds_drift and not book.is_complete

    def _make_room(self) -> None:
        """Bring the oldest of three plans to its end."""
        if len(self.books) == 3:
            self._mend()
            book = self.books.pop(0)
            if self._attempt(book, 4):
                book.assert_settled(self.journal)

    def _book(self, which: int) -> Book:
        if not self.books:
            self._mend()
            self.plan(
                [{"thing": which, "status": 1, "kind": "plain", "flaw": None}],
                "never",
                0,
                keeps_states=False,
                reads_first=False,
            )
        return self.books[which % len(self.books)]

    def _catch_up(self) -> None:
        """Read the journal on; a request of a dead attempt may have arrived only after its end."""
        self.journal.catch_up()
        if self.last is not None:
            self.last.account_for(self.journal)

    def _attempt(
        self,
        book: Book,
        concurrency: int,
        *,
        fate: Fate | None = None,
        dry_run: bool = False,
        sample: int | None = None,
    ) -> bool:
        """Make an attempt at a plan as a task would that finds it, and hold what it did against the journal.

        Returns False when the plan is over, so that none can be made.
        """
        plan = read_plan(book.plan.folder)
        assert plan is not None
        assert plan.header.hash == book.plan.header.hash
        if plan.header.values_hash is not None and not (plan.folder / VALUES_FILE).exists():
            book.assert_over()  # or its values would be needed
            Steps.ways.went("nothing was left to do")
            return False
        store, fate = self.stores[id(book)], fate or Fate()
        options = ApplyOptions(
            read_first=book.reads_first,
            heed_drift=book.heeds_drift,
            concurrency=concurrency,
            dry_run=dry_run,
            sample=sample,
        )
        store.fate = fate
        self._catch_up()
        self.last = book
        book.begin_attempt(self.journal)

        def clock() -> float:
            fate.passes("clock")
            return self.sim.time.now()

        def utc() -> datetime:
            fate.passes("record")
            return self._utc()

        async def go() -> Report | None:
            async with self.sim.client(clock=clock) as client:
                with until_death():
                    return await apply_plan(plan, client, options, utc=utc, checkpoints=store, carried=store.load())
            return None

        report = self.sim.run(go())
        if report is None and fate.tears:
            self._tear(plan)
        self._count_ways(report, fate, dry_run=dry_run)
        self.journal.catch_up()
        self.is_sound = False
        Steps.ways.saw_records(book.end_attempt(self.journal, report, dry_run=dry_run, sample=sample))
        self.is_sound = True
        return True

    def _count_ways(self, report: Report | None, fate: Fate, *, dry_run: bool) -> None:
        ways = Steps.ways
        if report is None:
            ways.went(f"died at {fate.place}{', torn' if fate.tears else ''}")
        else:
            ways.saw_report(report)
        if dry_run:
            ways.went("a dry run")

    def _tear(self, plan: Plan) -> None:
        """Leave half a line at the end of the ledger."""
        segments = segment_names(plan.folder)
        if segments:
            with (plan.folder / segments[-1]).open("ab") as file:
                file.write(torn_line(plan))

    def _utc(self) -> datetime:
        return self.sim.utc() + timedelta(seconds=self.turned)

    # ------------------------------------------------------------------ what happens to Persona

    @rule(
        kind=st.sampled_from(FAULTS),
        operation=st.integers(-2, 6),
        case=st.none() | st.integers(0, THINGS - 1),
        times=st.sampled_from([1, 1, 1, 2, 5, 6, 12]),
        skip=st.sampled_from([0, 0, 1, 3]),
    )
    def go_wrong(self, kind: FaultKind, operation: int, case: int | None, times: int, skip: int) -> None:
        """Let some of the next requests meet a fault."""
        Steps.taken += 1
        thing_id = None if case is None else sorted(self.journal.things)[case]
        about = self.kind.operations[operation % len(self.kind.operations)] if operation >= 0 else None
        self.sim.script_fault(kind, operation=about, case_id=thing_id, times=times, skip=skip, seconds=A_LATE_ANSWER)

    @rule(
        which=st.integers(0, 2),
        first=st.sampled_from(FAULTS),
        second=st.sampled_from(FAULTS),
        operation=st.integers(0, 4),
        skip=st.integers(0, 3),
        concurrency=st.integers(1, 6),
    )
    def go_wrong_in_a_row(
        self, which: int, first: FaultKind, second: FaultKind, operation: int, skip: int, concurrency: int
    ) -> None:
        """Make an attempt, and let one of its writes meet a fault, and all repeats of that another."""
        Steps.taken += 1
        book = self._book(which)
        left = sorted(case_id for case_id, _ in book.valid.values() if not book.has_touched(case_id))
        if left:
            thing_id = left[skip % len(left)]
            writes = self.kind.operations[:-1]
            about = writes[operation % len(writes)]
            self.sim.script_fault(first, operation=about, case_id=thing_id, seconds=A_LATE_ANSWER)
            self.sim.script_fault(second, operation=about, case_id=thing_id, times=5, seconds=A_LATE_ANSWER)
        self._attempt(book, concurrency)

    @rule(total=st.sampled_from([0.0, 0.1, 0.3]))
    def go_wrong_at_random(self, total: float) -> None:
        Steps.taken += 1
        self.sim.configure(fault_rates=usual_rates(total))

    @rule()
    def work_again(self) -> None:
        Steps.taken += 1
        self._mend()

    @rule(case=st.integers(0, THINGS - 1), status=st.integers(0, 4))
    def decide(self, case: int, status: int) -> None:
        """A human changes a status in the dashboard."""
        Steps.taken += 1
        self._decide(case, status)

    @rule(case=st.integers(0, THINGS - 1))
    def note(self, case: int) -> None:
        """A human changes a field in the dashboard."""
        Steps.taken += 1
        self._note(case)

    @rule(seconds=st.sampled_from([61.0, 40 * 60.0, 50 * 60.0, 3 * 3600.0]))
    def turn_clock(self, seconds: float) -> None:
        """Time passes: windows end, and Persona forgets keys after an hour."""
        Steps.taken += 1
        self._turn(seconds)

    @rule(limit=st.sampled_from([3, 8, NO_LIMIT]))
    def change_limit(self, limit: int) -> None:
        Steps.taken += 1
        self._limit(limit)

    def _mend(self) -> None:
        self.sim.clear_faults()
        self.sim.configure(fault_rates={}, limit=NO_LIMIT)

    def _decide(self, case: int, status: int) -> None:
        thing_id = sorted(self.journal.things)[case]
        if self.kind.decide(self.sim, thing_id, status):
            self._seen_by_all()
        else:
            self._note(case)

    def _note(self, case: int) -> None:
        self.made += 1
        self.kind.note_as_human(self.sim, sorted(self.journal.things)[case], f"human {self.made}")
        self._seen_by_all()

    def _seen_by_all(self) -> None:
        self.journal.catch_up()
        for book in self.books:
            book.snapshot(self.journal)

    def _turn(self, seconds: float) -> None:
        self.sim.advance_clock(seconds)
        self.turned += seconds

    def _limit(self, limit: int) -> None:
        self.sim.configure(limit=limit, window_seconds=5.0)

    def teardown(self) -> None:
        """Mend everything: now each plan must come to its end, and the balance must hold."""
        self._mend()
        for book in self.books if self.is_sound else ():
            if self._attempt(book, 4):
                book.assert_settled(self.journal)
        Steps.ways.saw_requests(self.journal.requests)


@pytest.mark.timeout(3600 if SOAK else 600)
@pytest.mark.parametrize("kind", AUDITED, ids=lambda kind: kind.name)
def test_every_effect_is_accounted_for_whatever_happens(tmp_path: Path, kind: Audited) -> None:
    Steps.taken, Steps.ways = 0, WaysGone()
    steps = STEPS if kind is CASES else STEPS_OF_A_FURTHER_KIND
    run_state_machine_as_test(
        lambda: Accounting(kind, tmp_path / "state"),
        settings=settings(
            max_examples=2 * steps // STEPS_A_RUN,
            stateful_step_count=STEPS_A_RUN,
            deadline=None,
            derandomize=not SOAK,
            print_blob=True,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Steps.taken >= steps
    print(f"{kind.name}: {Steps.taken} steps, rare ways: {dict(Steps.ways.counts.most_common())}")
    # A part of a soak goes other ways each time, and may miss a rare one.
    if kind is CASES and (steps >= 20_000 or (steps >= 2_000 and not SOAK)):
        assert not Steps.ways.never_gone(at_length=steps >= 20_000), Steps.ways.counts


@pytest.fixture
def machine(tmp_path: Path) -> Accounting:
    """The machine over cases, to be sent a way on purpose."""
    Steps.taken, Steps.ways = 0, WaysGone()
    return Accounting(CASES, tmp_path / "state")


@pytest.mark.parametrize("guard", [1, 2], ids=["never from", "only from"])
def test_a_human_who_decides_amid_a_row_ends_it_there_and_this_is_told(machine: Accounting, guard: int) -> None:
    rows = [{"thing": thing, "status": 4, "kind": "all", "flaw": None} for thing in range(THINGS)]
    for instant in range(40, 125, 6):
        machine.plan(rows, "never", guard=guard, keeps_states=False, reads_first=False)

        def decide_and_delay() -> None:
            for thing in range(THINGS):
                machine._decide(thing, 3)
            machine._limit(1)  # what is left of a row has to wait, so that the read before it grows too old

        machine._attempt(machine.books[-1], 3, fate=Fate("clock", instant, decide_and_delay))
        machine._mend()
        for thing in range(THINGS):
            machine._decide(thing, 0)
    machine.teardown()
    assert Steps.ways.counts["a guard forbade the rest of a row"] >= 5, Steps.ways.counts


@pytest.mark.parametrize("instant", range(4, 60, 8))
def test_a_plan_that_replaces_a_lost_one_may_fail_and_is_made_the_second_time(
    machine: Accounting, instant: int
) -> None:
    rows = [{"thing": thing, "status": 4, "kind": "plain", "flaw": None} for thing in range(THINGS)]
    machine.plan(rows, "list", guard=0, keeps_states=False, reads_first=False)
    machine.die(0, 3, instant, "clock")
    machine.sim.script_fault(FaultKind.HTTP_503, times=100)
    machine.lose_disk(0)
    machine.teardown()
    assert Steps.ways.counts["planned anew after a fault"] == 1, Steps.ways.counts
