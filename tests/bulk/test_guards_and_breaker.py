"""Two small decisions as tables: may this case be changed, and is the service still worth asking."""

from __future__ import annotations

import pytest

from airflow_provider_persona.bulk.apply.breaker import CircuitBreaker
from airflow_provider_persona.bulk.errors import BulkError
from airflow_provider_persona.bulk.plan.guards import Guards


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
