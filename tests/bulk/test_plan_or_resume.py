"""Which plan a run takes up, where it stands, and how a run is judged."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import CREATED, assert_each_changed_once, attempt, case_rows, changes, decisions, plan_of

from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.errors import BulkError, PlanError, RunFailedError, RunStoppedError, ThresholdError
from airflow_provider_persona.bulk.job import BulkJob, judge, run
from airflow_provider_persona.bulk.ledger.checkpoint import Checkpoint
from airflow_provider_persona.bulk.ledger.ledger import ledger_of
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.ledger.report import Report
from airflow_provider_persona.bulk.ledger.writer import LedgerWriter
from airflow_provider_persona.bulk.plan.draft import (
    Draft,
    PlanOptions,
    complete,
    new_draft,
    resume_or_draft,
)
from airflow_provider_persona.bulk.plan.file import VALUES_FILE, Plan, PlanHeader, read_plan
from airflow_provider_persona.bulk.plan.thresholds import Thresholds, transitions
from airflow_provider_persona.bulk.source.columns import ObjectRows
from airflow_provider_persona.bulk.source.rows import InvalidRow, MappedRows
from airflow_provider_persona.bulk.subjects.kinds import CASE
from airflow_provider_persona.bulk.subjects.subject import ObjectUpdate
from airflow_provider_persona.client import AsyncPersonaClient
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.storage.paths import StorePath
from airflow_provider_persona.storage.run_folders import fingerprint, run_folder
from airflow_provider_persona.tasks.row_sources import GivenSource
from persona_simulator import SANDBOX_KEY
from tests.virtual_time import VirtualPersona

NOBODY = AsyncPersonaClient(PersonaSettings.checked(api_key=SANDBOX_KEY, host="http://127.0.0.1:9"))
"""A client that reaches nobody: planning without comparison asks nothing."""


class Warehouse:
    """Rows that can be asked for, and how often they were."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.asked = 0

    def wishes(self) -> Iterable[ObjectUpdate | InvalidRow]:
        self.asked += 1
        return case_rows(self.rows, {"fields": {"decision-note": "note"}} if "note" in self.rows[0] else None)


def planned(warehouse: Warehouse, folder: Path, *, source: str = "s", environment: str | None = None) -> Plan:
    header = PlanHeader("run", source, environment, "2026-01-05T00:00:00+00:00")
    found = resume_or_draft(warehouse.wishes, folder, header)
    if isinstance(found, Plan):
        return found
    try:
        return asyncio.run(complete(found, NOBODY, PlanOptions()))
    finally:
        found.close()


def test_an_interrupted_plan_is_taken_up_without_asking_the_warehouse_again(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    warehouse = Warehouse(decisions(persona, 60))
    plan = planned(warehouse, tmp_path / "run")
    persona.script_fault("proxy_503", times=1_000_000)
    assert attempt(persona, plan, concurrency=4).stopped
    persona.clear_faults()
    again = planned(Warehouse([{"case_id": "case_other", "status": "Open"}]), tmp_path / "run")
    assert again == plan
    assert warehouse.asked == 1
    assert attempt(persona, again).counts == {RowOutcome.UPDATED: 60}
    assert_each_changed_once(persona, warehouse.rows)


def test_a_planning_that_was_cut_off_does_not_hide_what_is_known_of_a_lost_folder(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    """The disk is lost in the middle of a run, and the next attempt dies while it plans."""
    rows = decisions(persona, 6)
    first, header = planned(Warehouse(rows), tmp_path), PlanHeader("run", "s", None, CREATED)
    known = Checkpoint(
        first.header.run,
        first.header.content_hash,
        first.header.hash,
        first.uri,
        first.header.created_at,
        6,
        counts={"updated": 3},
        settled=[[1, 3]],
        concurrency=1,
        at=first.header.created_at,
    )
    shutil.rmtree(tmp_path)
    for folder in ([], ["1"]):  # nothing is left, or what a planning leaves that was cut off
        for name in folder:
            (tmp_path / name).mkdir(parents=True)
        found = resume_or_draft(Warehouse(rows).wishes, tmp_path, header, checkpoint=known, is_retry=True)
        assert isinstance(found, Draft)
        found.close()
        assert (found.folder, found.header.run) == (tmp_path / "1", known.run)
        shutil.rmtree(tmp_path)
    (tmp_path / "2").mkdir(parents=True)  # another plan was begun since
    found = resume_or_draft(Warehouse(rows).wishes, tmp_path, header, checkpoint=known)
    assert isinstance(found, Draft)
    found.close()
    assert (found.folder, found.header.run) == (tmp_path / "2", "run/2")


@pytest.mark.parametrize(("is_retry", "number"), [(True, 1), (False, 2)])
def test_a_run_whose_end_is_known_is_gone_on_with_by_a_retry_and_begun_anew_by_a_clear(
    tmp_path: Path, is_retry: bool, number: int
) -> None:
    """Its worker died after the last row, and the disk is gone. A second plan must not share the first one's keys."""
    header = PlanHeader("dag/run/task", "s", None, CREATED)
    known = Checkpoint(
        "dag/run/task/1", "", "", "", CREATED, 1, counts={"updated": 1}, settled=[[1, 1]], end="complete"
    )
    rows = [{"case_id": "case_1", "status": "Open"}]
    found = resume_or_draft(Warehouse(rows).wishes, tmp_path, header, checkpoint=known, is_retry=is_retry)
    assert isinstance(found, Draft)
    found.close()
    assert found.header.run == f"dag/run/task/{number}"


def test_plans_of_a_run_are_numbered_from_one(tmp_path: Path) -> None:
    for number in (1, 2):
        draft = new_draft([], tmp_path, PlanHeader("run", "s", None, CREATED))
        draft.close()
        assert (draft.folder, draft.header.run) == (tmp_path / str(number), f"run/{number}")


def test_a_plan_that_exceeds_a_threshold_is_never_there_to_be_taken_up(tmp_path: Path) -> None:
    rows = [{"case_id": f"case_{n}", "status": "Open", "note": "private"} for n in range(3)]
    found = resume_or_draft(Warehouse(rows).wishes, tmp_path, PlanHeader("run", "s", None, CREATED))
    assert isinstance(found, Draft)
    seen: list[list[str]] = []

    class Watching(Thresholds):
        def check(self, header: PlanHeader) -> None:
            seen.append([path.name for path in found.folder.iterdir()])  # what a kill at this moment leaves
            super().check(header)

    with pytest.raises(ThresholdError, match="3 rows would be changed, max_changes is 2"):
        asyncio.run(complete(found, NOBODY, PlanOptions(thresholds=Watching(max_changes=2))))
    assert seen == [[]]
    assert list(found.folder.iterdir()) == []


def test_thresholds_are_held_against_a_plan_that_nothing_was_tried_of(persona: VirtualPersona, tmp_path: Path) -> None:
    plan = planned(Warehouse(decisions(persona, 3)), tmp_path)
    planning = PlanOptions(thresholds=Thresholds(max_changes=2))
    job = BulkJob(MappedRows(GivenSource([]), ObjectRows(CASE)), CASE, planning=planning)
    with pytest.raises(ThresholdError, match="3 rows would be changed, max_changes is 2"):
        asyncio.run(run(job, plan, NOBODY))
    attempt(persona, plan)
    assert asyncio.run(run(job, plan, NOBODY)).resumed == 3


def test_a_plan_leaves_nothing_of_its_rows_on_the_disk_but_its_files(
    persona: VirtualPersona, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("SQLITE_TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    rows = [{"case_id": f"case_{n}", "status": "Open", "note": "private"} for n in range(30_000)]
    found = resume_or_draft(Warehouse(rows).wishes, tmp_path / "run", PlanHeader("run", "s", None, CREATED))
    assert isinstance(found, Draft)
    assert list(scratch.iterdir()) == []  # as whoever kills it now would find it
    asyncio.run(complete(found, NOBODY, PlanOptions()))
    with pytest.raises(sqlite3.ProgrammingError):
        found.spool.valid_rows()  # it is closed: applying may take hours


@pytest.mark.parametrize("source", [{"a", "b", "c"}, [{"tags": {"a", "b", "c"}}], ({"x"}, None)])
def test_a_source_with_sets_is_the_same_in_every_process(source: Any) -> None:
    program = f"from airflow_provider_persona.storage.run_folders import fingerprint; print(fingerprint({source!r}))"
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


def test_a_plan_whose_failures_no_attempt_can_mend_is_made_anew(persona: VirtualPersona, tmp_path: Path) -> None:
    warehouse = Warehouse([*decisions(persona, 2), {"case_id": "case_missing", "status": "Open"}])
    plan = planned(warehouse, tmp_path)
    assert attempt(persona, plan).failures == 1
    warehouse.rows[-1] = decisions(persona, 3)[-1]  # somebody mends the row and clears the task
    assert planned(warehouse, tmp_path) != plan


def test_a_plan_with_failures_that_may_pass_is_taken_up_again(persona: VirtualPersona, tmp_path: Path) -> None:
    warehouse = Warehouse(decisions(persona, 3))
    plan = planned(warehouse, tmp_path)
    persona.script_fault("http_503", case_id=warehouse.rows[1]["case_id"], times=100)
    assert attempt(persona, plan).failures == 1
    persona.clear_faults()
    assert planned(warehouse, tmp_path) == plan
    assert attempt(persona, plan).counts == {RowOutcome.UPDATED: 3}


def test_a_plan_whose_failures_were_allowed_is_made_anew(persona: VirtualPersona, tmp_path: Path) -> None:
    warehouse = Warehouse(decisions(persona, 3))
    plan = planned(warehouse, tmp_path)
    persona.script_fault("http_503", case_id=warehouse.rows[1]["case_id"], times=100)
    assert attempt(persona, plan, max_failures=1).failures == 1
    assert planned(warehouse, tmp_path) != plan


def test_after_a_settled_plan_the_warehouse_is_asked_again_and_the_old_one_stays(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    warehouse = Warehouse(decisions(persona, 3))
    first = planned(warehouse, tmp_path)
    attempt(persona, first)
    second = planned(warehouse, tmp_path)
    assert warehouse.asked == 2
    assert [folder.name for folder in sorted(tmp_path.iterdir())] == ["1", "2"]
    assert Path(first.uri).exists()
    assert second.folder == tmp_path / "2"


def test_two_plans_of_a_run_share_no_keys_even_within_one_second(persona: VirtualPersona, tmp_path: Path) -> None:
    """Or the second would be answered from the first one's kept answers, and change nothing."""
    warehouse = Warehouse(decisions(persona, 3))
    before = persona.statuses()
    attempt(persona, planned(warehouse, tmp_path))
    for row in warehouse.rows:
        persona.act_as_human(row["case_id"], status=before[row["case_id"]])
    attempt(persona, planned(warehouse, tmp_path))
    assert changes(persona) == Counter({row["case_id"]: 2 for row in warehouse.rows})
    assert not any(request.replayed for request in persona.requests())


def test_a_plan_of_another_source_is_left_alone_and_its_private_values_are_deleted(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    warehouse = Warehouse([row | {"note": "private"} for row in decisions(persona, 3)])
    first = planned(warehouse, tmp_path)
    assert (tmp_path / "1" / VALUES_FILE).exists()
    second = planned(warehouse, tmp_path, source="another query")
    assert (first.folder, second.folder) == (tmp_path / "1", tmp_path / "2")
    assert not (tmp_path / "1" / VALUES_FILE).exists()
    assert (tmp_path / "2" / VALUES_FILE).exists()


def test_a_dry_run_is_never_taken_up(persona: VirtualPersona, tmp_path: Path) -> None:
    warehouse = Warehouse(decisions(persona, 3))
    attempt(persona, planned(warehouse, tmp_path), dry_run=True)
    assert planned(warehouse, tmp_path).folder == tmp_path / "2"


@pytest.mark.parametrize("died", [False, True], ids=["", "with one between that died at once"])
@pytest.mark.parametrize("retryable", [True, False], ids=["failed", "done"])
def test_a_retry_after_a_dry_run_is_a_dry_run_too(
    persona: VirtualPersona, tmp_path: Path, retryable: bool, died: bool
) -> None:
    """The first try failed for a row, and its values are still needed; or it died when it was done."""
    rows = [row | {"note": "private"} for row in decisions(persona, 3)]
    mapping = ObjectRows(CASE, {"fields": {"decision-note": "note"}})
    job = BulkJob(MappedRows(GivenSource(rows), mapping), CASE, applying=ApplyOptions(dry_run=True, read_first=True))

    async def tried(*, is_retry: bool) -> tuple[Path, Report]:
        begun = resume_or_draft(job.rows.read, tmp_path, job.header("run", None, CREATED), is_retry=is_retry)
        async with persona.client() as client:
            return Path(str(begun.folder)), await run(job, begun, client)

    if retryable:
        persona.script_fault("http_500", operation="retrieve-case", case_id=rows[0]["case_id"], times=6)
    first, report = persona.run(tried(is_retry=False))
    assert report.counts[RowOutcome.PLANNED] == 3 - retryable
    assert (first / VALUES_FILE).exists() is retryable
    if died:
        begin_and_die(first)
    second, report = persona.run(tried(is_retry=True))
    assert report.counts == {RowOutcome.PLANNED: 3}
    assert (first == second) is retryable
    assert not (second / VALUES_FILE).exists()
    assert persona.journal() == []


@pytest.mark.parametrize("died", [False, True], ids=["", "with one between that died at once"])
def test_a_retry_has_nothing_to_do_where_the_last_try_failed_for_good(
    persona: VirtualPersona, tmp_path: Path, died: bool
) -> None:
    rows = [row | {"fields": {"decision-note": "private"}} for row in decisions(persona, 3)]
    plan = plan_of([*rows, {"case_id": "case_gone", "status": "Approved", "fields": {"decision-note": "x"}}], tmp_path)
    before = attempt(persona, plan)
    assert before.counts == {RowOutcome.UPDATED: 3, RowOutcome.FAILED: 1}
    assert not plan.has_values
    if died:
        begin_and_die(plan.folder)
    again = attempt(persona, plan)
    assert (again.counts, again.requests) == (before.counts, 0)


def begin_and_die(folder: StorePath) -> None:
    """Make an attempt that dies after its opening line."""

    async def begin() -> None:
        await ledger.open()
        ledger.release()

    plan = read_plan(folder)
    assert plan is not None
    ledger = LedgerWriter(folder, plan.header.hash, ledger_of(folder).last + 1, 4, CREATED)
    asyncio.run(begin())


def test_a_dry_run_of_a_plan_that_was_begun_deletes_no_value(persona: VirtualPersona, tmp_path: Path) -> None:
    """Somebody edited the task between two tries; what its first try had written must not be planned anew."""
    rows = [row | {"note": "private"} for row in decisions(persona, 3)]
    mapping = ObjectRows(CASE, {"fields": {"decision-note": "note"}})

    async def tried(*, dry_run: bool) -> Report:
        job = BulkJob(MappedRows(GivenSource(rows), mapping), CASE, applying=ApplyOptions(dry_run=dry_run))
        begun = resume_or_draft(job.rows.read, tmp_path, job.header("run", None, CREATED), is_retry=True)
        async with persona.client() as client:
            return await run(job, begun, client)

    persona.script_fault("http_500", operation="update-a-case", case_id=rows[0]["case_id"], times=6)
    assert persona.run(tried(dry_run=False)).counts[RowOutcome.UPDATED] == 2
    assert persona.run(tried(dry_run=True)).counts[RowOutcome.PLANNED] == 1
    assert (tmp_path / "1" / VALUES_FILE).exists()
    assert persona.run(tried(dry_run=False)).counts == {RowOutcome.UPDATED: 3}
    assert set(changes(persona).values()) == {2}


def test_the_connection_to_the_warehouse_is_closed_when_the_rows_are_not_read_to_their_end(tmp_path: Path) -> None:
    closed = []

    def rows() -> Iterator[Any]:
        try:
            while True:
                yield "no row, so that the spool fails"
        finally:
            closed.append(True)

    with pytest.raises(AttributeError) as error:  # kept, as Airflow keeps it
        resume_or_draft(rows, tmp_path, PlanHeader("run", "s", None, CREATED))
    assert closed
    assert error.value


@pytest.mark.parametrize("pair", [("A -> B", "Closed"), ("A -> B", "*"), ("*", "Closed"), ("Open", "A -> B")])
def test_a_status_may_look_like_a_transition(pair: tuple[str, str]) -> None:
    header = PlanHeader("run", "s", None, CREATED, rows=1, planned={"change": 1})
    thresholds = Thresholds(forbid_transitions=frozenset({pair}))
    thresholds.check(header)
    found = {"A -> B -> Closed": 1} if pair[0] != "Open" else {"Open -> A -> B": 1}
    with pytest.raises(ThresholdError, match="which forbid_transitions forbids"):
        thresholds.check(replace(header, transitions=found))
    thresholds.check(replace(header, transitions={"Closed -> Open": 1}))


@pytest.mark.parametrize("text", ["{['a']: 'b'}", "[" * 100_000, "['a -> b'", "[5]", "{'a': 5}", "[('a',)]"])
def test_a_text_that_names_no_transitions_is_refused(text: str) -> None:
    with pytest.raises(BulkError, match="forbid_transitions are given like"):
        transitions(text)


def test_a_plan_for_another_environment_is_refused(tmp_path: Path) -> None:
    warehouse = Warehouse([{"case_id": "case_1", "status": "Open"}])
    planned(warehouse, tmp_path, environment="env_sandbox")
    with pytest.raises(PlanError, match="is for environment env_sandbox, the connection is for env_production"):
        planned(warehouse, tmp_path, environment="env_production")
    assert planned(warehouse, tmp_path, environment="env_sandbox").header.environment == "env_sandbox"
    assert planned(warehouse, tmp_path).folder == tmp_path / "1"


def test_a_folder_left_without_a_plan_is_used_and_other_names_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "2").mkdir()
    (tmp_path / "notes").mkdir()
    assert planned(Warehouse([{"case_id": "case_1", "status": "Open"}]), tmp_path).folder == tmp_path / "2"


def test_an_unusable_folder_is_found_before_the_warehouse_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    warehouse = Warehouse([{"case_id": "case_1", "status": "Open"}])
    with pytest.raises(StoreError):
        planned(warehouse, tmp_path / "file" / "run")
    assert warehouse.asked == 0


@pytest.mark.parametrize(
    "part",
    [
        "scheduled__2026-01-05T08:00:00+00:00",
        "../../etc",
        "a/b",
        "..",
        ".",
        "",
        " ",
        "Prüfung",
        "決定" * 100,
        "x" * 250,
        "a\x00b",
        "%2e%2e",
        "a\\b",
    ],
)
def test_every_part_of_a_run_becomes_one_safe_name(tmp_path: Path, part: str) -> None:
    folder = run_folder(tmp_path, ["dag", part])
    assert isinstance(folder, Path)
    assert folder.parent == tmp_path / "dag"
    assert folder.name not in ("", ".", "..")
    assert len(folder.name.encode()) <= 120
    assert set(folder.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    folder.mkdir(parents=True)
    assert folder.resolve().parent == (tmp_path / "dag").resolve()


def test_plain_names_stay_as_they_are_and_others_stay_apart(tmp_path: Path) -> None:
    assert run_folder(tmp_path, ["my_dag.v2", "manual-1"]) == tmp_path / "my_dag.v2" / "manual-1"
    parts = ["a/b", "a_b", "a:b", "a\\b", "a b", "x" * 250, "x" * 251, ".a/b"]
    assert len({run_folder(tmp_path, [part]).name for part in parts}) == len(parts)


def test_a_fingerprint_tells_sources_apart() -> None:
    assert fingerprint("select 1", None) == fingerprint("select 1", None)
    assert len({fingerprint("a", "b"), fingerprint("ab", ""), fingerprint("a", None), fingerprint("a", {"b": 1})}) == 4


def report(rows: int = 100, **more: Any) -> Report:
    counts = Counter({RowOutcome(name): more.pop(name) for name in list(more) if name in list(RowOutcome)})
    return Report(counts, rows, 0, "hash", "/state/plan.jsonl", "/state", **more)


@pytest.mark.parametrize(
    ("allowed", "failures", "exceeded"),
    [
        (0, 0, False),
        (0, 1, True),
        (5, 5, False),
        (5, 6, True),
        (0.05, 5, False),
        (0.05, 6, True),
        (1.0, 100, False),
        (0.0, 1, True),
        (1, 2, True),
        (0.015, 1, False),
        (0.015, 2, True),
    ],
)
def test_failures_are_allowed_by_number_or_by_share(allowed: float, failures: int, exceeded: bool) -> None:
    found = report(updated=100 - failures, failed=failures)
    options = ApplyOptions(max_failures=allowed)
    if not exceeded:
        judge(found, options)
        return
    may = (
        "none"
        if not allowed
        else f"only {100 * allowed:g} % of them"
        if isinstance(allowed, float)
        else f"only {allowed}"
    )
    said = rf"^{failures} of 100 rows failed, and {re.escape(may)} may; .* in the ledger, /state"
    with pytest.raises(RunFailedError, match=said):
        judge(found, options)


@pytest.mark.parametrize("allowed", [-1, -0.1, 1.1])
def test_a_limit_that_means_nothing_is_refused(allowed: float) -> None:
    with pytest.raises(BulkError, match="a number of rows or a share"):
        ApplyOptions(max_failures=allowed)


def test_unresolved_rows_count_as_failures_and_invalid_ones_do_not() -> None:
    judge(report(updated=90, invalid=10), ApplyOptions())
    with pytest.raises(RunFailedError):
        judge(report(updated=99, unresolved=1), ApplyOptions())


@pytest.mark.parametrize(("retryable_failures", "retryable"), [(0, False), (1, True)])
def test_a_retry_is_of_use_only_when_a_failure_may_pass(retryable_failures: int, retryable: bool) -> None:
    with pytest.raises(RunFailedError) as error:
        judge(report(updated=98, failed=2, retryable_failures=retryable_failures), ApplyOptions())
    assert error.value.retryable is retryable


@pytest.mark.parametrize("for_good", [True, False])
def test_a_stopped_run_fails_whatever_its_counts(for_good: bool) -> None:
    found = report(updated=60, failed=2, stopped="the key was refused", stopped_for_good=for_good)
    with pytest.raises(RunStoppedError, match="stopped with 40 of 100 rows not done: the key was refused") as error:
        judge(found, ApplyOptions(max_failures=1.0))
    assert error.value.retryable is not for_good


@pytest.mark.parametrize("updated", [99, 101])
def test_a_run_that_does_not_balance_fails(updated: int) -> None:
    with pytest.raises(RunFailedError, match=f"{updated} outcomes for 100 rows; the ledger is at /state"):
        judge(report(updated=updated), ApplyOptions(max_failures=1.0))
