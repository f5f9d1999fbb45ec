"""Thresholds as tables: what a plan may reach, what exceeds it, and how they are given."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.errors import BulkError, ThresholdError
from airflow_provider_persona.bulk.plan.file import PlanHeader
from airflow_provider_persona.bulk.plan.labels import UnknownStatuses
from airflow_provider_persona.bulk.plan.limits import (
    check_count,
    check_count_or_share,
    check_share,
    is_exceeded,
    why_in_vain,
)
from airflow_provider_persona.bulk.plan.thresholds import Thresholds, transitions
from tests.bulk.bulk_runs import header_of


def header(changes: int = 0, invalid: int = 0, rows: int | None = None, **given: Any) -> PlanHeader:
    """The header of a plan, by default without a row that is neither a change nor invalid."""
    planned = {"change": changes, "invalid": invalid}
    return header_of(rows=changes + invalid if rows is None else rows, planned=planned, **given)


def pairs(*given: tuple[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(given)


GOES = {"Open -> Closed": 3, "Pending -> Closed": 2, "? -> Closed": 4}


@pytest.mark.parametrize(
    ("thresholds", "plan", "problem"),
    [
        (Thresholds(), header(7, 8), None),
        (Thresholds(max_changes=0), header(0, 9), None),
        (Thresholds(max_changes=5), header(5), None),
        (Thresholds(max_changes=5), header(6), "6 rows would be changed, max_changes is 5"),
        (Thresholds(max_change_ratio=0.5), header(2, 6, 10), None),
        (
            Thresholds(max_change_ratio=0.5),
            header(3, 6, 10),
            "3 of 4 valid rows (75.0%) would be changed, max_change_ratio is 0.5",
        ),
        (Thresholds(max_change_ratio=0.0), header(0, 3), None),
        (Thresholds(max_change_ratio=1.0), header(4), None),
        (Thresholds(max_invalid=2), header(0, 2), None),
        (Thresholds(max_invalid=2), header(9, 3), "3 of 12 rows are invalid, max_invalid is 2"),
        (Thresholds(max_invalid=1), header(1, 1), None),
        (Thresholds(max_invalid=0.25), header(6, 2), None),
        (Thresholds(max_invalid=0.25), header(5, 2), "2 of 7 rows are invalid, max_invalid is 0.25"),
        (Thresholds(max_invalid=1.0), header(0, 2), None),
        (
            Thresholds(forbid_transitions=pairs(("Open", "Closed"))),
            header(transitions={"Open -> Closed": 3}),
            "3 rows would go Open -> Closed, which forbid_transitions forbids",
        ),
        (Thresholds(forbid_transitions=pairs(("Closed", "Open"))), header(transitions={"Open -> Closed": 3}), None),
        (
            Thresholds(forbid_transitions=pairs(("Closed", "Open"))),
            header(transitions=GOES),
            "the status of 4 objects could not be read, so forbid_transitions cannot be checked for them",
        ),
        (Thresholds(), header(transitions=GOES), None),
        (
            Thresholds(unknown_statuses=UnknownStatuses.FAIL),
            header(unknown_labels=["Opne", "Closd"]),
            "no case and no template of one has the status Opne, Closd; check how guards and rows spell it",
        ),
        (Thresholds(unknown_statuses=UnknownStatuses.FAIL), header(), None),
        (Thresholds(unknown_statuses=UnknownStatuses.WARN), header(unknown_labels=["Opne"]), None),
    ],
)
def test_a_plan_is_held_against_each_threshold(thresholds: Thresholds, plan: PlanHeader, problem: str | None) -> None:
    if problem is None:
        thresholds.check(plan)
        return
    with pytest.raises(ThresholdError) as refused:
        thresholds.check(plan)
    assert str(refused.value) == (
        f"nothing was written: {problem}. Look at the rows; if they are right, raise the threshold"
    )


def test_all_that_a_plan_exceeds_is_named() -> None:
    thresholds = Thresholds(max_changes=1, max_invalid=0, forbid_transitions=pairs(("*", "Closed")))
    with pytest.raises(ThresholdError) as refused:
        thresholds.check(header(5, 1, transitions={"Open -> Closed": 3, "Pending -> Closed": 2}))
    assert str(refused.value).count("; ") == 4
    for problem in ("5 rows would be changed", "1 of 6 rows are invalid", "3 rows would go Open", "2 rows would go P"):
        assert problem in str(refused.value)


def test_what_a_plan_reaches_is_told_of_the_thresholds_that_are_set() -> None:
    plan = header(5, 3, 9, transitions={"Open -> Closed": 3, "Open -> Approved": 2})
    assert Thresholds().reached(plan) == {}
    thresholds = Thresholds(6, 0.9, 4, pairs(("Pending", "*"), ("Open", "Closed")))
    assert thresholds.reached(plan) == {
        "max_changes": {"limit": 6, "reached": 5},
        "max_change_ratio": {"limit": 0.9, "reached": 0.8333},
        "max_invalid": {"limit": 4, "reached": 3},
        "forbid_transitions": {"limit": ["Open -> Closed", "Pending -> *"], "reached": 1},
    }
    assert Thresholds(max_invalid=0.5).reached(plan) == {"max_invalid": {"limit": 0.5, "reached": 0.3333}}
    assert Thresholds(max_change_ratio=0.5).reached(header(0, 2))["max_change_ratio"]["reached"] == 0.0


def test_statuses_are_needed_and_looked_up_where_transitions_name_them() -> None:
    assert not Thresholds(1, 0.5, 1).needs_states
    thresholds = Thresholds(forbid_transitions=pairs(("*", "Closed"), ("Open", "*")))
    assert thresholds.needs_states
    assert thresholds.forbidden_statuses == {"Open", "Closed"}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, []),
        ("", []),
        (" None ", []),
        ([], []),
        ("Open -> Closed", [("Open", "Closed")]),
        ("  Open->Closed ", [("Open", "Closed")]),
        (["Open -> Closed", "* -> Open"], [("Open", "Closed"), ("*", "Open")]),
        ([("Open", "Closed"), ["In Review", "*"]], [("Open", "Closed"), ("In Review", "*")]),
        ({"Open": "Closed", "Held": ["Open", "Closed"]}, [("Open", "Closed"), ("Held", "Open"), ("Held", "Closed")]),
        ("['Open -> Closed']", [("Open", "Closed")]),
        (" (('Open', 'Closed'),) ", [("Open", "Closed")]),
        ('{"Open": ["Closed"]}', [("Open", "Closed")]),
    ],
)  # fmt: skip
def test_transitions_are_given_in_several_ways(given: Any, found: list[tuple[str, str]]) -> None:
    assert transitions(given) == frozenset(found)


@pytest.mark.parametrize("given", [5, [5], "Open", "a -> b -> c", "Open -> ", [("Open", "")], [("Open", 5)], {"a": 5}])
def test_what_names_no_transition_is_refused(given: Any) -> None:
    with pytest.raises(BulkError, match="forbid_transitions are given like 'Approved -> Declined'"):
        transitions(given)


@pytest.mark.parametrize(
    ("check", "taken", "refused", "said"),
    [
        (check_count, [0, 1, 7], [-1, 0.5, True, "3", None], "x is a number of rows, 0 or more, not "),
        (check_share, [0, 0.0, 0.5, 1, 1.0], [-0.1, 1.1, 2, True, math.nan, "1"], "x is a share from 0.0 to 1.0, not "),
        (
            check_count_or_share,
            [0, 0.0, 0.5, 1.0, 2, 700],
            [-1, -0.5, 1.5, False, math.nan, "1"],
            "x is a number of rows or a share from 0.0 to 1.0, not ",
        ),
    ],
)
def test_a_limit_is_a_count_or_a_share(check: Any, taken: list[Any], refused: list[Any], said: str) -> None:
    for value in taken:
        check(value, "x")
    for value in refused:
        with pytest.raises(BulkError, match=f"^{re.escape(f'{said}{value!r}')}$"):
            check(value, "x")


@pytest.mark.parametrize("name", ["max_changes", "max_change_ratio", "max_invalid"])
def test_a_threshold_that_makes_no_sense_is_named(name: str) -> None:
    given: dict[str, Any] = {name: -1}
    with pytest.raises(BulkError, match=f"^{name} is a .*, not -1$"):
        Thresholds(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"concurrency": 0}, "concurrency is a number of rows, 1 or more, not 0"),
        ({"sample": 0}, "sample is a number of rows, 1 or more, not 0"),
        ({"max_failures": 1.5}, "max_failures is a number of rows or a share from 0.0 to 1.0, not 1.5"),
        ({"max_retry_share": 0}, "max_retry_share is the retries for every success, above 0, not 0"),
    ],
)
def test_an_option_that_makes_no_sense_is_named_and_the_least_that_does_is_taken(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(BulkError, match=f"^{re.escape(said)}$"):
        ApplyOptions(**given)
    ApplyOptions(concurrency=1, sample=1, max_failures=1.0, max_retry_share=0.001)


def test_a_count_may_have_a_least_value() -> None:
    check_count(3, "x", least=3)
    with pytest.raises(BulkError, match="x is a number of rows, 3 or more, not 2"):
        check_count(2, "x", least=3)


@pytest.mark.parametrize(
    ("limit", "count", "of", "exceeds"),
    [(3, 3, 9, False), (3, 4, 9, True), (1, 2, 9, True), (1.0, 9, 9, False), (0.5, 4, 8, False), (0.5, 5, 8, True)],
)
def test_a_share_is_one_of_all_rows_and_a_number_is_not(limit: float, count: int, of: int, exceeds: bool) -> None:
    assert is_exceeded(limit, count, of) is exceeds


@pytest.mark.parametrize(
    ("rows", "invalid", "skipped", "unknown", "why"),
    [
        (0, 0, 0, ["Opne"], None),
        (3, 3, 0, [], "all 3 rows are invalid"),
        (3, 3, 0, ["Opne"], "all 3 rows are invalid"),
        (3, 2, 0, ["Opne"], None),
        (3, 1, 1, ["Opne"], None),
        (3, 0, 3, [], None),
        (
            3,
            1,
            2,
            ["Opne", "Closd"],
            "all 3 rows were skipped or invalid, and nothing in Persona has the status Opne, Closd",
        ),
    ],
)
def test_a_run_is_in_vain_where_all_rows_are_invalid_or_a_status_is_misspelt(
    rows: int, invalid: int, skipped: int, unknown: list[str], why: str | None
) -> None:
    assert why_in_vain(rows, invalid, skipped, unknown) == why
