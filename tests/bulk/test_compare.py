"""Comparing rows with the live cases: what it costs, that it misses nothing, and when it gives up."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from bulk_runs import RETRIEVE, SET_STATUS, attempt, case_rows, changes, decisions, header_of, other_decision

from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaAuthenticationError,
    PersonaError,
    PersonaServerError,
)
from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.bulk.errors import BulkError
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.plan.compare import CompareMode, Comparer, Comparison
from airflow_provider_persona.bulk.plan.draft import PlanOptions, complete, new_draft
from airflow_provider_persona.bulk.plan.estimate import estimate, tightest_limit
from airflow_provider_persona.bulk.plan.file import Plan, Planned
from airflow_provider_persona.bulk.plan.labels import unknown_labels
from airflow_provider_persona.bulk.plan.limits import choice
from airflow_provider_persona.bulk.plan.spool import Spool
from airflow_provider_persona.bulk.subjects.kinds import CASE
from airflow_provider_persona.client.transport import Sending
from airflow_provider_persona.storage.segments import SegmentedLog
from persona_simulator import SANDBOX_KEY, FaultKind, SimulatorConfig
from tests.bulk.odd_answers import OddAnswers
from tests.virtual_time import VirtualPersona

LIST = "list-all-cases"


@pytest.fixture
def thousand() -> VirtualPersona:
    """A thousand cases."""
    return VirtualPersona(SimulatorConfig(cases=1000, limit=1_000_000))


def wanted(sim: VirtualPersona, count: int, right: float, seed: int = 1) -> list[dict[str, Any]]:
    """Rows about `count` of the cases, of which a share is right already."""
    chance = random.Random(seed)
    chosen = chance.sample(sorted(sim.statuses().items()), count)
    return [
        {"case_id": case_id, "status": status if place < right * count else other_decision(status)}
        for place, (case_id, status) in enumerate(chosen)
    ]


def compared(
    sim: VirtualPersona,
    spool: Spool,
    mode: str,
    *,
    needs_states: bool = False,
    cost: int | None = None,
    notes: SegmentedLog | None = None,
    key: str = SANDBOX_KEY,
    now: datetime | None = None,
) -> Comparison:
    async def go() -> Comparison:
        async with sim.client(key) as client:
            blind = spool.valid_rows() if cost is None else cost
            comparer = Comparer(spool, CASE, client, CompareMode(mode), needs_states=needs_states, cost_of_blind=blind)
            return await comparer.run(notes, now=now or sim.utc())

    return sim.run(go())


def spooled(rows: list[dict[str, Any]]) -> Spool:
    spool = Spool(only_row_per="case")
    spool.fill(enumerate(case_rows(rows, None), 1))
    return spool


def planned(sim: VirtualPersona, rows: list[dict[str, Any]], folder: Path, mode: str, **options: Any) -> Plan:
    async def go() -> Plan:
        async with sim.client() as client:
            return await complete(draft, client, PlanOptions(CompareMode(mode), **options))

    draft = new_draft(case_rows(rows, None), folder, header_of())
    try:
        return sim.run(go())
    finally:
        draft.close()


def truly_right(sim: VirtualPersona, rows: list[dict[str, Any]]) -> set[str]:
    statuses = sim.statuses()
    return {row["case_id"] for row in rows if statuses.get(row["case_id"]) == row["status"]}


def seen_right(spool: Spool) -> set[str]:
    return {str(row.object_id) for row in spool.rows() if row.seen is not None and row.seen.is_right}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [20, 300, 1000])
def test_a_list_read_by_several_walks_misses_no_case(thousand: VirtualPersona, count: int, seed: int) -> None:
    rows = wanted(thousand, count, 0.9, seed)
    with spooled(rows) as spool:
        found = compared(thousand, spool, "list")
        assert seen_right(spool) == truly_right(thousand, rows)
        assert spool.seen_count() == count
        assert found.right == len(truly_right(thousand, rows))
        assert (
            found.pages == len(thousand.requests(operation=LIST)) <= 10 + 8
        )  # each walk may end on a page seen in part


def test_pages_are_large_and_ask_for_little(thousand: VirtualPersona) -> None:
    with spooled(wanted(thousand, 50, 0.5)) as spool:
        compared(thousand, spool, "list")
    asked = [dict(parse_qsl(request.query)) for request in thousand.requests(operation=LIST)]
    assert asked
    for query in asked:
        assert query["page[size]"] == "100"
        assert query["fields[case]"] == "status,updated-at"


def test_rows_already_right_are_unchanged_and_cost_no_write(thousand: VirtualPersona, tmp_path: Path) -> None:
    rows = wanted(thousand, 600, 0.9)
    plan = planned(thousand, rows, tmp_path, "auto")
    assert plan.header.planned == {"change": 60, "unchanged": 540}
    report = attempt(thousand, plan)
    assert report.counts == {RowOutcome.UPDATED: 60, RowOutcome.UNCHANGED: 540}
    assert changes(thousand) == Counter(row["case_id"] for row in rows[540:])
    assert len(thousand.requests()) <= 60 + 18


def test_nine_of_ten_right_takes_less_than_a_quarter_of_the_requests(tmp_path: Path) -> None:
    sim = VirtualPersona(SimulatorConfig(cases=6000, limit=1_000_000))
    rows = wanted(sim, 3000, 0.9)
    attempt(sim, planned(sim, rows, tmp_path, "auto"))
    assert len(sim.requests()) < 3000 / 4
    assert not truly_right(sim, rows) ^ {row["case_id"] for row in rows}


@pytest.mark.parametrize("count", [30, 200, 900])
def test_auto_gives_up_within_a_tenth_of_the_requests_of_writing_blindly(
    thousand: VirtualPersona, tmp_path: Path, count: int
) -> None:
    """None of the rows is right already, so all reading is for nothing."""
    rows = wanted(thousand, count, 0.0)
    plan = planned(thousand, rows, tmp_path, "auto")
    assert len(thousand.requests(operation=LIST)) <= count / 10
    assert plan.header.planned == {"change": count}
    assert attempt(thousand, plan).counts == {RowOutcome.UPDATED: count}


def test_auto_gives_up_early_where_few_of_the_cases_are_meant(tmp_path: Path) -> None:
    sim = VirtualPersona(SimulatorConfig(cases=20_000, limit=1_000_000))
    with spooled(wanted(sim, 600, 0.1)) as spool:
        found = compared(sim, spool, "auto")
        assert found.gave_up
        assert found.pages <= 20


def test_auto_does_not_list_for_a_handful_of_rows(thousand: VirtualPersona) -> None:
    with spooled(wanted(thousand, 9, 1.0)) as spool:
        found = compared(thousand, spool, "auto")
    assert (found.pages, found.gave_up) == (0, "so few rows are written sooner than a page is read")


@pytest.mark.parametrize("mode", ["auto", "list", "get"])
def test_where_states_are_needed_all_of_them_are_read(thousand: VirtualPersona, mode: str) -> None:
    rows = wanted(thousand, 120, 0.2)
    statuses = thousand.statuses()
    with spooled([*rows, {"case_id": "case_nowhere", "status": "Approved"}]) as spool:
        found = compared(thousand, spool, mode, needs_states=True)
        states = {row.object_id: row.seen.status for row in spool.rows() if row.seen is not None}
        assert states == {row["case_id"]: statuses[row["case_id"]] for row in rows} | {"case_nowhere": None}
        assert found.pages + found.reads <= 121 * 1.1 + 1


def test_never_asks_nothing(thousand: VirtualPersona) -> None:
    with spooled(wanted(thousand, 50, 1.0)) as spool:
        assert compared(thousand, spool, "never") == Comparison()
    assert thousand.requests() == []


def test_a_row_with_more_than_a_status_is_right_only_when_all_of_it_is(thousand: VirtualPersona) -> None:
    case_id, status = next(iter(thousand.statuses().items()))
    other_id, other_status = list(thousand.statuses().items())[1]
    rows = [
        {"case_id": case_id, "status": status, "add_tags": ["not-there"]},
        {"case_id": other_id, "status": other_status, "tags": "[]"},
    ]
    with spooled(rows) as spool:
        compared(thousand, spool, "list")
        tags = next(case["tags"] for case in thousand.cases() if case["case_id"] == other_id)
        assert seen_right(spool) == (set() if tags else {other_id})


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(BulkError, match="compare is auto, list, get, never, not 'always'"):
        choice(CompareMode, "always", "compare")


def test_a_list_that_cannot_be_read_is_no_reason_for_auto_to_fail(thousand: VirtualPersona) -> None:
    thousand.script_fault(FaultKind.HTTP_500, operation=LIST, times=1000)
    with spooled(wanted(thousand, 200, 0.9)) as spool:
        assert "could not be read" in compared(thousand, spool, "auto").gave_up
    with spooled(wanted(thousand, 200, 0.9)) as spool, pytest.raises(PersonaError):
        compared(thousand, spool, "list")


class WithoutAPage(VirtualPersona):
    """Cases with one page of their list that cannot be read."""

    after = ""

    def transport(self, settings: Any) -> Any:
        inner = super().transport(settings)
        page = f"page%5Bafter%5D={self.after}"

        class Broken:
            async def transmit(self, sending: Sending) -> Any:
                return Response(503, {}, b"{}") if page in sending.request.target else await inner.transmit(sending)

            async def close(self) -> None:
                await inner.close()

        return Broken()


def test_a_page_that_cannot_be_read_is_not_passed_over_whichever_it_is() -> None:
    """A walk that began well leaves nobody behind to read what it did not come to."""
    cases = SimulatorConfig(cases=500, limit=1_000_000)
    whole = VirtualPersona(cases)
    rows = wanted(whole, 400, 1.0)
    with spooled(rows) as spool:
        compared(whole, spool, "list")
    pages = [dict(parse_qsl(request.query)).get("page[after]") for request in whole.requests(operation=LIST)]
    ends = Counter[str]()
    for page in filter(None, pages):
        persona = WithoutAPage(cases)
        persona.after = page
        with spooled(rows) as spool:
            try:
                compared(persona, spool, "list")
            except PersonaServerError:
                ends["failed"] += 1
                continue
            assert [row.object_id for row in spool.rows() if row.seen is None] == [], page
            ends["read from elsewhere"] += 1
    assert len(ends) == 2


def test_a_refused_key_fails_it_in_every_mode(thousand: VirtualPersona) -> None:
    for mode in ("auto", "list"):
        with spooled(wanted(thousand, 200, 0.9)) as spool, pytest.raises(PersonaAuthenticationError):
            compared(thousand, spool, mode, key="persona_sandbox_wrong")


def test_faults_on_the_way_are_ridden_out(thousand: VirtualPersona) -> None:
    for kind in (FaultKind.HTTP_503, FaultKind.RESET_BEFORE, FaultKind.TRUNCATED, FaultKind.MALFORMED):
        thousand.script_fault(kind, operation=LIST, times=2)
    rows = wanted(thousand, 300, 0.9)
    with spooled(rows) as spool:
        compared(thousand, spool, "list")
        assert seen_right(spool) == truly_right(thousand, rows)


class KilledError(BaseException):
    """Ends the process, so to speak."""


@pytest.mark.parametrize("mode", ["list", "get"])
@pytest.mark.parametrize("after", [1, 4, 9])
def test_what_was_seen_before_a_kill_is_not_asked_again(
    thousand: VirtualPersona, tmp_path: Path, mode: str, after: int
) -> None:
    """A process dies when it has taken in so many answers."""
    rows = wanted(thousand, 60 if mode == "get" else 900, 0.9)
    notes = SegmentedLog(tmp_path, "seen")
    with spooled(rows) as spool, pytest.raises(KilledError):
        _killed_after(thousand, spool, mode, after, notes)
    first = len(thousand.requests())
    with spooled(rows) as spool:
        compared(thousand, spool, mode, notes=notes)
        assert seen_right(spool) == truly_right(thousand, rows)
    again = len(thousand.requests()) - first
    if mode == "get":
        assert again == 60 - after
    else:  # ten pages hold all cases, and two walks may meet on a page
        assert again <= 10 - after + 2


def test_a_kill_before_the_page_of_the_newest_came_leaves_no_case_unseen(
    thousand: VirtualPersona, tmp_path: Path
) -> None:
    rows = wanted(thousand, 900, 0.9)
    notes = SegmentedLog(tmp_path, "seen")
    with spooled(rows) as spool, pytest.raises(KilledError):
        _killed_after(thousand, spool, "list", 4, notes)
    (file,) = tmp_path.iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line).get("walk") != ""]
    assert 1 < len(kept) < len(lines)
    file.write_bytes(b"".join(kept))
    with spooled(rows) as spool:
        compared(thousand, spool, "list", notes=notes)
        assert seen_right(spool) == truly_right(thousand, rows)


def _killed_after(sim: VirtualPersona, spool: Spool, mode: str, answers: int, notes: SegmentedLog) -> None:
    async def go() -> None:
        async with sim.client() as client:
            left = answers
            send = client.send

            async def dying(*arguments: Any) -> Any:
                nonlocal left
                answer = await send(*arguments)
                left -= 1
                if left < 0:
                    raise KilledError
                return answer

            client.send = dying  # type: ignore[method-assign]
            comparer = Comparer(spool, CASE, client, CompareMode(mode), needs_states=False, cost_of_blind=1000)
            await comparer.run(notes, now=sim.utc())

    try:
        sim.run(go())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def test_notes_of_other_rows_or_of_long_ago_are_not_believed(thousand: VirtualPersona, tmp_path: Path) -> None:
    rows = wanted(thousand, 300, 0.9)
    notes = SegmentedLog(tmp_path, "seen")
    with spooled(rows) as spool:
        compared(thousand, spool, "list", notes=notes)
    for case in rows[:5]:
        thousand.act_as_human(case["case_id"], other_decision(case["status"]))
    with spooled(rows) as spool:
        compared(thousand, spool, "list", notes=notes, now=thousand.utc() + timedelta(hours=1))
        assert seen_right(spool) == truly_right(thousand, rows)
    with spooled(rows[:-1]) as spool:
        compared(thousand, spool, "list", notes=notes)
        assert seen_right(spool) == truly_right(thousand, rows[:-1])


def test_a_row_seen_to_be_guarded_is_skipped_by_the_plan(thousand: VirtualPersona, tmp_path: Path) -> None:
    rows = [dict(row, expected_status="Open") for row in decisions(thousand, 100)]
    statuses = thousand.statuses()
    plan = planned(thousand, rows, tmp_path, "list")
    skipped = sum(statuses[row["case_id"]] != "Open" for row in rows)
    assert plan.header.planned == {"change": 100 - skipped, "skipped_guard": skipped}
    attempt(thousand, plan)
    assert len(thousand.requests(operation=SET_STATUS)) == 100 - skipped
    assert len(thousand.requests(operation=RETRIEVE)) == 100 - skipped


ODD = [
    None,
    5,
    {},
    {"id": 5},
    {"id": "x", "attributes": {"status": ["canary"]}},
    {"type": "case", "id": "case_sim000021", "attributes": {"updated-at": "canary"}},
]


@pytest.mark.parametrize("mode", ["list", "get"])
@pytest.mark.parametrize("odd", ODD, ids=json.dumps)
def test_one_strange_object_costs_its_own_row_its_comparison_and_no_other(tmp_path: Path, mode: str, odd: Any) -> None:
    strange = "case_sim000021"
    persona = OddAnswers(lambda item: odd if item.get("id") == strange else item)
    rows = [{"case_id": case_id, "status": status} for case_id, status in persona.statuses().items()]
    plan = planned(persona, rows, tmp_path, mode, record_states=mode == "get")
    assert [row.object_id for row in plan.rows() if row.planned is Planned.CHANGE] == [strange]
    assert "canary" not in plan_text(tmp_path)


def plan_text(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("mode", ["list", "get"])
def test_strange_objects_only_end_the_planning(tmp_path: Path, mode: str) -> None:
    persona = OddAnswers(lambda item: {**item, "attributes": {"status": ["canary"]}} if "type" in item else item)
    rows = [{"case_id": case_id, "status": "Approved"} for case_id in persona.statuses()]
    with pytest.raises(PersonaAnswerError, match="does not look like a case") as caught:
        planned(persona, rows, tmp_path, mode, record_states=mode == "get")
    assert "canary" not in str(caught.value)


def test_odd_limits_cost_the_estimate_and_nothing_else() -> None:
    sound = {"type": "rate-limit", "attributes": {"limit": 300, "remaining": 200, "seconds-to-reset": 30}}
    assert tightest_limit({"data": [None, 5, "x", [], {"attributes": [1]}, {"attributes": "x"}, sound]}) is not None
    for odd in (True, -1, 1.5, "300", None, [300], 10**400):
        limit = {"attributes": {**sound["attributes"], "limit": odd}}  # type: ignore[dict-item]
        assert estimate(10, tightest_limit({"data": [limit]}), 0.2).limit in (None, 300)
    for answer in (None, [], {"data": {"limit": 3}}, {"data": None}):
        assert tightest_limit(answer) is None


def test_a_template_that_no_call_can_name_is_not_asked_for_its_statuses() -> None:
    def spoil(item: Any) -> Any:
        if item["type"] == "case":
            item["relationships"]["case-template"] = {"data": {"type": "case-template", "id": "ctmpl_1/../x"}}
        return item

    persona = OddAnswers(spoil)

    async def look() -> list[str]:
        async with persona.client() as client:
            return await unknown_labels(["Nowhere"], [], CASE, client)

    assert persona.run(look()) == ["Nowhere"]
