"""Guards: which statuses a run may change a case from, so that a human's decision is not overwritten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_persona.api.lifecycle import labels
from airflow_provider_persona.api.models import Case


@dataclass(frozen=True, slots=True)
class Guards:
    """What must hold of a case's status just before it is changed.

    Persona has no conditional write: between the read that a guard looks at and the write lies one round trip, in which
    a human can still decide.

    :param only_from: change it only from one of these statuses; None for any.
    :param never_from: never change it from one of these.
    """

    only_from: frozenset[str] | None = None
    never_from: frozenset[str] = frozenset()

    @classmethod
    def of(cls, only_from: Iterable[str] | str | None, never_from: Iterable[str] | str | None = None) -> Guards:
        """Return the guards for arguments as users give them: one status or several."""
        return cls(None if only_from is None else labels(only_from), labels(never_from))

    def needs_read(self, expected: str | None) -> bool:
        """Whether the case's status must be known to apply them."""
        return expected is not None or self.only_from is not None or bool(self.never_from)

    def objection(self, status: str | None, expected: str | None = None) -> str | None:
        """Return why a case with `status` must not be changed, or None when it may be.

        :param status: the status just read.
        :param expected: the status that the row expects, or None.
        """
        if expected is not None and status != expected:
            return f"its status is {status}, expected was {expected}"
        if self.only_from is not None and status not in self.only_from:
            return f"its status is {status}, and only {', '.join(sorted(self.only_from))} may be changed"
        if status in self.never_from:
            return f"its status is {status}, which is never changed"
        return None


def drift(current: Case, planned_from: str | None, updated_at: str | None) -> str | None:
    """Return how a case has changed since it was looked at for a plan, or None when it has not.

    :param current: the case as just read.
    :param planned_from: its status then.
    :param updated_at: when it had last been changed then, ISO 8601; None to look at the status only.
    """
    if current.status != planned_from:
        return f"drift: its status is {current.status}, and was {planned_from} when planned"
    updated = current.attributes.updated_at
    if updated_at is not None and updated is not None and updated.isoformat() != updated_at:
        return f"drift: it was changed at {updated.isoformat(timespec='seconds')}, after it was looked at for the plan"
    return None
