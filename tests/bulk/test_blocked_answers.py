"""A firewall that puts its page in the place of Persona's answer, a key that ends, and attributes that a key hides: no
row is called failed that was done, and none unchanged without a word when the run may have changed it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bulk_runs import RETRIEVE, SET_STATUS, attempt, changes, decisions, last_results, plan_of
from strange_persona import Answer, Asked, BehindFirewall, Block, StrangePersona, case

from airflow_provider_persona.api.messages import FailurePoint, Outcome, Response, TransportFailure
from airflow_provider_persona.bulk.ledger.outcomes import OWN_DOING, RowOutcome
from airflow_provider_persona.client.transport import Sending

LOST = TransportFailure(FailurePoint.MAYBE_SENT, "reset")


def page(status: int) -> Response:
    return Response(status, {"Content-Type": "text/html"}, b"<html>Blocked by policy</html>")


def blocked(operation_id: str, *instead: Outcome) -> Block:
    """The answers to an operation are replaced, one after another; what comes after them arrives."""
    left = list(instead)
    return lambda sending, answer: left.pop(0) if left and sending.request.operation_id == operation_id else answer


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 410, 422, 423, 451])
@pytest.mark.parametrize("before", [(), (LOST,)], ids=["at once", "after a silence"])
def test_a_write_that_persona_did_is_found_behind_the_page_of_a_firewall(
    tmp_path: Path, status: int, before: tuple[Outcome, ...]
) -> None:
    persona = BehindFirewall(blocked(SET_STATUS, *before, page(status)))
    rows = decisions(persona, 1)
    plan = plan_of(rows, tmp_path)
    assert attempt(persona, plan).counts == {RowOutcome.UPDATED: 1}
    assert changes(persona) == {rows[0]["case_id"]: 1}


@pytest.mark.parametrize("status", [403, 404, 451])
def test_a_write_that_a_firewall_held_up_is_failed(tmp_path: Path, status: int) -> None:
    def answers(asked: Asked) -> Answer:
        return (status, b"<html>No</html>") if asked.method == "POST" else (200, case(asked.case_id, "Open"))

    plan = plan_of([{"case_id": "case_1", "status": "Declined"}], tmp_path)
    with StrangePersona(answers) as persona:
        assert attempt(persona, plan).counts == {RowOutcome.FAILED: 1}
        assert len([asked for asked in persona.asked if asked.method == "POST"]) == 1
    assert "a later read does not show the change" in last_results(plan)[1].reason


def test_a_firewall_that_forbids_every_write_stops_the_run(tmp_path: Path) -> None:
    def answers(asked: Asked) -> Answer:
        return (403, b"<html>No</html>") if asked.method == "POST" else (200, case(asked.case_id, "Open"))

    rows = [{"case_id": f"case_{number}", "status": "Declined"} for number in range(100)]
    with StrangePersona(answers) as persona:
        report = attempt(persona, plan_of(rows, tmp_path), concurrency=5)
        assert len([asked for asked in persona.asked if asked.method == "POST"]) <= 10
    assert report.stopped_for_good
    assert "rows one after another were forbidden" in (report.stopped or "")


def test_a_write_in_doubt_stays_open_when_the_key_is_refused_for_another_row(tmp_path: Path) -> None:
    """The first row's answer is lost. Before it is asked for again, the second row learns that the key has ended."""
    refused = Response(401, {}, b'{"errors": [{"title": "Token is invalid"}]}')

    def block(sending: Sending, answer: Outcome) -> Outcome:
        is_first = sending.request.path.split("/")[4] == first
        return LOST if is_first and sending.request.operation_id == SET_STATUS else answer if is_first else refused

    persona = BehindFirewall(block)
    rows = decisions(persona, 2)
    first = rows[0]["case_id"]
    plan = plan_of(rows, tmp_path)
    assert attempt(persona, plan).stopped
    result = last_results(plan)[1]
    assert changes(persona)[first] == 1
    assert result.outcome is RowOutcome.UNRESOLVED
    assert "is unknown (" in result.reason
    assert "Token is invalid" in result.reason
    persona.block = lambda _, answer: answer
    attempt(persona, plan)
    result = last_results(plan)[1]
    assert (result.outcome, result.reason) == (RowOutcome.UNCHANGED, OWN_DOING)


@pytest.mark.parametrize("status", [402, 404, 451])
def test_a_row_stays_open_whose_look_is_blocked_in_the_next_attempt_too(tmp_path: Path, status: int) -> None:
    persona = BehindFirewall(lambda sending, _: page(status if sending.request.method == "GET" else 451))
    plan = plan_of(decisions(persona, 1), tmp_path)
    for _ in range(2):
        assert attempt(persona, plan).counts == {RowOutcome.UNRESOLVED: 1}
    persona.block = lambda _, answer: answer
    assert attempt(persona, plan).counts == {RowOutcome.UNCHANGED: 1}
    assert last_results(plan)[1].reason == OWN_DOING


@pytest.mark.parametrize("hidden", [{}, {"status": None}], ids=["left out", "null"])
def test_a_status_that_the_key_hides_leaves_a_row_unresolved(tmp_path: Path, hidden: dict[str, Any]) -> None:
    def answers(asked: Asked) -> Answer:
        return 200, {"data": {"type": "case", "id": asked.case_id, "attributes": hidden}}

    plan = plan_of([{"case_id": "case_1", "status": "Declined"}], tmp_path)
    with StrangePersona(answers) as persona:
        assert attempt(persona, plan).counts == {RowOutcome.UNRESOLVED: 1}
    assert "shows no status; check the attribute blocklist of the API key" in last_results(plan)[1].reason


def test_fields_that_the_key_hides_leave_a_row_unresolved(tmp_path: Path) -> None:
    def answers(asked: Asked) -> Answer:
        return 200, case(asked.case_id, "Open", **{"sla-expires-at": None})

    plan = plan_of([{"case_id": "case_1", "fields": {"score": "1"}}], tmp_path)
    with StrangePersona(answers) as persona:
        assert attempt(persona, plan).counts == {RowOutcome.UNRESOLVED: 1}
    assert "shows no fields" in last_results(plan)[1].reason


def test_an_object_that_is_gone_is_failed_also_when_an_earlier_attempt_is_in_doubt(tmp_path: Path) -> None:
    gone = Response(404, {}, b'{"errors": [{"title": "Record not found"}]}')
    persona = BehindFirewall(lambda sending, _: LOST if sending.request.method == "POST" else page(451))
    plan = plan_of(decisions(persona, 1), tmp_path)
    assert attempt(persona, plan).counts == {RowOutcome.UNRESOLVED: 1}
    persona.block = lambda sending, answer: gone if sending.request.operation_id == RETRIEVE else answer
    assert attempt(persona, plan).counts == {RowOutcome.FAILED: 1}
