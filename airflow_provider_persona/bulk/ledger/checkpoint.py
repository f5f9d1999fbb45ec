"""Progress kept outside the ledger's folder, for a worker that loses its disk (Airflow 3.3's task state store).

A checkpoint is bound to the rows' content: it says which rows of the same content are settled, never of others.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from airflow_provider_persona.bulk.ledger.ledger import checked_carried
from airflow_provider_persona.bulk.ledger.outcomes import whole_number
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.storage.threads import ThreadsInTurn

log = logging.getLogger(__name__)

FORMAT = 2
_READABLE = (1, FORMAT)
"""Formats that can be read. The first one lists stretches and generations as they are."""

LARGEST_MAP = 48 * 1024
"""Characters that the map of settled rows may have. Each save sends it to Airflow's API. A million rows fit, unless
hundreds of thousands of them fail with no pattern."""

_SHORTEST_PAUSE = 0.05
_SHARE_OF_TIME = 10
"""A save is followed by a pause this many times as long as the snapshot took, so that saving never dominates."""


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
    :param asks_time: as in the plan's header. Checkpoints of before have none, and their runs' requests asked for none.
    :param limit_use: how much of the request limit was used when, as `LimitUse.to_json` returns it; of this attempt.
    :param is_of_other_rows: whether the run's first plan was lost and was of other rows, so that any row may have been
        written to.
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
    asks_time: bool = False
    limit_use: Mapping[str, Any] = field(default_factory=dict)
    is_of_other_rows: bool = False
    format: int = FORMAT

    @property
    def number(self) -> int:
        """Number of the run's plan."""
        return int(self.run.rpartition("/")[2])

    def is_about(self, last: int, *, is_retry: bool) -> bool:
        """Whether it is of a plan that is to be resumed, and none was begun since.

        :param last: number of the last plan's folder, 0 when there is none. A planning that was cut off leaves such a
            folder without a plan.
        :param is_retry: whether the attempt before did not succeed; it may have died after the last row.
        """
        return (is_retry or self.end is None) and self.number >= last

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data, of bounded size whatever rows failed.

        Failed rows break up the stretches of settled ones, so both they and the generations are packed. Where even
        that is too large, the checkpoint covers no row: after a loss each is looked at first, and none is lost.
        """
        settled, generations = _packed_stretches(self.settled), _packed_numbers(self.generations)
        record = asdict(replace(self, settled=[], generations={}, limit_use={}, format=FORMAT))
        record["limit_use"] = self.limit_use  # `asdict` would copy each of its numbers
        if not self.is_of_other_rows:
            del record["is_of_other_rows"]  # a release that does not know it would take the rest for damaged
        if len(settled) > LARGEST_MAP:
            return record | {"counts": {}, "concurrency": self.rows}
        kept = generations if len(generations) <= LARGEST_MAP else ""  # without its generation a row meets its failure
        return record | {"settled": settled, "generations": kept}

    @classmethod
    def from_json(cls, record: Any) -> Checkpoint | None:
        """Return the checkpoint that plain data holds, or None when it holds none that is known here."""
        if not isinstance(record, Mapping) or record.get("format") not in _READABLE:
            return None
        try:
            given = dict(record)
            if isinstance(given["settled"], str):
                given["settled"] = _stretches(_unpacked(given["settled"]))
            if isinstance(given["generations"], str):
                numbers = _unpacked(given["generations"])
                given["generations"] = {str(row): number for row, number in enumerate(numbers) if number}
            found = cls(**given)
            found._check()
        except (AttributeError, TypeError, KeyError, ValueError, zlib.error):  # base64's error is a ValueError
            log.warning(
                "The progress in Airflow's task state is damaged and tells nothing; a ledger that is there holds"
            )
            return None
        return found

    def _check(self) -> None:
        """Check what came from outside: nothing of a damaged checkpoint may be taken in.

        :raises ValueError: when it cannot be one. `AttributeError` and `TypeError` mean the same.
        """
        names = ("run", "content_hash", "plan_hash", "plan", "created_at", "at", "progress")
        texts = (*(getattr(self, name) for name in names), self.end or "")
        if not all(isinstance(text, str) for text in texts) or not isinstance(self.limit_use, Mapping):
            raise ValueError("no checkpoint")
        for number in (self.number, self.rows):
            whole_number(number)
        self.to_carry(self.content_hash)

    def to_carry(self, content_hash: str) -> dict[str, Any]:
        """Return what it knows of a plan's rows, for a new ledger in place of a lost one.

        :param content_hash: hash of the plan's rows. Of other rows nothing is known, but objects of some may have been
            written to.
        :return: arguments of `LedgerState.carry_over`.
        """
        at = self.at or self.created_at
        if content_hash != self.content_hash:
            return checked_carried([], {}, {}, 0, at, is_of_other_rows=True)
        of_other_rows = self.is_of_other_rows
        return checked_carried(
            self.settled, self.counts, self.generations, self.concurrency, at, is_of_other_rows=of_other_rows
        )


def _packed_stretches(stretches: Sequence[Sequence[int]]) -> str:
    rows = bytearray()
    for first, last in stretches:
        rows.extend(bytes(max(0, first - len(rows))))
        rows[first : last + 1] = b"\1" * (last + 1 - first)
    return _packed(rows)


def _packed_numbers(numbers: Mapping[str, int]) -> str:
    rows = bytearray()
    for row, number in numbers.items():
        rows.extend(bytes(max(0, int(row) + 1 - len(rows))))
        rows[int(row)] = min(number, 255)  # a byte a row; nobody gets there, since each generation takes a refusal
    return _packed(rows)


def _stretches(rows: bytes) -> list[list[int]]:
    return [[found.start(), found.end() - 1] for found in re.finditer(b"\1+", rows)]


def _packed(rows: bytes | bytearray) -> str:
    return base64.b64encode(zlib.compress(rows, 6)).decode() if rows else ""


def _unpacked(text: str) -> bytes:
    if len(text) > LARGEST_MAP:
        raise ValueError("larger than any that is kept")
    return zlib.decompress(base64.b64decode(text)) if text else b""


class CheckpointStore(Protocol):
    """Where checkpoints are kept. Both methods may block; neither is called on the event loop's thread."""

    def load(self) -> Checkpoint | None:
        """Return the last checkpoint, or None."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the last one."""


@dataclass(slots=True)
class CheckpointKeeper:
    """Saves checkpoints from one writer, several rows at a time.

    :param store: where, or None to keep none.
    :param snapshot: gives the present checkpoint.
    :param require_newest: raises `FencedError` once a newer attempt is at work. Its checkpoints then stay: one of this
        attempt would take back what the newer one has done.
    :param covers_rows: whether `settled` returns only once a checkpoint covers the row. Needed where the ledger itself
        may be lost.
    """

    store: CheckpointStore | None
    snapshot: Callable[[], Checkpoint]
    require_newest: Callable[[], Awaitable[None]]
    covers_rows: bool
    _noted: int = 0
    _saved: int = 0
    _has_failed: bool = False
    _saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    _saves: ThreadsInTurn = field(default_factory=ThreadsInTurn)

    async def settled(self) -> None:
        """Take in that a row was settled."""
        self._noted += 1
        if not self.covers_rows or self.store is None:
            return
        mine = self._noted
        async with self._saving:  # whoever comes first saves for all who wait
            if self._saved < mine:
                seconds = await self._save(self.store)
                # Still within the lock: what is settled meanwhile waits, and is saved in one go.
                await asyncio.sleep(max(_SHORTEST_PAUSE, _SHARE_OF_TIME * seconds))

    async def save(self) -> None:
        """Save now, whatever was noted."""
        if self.store is not None:
            async with self._saving:
                await self._save(self.store)

    async def _save(self, store: CheckpointStore) -> float:
        """Save, and return the seconds that the snapshot took."""
        try:
            await self.require_newest()
        except StoreError:
            return 0.0  # whoever goes on with rows meets it too, and says so
        since = time.perf_counter()
        # Without an await in between: a row that was noted must be in the snapshot.
        noted, checkpoint = self._noted, self.snapshot()
        seconds = time.perf_counter() - since
        try:
            await self._saves.run(
                store.save, checkpoint
            )  # in turn also because Airflow's API takes one caller at a time
        except Exception as error:  # noqa: BLE001 - the ledger holds; Airflow's API being away must not end a run
            if not self._has_failed:
                log.warning(
                    "Progress could not be kept in Airflow's task state (%s); the ledger holds", type(error).__name__
                )
            self._has_failed = True
        self._saved = noted
        return seconds
