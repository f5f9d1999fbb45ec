"""One thing that the environment holds beside cases (an inquiry, a list item, a webhook), and a shelf of its family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Parts = tuple[str, ...]
Outcome = Callable[[float], Mapping[str, Any]]
"""Given the time at which work ends: the attributes that it sets."""


@dataclass(slots=True)
class Work:
    """What goes on with a thing in the background.

    :param begun_at: since when, in epoch seconds.
    :param outcome: what its end sets.
    :param event: last part of the name of the event that its end makes, None for no event.
    :param reads: how often the thing was read meanwhile.
    """

    begun_at: float
    outcome: Outcome
    event: str | None
    reads: int = 0


@dataclass(slots=True)
class Thing:
    """One thing as it is now.

    :param kind: its type in answers, for example `report/watchlist`.
    :param ordinal: its place in the order of creation on its shelf, from 0.
    :param created_at: epoch seconds.
    :param attributes: what answers show, in kebab-case; values are replaced, never changed in place.
    :param relationships: name -> reference, list of references or None.
    :param hidden: what no answer shows.
    :param work: what goes on with it in the background, None when nothing does.
    """

    thing_id: str
    kind: str
    ordinal: int
    created_at: float
    attributes: dict[str, Any] = field(default_factory=dict)
    relationships: dict[str, Any] = field(default_factory=dict)
    hidden: dict[str, Any] = field(default_factory=dict)
    work: Work | None = None

    @property
    def status(self) -> str | None:
        """Its status, None when things like it have none."""
        for name in ("status", "account-status"):
            if name in self.attributes:
                return str(self.attributes[name])
        return None

    @property
    def reference(self) -> dict[str, str]:
        """How another thing refers to it."""
        return {"type": self.kind, "id": self.thing_id}

    @property
    def is_redacted(self) -> bool:
        """Whether its personal data was erased."""
        return bool(self.attributes.get("redacted-at") or self.hidden.get("redacted"))

    def set(self, changes: Mapping[str, Any]) -> Parts:
        """Set attributes and return the names of those that changed."""
        changed = tuple(name for name, value in changes.items() if self.attributes.get(name, self) != value)
        self.attributes.update(changes)
        return changed


class Shelf:
    """All things of one family, in the order of creation.

    :param prefix: of their ids.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.order: list[Thing] = []
        self._by_id: dict[str, Thing] = {}
        self._highest = 0

    def get(self, thing_id: str) -> Thing | None:
        """Return the thing of that id."""
        return self._by_id.get(thing_id)

    def put(self, kind: str, now: float, thing_id: str | None = None, prefix: str | None = None) -> Thing:
        """Put a new, empty thing on the shelf and return it.

        :param thing_id: its id; None makes the next one.
        :param prefix: of the id to make, where kinds of one family differ in it.
        """
        if thing_id is None:
            self._highest += 1
            thing_id = f"{prefix or self.prefix}_sim{self._highest:06d}"
        else:
            number = thing_id.rpartition("_sim")[2]
            self._highest = max(self._highest, int(number) if number.isdecimal() else 0)
        thing = Thing(thing_id, kind, len(self.order), now)
        self._by_id[thing_id] = thing
        self.order.append(thing)
        return thing

    def newest_first(self) -> Iterable[Thing]:
        """Yield all things, the newest first."""
        return reversed(self.order)
