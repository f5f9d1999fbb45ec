"""Thresholds: what a plan must not exceed, checked before the first write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_persona.api.literals import read_literal
from airflow_provider_persona.api.told_texts import shown_text
from airflow_provider_persona.bulk.errors import BulkError, ThresholdError
from airflow_provider_persona.bulk.plan.file import UNKNOWN_STATUS, PlanHeader
from airflow_provider_persona.bulk.plan.labels import UnknownStatuses
from airflow_provider_persona.bulk.plan.limits import check_count, check_count_or_share, check_share, is_exceeded

ANY = "*"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a plan must not exceed.

    :param max_changes: rows that may be changed at most.
    :param max_change_ratio: share of the valid rows (0.0 to 1.0) that may be changed at most. Rows that are already
        right count only where the live objects were compared.
    :param max_invalid: rows that may be invalid at most: a number (int), or a share of all rows (float).
    :param forbid_transitions: `from -> to` statuses that must not occur; `*` stands for any status.
    :param unknown_statuses: what to do about a status in guards or rows that exists nowhere.
    """

    max_changes: int | None = None
    max_change_ratio: float | None = None
    max_invalid: int | float | None = None
    forbid_transitions: frozenset[tuple[str, str]] = frozenset()
    unknown_statuses: UnknownStatuses = UnknownStatuses.WARN

    def __post_init__(self) -> None:
        if self.max_changes is not None:
            check_count(self.max_changes, "max_changes")
        if self.max_change_ratio is not None:
            check_share(self.max_change_ratio, "max_change_ratio")
        if self.max_invalid is not None:
            check_count_or_share(self.max_invalid, "max_invalid")

    @property
    def needs_states(self) -> bool:
        """Whether the live status of every object must be known."""
        return bool(self.forbid_transitions)

    @property
    def forbidden_statuses(self) -> set[str]:
        """The statuses that `forbid_transitions` names."""
        return {status for transition in self.forbid_transitions for status in transition} - {ANY}

    def check(self, header: PlanHeader) -> None:
        """Make sure that a plan keeps to them.

        :raises ThresholdError: naming every one that it does not, with the numbers.
        """
        problems = [*self._misspelt(header), *self._too_much(header), *self._forbidden(header)]
        if problems:
            raise ThresholdError(
                f"nothing was written: {'; '.join(problems)}. Look at the rows; if they are right, raise the threshold"
            )

    def reached(self, header: PlanHeader) -> dict[str, dict[str, Any]]:
        """Return each threshold that is set, by argument: its `limit`, and what a plan has `reached` of it."""
        changes, invalid = header.changes, header.invalid
        share = isinstance(self.max_invalid, float)
        found: dict[str, tuple[Any, Any]] = {
            "max_changes": (self.max_changes, changes),
            "max_change_ratio": (self.max_change_ratio, _share(changes, header.rows - invalid)),
            "max_invalid": (self.max_invalid, _share(invalid, header.rows) if share else invalid),
            "forbid_transitions": (
                [f"{before} -> {after}" for before, after in sorted(self.forbid_transitions)] or None,
                sum(1 for _ in self._forbidden(header)),
            ),
        }
        return {name: {"limit": limit, "reached": got} for name, (limit, got) in found.items() if limit is not None}

    def _too_much(self, header: PlanHeader) -> Iterable[str]:
        changes, invalid = header.changes, header.invalid
        valid = header.rows - invalid
        if self.max_changes is not None and changes > self.max_changes:
            yield f"{changes} rows would be changed, max_changes is {self.max_changes}"
        if self.max_change_ratio is not None and changes > self.max_change_ratio * valid:  # `valid` may be 0
            share = changes / valid
            yield (
                f"{changes} of {valid} valid rows ({share:.1%}) would be changed, max_change_ratio is "
                f"{self.max_change_ratio}"
            )
        if self.max_invalid is not None and is_exceeded(self.max_invalid, invalid, header.rows):
            yield f"{invalid} of {header.rows} rows are invalid, max_invalid is {self.max_invalid}"

    def _misspelt(self, header: PlanHeader) -> Iterable[str]:
        if self.unknown_statuses is UnknownStatuses.FAIL and header.unknown_labels:
            name, labels = header.subject.name, ", ".join(map(shown_text, header.unknown_labels))
            yield f"no {name} and no template of one has the status {labels}; check how guards and rows spell it"

    def _forbidden(self, header: PlanHeader) -> Iterable[str]:
        for transition, count in header.transitions.items():
            for before, after in self.forbid_transitions:
                if _is_one_of(transition, before, after):
                    yield f"{count} rows would go {transition}, which forbid_transitions forbids"
        unknown = sum(n for name, n in header.transitions.items() if name.startswith(f"{UNKNOWN_STATUS} ->"))
        if self.forbid_transitions and unknown:
            yield f"the status of {unknown} objects could not be read, so forbid_transitions cannot be checked for them"


def _is_one_of(transition: str, before: str, after: str) -> bool:
    """Whether a transition of a plan's header goes from one status to another; `*` stands for any.

    A label is whatever the customer calls it, ` -> ` included, so the transition cannot be taken apart.
    """
    if before == ANY:
        return after == ANY or transition.endswith(f" -> {after}")
    return transition.startswith(f"{before} -> ") if after == ANY else transition == f"{before} -> {after}"


def _share(count: int, of: int) -> float:
    return round(count / of, 4) if of else 0.0


def transitions(given: Iterable[object] | Mapping[str, object] | str | None) -> frozenset[tuple[str, str]]:
    """Return the transitions that an argument names.

    :param given: `"Approved -> Declined"`, several of such, pairs, or a mapping from a status to one or several; also
        as the text that a template makes of these.
    :raises BulkError: when it names none.
    """
    if isinstance(given, str):
        given = _read_back(given)
    if given is None:
        return frozenset()
    if isinstance(given, Mapping):
        given = [(before, after) for before, several in given.items() for after in _several(several)]
    if not isinstance(given, Iterable):
        raise _no_transitions()
    return frozenset(_pair(one) for one in given)


def _read_back(text: str) -> Iterable[object] | Mapping[str, object] | None:
    """Return what a text stands for: nothing, one transition, or what a template made a text of."""
    if text.strip().lower() in ("", "none"):
        return None
    if not text.strip().startswith(("[", "(", "{")):
        return [text]
    try:
        found: Iterable[object] | Mapping[str, object] = read_literal(text)
    except ValueError:
        raise _no_transitions() from None
    return found


def _several(value: object) -> list[object]:
    return [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [value]


def _pair(one: object) -> tuple[str, str]:
    parts = [part.strip() for part in one.split("->")] if isinstance(one, str) else list(_several(one))
    if len(parts) != 2 or not all(isinstance(part, str) and part for part in parts):
        raise _no_transitions()
    return str(parts[0]), str(parts[1])


def _no_transitions() -> BulkError:
    return BulkError("forbid_transitions are given like 'Approved -> Declined', or as pairs of statuses")
