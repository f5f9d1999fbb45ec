"""Reverts of more than a status: queue, tags, assignee and fields of cases, from what the plan read and kept."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import outcomes

from airflow_provider_persona.bulk.errors import BulkError, PlanError
from airflow_provider_persona.bulk.job import BulkJob
from airflow_provider_persona.bulk.plan.compare import CompareMode
from airflow_provider_persona.bulk.plan.draft import PlanOptions
from airflow_provider_persona.bulk.plan.file import Plan, read_plan
from airflow_provider_persona.bulk.plan.revert import RowsToRevert
from airflow_provider_persona.bulk.source.rows import InvalidRow
from tests.bulk.kinds import KINDS
from tests.bulk.test_kinds import applied, job_of, planned
from tests.virtual_time import VirtualPersona

CASE = KINDS[0]
BEFORE = "canary-before-9921"
AFTER = "canary-after-9921"
ALL = {"status": "Declined", "case_queue_id": "cqueue_escalations", "add_tags": "new", "remove_tags": "old"}
FIRST, SECOND = "ana.reviewer@example.com", "ben.reviewer@example.com"


def keeping(rows: list[dict[str, Any]], compare: CompareMode = CompareMode.GET) -> BulkJob:
    job = job_of(CASE, rows, compare)
    return replace(job, planning=replace(job.planning, keep_before=True))


def reverting(plan: Plan, compare: CompareMode = CompareMode.GET) -> BulkJob:
    planning = PlanOptions(compare, record_states=compare is not CompareMode.NEVER)
    return BulkJob(RowsToRevert(plan), CASE.subject, planning=planning)


def case_of(persona: VirtualPersona, case_id: str) -> dict[str, Any]:
    return next(case for case in persona.cases() if case["case_id"] == case_id)


def cases_with(persona: VirtualPersona, count: int, **wish: Any) -> list[str]:
    """Open cases that were brought to a state of their own first, as another run would."""
    ids = CASE.ids(persona, 300)[:count]
    rows = [{"case_id": case_id, **wish} for case_id in ids]

    async def main() -> None:
        async with persona.client() as client:
            for row in rows:
                change = CASE.subject.change(**{name: value for name, value in row.items() if name != "case_id"})
                for step in change.steps():
                    await client.send(step.request(row["case_id"]))

    persona.run(main())
    return ids


def run_of(persona: VirtualPersona, folder: Path, rows: list[dict[str, Any]]) -> Plan:
    plan = planned(persona, keeping(rows), folder)
    report = applied(persona, plan, heed_drift=True)
    assert outcomes(report) == {"updated": len(rows)}
    return plan


@pytest.mark.parametrize("compare", [CompareMode.GET, CompareMode.LIST])
def test_queue_tags_assignee_and_fields_are_as_before_and_so_is_the_status(
    persona: VirtualPersona, tmp_path: Path, compare: CompareMode
) -> None:
    ids = cases_with(
        persona,
        3,
        case_queue_id="cqueue_first_line",
        tags=("old", "vip"),
        assignee=FIRST,
        fields={"decision-note": BEFORE, "risk_score": 5},
    )
    before = [case_of(persona, case_id) for case_id in ids]
    wish = {**ALL, "assignee": SECOND, "fields": {"decision-note": AFTER}}
    plan = planned(persona, keeping([{"case_id": case_id, **wish} for case_id in ids], compare), tmp_path / "there")
    assert outcomes(applied(persona, plan, heed_drift=True)) == {"updated": 3}
    changed = case_of(persona, ids[0])
    assert (changed["status"], changed["assignee"], changed["fields"]["decision-note"]) == ("Declined", SECOND, AFTER)
    assert sorted(changed["tags"]) == ["new", "vip"]

    back = planned(persona, reverting(plan), tmp_path / "back")
    assert back.header.planned == {"change": 3}
    assert back.header.transitions == {"Declined -> Open": 3}
    assert outcomes(applied(persona, back, heed_drift=True, verify=True)) == {"updated": 3}
    after = [case_of(persona, case_id) for case_id in ids]
    assert [sorted(case.pop("tags")) for case in after] == [sorted(case.pop("tags")) for case in before]
    assert after == before


def test_a_queue_or_a_field_that_was_empty_is_empty_again(persona: VirtualPersona, tmp_path: Path) -> None:
    (case_id,) = cases_with(persona, 1, case_queue_id=None, fields={"decision-note": None})
    plan = run_of(
        persona,
        tmp_path,
        [{"case_id": case_id, "case_queue_id": "cqueue_first_line", "fields": {"decision-note": "x"}}],
    )
    back = planned(persona, reverting(plan), tmp_path / "back")
    (row_back,) = back.rows()
    assert row_back.wanted is not None
    assert row_back.wanted.written()[0] == {"case_queue_id": None}
    assert outcomes(applied(persona, back)) == {"updated": 1}
    assert case_of(persona, case_id)["fields"]["decision-note"] is None
    assert outcomes(applied(persona, planned(persona, reverting(plan), tmp_path / "again"))) == {"unchanged": 1}


def test_what_somebody_changed_since_is_left_alone_and_their_tags_stay(persona: VirtualPersona, tmp_path: Path) -> None:
    ids = cases_with(persona, 3, tags=("vip",), fields={"decision-note": BEFORE})
    rows = [{"case_id": case_id, "tags": ["batch"], "fields": {"decision-note": AFTER}} for case_id in ids]
    plan = run_of(persona, tmp_path, rows)
    persona.act_as_human(ids[0], fields={"decision-note": "a person's"})

    async def tag() -> None:
        async with persona.client() as client:
            body = {"meta": {"tag-name": "theirs"}}
            await client.call("add-tag", path={"case-id": ids[1]}, body=body)

    persona.run(tag())
    back = planned(persona, reverting(plan), tmp_path / "back")
    assert back.header.planned == {"change": 2, "skipped_guard": 1}
    skipped = next(row for row in back.rows() if row.object_id == ids[0])
    assert skipped.reason.startswith("it is not as the run left it")
    assert outcomes(applied(persona, back)) == {"updated": 2, "skipped_guard": 1}
    assert case_of(persona, ids[0])["fields"]["decision-note"] == "a person's"
    assert sorted(case_of(persona, ids[1])["tags"]) == ["theirs", "vip"]


def test_a_change_after_the_way_back_was_planned_is_seen_without_a_comparison_too(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    ids = cases_with(persona, 2, fields={"decision-note": BEFORE})
    plan = run_of(persona, tmp_path, [{"case_id": each, "fields": {"decision-note": AFTER}} for each in ids])
    back = planned(persona, reverting(plan, CompareMode.NEVER), tmp_path / "back")
    persona.act_as_human(ids[0], fields={"decision-note": "a person's"})
    assert outcomes(applied(persona, back)) == {"updated": 1, "skipped_guard": 1}
    notes = [case_of(persona, case_id)["fields"]["decision-note"] for case_id in ids]
    assert notes == ["a person's", BEFORE]


def test_what_no_call_takes_back_is_said(
    persona: VirtualPersona, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unassigned = [case["case_id"] for case in persona.cases() if case["assignee"] is None and case["status"] == "Open"]
    only, also, *_ = unassigned
    rows = [
        {"case_id": only, "assignee": SECOND},
        {"case_id": also, "status": "Declined", "assignee": SECOND, "sla_expires_in": 600},
    ]
    plan = run_of(persona, tmp_path, rows)
    found = {row.object_id: row for row in RowsToRevert(plan).read()}
    assert found[only] == InvalidRow(only, "its assignee: nobody was assigned, and Persona has no call to un-assign")
    assert found[also].change.model_dump(exclude_unset=True) == {"status": "Open"}  # type: ignore[union-attr]
    assert "Of 2 rows a part is not taken back: its assignee" in caplog.text
    assert "Of 1 rows a part is not taken back: its sla_expires_in" in caplog.text


def test_what_was_before_stands_in_a_private_file_of_its_own_and_stays(
    persona: VirtualPersona, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    ids = cases_with(persona, 2, assignee=FIRST, fields={"decision-note": BEFORE})
    rows = [{"case_id": each, "assignee": SECOND, "fields": {"decision-note": AFTER}} for each in ids]
    plan = run_of(persona, tmp_path, rows)
    file = plan.folder / "before.jsonl"
    assert BEFORE in file.read_text()
    assert FIRST in file.read_text()
    assert stat.S_IMODE(Path(str(file)).stat().st_mode) == 0o600
    planned(persona, reverting(plan), tmp_path / "back")
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name not in ("before.jsonl", "values.jsonl"):
            assert not any(canary in path.read_text() for canary in (BEFORE, AFTER, FIRST, SECOND)), path
    assert not any(canary in caplog.text for canary in (BEFORE, AFTER, FIRST, SECOND))
    assert not (plan.folder / "values.jsonl").exists()


def test_a_file_that_was_changed_is_refused_and_one_that_is_gone_leaves_the_status(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    (case_id,) = cases_with(persona, 1, fields={"decision-note": BEFORE})
    plan = run_of(persona, tmp_path, [{"case_id": case_id, "status": "Declined", "fields": {"decision-note": AFTER}}])
    file = Path(str(plan.folder / "before.jsonl"))
    kept = file.read_text()
    file.write_text(kept.replace(BEFORE, "forged"))
    with pytest.raises(PlanError, match=r"before.jsonl was changed or cut short after it was planned"):
        list(RowsToRevert(plan).read())
    file.unlink()
    again = read_plan(plan.folder)
    assert again is not None
    (row,) = RowsToRevert(again).read()
    assert row.change.model_dump(exclude_unset=True) == {"status": "Open"}  # type: ignore[union-attr]
    assert json.loads(kept.splitlines()[0])["row"] == 1


def test_nothing_is_kept_unless_it_is_wished(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = CASE.rows(CASE.ids(persona, 1))
    plan = planned(persona, job_of(CASE, rows, CompareMode.GET), tmp_path)
    assert not (plan.folder / "before.jsonl").exists()
    assert "before_hash" not in plan.header.to_json()  # plans that were written before there was this keep their hash
    with pytest.raises(BulkError, match="keep_before keeps what the plan reads; with it, compare is auto, list or get"):
        keeping(rows, CompareMode.NEVER)
    account = next(kind for kind in KINDS if kind.name == "account")
    job = job_of(account, account.rows(["act_1"]), CompareMode.GET)
    with pytest.raises(BulkError, match="keep_before is for cases"):
        replace(job, planning=replace(job.planning, keep_before=True))
