"""Rules between the arguments of one operator. A class names its rules; each looks at all arguments, as given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from airflow_provider_persona.tasks.answers import names_secret

Rule: TypeAlias = Callable[[Mapping[str, Any]], str | None]
"""Gets the arguments by name, and returns what is wrong with them, or None."""


def exactly_one(first: str, second: str) -> Rule:
    """Return the rule that one of two arguments is given, and not both."""

    def rule(given: Mapping[str, Any]) -> str | None:
        is_met = (given[first] is None) != (given[second] is None)
        return None if is_met else f"give either {first} or {second}"

    return rule


def somebody_takes(*places: str) -> Rule:
    """Return the rule that a secret, which is all that a call makes, is given to `deliver` or named by `result`.

    :param places: where the answer holds it.
    """

    def rule(given: Mapping[str, Any]) -> str | None:
        is_met = given["deliver"] is not None or any(names_secret(given["result"], place) for place in places)
        return None if is_met else f"the call's secret would be lost; give deliver, or result=['{places[0]}']"

    return rule


def not_in_result(*places: str) -> Rule:
    """Return the rule that a secret is not named by `result`, because XCom is no place for it.

    :param places: where the answer holds it.
    """

    def rule(given: Mapping[str, Any]) -> str | None:
        is_met = not any(names_secret(given["result"], place) for place in places)
        return None if is_met else "the secret goes to secret_variable or deliver, not into the result"

    return rule
