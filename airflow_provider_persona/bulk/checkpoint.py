"""Progress kept outside the ledger's folder, for a worker whose disk is lost (Airflow 3.3's task state store).

A checkpoint is bound to the rows' content: it says which rows of the same content are settled, never of others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

log = logging.getLogger(__name__)

FORMAT = 1
_SHORTEST_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a run has come.

    :param run: identity of the run, with the number of its plan.
    :param content_hash: hash of the plan's rows as they came.
    :param plan_hash: hash of the plan.
    :param plan: address of the plan's file.
    :param created_at: UTC time of the plan, ISO 8601.
    :param rows: rows in the plan.
    :param counts: settled rows by outcome.
    :param settled: first and last row of every stretch of settled rows.
    :param generations: generation of idempotency keys to begin with, by row number.
    :param concurrency: rows under way at once at most.
    :param at: UTC time, ISO 8601.
    :param end: how the run ended, or None while it has not.
    :param progress: a sentence for people.
    """

    run: str
    content_hash: str
    plan_hash: str
    plan: str
    created_at: str
    rows: int
    counts: dict[str, int] = field(default_factory=dict)
    settled: list[list[int]] = field(default_factory=list)
    generations: dict[str, int] = field(default_factory=dict)
    concurrency: int = 0
    at: str = ""
    end: str | None = None
    progress: str = ""
    format: int = FORMAT

    @property
    def number(self) -> int:
        """Number of the run's plan."""
        return int(self.run.rpartition("/")[2])

    def is_about(self, last: int, *, is_retry: bool) -> bool:
        """Whether it tells of a plan that is to be gone on with, and none was begun since.

        :param last: number of the last plan's folder, 0 when there is none. A planning that was cut off leaves such a
            folder without a plan.
        :param is_retry: whether the attempt before did not succeed; it may have died after the last row.
        """
        return (is_retry or self.end is None) and self.number >= last

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Any) -> Checkpoint | None:
        """Return the checkpoint that plain data holds, or None when it holds none that is known here."""
        if not isinstance(record, Mapping) or record.get("format") != FORMAT:
            return None
        try:
            return cls(**record)
        except TypeError:
            return None


class CheckpointStore(Protocol):
    """Where checkpoints are kept. Both methods may block; neither is called on the event loop's thread."""

    def load(self) -> Checkpoint | None:
        """Return the last checkpoint, or None."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the last one."""


class CheckpointKeeper:
    """Saves checkpoints from one writer, several rows at a time.

    :param store: where.
    :param snapshot: gives the present checkpoint.
    :param covers_rows: whether `settled` returns only once a checkpoint covers the row. Needed where the ledger itself
        may be lost.
    """

    def __init__(self, store: CheckpointStore, snapshot: Callable[[], Checkpoint], *, covers_rows: bool) -> None:
        self._store = store
        self._snapshot = snapshot
        self._covers_rows = covers_rows
        self._noted = self._saved = 0
        self._saving = asyncio.Lock()
        self._has_failed = False

    async def settled(self) -> None:
        """Take in that a row was settled."""
        self._noted += 1
        if not self._covers_rows:
            return
        mine = self._noted
        async with self._saving:  # whoever comes first saves for all who wait
            if self._saved < mine:
                await self._save()
                await asyncio.sleep(_SHORTEST_PAUSE)

    async def save(self) -> None:
        """Save now, whatever was noted."""
        async with self._saving:
            await self._save()

    async def _save(self) -> None:
        noted, checkpoint = self._noted, self._snapshot()
        try:
            await asyncio.to_thread(self._store.save, checkpoint)
        except Exception as error:  # noqa: BLE001 - the ledger holds; Airflow's API being away must not end a run
            if not self._has_failed:
                log.warning(
                    "Progress could not be kept in Airflow's task state (%s); the ledger holds", type(error).__name__
                )
            self._has_failed = True
        self._saved = noted
