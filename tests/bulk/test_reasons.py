"""Why rows failed, counted and with examples: equal reasons are one, whatever tells one row from another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome, RowResult
from airflow_provider_persona.bulk.ledger.reasons import MOST, OTHERS, Labels, Reason, ReasonCount

REFUSED = "Persona answered 422 (Unprocessable) at /meta/status to set-status-for-a-case [req_{}]"


def failed(number: int, reason: str, outcome: RowOutcome = RowOutcome.FAILED) -> RowResult:
    return RowResult(number, f"case_{number}", outcome, reason=reason)


def top_reasons(results: Iterable[RowResult]) -> tuple[Reason, ...]:
    count = ReasonCount()
    for _ in count.over(results):
        pass
    return count.top()


def test_equal_reasons_are_counted_together_with_three_examples() -> None:
    rows = [failed(number, REFUSED.format(number)) for number in range(5)]
    rows += [failed(9, "another row wants something else for the same case (first in row 7)", RowOutcome.INVALID)]
    rows += [failed(8, "another row wants something else for the same case (first in row 1)", RowOutcome.INVALID)]
    rows += [RowResult(10, None, RowOutcome.INVALID, reason="case_id is missing"), failed(11, "", RowOutcome.UPDATED)]
    first, second, third = top_reasons(rows)
    refused = "failed: Persona answered 422 (Unprocessable) at /meta/status to set-status-for-a-case"
    assert first == Reason(refused, 5, ("case_0", "case_1", "case_2"))
    assert str(first) == f"5 x {refused} (case_0, case_1, case_2, …)"
    assert str(second).endswith("(first in row …) (case_9, case_8)")
    assert str(third) == "1 x invalid: case_id is missing"
    assert first.to_xcom() == {"reason": refused, "count": 5, "example_ids": ["case_0", "case_1", "case_2"]}


def test_a_row_with_another_text_than_before_counts_for_that_one_only() -> None:
    labels = Labels()
    for row in range(1, 6):
        labels.put(row, "first")
    first, second = labels.put(3, "second")
    assert labels.counts() == [("first", 4), ("second", 1)]
    assert list(labels.codes) == [0, first, first, second, first, first]
    labels.put(3, "")
    assert labels.counts() == [("first", 4)]
    assert labels.code_of("second") == second
    assert labels.code_of(OTHERS) == 0


def test_texts_after_the_first_250_are_told_together_and_last_and_equally_frequent_ones_by_the_alphabet() -> None:
    labels = Labels()
    texts = [f"text {number}" for number in range(999, 749, -1)]
    for row, text in enumerate(texts):
        labels.put(row, text)
    assert labels.counts() == [(text, 1) for text in sorted(texts)]
    for row in range(250, 253):
        labels.put(row, f"further {row}")
    assert labels.counts() == [*((text, 1) for text in sorted(texts)), (OTHERS, 3)]


def test_a_row_that_a_later_attempt_settled_is_no_failure_any_more() -> None:
    again = [failed(2, REFUSED.format("b")), RowResult(1, "case_1", RowOutcome.UPDATED), failed(3, "refused otherwise")]
    found = top_reasons([*(failed(number, REFUSED.format(number)) for number in (1, 2, 3)), *again])
    assert [(reason.count, reason.example_ids) for reason in found] == [(1, ("case_2",)), (1, ("case_3",))]


def test_an_id_and_a_time_in_a_reason_do_not_tell_reasons_apart() -> None:
    cut_off = "{}: an attempt that was cut off began this row at 2026-01-05T08:00:0{}.000+00:00"
    assert len(top_reasons(failed(number, cut_off.format(f"case_{number}", number)) for number in range(3))) == 1


def test_however_many_reasons_there_are_ten_are_told_and_every_row_is_counted() -> None:
    def rows() -> Iterator[RowResult]:
        for number in range(2_000):
            yield failed(
                number, f"reason {chr(97 + number % 26)}{chr(97 + number // 26 % 26)}{chr(97 + number // 676)}"
            )

    found = top_reasons(rows())
    assert len(found) == MOST
    assert sum(reason.count for reason in found) == 2_000
    assert found[-1].reason == "other reasons; see the ledger"


@pytest.mark.parametrize("different", [MOST - 1, MOST])
def test_up_to_ten_reasons_are_told_each_by_itself(different: int) -> None:
    found = top_reasons(failed(number, f"reason {number:02}") for number in range(different))
    assert [reason.reason for reason in found] == [f"failed: reason {number:02}" for number in range(different)]


def test_the_reasons_after_the_first_nine_are_one_with_examples_of_the_first_of_them() -> None:
    rows = [failed(100 * number + row, f"reason {number}") for number in range(12) for row in range(13 - number)]
    *nine, others = top_reasons(rows)
    assert [reason.count for reason in nine] == [13, 12, 11, 10, 9, 8, 7, 6, 5]
    assert others == Reason("other reasons; see the ledger", 4 + 3 + 2, ("case_900", "case_901", "case_902"))


def test_reasons_are_counted_while_somebody_else_reads_the_ledger() -> None:
    results = [failed(1, "a"), failed(2, "b"), failed(3, "b")]
    count = ReasonCount()
    read = count.over(iter(results))
    assert next(read) is results[0]  # a table refuses this line and is given no more
    assert [reason.reason for reason in count.top()] == ["failed: a"]
    assert list(read) == results[1:]
    assert count.top() == top_reasons(results)
