"""Guards: the statuses that a run may change an object from, so that it overwrites no human's decision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_persona.api.lifecycle import labels
from airflow_provider_persona.api.told_texts import shown_text
from airflow_provider_persona.bulk.subjects.subject import ObjectState

NOT_AS_LEFT = "it is not as the run left it: somebody has changed its fields, queue or assignee since"
"""Reason of a row that takes a change back, for an object that was changed after it."""


@dataclass(frozen=True, slots=True)
class Guards:
    """What must hold of an object's status just before it is changed.

    Persona has no conditional write: between the read that a guard looks at and the write lies one round trip, in which
    a human can still decide.

    :param only_from: change an object only from one of these statuses; None for any.
    :param never_from: never change an object from one of these.
    """

    only_from: frozenset[str] | None = None
    never_from: frozenset[str] = frozenset()

    @classmethod
    def of(cls, only_from: Iterable[str] | str | None, never_from: Iterable[str] | str | None = None) -> Guards:
        """Return the guards for arguments as users give them: one status or several."""
        return cls(None if only_from is None else labels(only_from), labels(never_from))

    def needs_read(self, expected: str | None = None) -> bool:
        """Whether the object's status must be known to apply them."""
        return expected is not None or self.only_from is not None or bool(self.never_from)

    def objection(self, status: str | None, expected: str | None = None) -> str | None:
        """Return why an object with `status` must not be changed, or None when it may be.

        :param status: the status just read.
        :param expected: the status that the row expects, or None.
        """
        is_now = f"its status is {_shown(status)}"
        if expected is not None and status != expected:
            return f"{is_now}, expected was {_shown(expected)}"
        if self.only_from is not None and status not in self.only_from:
            return f"{is_now}, and only {', '.join(map(_shown, sorted(self.only_from)))} may be changed"
        if status in self.never_from:
            return f"{is_now}, which is never changed"
        return None


def _shown(status: str | None) -> str:
    return str(status) if status is None else shown_text(status)


def drift(current: ObjectState, planned_from: str | None, updated_at: str | None) -> str | None:
    """Return how an object has changed since it was read for a plan, or None when it has not.

    :param current: the object as just read.
    :param planned_from: its status then.
    :param updated_at: when it had last been changed then, ISO 8601; None to compare the status only.
    """
    if current.status != planned_from:
        return f"drift: its status is {_shown(current.status)}, and was {_shown(planned_from)} when planned"
    if updated_at is not None and current.updated_at not in (None, updated_at):
        at = datetime.fromisoformat(current.updated_at).isoformat(timespec="seconds")
        return f"drift: it was changed at {at}, after it was looked at for the plan"
    return None
