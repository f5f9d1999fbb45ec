"""The second look at the end of a run: every changed object is read, and what is not as left stands in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from bulk_runs import RETRIEVE, decisions, lines_of, plan_of

from airflow_provider_persona.bulk.ledger.verify import DIFFERENCES_FILE, verify
from airflow_provider_persona.bulk.plan.file import Plan
from persona_simulator import SimulatorConfig
from tests.virtual_time import VirtualPersona


def looked_at(persona: VirtualPersona, plan: Plan, *left_out: int) -> tuple[int, int]:
    async def main() -> tuple[int, int]:
        async with persona.client() as client:
            return await verify(plan, lambda row: row not in left_out, client)

    return persona.run(main())


@pytest.mark.parametrize("count", [3, 40], ids=["a few, one by one", "many, by list first"])
def test_what_is_not_as_left_stands_in_a_file_until_it_is_again(
    persona: VirtualPersona, tmp_path: Path, count: int
) -> None:
    rows = decisions(persona, count)
    plan, first = plan_of(rows, tmp_path), rows[0]
    for row in rows[:-1]:
        persona.act_as_human(row["case_id"], row["status"])
    assert looked_at(persona, plan, count) == (count - 1, 0)
    assert not (tmp_path / DIFFERENCES_FILE).exists()
    persona.act_as_human(first["case_id"], "Open")
    assert looked_at(persona, plan, count) == (count - 1, 1)
    assert lines_of(tmp_path / DIFFERENCES_FILE) == [
        {"row": 1, "object_id": first["case_id"], "wanted": first["status"], "found": "Open"}
    ]
    assert looked_at(persona, plan) == (count, 2)
    persona.act_as_human(first["case_id"], first["status"])
    assert looked_at(persona, plan, count) == (count - 1, 0)
    assert not (tmp_path / DIFFERENCES_FILE).exists()


def test_an_object_that_is_not_listed_soon_enough_is_read_by_itself(tmp_path: Path) -> None:
    """Reading the list is given up after six of its ten pages."""
    persona = VirtualPersona(SimulatorConfig(cases=1000, limit=1_000_000))
    rows = decisions(persona, 6)
    plan = plan_of(rows, tmp_path)
    for row in rows:
        persona.act_as_human(row["case_id"], row["status"])
    assert looked_at(persona, plan) == (6, 0)
    assert persona.requests(operation=RETRIEVE)


def test_an_object_that_is_not_there_any_more_is_a_difference(persona: VirtualPersona, tmp_path: Path) -> None:
    plan = plan_of([{"case_id": "case_gone", "status": "Open"}], tmp_path)
    assert looked_at(persona, plan) == (1, 1)
    assert lines_of(tmp_path / DIFFERENCES_FILE) == [
        {"row": 1, "object_id": "case_gone", "wanted": "Open", "found": None}
    ]
