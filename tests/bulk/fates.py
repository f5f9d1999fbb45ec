"""What may befall an attempt while it runs: it dies, or something happens beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from airflow_provider_persona.bulk.ledger.checkpoint import Checkpoint


class Killed(BaseException):
    """The end of a process, at an instant at which nothing of it can tidy up on purpose."""


@contextmanager
def until_death() -> Iterator[None]:
    """Let a death end the block, and nothing more."""
    try:
        yield
    except Killed:
        pass
    except BaseExceptionGroup as several:
        if several.subgroup(Killed) is None:
            raise


class Fate:
    """What befalls one attempt when it passes a place for the n-th time.

    :param place: `clock` (it looks at its clock, before and after each request), `record` (it is about to note an
        outcome), or `checkpoint` (it is about to keep one).
    :param instant: the n.
    :param act: what happens; by default it dies.
    :param tears: whether half a line is left on the ledger.
    """

    def __init__(
        self, place: str = "", instant: int = 0, act: Callable[[], None] | None = None, *, tears: bool = False
    ) -> None:
        self.place = place
        self._left = instant
        self._act = act
        self.tears = tears

    def passes(self, place: str) -> None:
        """Take in that the attempt passes a place."""
        if place != self.place:
            return
        self._left -= 1
        if self._left == 0 and self._act is None:
            raise Killed
        if self._left == 0 and self._act is not None:
            self._act()


class KeptCheckpoints:
    """Checkpoints where a lost disk does not matter."""

    def __init__(self) -> None:
        self.last: dict[str, Any] | None = None
        self.fate = Fate()

    def load(self) -> Checkpoint | None:
        return Checkpoint.from_json(self.last)

    def save(self, checkpoint: Checkpoint) -> None:
        self.fate.passes("checkpoint")
        self.last = checkpoint.to_json()
