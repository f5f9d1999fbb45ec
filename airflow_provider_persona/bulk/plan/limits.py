"""What limits a run: arguments that are a count of rows, a share of them or one of a few names; and runs in vain."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, TypeVar

from airflow_provider_persona.api.told_texts import shown_text
from airflow_provider_persona.bulk.errors import BulkError

Choice = TypeVar("Choice", bound=StrEnum)


def check_count(value: Any, argument: str, least: int = 0) -> None:
    """Make sure that an argument is a whole number of at least `least`.

    :raises BulkError: when it is not; true and false, which Python takes for 1 and 0, are none either.
    """
    if not (isinstance(value, int) and not isinstance(value, bool) and value >= least):
        raise BulkError(f"{argument} is a number of rows, {least} or more, not {value!r}")


def check_share(value: Any, argument: str) -> None:
    """Make sure that an argument is a share from 0 to 1.

    :raises BulkError: when it is not.
    """
    if not (_is_number(value) and 0 <= value <= 1):
        raise BulkError(f"{argument} is a share from 0.0 to 1.0, not {value!r}")


def check_count_or_share(value: Any, argument: str) -> None:
    """Make sure that an argument is a number of rows (int), or a share of them (float).

    :raises BulkError: when it is neither.
    """
    if not (_is_number(value) and value >= 0 and not (isinstance(value, float) and value > 1)):
        raise BulkError(f"{argument} is a number of rows or a share from 0.0 to 1.0, not {value!r}")


def choice(kind: type[Choice], given: str, argument: str) -> Choice:
    """Return the member of an enumeration that an argument names.

    :raises BulkError: when it names none.
    """
    try:
        return kind(given)
    except ValueError:
        raise BulkError(f"{argument} is {', '.join(kind)}, not {given!r}") from None


def is_exceeded(limit: float, count: int, of: int) -> bool:
    """Whether `count` of `of` rows are more than a number (int) or a share (float) allows."""
    return count > (limit * of if isinstance(limit, float) else limit)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def why_in_vain(rows: int, invalid: int, skipped: int, unknown_labels: Sequence[str]) -> str | None:
    """Return why nothing can be done for any row, where that looks like a mistake; None when something can.

    :param rows: all rows.
    :param invalid: those that are invalid.
    :param skipped: those that a guard forbids.
    :param unknown_labels: statuses of guards and rows that exist nowhere.
    """
    if not rows or invalid + skipped < rows:
        return None
    if invalid == rows:
        return f"all {rows} rows are invalid"
    if not unknown_labels:
        return None
    labels = ", ".join(map(shown_text, unknown_labels))
    return f"all {rows} rows were skipped or invalid, and nothing in Persona has the status {labels}"
