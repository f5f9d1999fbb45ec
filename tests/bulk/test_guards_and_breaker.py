"""Small decisions as tables: may this case be changed, has it drifted, how long does it take, is it worth asking on."""

from __future__ import annotations

import pytest

from airflow_provider_persona.api.errors import PersonaSettingsError
from airflow_provider_persona.api.limits import WindowState
from airflow_provider_persona.bulk.apply.halt import CircuitBreaker
from airflow_provider_persona.bulk.errors import BulkError
from airflow_provider_persona.bulk.plan.estimate import Estimate, estimate
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
    ],
    ids=["unknown", "zero", "fresh", "used up"],
)
def test_an_estimate_goes_by_the_present_window(window: WindowState | None, expected: Estimate) -> None:
    assert estimate(400, window, 0.2) == expected
    assert expected.to_xcom() == {
        "requests": 400, "seconds": expected.seconds, "limit": expected.limit, "reserve": 0.2
    }  # fmt: skip


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
