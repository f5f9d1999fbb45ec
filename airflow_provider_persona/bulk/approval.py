"""Who approved a plan, when and why: kept on the ledger and in the report, where an auditor looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

LONGEST_REASON: Final = 1000
"""Characters of a reason that are kept."""

_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's answer to the question whether a plan is to be applied.

    :param by: the person's name, as Airflow knows it; None where nobody was named.
    :param at: UTC time of the answer, ISO 8601, or None.
    :param reason: what the person gave as the reason, or None.
    """

    by: str | None
    at: str | None
    reason: str | None

    @classmethod
    def of(cls, given: Any) -> Approval | None:
        """Return the approval that plain data holds, or None when it holds none; long texts are cut."""
        if not isinstance(given, Mapping):
            return None
        return cls(
            _text(given.get("by"), _LONGEST_NAME),
            _text(given.get("at"), 40),
            _text(given.get("reason"), LONGEST_REASON),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"by": self.by, "at": self.at, "reason": self.reason}


def _text(given: Any, longest: int) -> str | None:
    return given.strip()[:longest] or None if isinstance(given, str) else None
