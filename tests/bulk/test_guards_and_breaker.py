"""Two small decisions as tables: may this case be changed, and is the service still worth asking."""

from __future__ import annotations

import pytest

from airflow_provider_persona.bulk.breaker import Breaker
from airflow_provider_persona.bulk.guards import Guards
from airflow_provider_persona.bulk.outcomes import RowOutcome

UPDATED, UNCHANGED, FAILED, UNRESOLVED = (
    RowOutcome.UPDATED,
    RowOutcome.UNCHANGED,
    RowOutcome.FAILED,
    RowOutcome.UNRESOLVED,
)


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
        ([], False),
        ([(FAILED, True)] * 2, False),
        ([(FAILED, True)] * 3, True),
        ([(FAILED, True), (UNRESOLVED, True), (FAILED, True)], True),
        ([(FAILED, True), (FAILED, True), (UPDATED, False), (FAILED, True)], False),
        ([(FAILED, True), (FAILED, True), (UNCHANGED, False), (FAILED, True)], False),
        ([(FAILED, True), (FAILED, True), (FAILED, False), (FAILED, True)], False),
        ([(FAILED, False)] * 9, False),
        ([(FAILED, True), (RowOutcome.INVALID, False), (FAILED, True), (FAILED, True)], True),
        ([(FAILED, True), (RowOutcome.SKIPPED_GUARD, False), (FAILED, True), (FAILED, True)], True),
    ],
)
def test_the_breaker_opens_after_rows_that_failed_for_want_of_a_working_service(
    seen: list[tuple[RowOutcome, bool]], is_open: bool
) -> None:
    breaker = Breaker(patience=3)
    for outcome, retryable in seen:
        breaker.saw(outcome, retryable=retryable)
    assert breaker.is_open is is_open
