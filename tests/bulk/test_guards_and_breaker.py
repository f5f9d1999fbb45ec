"""Small decisions as tables: may this case be changed, has it drifted, how long does it take, is it worth asking on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_persona.api.errors import (
    PersonaAuthenticationError,
    PersonaError,
    PersonaPermissionError,
    PersonaRateLimitError,
    PersonaSettingsError,
    PersonaValidationError,
)
from airflow_provider_persona.api.limits import WindowState
from airflow_provider_persona.bulk.apply.halt import CircuitBreaker, Halt
from airflow_provider_persona.bulk.errors import BulkError
from airflow_provider_persona.bulk.plan.estimate import Estimate, estimate, tightest_limit
from airflow_provider_persona.bulk.plan.guards import Guards, drift
from airflow_provider_persona.bulk.subjects.subject import ObjectState


@pytest.mark.parametrize(
    ("only_from", "never_from", "expected", "status", "objection"),
    [
        (None, None, None, "Open", None),
        (None, None, None, None, None),
        (None, None, "Open", "Open", None),
        (None, None, "Open", "open", "its status is open, expected was Open"),
        (None, None, "Open", None, "its status is None, expected was Open"),
        ("Open", None, None, "Open", None),
        (None, None, "Open\u200b", "Open", "its status is Open, expected was 'Open\\u200b'"),
        (" Open", None, "Open\n", "Open", "its status is Open, expected was 'Open\\n'"),
        (["Open", "Pending"], None, None, "Pending", None),
        (["Pending", "Open"], None, None, "Declined", "its status is Declined, and only Open, Pending may be changed"),
        ([], None, None, "Open", "its status is Open, and only  may be changed"),
        (None, "Declined", None, "Declined", "its status is Declined, which is never changed"),
        (None, ["Declined", "Approved"], None, "Open", None),
        ("Open", "Open", None, "Open", "its status is Open, which is never changed"),
        ("Open", None, "Pending", "Open", "its status is Open, expected was Pending"),
        ("Open", None, None, None, "its status is None, and only Open may be changed"),
    ],
)
def test_guards_object_as_the_table_says(
    only_from: str | list[str] | None,
    never_from: str | list[str] | None,
    expected: str | None,
    status: str | None,
    objection: str | None,
) -> None:
    assert Guards.of(only_from, never_from).objection(status, expected) == objection


THEN, LATER = "2026-01-01T10:00:00.000Z", "2026-01-01T10:00:01.500Z"


@pytest.mark.parametrize(
    ("status", "updated_at", "planned_from", "planned_at", "found"),
    [
        ("Open", THEN, "Open", THEN, None),
        ("Open", LATER, "Open", None, None),
        ("Open", None, "Open", THEN, None),
        (None, THEN, None, THEN, None),
        ("Closed", THEN, "Open", THEN, "drift: its status is Closed, and was Open when planned"),
        ("Closed", LATER, None, THEN, "drift: its status is Closed, and was None when planned"),
        (
            "Open",
            LATER,
            "Open",
            THEN,
            "drift: it was changed at 2026-01-01T10:00:01+00:00, after it was looked at for the plan",
        ),
    ],
)
def test_drift_is_another_status_or_a_later_change(
    status: str | None, updated_at: str | None, planned_from: str | None, planned_at: str | None, found: str | None
) -> None:
    assert drift(ObjectState("case_1", status, updated_at), planned_from, planned_at) == found


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (None, Estimate(400, None, None, 0.2)),
        (WindowState(0, 0, 60), Estimate(400, None, 0, 0.2)),
        (WindowState(300, 300, 30), Estimate(400, 30.0, 300, 0.2)),
        (WindowState(300, 0, 30), Estimate(400, 90.0, 300, 0.2)),
        (WindowState(1, 1, 60), Estimate(400, 399 * 60.0, 1, 0.2)),
    ],
    ids=["unknown", "zero", "fresh", "used up", "one a window"],
)
def test_an_estimate_goes_by_the_present_window(window: WindowState | None, expected: Estimate) -> None:
    assert estimate(400, window, 0.2) == expected
    assert expected.to_xcom() == {
        "requests": 400, "seconds": expected.seconds, "limit": expected.limit, "reserve": 0.2
    }  # fmt: skip
    matching = {"by": "reference-id", "values": 9, "priced": 9, "requests": 8}
    assert replace(expected, matching=matching).to_xcom() == {**expected.to_xcom(), "matching": matching}


@pytest.mark.parametrize("limits", [(300, 500, 9000), (500, 300, 9000), (9000, 500, 300)])
def test_of_several_limits_the_tightest_counts(limits: tuple[int, ...]) -> None:
    answer = {"data": [{"attributes": {"limit": n, "remaining": 1, "seconds-to-reset": 30}} for n in limits]}
    assert tightest_limit(answer) == WindowState(300, 1, 30)


@pytest.mark.parametrize(
    ("guards", "expected", "needs"),
    [
        (Guards.of(None), None, False),
        (Guards.of(None, []), None, False),
        (Guards.of(None), "Open", True),
        (Guards.of("Open"), None, True),
        (Guards.of([]), None, True),
        (Guards.of(None, "Declined"), None, True),
    ],
)
def test_a_case_is_read_only_where_a_guard_needs_it(guards: Guards, expected: str | None, needs: bool) -> None:
    assert guards.needs_read(expected) is needs


@pytest.mark.parametrize(
    ("seen", "is_open"),
    [
        ("", False),
        ("xxx", False),
        ("xxxx", True),
        ("xxxx.........", True),
        ("xxx.x", True),
        ("xxx..x", False),
        ("xxx..xx", True),
        ("." * 1000 + "xxx", False),
        ("." * 1000 + "xxxx", True),
        ("x.." * 1000, False),
        ("xx.." * 10, True),
    ],
)
def test_the_breaker_opens_when_retries_exceed_half_of_the_successes_and_three_more(seen: str, is_open: bool) -> None:
    breaker = CircuitBreaker(max_retry_share=0.5, allowance=3)
    for mark in seen:
        (breaker.retried if mark == "x" else breaker.succeeded)()
    assert breaker.is_open is is_open


def test_the_breaker_says_how_often_it_went_well_and_not() -> None:
    breaker = CircuitBreaker(max_retry_share=0.5, allowance=1)
    for mark in "..x.xxx":
        (breaker.retried if mark == "x" else breaker.succeeded)()
    assert "more than 0.5 retries for every success (4 and 3 in all)" in str(breaker)


@pytest.mark.parametrize("share", [0, -1.0, float("nan")])
def test_a_share_of_retries_that_makes_no_sense_is_refused(share: float) -> None:
    with pytest.raises(BulkError, match="max_retry_share is the retries for every success, above 0"):
        CircuitBreaker(share)


@pytest.mark.parametrize("text", ["{['Open']: 1}", "[" * 100_000, "['Open'"])
def test_a_text_that_names_no_statuses_is_refused(text: str) -> None:
    with pytest.raises(PersonaSettingsError, match="statuses are given as one text"):
        Guards.of(text)


def halted(*errors: PersonaError | None) -> Halt:
    """What weighed the outcomes of rows, one after another."""
    halt = Halt(CircuitBreaker())
    for error in errors:
        halt.weigh(error)
    return halt


REFUSED = PersonaPermissionError("this case is not visible")
INVALID = PersonaValidationError("no such status")


@pytest.mark.parametrize(
    ("errors", "stops"),
    [
        ([], False),
        ([None] * 9, False),
        ([INVALID] * 9, False),
        ([REFUSED] * 4, False),
        ([REFUSED] * 5, True),
        ([REFUSED, REFUSED, INVALID, REFUSED, REFUSED, REFUSED, REFUSED], False),
        ([REFUSED, REFUSED, REFUSED, None, REFUSED, REFUSED, REFUSED, REFUSED], False),
        ([REFUSED, None, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED], True),
    ],
)
def test_five_rows_in_a_row_that_are_forbidden_stop_a_run(errors: list[PersonaError | None], stops: bool) -> None:
    halt = halted(*errors)
    if not stops:
        assert halt.in_report() == {"stopped": None, "stopped_for_good": False, "retry_after": None}
        return
    why = "5 rows one after another were forbidden, the last with: this case is not visible"
    assert halt.in_report() == {"stopped": why, "stopped_for_good": True, "retry_after": None}


@pytest.mark.parametrize(
    ("error", "for_good", "retry_after"),
    [
        (PersonaAuthenticationError("the key is refused"), True, None),
        (PersonaRateLimitError("the limit is used up", retry_after=30.0), False, 30.0),
    ],
)
def test_an_error_that_every_row_would_meet_stops_a_run_at_once(
    error: PersonaError, for_good: bool, retry_after: float | None
) -> None:
    halt = halted(None, error)
    assert halt.in_report() == {"stopped": str(error), "stopped_for_good": for_good, "retry_after": retry_after}


def test_the_first_reason_of_a_stop_stays() -> None:
    halt = halted(PersonaRateLimitError("the limit is used up", retry_after=30.0), *[REFUSED] * 5)
    halt.stop("the task must stop", for_good=True)
    assert halt.in_report() == {"stopped": "the limit is used up", "stopped_for_good": False, "retry_after": 30.0}


def test_a_stop_is_for_a_while_unless_it_is_said_to_be_for_good() -> None:
    halt = halted()
    halt.stop("the task must stop")
    assert halt.in_report() == {"stopped": "the task must stop", "stopped_for_good": False, "retry_after": None}


@pytest.mark.parametrize("reason", ["a 503 for the third time", ""])
def test_an_open_breaker_stops_a_run_and_tells_the_last_failure(reason: str) -> None:
    halt = Halt(CircuitBreaker(allowance=0))
    halt.ask_breaker(reason)
    assert halt.why is None
    halt.breaker.retried()
    halt.ask_breaker(reason)
    assert halt.why == (f"{halt.breaker}. The last failure: {reason}" if reason else str(halt.breaker))
    assert not halt.is_for_good
