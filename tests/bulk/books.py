"""Book-keeping beside the engine: what each plan may do by its rows alone, and what the journal says that it did.

Nothing here asks the engine what it wanted: the wanted changes are read from the source rows, by rules of their own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_persona.bulk.apply.object_writer import PERHAPS_OWN, SHOWN_LATER
from airflow_provider_persona.bulk.apply.writers import sampled_rows
from airflow_provider_persona.bulk.ledger.ledger import read_results
from airflow_provider_persona.bulk.ledger.outcomes import NOT_DONE, RowOutcome, RowResult
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.plan.draft import PlanOptions
from airflow_provider_persona.bulk.plan.file import Plan, PlanHeader
from airflow_provider_persona.bulk.plan.guards import Guards
from persona_simulator import SimulatorControl
from persona_simulator.journal import Effect, LoggedRequest
from tests.bulk.audited import Audited, ThingNow, is_foreign

_LOOK_IS_GOOD_FOR = 1.5
_CONFLICT = 409


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a valid row wishes for."""

    status: str | None
    expected: str | None = None
    note: str | None = None
    tag: str | None = None

    @property
    def parts(self) -> dict[str, str]:
        parts = {"status": self.status, "note": self.note, "tag": self.tag}
        return {name: value for name, value in parts.items() if value is not None}

    def shows(self, part: str, state: ThingNow) -> bool:
        if part == "status":
            return state.status == self.status
        return state.note == self.note if part == "note" else self.tag in state.tags

    def is_so(self, state: ThingNow) -> bool:
        return all(self.shows(part, state) for part in self.parts)


def expected_of(given: Iterable[Mapping[str, Any]], kind: Audited) -> dict[int, tuple[str, Wanted]]:
    """Return the valid rows by their numbers: no repeats, and none where two contradict one another."""
    wishes: dict[str, dict[Wanted, int]] = {}
    for number, row in enumerate(given, 1):
        if _is_valid(row, kind):
            tag = (row.get("add_tags") or [None])[0]
            wanted = Wanted(row.get("status"), row.get("expected_status"), kind.note_wished(row), tag)
            wishes.setdefault(row[kind.id_column], {}).setdefault(wanted, number)
    return {
        number: (thing_id, wanted)
        for thing_id, several in wishes.items()
        if len(several) == 1
        for wanted, number in several.items()
    }


def repeats_in(given: Iterable[Mapping[str, Any]], kind: Audited) -> int:
    """Return how many rows repeat a valid one."""
    given = list(given)
    valid = {thing_id for thing_id, _ in expected_of(given, kind).values()}
    return sum(row[kind.id_column] in valid and _is_valid(row, kind) for row in given) - len(valid)


def _is_valid(row: Mapping[str, Any], kind: Audited) -> bool:
    thing_id, status = row[kind.id_column], row.get("status")
    wishes = bool(status) and kind.knows(status) if kind.has_status else kind.note_wished(row) is not None
    return bool(thing_id) and "/" not in thing_id and wishes


class Journal:
    """The simulator's journal and log of requests, read as they grow, and the things as they are now.

    :param sim: the simulator.
    :param kind: what kind of thing.
    :param count: how many of them there are.
    """

    def __init__(self, sim: SimulatorControl, kind: Audited, count: int) -> None:
        self._sim = sim
        self.kind = kind
        self._ids = kind.make(sim, count)
        self.effects: list[Effect] = []
        self.requests: list[LoggedRequest] = []
        self.things: dict[str, ThingNow] = {}
        self._accounted = self._answered = 0
        self.catch_up()
        self.first = dict(self.things)
        self.unaccounted()

    def catch_up(self) -> None:
        under_way = self._first_under_way()
        self.requests[under_way:] = self._sim.requests(since=under_way)
        self.effects += self._sim.journal(since=len(self.effects))
        self.things = self.kind.now(self._sim, self._ids)

    def _first_under_way(self) -> int:
        """Return the number of the first request that was not answered yet when it was read, or of the next to come."""
        is_under_way = (request.index for request in self.requests[self._answered :] if _may_be_answered(request))
        self._answered = next(is_under_way, len(self.requests))
        return self._answered

    def unaccounted(self) -> list[Effect]:
        """Return the effects that were not returned before."""
        new, self._accounted = self.effects[self._accounted :], len(self.effects)
        return new

    def status_at(self, case_id: str, at: float) -> str | None:
        """Return a thing's status at a time."""
        for effect in reversed(self.effects):
            if effect.case_id == case_id and effect.at <= at:
                return effect.to_status
        return self.first[case_id].status


def _may_be_answered(request: LoggedRequest) -> bool:
    return request.status == 0 and request.fault in (None, "latency", "slow")


def request_of(effect: Effect) -> int:
    """Return the number of the request that had an effect."""
    assert effect.request_id is not None
    return int(effect.request_id.removeprefix("req_sim")) - 1


@dataclass(eq=False)
class Book:
    """One plan, whatever becomes of it.

    :param kind: what the rows are about.
    :param root: the run's folder.
    :param header: who plans.
    :param given: the source rows.
    :param valid: the valid ones of them, by number.
    :param guards: the guards.
    :param planning: how it is planned.
    """

    kind: Audited
    root: Path
    header: PlanHeader
    given: list[dict[str, Any]]
    valid: dict[int, tuple[str, Wanted]]
    guards: Guards
    planning: PlanOptions
    heeds_drift: bool = False
    reads_first: bool = False
    is_complete: bool = False
    rows: int = 0
    was_lost: bool = False
    clock_was_turned: bool = False
    own: list[Effect] = field(default_factory=list)
    _plan: Plan | None = None
    _snapshots: list[dict[str, ThingNow]] = field(default_factory=list)
    _interrupted: bool = False
    _lines: int = 0
    _planned_at: int = 0
    _first_effect: int = 0
    _first_request: int = 0
    _report: Report | None = None

    def __post_init__(self) -> None:
        self.rows = len(self.given) - repeats_in(self.given, self.kind)

    @property
    def plan(self) -> Plan:
        assert self._plan is not None
        return self._plan

    @plan.setter
    def plan(self, plan: Plan) -> None:
        self._plan = plan
        assert plan.header.rows == self.rows
        assert {row.number: row.object_id for row in plan.rows() if row.wanted is not None} == {
            number: case_id for number, (case_id, _) in self.valid.items()
        }

    # ------------------------------------------------------------------ what happens to it

    def watch(self, journal: Journal) -> None:
        """Planning begins."""
        self._first_effect, self._first_request = len(journal.effects), len(journal.requests)
        self.snapshot(journal)

    def planned(self, journal: Journal) -> None:
        """Planning has ended, and must not have written."""
        assert all(map(is_foreign, journal.effects[self._first_effect :]))
        assert {request.method for request in journal.requests[self._first_request :]} <= {"GET"}
        self._planned_at = len(journal.effects)
        self.snapshot(journal)

    def snapshot(self, journal: Journal) -> None:
        self._snapshots.append(journal.things)

    def lost(self) -> None:
        """Its folder is gone."""
        self.was_lost, self._lines = True, 0

    def has_touched(self, case_id: str) -> bool:
        """Whether it has written to a case."""
        return any(own.case_id == case_id for own in self.own)

    def begin_attempt(self, journal: Journal) -> None:
        self.clock_was_turned = False
        self._first_effect, self._first_request = len(journal.effects), len(journal.requests)
        self.snapshot(journal)

    def end_attempt(
        self, journal: Journal, report: Report | None, *, dry_run: bool, sample: int | None = None
    ) -> list[RowResult]:
        """Hold an attempt against the journal, and return its records; `report` is None when it died."""
        self.snapshot(journal)
        assert not dry_run or all(map(is_foreign, journal.effects[self._first_effect :]))
        self.account_for(journal)
        leaves_rows = dry_run or sample is not None
        may_be_sent = self._may_be_sent(sample)
        results = self._new_results()
        for result in results:
            self._check_result(result, journal, leaves_rows=leaves_rows)
            assert result.outcome is RowOutcome.PLANNED or result.row in may_be_sent, f"not in the sample: {result}"
        self._interrupted |= report is None or report.stopped is not None
        self._report = report
        if report is not None:
            self._check_report(report, leaves_rows=leaves_rows)
            is_left = leaves_rows and report.counts[RowOutcome.PLANNED] > 0
            self.is_complete |= report.stopped is None and not dry_run and not is_left
        return results

    def _may_be_sent(self, sample: int | None) -> set[int]:
        """Return the rows that an attempt may settle: those of the sample, and those that send nothing."""
        numbers = set(self.plan.numbers())
        return (
            numbers
            if sample is None
            else numbers - (dict(self.plan.changes()).keys() - sampled_rows(self.plan, sample))
        )

    def account_for(self, journal: Journal) -> None:
        """Take in what was done since the last attempt at any plan began, by this one's requests."""
        for effect in journal.unaccounted():
            # What comes along with one, such as an inquiry's session, is no thing of a row.
            if not is_foreign(effect) and effect.object_id in journal.things:
                self._check_effect(effect, journal)
                self.own.append(effect)

    # ------------------------------------------------------------------ effects

    def _check_effect(self, effect: Effect, journal: Journal) -> None:
        wanted = self._wanted(effect.case_id)
        assert wanted is not None, f"no row is about it: {effect}"
        made_by = {part: self.kind.operation_of(part, value) for part, value in wanted.parts.items()}
        assert effect.operation in made_by.values(), f"no row wished for it: {effect}"
        for name in effect.parts:
            part = self.kind.part_of(name)
            if part is None:
                continue  # a time, for example
            assert made_by.get(part) == effect.operation, effect
            before = [own.index for own in self.own if own.case_id == effect.case_id and name in own.parts]
            assert not before or self._others(journal, effect.case_id, before[-1], effect.index), f"twice: {effect}"
        if "status" in effect.parts:
            assert effect.to_status == wanted.status, effect
        self._check_guards(effect, wanted, journal)

    def _check_guards(self, effect: Effect, wanted: Wanted, journal: Journal) -> None:
        """Make sure that the last look before a write gave leave; what a human does after it is the race left."""
        drifts = self.heeds_drift and self.kind.tells_when and effect.case_id in self._snapshots[0]
        if not (self.guards.needs_read(wanted.expected) or drifts):
            return
        number = request_of(effect)
        looks = [
            request
            for request in journal.requests[self._first_request : number]
            if request.operation == self.kind.retrieve and request.case_id == effect.case_id and request.status == 200
        ]
        assert looks, f"nobody looked first: {effect}"
        look = looks[-1]
        if look.fault is not None:
            return  # when it was answered is not known to the millisecond
        sent_at = journal.requests[number].at
        assert self.clock_was_turned or sent_at - look.at < _LOOK_IS_GOOD_FOR, f"it was looked at long before: {effect}"
        status = journal.status_at(effect.case_id, look.at) if self.kind.has_status else None
        objection = self.guards.objection(status, wanted.expected)
        mine = [own for own in self.own if own.case_id == effect.case_id]
        assert objection is None, f"{objection}: {effect}"
        if drifts and not any("status" in own.parts for own in mine):
            planned = self._snapshots_at_planning[effect.case_id].status
            assert status == planned, f"it was {planned} when planned: {effect}"
            others = {part for part in wanted.parts if part != "status"}
            was_so = any(wanted.shows(part, self._snapshots_at_planning[effect.case_id]) for part in others)
            if not was_so and not any(own.changed for own in mine):  # else this run itself may have made it so
                changed = [other for other in self._foreign(journal, effect.case_id) if other.at <= look.at]
                assert not changed, f"it was changed since it was planned: {effect}"

    @property
    def _snapshots_at_planning(self) -> dict[str, ThingNow]:
        return self._snapshots[1]

    def _foreign(self, journal: Journal, case_id: str) -> list[Effect]:
        """Return what others changed of a case since it was planned."""
        mine = {own.index for own in self.own}
        return [
            effect
            for effect in journal.effects[self._planned_at :]
            if effect.case_id == case_id and effect.changed and effect.index not in mine
        ]

    def _brings_about(self, effect: Effect) -> bool:
        """Whether an effect changed a part that rows wish for, and not only a time beside it."""
        return any(self.kind.part_of(name) for name in effect.parts)

    def _others(self, journal: Journal, case_id: str, after: int, before: int | None = None) -> bool:
        """Whether anybody else changed a case between two effects."""
        mine = {own.index for own in self.own}
        return any(
            effect.case_id == case_id and effect.changed and effect.index not in mine
            for effect in journal.effects[after + 1 : before]
        )

    def _wanted(self, case_id: str | None) -> Wanted | None:
        return next((wanted for about, wanted in self.valid.values() if about == case_id), None)

    # ------------------------------------------------------------------ the ledger

    def _new_results(self) -> list[RowResult]:
        results = list(read_results(self.plan.folder, self.plan.header.hash))
        new, self._lines = results[self._lines :], len(results)
        return new

    def _check_result(self, result: RowResult, journal: Journal, *, leaves_rows: bool) -> None:
        assert (result.outcome is RowOutcome.PLANNED) <= leaves_rows, result
        assert (result.outcome is RowOutcome.INVALID) == (result.row not in self.valid), result
        if result.row not in self.valid:
            return
        case_id, wanted = self.valid[result.row]
        assert result.object_id == case_id, result
        states = [snapshot[case_id] for snapshot in self._snapshots if case_id in snapshot]
        mine = [own for own in self.own if own.case_id == case_id]
        if result.outcome is RowOutcome.UPDATED:
            self._check_updated(result, wanted, states, mine, journal)
        elif result.outcome is RowOutcome.UNCHANGED:
            assert any(map(wanted.is_so, states)), result
        elif result.outcome is RowOutcome.SKIPPED_GUARD:
            self._check_skipped(result, wanted, states, mine, journal)
        elif result.outcome is RowOutcome.FAILED:
            self._check_failed(result, mine, journal)
        elif result.outcome is RowOutcome.UNRESOLVED:
            self._check_unresolved(result, journal)

    def _check_updated(
        self, result: RowResult, wanted: Wanted, states: list[ThingNow], mine: list[Effect], journal: Journal
    ) -> None:
        # After an unclear answer, a look that finds the case as wished is all there is to go by.
        looked = result.reason == SHOWN_LATER and any(map(wanted.is_so, states))
        assert mine or looked, f"no effect: {result}"
        for part in wanted.parts:
            is_mine = any(own.operation == self.kind.operation_of(part, wanted.parts[part]) for own in mine)
            assert is_mine or any(wanted.shows(part, state) for state in states), f"{part} is not so: {result}"
        # Whoever plans anew after a loss finds what an attempt before it did, and can know no status of before.
        changed = [own for own in mine if "status" in own.parts and own.index >= self._planned_at]
        if result.from_status is not None and len(changed) == 1 and not self._foreign(journal, str(result.object_id)):
            assert result.from_status == changed[0].from_status, result

    def _check_skipped(
        self, result: RowResult, wanted: Wanted, states: list[ThingNow], mine: list[Effect], journal: Journal
    ) -> None:
        foreign = self._foreign(journal, str(result.object_id))
        objects = not states or any(self.guards.objection(state.status, wanted.expected) for state in states)
        # Resuming an inquiry that never expired changes its times and no more, so a later try takes that for drift.
        touched = any(not self._brings_about(own) for own in mine)
        assert objects or (self.heeds_drift and (foreign or touched)), f"nothing forbade it: {result}"
        changed = [own for own in mine if own.changed]
        # It says of itself that the drift may be its own, which is all that an object's times can tell.
        is_told = "already changed" in result.reason or (touched and PERHAPS_OWN in result.reason)
        if changed and not self._interrupted and not is_told:
            assert self._others(journal, str(result.object_id), changed[-1].index), f"it was done: {result}"

    def _check_failed(self, result: RowResult, mine: list[Effect], journal: Journal) -> None:
        for own in mine:
            if not self._brings_about(own) or self._others(journal, own.case_id, own.index):
                continue
            if journal.requests[request_of(own)].fault == "latency":
                continue  # it may have been worked on still when the case was looked at; no look can foretell that
            assert "status" not in own.parts, f"it was done: {result}, {own}"
            told = "already changed" in result.reason
            assert told or own.index < self._first_effect, f"a part was done: {result}, {own}"

    def _check_unresolved(self, result: RowResult, journal: Journal) -> None:
        if result.http_status == _CONFLICT:
            return  # after a lost answer it may mean that the first request is still under way, which no look refutes
        about = [request for request in journal.requests[self._first_request :] if request.case_id == result.object_id]
        writes = [request.index for request in about if request.method != "GET"]
        looks = [
            request
            for request in about
            if request.operation == self.kind.retrieve
            and request.status == 200
            and request.fault is None
            and request.index > max(writes, default=-1)
        ]
        assert not looks, f"it was looked at: {result}"

    # ------------------------------------------------------------------ the balance

    def _check_report(self, report: Report, *, leaves_rows: bool) -> None:
        assert report.rows == self.rows
        assert report.repeats == repeats_in(self.given, self.kind) or not self.given
        if report.stopped is not None:
            return
        assert report.counts.total() == self.rows, report
        assert report.counts[RowOutcome.INVALID] == self.rows - len(self.valid)
        if not self.was_lost:
            last = {result.row: result for result in read_results(self.plan.folder, self.plan.header.hash)}
            assert len(last) == self.rows
            # Rows that are left keep on the ledger that they failed or are unresolved, and are reported as planned.
            open_still = {*NOT_DONE, RowOutcome.PLANNED} if leaves_rows else set()
            told = Counter(one.outcome for one in last.values() if one.outcome not in open_still)
            assert told == Counter({name: n for name, n in report.counts.items() if n and name not in open_still})

    def assert_over(self) -> None:
        """Make sure that nothing is left to do which another attempt could do."""
        results = {result.row: result for result in read_results(self.plan.folder, self.plan.header.hash)}
        left = [result for result in results.values() if result.outcome in NOT_DONE and result.retryable]
        assert not left
        assert self.was_lost or len(results) == self.rows

    def assert_settled(self, journal: Journal) -> None:
        """Make sure that the last attempt, made while nothing went wrong, left only what cannot be done."""
        assert self._report is not None
        assert self._report.stopped is None
        results = {result.row: result for result in read_results(self.plan.folder, self.plan.header.hash)}
        for result in results.values():
            if result.outcome in NOT_DONE:
                thing_id, wanted = self.valid[result.row]
                is_possible = thing_id in journal.things and wanted.status != "Nonsense"
                assert not is_possible or _is_refused(thing_id, wanted, journal), result

    def takes_back(self, header: PlanHeader, plan: Plan, journal: Journal, **options: Any) -> Book:
        """Return the book of the plan that takes this one back, after a look at whether it does."""
        valid = {}
        for row in plan.rows():
            if row.wanted is None:
                continue
            assert row.object_id is not None
            assert row.to_status is not None
            mine = [own for own in self.own if own.case_id == row.object_id and "status" in own.parts]
            moves = {(own.from_status, own.to_status) for own in mine}
            is_right = (row.to_status, row.expected_status) in moves
            assert is_right or self._foreign(journal, row.object_id), f"it did not happen: {row}"
            valid[row.number] = row.object_id, Wanted(row.to_status, row.expected_status)
        book = Book(self.kind, plan.folder.parent, header, [], valid, Guards(), PlanOptions(), **options)
        book.rows = plan.header.rows
        book.plan = plan
        return book


def _is_refused(thing_id: str, wanted: Wanted, journal: Journal) -> bool:
    """Whether Persona itself refused a wish for the state that the thing is in."""
    if wanted.status is None:
        return False
    operation = journal.kind.operation_of("status", wanted.status)
    asked = [each for each in journal.requests if each.case_id == thing_id and each.operation == operation]
    # An inquiry that never expired is resumed without a change of its status.
    return bool(asked) and (asked[-1].status == _CONFLICT or wanted.status == "pending")


def torn_line(plan: Plan) -> bytes:
    """Return the first half of a ledger's line."""
    return json.dumps({"plan": plan.header.hash, "row": 1, "object_id": "case_"})[:-3].encode()
