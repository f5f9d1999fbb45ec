"""What a number that limits a run may be: a count of rows, a share of them, or either."""

from __future__ import annotations

from typing import Any

from airflow_provider_persona.bulk.errors import BulkError


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


def is_exceeded(limit: float, count: int, of: int) -> bool:
    """Whether `count` of `of` rows are more than a number (int) or a share (float) allows."""
    return count > (limit * of if isinstance(limit, float) else limit)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
