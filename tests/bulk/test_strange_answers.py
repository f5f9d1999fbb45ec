"""Answers that prove nothing, and files that change under a run: nothing is taken for done, one strange answer costs
one row, and only what was hashed is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bulk_runs import attempt, last_results, plan_of
from strange_persona import Answer, Asked, StrangePersona, case

from airflow_provider_persona.bulk.errors import PlanError
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome
from airflow_provider_persona.bulk.plan.file import PLAN_FILE, VALUES_FILE, read_plan
from airflow_provider_persona.bulk.plan.guards import Guards


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"case_id": f"case_{number:05d}", "status": "Declined", **more} for number in range(1, count + 1)]


def test_no_guard_passes_on_an_answer_about_another_case(tmp_path: Path) -> None:
    def mixes_up(asked: Asked) -> Answer:
        return 200, case("case_00002", "Open") if asked.method == "GET" else case(asked.case_id, "Declined")

    plan = plan_of(rows(1), tmp_path, guards=Guards.of(None, "Approved"))
    with StrangePersona(mixes_up) as persona:
        attempt(persona, plan, max_failures=_any_failures())
    assert [asked.method for asked in persona.asked].count("POST") == 0
    result = last_results(plan)[1]
    assert result.outcome is RowOutcome.FAILED
    assert "an object other than the one asked for" in result.reason
    assert result.retryable


def test_no_row_is_updated_by_an_answer_about_another_case(tmp_path: Path) -> None:
    plan = plan_of(rows(1), tmp_path)
    with StrangePersona(lambda _: (200, case("case_other", "Declined"))) as persona:
        attempt(persona, plan, max_failures=_any_failures())
    assert last_results(plan)[1].outcome is RowOutcome.UNRESOLVED


@pytest.mark.parametrize("file", [PLAN_FILE, VALUES_FILE])
def test_nothing_is_sent_that_was_not_in_the_file_when_its_hash_was_checked(tmp_path: Path, file: str) -> None:
    """A plan of 6,000 rows is longer than what is read at once, so later rows come from the replaced file."""
    plan = read_plan(plan_of(rows(6000, assignee="first@example.com"), tmp_path).folder)
    assert plan is not None
    path = Path(str(plan.folder)) / file
    sent = []

    def answers(asked: Asked) -> Answer:
        if len(sent) == 30:
            swapped = path.read_bytes().replace(b"Declined", b"Approved").replace(b"first@", b"other@")
            path.write_bytes(swapped)
        sent.append(asked.body)
        return 200, case(asked.case_id, "Declined", **{"assignee-id": "first@example.com"})

    with StrangePersona(answers) as persona, pytest.raises(PlanError, match=f"{file} was changed after it was checked"):
        attempt(persona, plan)
    assert "Approved" not in str(sent)
    assert "other@" not in str(sent)


def test_a_file_with_lines_added_behind_its_end_is_refused(tmp_path: Path) -> None:
    plan = plan_of(rows(3), tmp_path)
    with (tmp_path / PLAN_FILE).open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(PlanError, match="was changed after it was checked"):
        list(plan.rows())


def _any_failures() -> Any:
    return 1.0


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (204, b""),
        (200, b""),
        (200, b"<html>Sign in</html>"),
        (200, b'{"data": {"type": "case", "id": "case_00002", "attributes": {"status": "\\ud83d"}}}'),
        (200, b'{"data": {"type": "case", "id": "case_00002", "attributes": {"status": "\xed\xa0\xbd"}}}'),
        (200, b'{"data": {"type": "case", "id": "case_00002", "attributes": {"status": NaN}}}'),
        (200, b'{"data": {"type": "case", "id": "case_00002", "attributes": {"status": "\\u0000\\u001b[31m"}}}'),
        (200, b'{"data": {"type": "case", "id": "case_00002", "attributes": {"status": "' + b"long" * 5000 + b'"}}}'),
        (200, b'{"data": {"type": "case", "id": "case_00002", "attributes": ["status"]}}'),
        (200, b'{"data": {"type": "case", "id": "case_00002", "attributes": {}}}'),
        (200, b'{"data": {"type": "case", "id": "case_00002"}}'),
        (200, b'{"data": {"type": "case", "id": "case_00002"}} and more'),
    ],
    ids=range(12),
)
def test_one_odd_answer_costs_one_row_and_is_taken_for_nothing(
    tmp_path: Path, method: str, status: int, body: bytes
) -> None:
    def answers(asked: Asked) -> Answer:
        if asked.case_id == "case_00002" and asked.method == method:
            return status, body
        return 200, case(asked.case_id, "Open" if asked.method == "GET" else "Declined")

    plan = plan_of(rows(3), tmp_path, guards=Guards.of("Open"))
    with StrangePersona(answers) as persona:
        report = attempt(persona, plan, max_failures=_any_failures())
    assert report.stopped is None
    results = last_results(plan)
    assert [results[row].outcome for row in (1, 3)] == [RowOutcome.UPDATED] * 2
    assert results[2].outcome in (RowOutcome.FAILED, RowOutcome.UNRESOLVED, RowOutcome.SKIPPED_GUARD)
    assert (results[2].reason + str(results[2].from_status)).isprintable()
    assert len(results[2].reason) < 1000


@pytest.mark.parametrize("body", [{"attributes": ["status"]}, {"attributes": {}}, {"attributes": {"status": None}}, {}])
def test_no_guard_passes_on_an_answer_without_a_status(tmp_path: Path, body: dict[str, Any]) -> None:
    plan = plan_of(rows(1), tmp_path, guards=Guards.of(None, "Approved"))
    with StrangePersona(lambda asked: (200, {"data": {"type": "case", "id": asked.case_id, **body}})) as persona:
        attempt(persona, plan, max_failures=_any_failures())
    assert [asked.method for asked in persona.asked].count("POST") == 0
    result = last_results(plan)[1]
    assert (result.outcome, result.retryable) == (RowOutcome.FAILED, True)
    assert "shows no status" in result.reason


FORBIDDEN = {"errors": [{"title": "Forbidden", "details": "This case is not visible"}]}
KEY_MAY_NOT = {"errors": [{"title": "Forbidden", "details": "API key does not have the permission case.write"}]}


def test_one_case_that_is_forbidden_costs_its_row_only(tmp_path: Path) -> None:
    def forbids_one(asked: Asked) -> Answer:
        return (403, FORBIDDEN) if asked.case_id == "case_00003" else (200, case(asked.case_id, "Declined"))

    plan = plan_of(rows(40), tmp_path)
    with StrangePersona(forbids_one) as persona:
        report = attempt(persona, plan, max_failures=_any_failures())
    assert report.stopped is None
    assert report.counts == {RowOutcome.UPDATED: 39, RowOutcome.FAILED: 1}
    assert last_results(plan)[3].http_status == 403


@pytest.mark.parametrize(
    ("answer", "most"), [(FORBIDDEN, 10), (KEY_MAY_NOT, 6)], ids=["many cases", "what the key may"]
)
def test_several_in_a_row_or_a_key_that_may_not_stop_the_run_for_good(
    tmp_path: Path, answer: dict[str, Any], most: int
) -> None:
    plan = plan_of(rows(100), tmp_path)
    with StrangePersona(lambda _: (403, answer)) as persona:
        report = attempt(persona, plan, max_failures=_any_failures(), concurrency=5, verify=True)
        assert len(persona.asked) <= most
    assert report.stopped is not None
    assert report.stopped_for_good
    assert report.verified is None  # what stopped it would meet the second look too
