"""One more kind of object is one more entry of a table: accounts pass through the whole engine as cases do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bulk_runs import outcomes, plan_in

from airflow_provider_persona.api.account_change import AccountChange
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.errors import BulkError, PlanError
from airflow_provider_persona.bulk.job import BulkJob, run
from airflow_provider_persona.bulk.ledger.ledger import read_results
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.plan.compare import CompareMode
from airflow_provider_persona.bulk.plan.draft import Draft, PlanOptions, resume_or_draft
from airflow_provider_persona.bulk.plan.guards import Guards
from airflow_provider_persona.bulk.plan.revert import RowsToRevert
from airflow_provider_persona.bulk.source.columns import ObjectRows
from airflow_provider_persona.bulk.source.rows import MappedRows
from airflow_provider_persona.bulk.subjects import object_subject
from airflow_provider_persona.bulk.subjects.kinds import ACCOUNT
from airflow_provider_persona.tasks.row_sources import GivenSource
from tests.virtual_time import VirtualPersona

CREATED = "2026-01-05T08:00:00+00:00"
RIGHT, TO_CHANGE, TO_MISS = "act_right", "act_to_change", "act_missing"


@pytest.fixture
def accounts(persona: VirtualPersona) -> VirtualPersona:
    persona.add_objects(RIGHT, TO_CHANGE)
    persona.change_object(RIGHT, attributes={"tags": ["chargeback"]})
    return persona


def job_of(rows: list[dict[str, Any]], *, compare: CompareMode = CompareMode.NEVER, **options: Any) -> BulkJob:
    planning = PlanOptions(compare, record_states=compare is not CompareMode.NEVER)
    mapped = MappedRows(GivenSource(rows), ObjectRows(ACCOUNT))
    return BulkJob(mapped, ACCOUNT, planning=planning, applying=ApplyOptions(**options))


def carried_out(persona: VirtualPersona, job: BulkJob, folder: Path, *, is_retry: bool = False) -> Report:
    async def main() -> Report:
        begun = resume_or_draft(job.rows.read, folder, job.header("run", None, CREATED), is_retry=is_retry)
        try:
            async with persona.client() as client:
                return await run(job, begun, client)
        finally:
            if isinstance(begun, Draft):
                begun.close()

    return persona.run(main())


@pytest.mark.parametrize("compare", [CompareMode.LIST, CompareMode.GET])
def test_accounts_are_compared_changed_verified_and_put_on_the_ledger(
    accounts: VirtualPersona, tmp_path: Path, compare: CompareMode
) -> None:
    rows = [{"account_id": account, "add_tags": "chargeback"} for account in (RIGHT, TO_CHANGE, TO_MISS)]
    report = carried_out(accounts, job_of(rows, compare=compare, verify=True), tmp_path)
    assert outcomes(report) == {"unchanged": 1, "updated": 1, "failed": 1}
    assert (report.verified, report.differences) == (1, 0)
    plan = plan_in(tmp_path)
    assert plan.header.object_kind == "account"
    assert plan.header.planned == {"change": 2, "unchanged": 1}
    results = {result.object_id: result for result in read_results(plan.folder, plan.header.hash)}
    assert results[TO_MISS].http_status == 404
    assert accounts.object(TO_CHANGE)["attributes"]["tags"] == ["chargeback"]


def test_fields_of_an_account_are_private_and_found_right_the_second_time(
    accounts: VirtualPersona, tmp_path: Path
) -> None:
    rows = [{"account_id": TO_CHANGE, "fields": {"risk_note": "canary-7731"}}]
    assert outcomes(carried_out(accounts, job_of(rows), tmp_path / "first")) == {"updated": 1}
    again = carried_out(accounts, job_of(rows, compare=CompareMode.GET), tmp_path / "second")
    assert outcomes(again) == {"unchanged": 1}
    for file in (tmp_path / "first" / "1").glob("*.jsonl"):
        assert file.name == "values.jsonl" or "canary-7731" not in file.read_text()


def test_an_account_that_changed_after_it_was_planned_is_left_alone(accounts: VirtualPersona, tmp_path: Path) -> None:
    rows = [{"account_id": TO_CHANGE, "add_tags": "chargeback"}]
    job = job_of(rows, compare=CompareMode.GET, heed_drift=True)

    async def main() -> Report:
        from airflow_provider_persona.bulk.apply.run import apply_plan
        from airflow_provider_persona.bulk.plan.draft import complete

        draft = resume_or_draft(job.rows.read, tmp_path, job.header("run", None, CREATED))
        assert isinstance(draft, Draft)
        async with accounts.client() as client:
            plan = await complete(draft, client, job.planning)
            accounts.advance_clock(60)
            accounts.change_object(TO_CHANGE, attributes={"tags": ["a person's"]})
            return await apply_plan(plan, client, job.applying)

    report = accounts.run(main())
    assert outcomes(report) == {"skipped_guard": 1}
    (result,) = read_results(tmp_path / "1", plan_in(tmp_path).header.hash)
    assert result.reason.startswith("drift: it was changed at")


def test_a_settled_run_of_accounts_is_resumed_as_settled(accounts: VirtualPersona, tmp_path: Path) -> None:
    rows = [{"account_id": TO_CHANGE, "add_tags": "chargeback"}]
    carried_out(accounts, job_of(rows), tmp_path)
    report = carried_out(accounts, job_of(rows), tmp_path, is_retry=True)
    assert (report.resumed, report.requests) == (1, 0)


def test_what_needs_a_status_is_refused_for_accounts(accounts: VirtualPersona, tmp_path: Path) -> None:
    rows = [{"account_id": TO_CHANGE, "add_tags": "x", "expected_status": "Open"}]
    with pytest.raises(BulkError, match="accounts have no status, so expected_status guards nothing"):
        carried_out(accounts, job_of(rows), tmp_path)
    with pytest.raises(BulkError, match="only_from and never_from guard nothing"):
        BulkJob(MappedRows(GivenSource([]), ObjectRows(ACCOUNT)), ACCOUNT, Guards.of("Open"))
    carried_out(accounts, job_of([{"account_id": TO_CHANGE, "add_tags": "x"}]), tmp_path / "sound")
    with pytest.raises(PlanError, match="changed accounts; only changes of a status can be taken back"):
        next(RowsToRevert(plan_in(tmp_path / "sound")).read())


def test_an_unknown_kind_names_those_that_are_known() -> None:
    with pytest.raises(BulkError, match="'relay' is no kind of object that a bulk run can change; it knows case, acc"):
        object_subject("relay")


@pytest.mark.parametrize("odd", [{"tags": ("a",), "add_tags": ("b",)}, {"add_tags": ("a",), "remove_tags": ("a",)}])
def test_tags_that_contradict_one_another_are_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="tag"):
        AccountChange(**odd)
