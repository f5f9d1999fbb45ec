"""A plan in a few lines: why rows are left out, and a sample that shows each kind of change before it repeats one."""

from __future__ import annotations

from pathlib import Path

import pytest
from bulk_runs import case_rows, header_of, plan_of, write_plan

from airflow_provider_persona.bulk.ledger.reasons import Reason
from airflow_provider_persona.bulk.plan.digest import PlanDigest
from airflow_provider_persona.bulk.plan.file import Plan
from airflow_provider_persona.bulk.source.rows import InvalidRow
from airflow_provider_persona.storage.paths import prepare_folder


def plan_to(statuses: str, folder: Path) -> Plan:
    """A plan of a row for each letter, which is the status that it asks for."""
    return plan_of([{"case_id": f"case_{n}", "status": status} for n, status in enumerate(statuses, 1)], folder)


def sampled(plan: Plan, *samples: int) -> list[int]:
    return [row.number for row in PlanDigest.of(plan, *samples).sample]


@pytest.mark.parametrize(
    ("samples", "rows"),
    [(0, []), (1, [1]), (3, [1, 6, 7]), (5, [1, 6, 7, 2, 8]), (6, [1, 6, 7, 2, 8, 3]), (99, [1, 6, 7, 2, 8, 3, 4, 5])],
)
def test_each_kind_of_change_is_shown_once_before_any_is_shown_twice(
    tmp_path: Path, samples: int, rows: list[int]
) -> None:
    assert sampled(plan_to("AAAAABCC", tmp_path), samples) == rows


def test_ten_rows_are_shown_unless_it_is_said_how_many(tmp_path: Path) -> None:
    assert sampled(plan_to("A" * 30, tmp_path)) == list(range(1, 11))


def test_of_very_many_kinds_of_changes_the_first_ones_are_shown(tmp_path: Path) -> None:
    many = "".join(chr(0x4E00 + number) for number in range(250))
    assert sampled(plan_to(many + many[:3], tmp_path), 999) == [*range(1, 201), 251, 252, 253]


def test_reasons_of_rows_that_are_left_out_are_counted_and_the_rarest_are_told_together(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    ids = {n: [f"case_{n}_{row}" for row in range(13 - n)] for n in range(12)}
    left_out = [
        InvalidRow(case_id, f"reason {n} for {case_id}") for n, of_reason in ids.items() for case_id in of_reason
    ]
    rows = [*left_out, *case_rows([{"case_id": "case_1", "status": "A"}])]
    digest = PlanDigest.of(write_plan(rows, tmp_path, header_of()))
    assert digest.header.planned == {"change": 1, "invalid": len(left_out)}
    first, *_, others = digest.left_out
    assert first == Reason("invalid: reason 0 for …", 13, ("case_0_0", "case_0_1", "case_0_2"))
    assert others == Reason("other reasons; see the plan", 4 + 3 + 2, ("case_9_0", "case_9_1", "case_9_2"))
    assert [row.object_id for row in digest.sample] == ["case_1"]
