"""The plan: repeats, contradictions, order, counts and hash; private values apart; nothing changed in it unseen."""

from __future__ import annotations

import json
import os
import random
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import CREATED, attempt, case_rows, header_of, lines_of, plan_of, write_plan
from hypothesis import given, settings, strategies as st

from airflow_provider_persona.bulk.errors import PlanError
from airflow_provider_persona.bulk.plan.file import PLAN_FILE, VALUES_FILE, Plan, read_plan
from airflow_provider_persona.bulk.plan.spool import Spool
from airflow_provider_persona.bulk.source.rows import InvalidRow
from airflow_provider_persona.bulk.subjects.subject import ObjectUpdate
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.storage.paths import prepare_folder
from airflow_provider_persona.storage.whole_files import write_whole
from persona_simulator import SimulatorServer

CANARY = "Farida-Castellano-4417"
NOTE = {"fields": {"decision-note": "note"}}


def row(case_id: str | None, status: str = "Approved", **more: Any) -> dict[str, Any]:
    return {"case_id": case_id, "status": status, **more}


def problems(plan: Plan) -> dict[int, str | None]:
    return {found.number: found.reason or None for found in plan.rows()}


def test_exact_repeats_collapse_into_the_first_of_them(tmp_path: Path) -> None:
    plan = plan_of([row("case_2"), row("case_1"), row("case_2"), row("case_2")], tmp_path)
    assert [(found.number, found.object_id) for found in plan.rows()] == [(1, "case_2"), (2, "case_1")]
    assert (plan.header.rows, plan.header.repeats, list(plan.numbers())) == (2, 2, [1, 2])


def test_repeats_are_compared_by_what_they_wish_not_by_how_they_spell_it(tmp_path: Path) -> None:
    rows = [{"case_id": "case_1", "add_tags": "vip,watch"}, {"case_id": "case_1", "add_tags": ["vip", "watch"]}]
    assert plan_of(rows, tmp_path).header.repeats == 1


@pytest.mark.parametrize(
    "others",
    [{"status": "Declined"}, {"expected_status": "Open"}, {"note": "y"}, {"assignee": "b@c.d"}],
)
def test_rows_that_contradict_one_another_are_all_invalid_and_say_which_was_first(
    tmp_path: Path, others: dict[str, Any]
) -> None:
    base = row("case_1", note="x", assignee="a@b.c", expected_status="Pending")
    plan = plan_of([base | {"case_id": "case_9"}, base, base | others, base], tmp_path, NOTE)
    said = "another row wants something else for the same case (first in row 2)"
    assert problems(plan) == {1: None, 2: said, 3: said, 4: said}
    assert plan.header.planned == {"change": 1, "invalid": 3}


def test_an_invalid_row_contradicts_nothing(tmp_path: Path) -> None:
    plan = plan_of([row("case_1"), row("case_1", ""), row(None), row(None)], tmp_path)
    assert problems(plan) == {1: None, 2: "no status", 3: "no case id", 4: "no case id"}
    assert plan.header.planned == {"change": 1, "invalid": 3}


def test_the_header_counts_transitions_and_the_hash_covers_them(tmp_path: Path) -> None:
    rows = [row("case_1"), row("case_2"), row("case_3", "Declined"), row("case_4", "")]
    plan = plan_of(rows, tmp_path)
    assert plan.header.transitions == {"? -> Approved": 2, "? -> Declined": 1}
    assert plan.header.created_at == CREATED
    assert plan.header.values_hash is None
    assert read_plan(tmp_path) == plan
    assert lines_of(tmp_path / PLAN_FILE)[0]["hash"] == plan.header.hash


def test_the_hash_tells_runs_and_rows_apart_and_nothing_else(tmp_path: Path) -> None:
    def hash_of(name: str, rows: list[dict[str, Any]], run: str = "run") -> str:
        return plan_of(rows, tmp_path / name, NOTE, run).header.hash

    rows = [row("case_1", note="x")]
    first = hash_of("a", rows)
    assert hash_of("b", rows) == first
    assert hash_of("c", rows, run="another") != first
    assert hash_of("d", [row("case_1", note="y")]) != first
    assert hash_of("e", [row("case_2", note="x")]) != first


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["case_1", "case_2", "case_3", None]), st.sampled_from(["A", "B", ""]))))
def test_the_spool_agrees_with_a_plain_reading_of_its_rules(given_rows: list[tuple[str | None, str]]) -> None:
    wishes = list(case_rows([row(case_id, status) for case_id, status in given_rows], None))
    by_case: dict[str, list[tuple[int, str]]] = {}
    for number, found in enumerate(wishes, 1):
        if isinstance(found, ObjectUpdate):
            by_case.setdefault(found.object_id, []).append((number, str(found.change.status)))
    expected: dict[int, bool] = {n: False for n, found in enumerate(wishes, 1) if isinstance(found, InvalidRow)}
    for group in by_case.values():
        contradict = len({status for _, status in group}) > 1
        expected.update({n: not contradict for n, _ in (group if contradict else group[:1])})
    with Spool(only_row_per="case") as spool:
        spool.fill(enumerate(wishes, 1))
        found_rows = [(spooled.number, spooled.problem is None) for spooled in spool.rows()]
        assert found_rows == sorted(expected.items())
        assert spool.repeats == len(wishes) - len(expected)


def _edit(text: bytes) -> bytes:
    return text.replace(b"Approved", b"Declined", 1)


def _edit_row(text: bytes) -> bytes:
    return text.replace(b'"case_2"', b'"case_7"')


def _drop_last_line(text: bytes) -> bytes:
    return b"\n".join(text.splitlines()[:-1]) + b"\n"


def _cut(text: bytes) -> bytes:
    return text[:-9]


def _add(text: bytes) -> bytes:
    return text + b'{"row":9,"object_id":"case_9","wish":{"status":"Approved"}}\n'


def _swap(text: bytes) -> bytes:
    head, first, second, *rest = text.splitlines()
    return b"\n".join([head, second, first, *rest]) + b"\n"


@pytest.mark.parametrize("harm", [_edit, _edit_row, _drop_last_line, _cut, _add, _swap])
def test_a_plan_that_was_changed_or_cut_short_is_refused(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    plan_of([row("case_1"), row("case_2")], tmp_path)
    path = tmp_path / PLAN_FILE
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(PlanError, match="was changed or cut short after it was planned; plan anew") as error:
        read_plan(tmp_path)
    assert str(path) in str(error.value)


def _with(**change: Any) -> Callable[[bytes], bytes]:
    def harmed(text: bytes) -> bytes:
        head, *rest = text.splitlines()
        return b"\n".join([json.dumps(json.loads(head) | change).encode(), *rest])

    return harmed


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda _: b"", "is no plan"),
        (lambda _: b"case_id,status\n", "is no plan"),
        (lambda _: b"[1]\n", "is no plan"),
        (lambda _: b"5\n", "is no plan"),
        (lambda _: b'{"rows": 5}\n', "is no plan"),
        (lambda _: b"\xff\xfe\x00", "is no plan"),
        (_with(later="x"), "or of a format unknown here"),
        (_with(format=1), "has format 1, and 2 is known here"),
        (_with(rows=None), "was changed"),
        (_with(rows=float("nan")), "was changed"),
        (_with(run="\ud800"), "was changed"),
        (lambda _: b"[" * 100_000, "is no plan"),
    ],
)
def test_what_is_no_plan_or_of_another_format_is_refused(
    tmp_path: Path, harm: Callable[[bytes], bytes], said: str
) -> None:
    plan_of([row("case_1")], tmp_path)
    path = tmp_path / PLAN_FILE
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(PlanError, match=said):
        read_plan(tmp_path)


def test_no_plan_is_none(tmp_path: Path) -> None:
    assert read_plan(tmp_path) is None


def test_fields_and_assignees_stand_apart_and_never_in_the_plan(tmp_path: Path) -> None:
    assigned = row("case_3", assignee=f"{CANARY}@example.com")
    rows = [row("case_1", note=CANARY), row("case_2"), assigned, row("", note=CANARY)]
    columns = {"case_id": None, "status": None, "note": None, "assignee": None}
    plan = plan_of([columns | given_row for given_row in rows], tmp_path, NOTE)
    assert CANARY not in (tmp_path / PLAN_FILE).read_text()
    assert (tmp_path / VALUES_FILE).read_text().count(CANARY) == 2
    changes = [found.wanted.change for found in plan.rows() if isinstance(found.wanted, ObjectUpdate)]
    assert [change.fields for change in changes] == [{"decision-note": CANARY}, {}, {}]
    assert [change.assignee for change in changes] == [None, None, f"{CANARY}@example.com"]


def test_values_that_were_changed_are_refused_and_missing_ones_are_when_they_are_needed(tmp_path: Path) -> None:
    plan_of([row("case_1", note="x"), row("case_2", note="y")], tmp_path, NOTE)
    path = tmp_path / VALUES_FILE
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"x"', b'"z"'))
    with pytest.raises(PlanError, match=r"values\.jsonl was changed or cut short"):
        read_plan(tmp_path)
    path.unlink()
    plan = read_plan(tmp_path)
    assert plan is not None
    with pytest.raises(PlanError, match="custom fields, assignees or bodies are unknown; plan anew"):
        list(plan.rows())


def test_a_run_without_its_values_ends_before_any_request(persona: SimulatorServer, tmp_path: Path) -> None:
    plan = plan_of([row("case_1", note="x")], tmp_path, NOTE)
    (tmp_path / VALUES_FILE).unlink()
    with pytest.raises(PlanError, match="plan anew"):
        attempt(persona, plan)
    assert persona.requests() == []


def _breaking_off(rows: int) -> Iterator[ObjectUpdate | InvalidRow]:
    yield from case_rows([row(f"case_{number}", note=CANARY) for number in range(rows)], NOTE)
    raise ConnectionError("the database went away")


def test_a_query_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        write_plan(_breaking_off(20_000), tmp_path, header_of())
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    def lines() -> Iterator[bytes]:
        yield b"first"
        raise OSError("no space left on device")

    path = tmp_path / "plan.jsonl"
    path.write_bytes(b"before\n")
    with pytest.raises(OSError, match="no space"):
        write_whole(path, lines())
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.jsonl"]
    assert path.read_bytes() == b"before\n"


def test_only_the_owner_can_read_what_a_run_writes(persona: SimulatorServer, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        plan = plan_of([row("case_1", note="x")], tmp_path, NOTE)
        modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()}
        attempt(persona, plan)
    finally:
        os.umask(before)
    assert modes == {PLAN_FILE: 0o600, VALUES_FILE: 0o600}
    assert stat.S_IMODE((tmp_path / "ledger-00001.jsonl").stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_written_to_is_said_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/run, cannot be written to \(NotADirectoryError\); check state_path"):
        prepare_folder(tmp_path / "file" / "run")


def test_rows_keep_the_order_of_the_source(tmp_path: Path) -> None:
    ids = [f"case_{number}" for number in range(12_000)]
    random.Random(5).shuffle(ids)
    assert [found.object_id for found in plan_of(map(row, ids), tmp_path).rows()] == ids


def test_a_plan_that_was_emptied_after_it_was_checked_is_refused(tmp_path: Path) -> None:
    plan = plan_of([row("case_1")], tmp_path)
    (tmp_path / PLAN_FILE).write_bytes(b"")
    with pytest.raises(PlanError, match="was changed after it was checked"):
        list(plan.rows())
    assert list(plan.numbers()) == []
