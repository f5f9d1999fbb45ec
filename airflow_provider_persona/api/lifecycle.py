"""Which states mean that a wait is over, well or badly. Unknown states are tolerated: they mean "not yet"."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_persona.api.errors import PersonaSettingsError
from airflow_provider_persona.api.models import Case


class Verdict(StrEnum):
    """Where a wait stands."""

    REACHED = "reached"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class CaseGoal:
    """What one waits for in a case.

    A case's statuses are labels that the customer chose, compared as given; which of them are final cannot be told
    from the case. So either the labels are named, or the time of resolution stands in for them.

    :param target_statuses: statuses that end the wait well.
    :param failure_statuses: statuses that end it badly.
    :param resolved: whether a time of resolution ends it well.
    """

    target_statuses: frozenset[str] = frozenset()
    failure_statuses: frozenset[str] = frozenset()
    resolved: bool = False

    def verdict(self, case: Case) -> Verdict:
        """Say where the wait stands for a case as just read."""
        if case.status in self.failure_statuses:
            return Verdict.FAILED
        if case.status in self.target_statuses or (self.resolved and case.is_resolved):
            return Verdict.REACHED
        return Verdict.WAITING


@dataclass(frozen=True, slots=True)
class CountGoal:
    """What one waits for in the number of cases that a filter finds.

    :param at_most: the wait is over when so many remain, or fewer.
    :param at_least: the wait is over when so many are there, or more.
    """

    at_most: int | None = None
    at_least: int | None = None

    def __post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("give either at_most or at_least")
        if (self.at_most or 0) < 0 or (self.at_least is not None and self.at_least < 1):
            raise ValueError("at_most is 0 or more, at_least is 1 or more")

    @property
    def enough(self) -> int:
        """How many cases to look at before the answer is certain, however many there are."""
        return self.at_least if self.at_least is not None else (self.at_most or 0) + 1

    def verdict(self, seen: int) -> Verdict:
        """Say where the wait stands when `seen` cases were found, looking at no more than `enough`."""
        reached = seen >= self.at_least if self.at_least is not None else seen <= (self.at_most or 0)
        return Verdict.REACHED if reached else Verdict.WAITING


def labels(given: Iterable[str] | str | None) -> frozenset[str]:
    """Return the statuses that an argument names: one, several, or a list that a template rendered to text.

    :raises PersonaSettingsError: when a text cannot be told from a list that lost its form, since a guard that took it
        for one status would guard nothing.
    """
    if given is None:
        return frozenset()
    if isinstance(given, str):
        text = given.strip()
        if text.startswith(("[", "(", "{")):
            try:
                given = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                raise _no_labels() from None
        elif "," in text:
            raise _no_labels()
        else:
            given = [given]
    found = list(given)
    if not all(isinstance(label, str) and label.strip() for label in found):
        raise _no_labels()
    return frozenset(found)


def _no_labels() -> PersonaSettingsError:
    return PersonaSettingsError("statuses are given as one text, or as a list of texts like ['Approved', 'Declined']")
