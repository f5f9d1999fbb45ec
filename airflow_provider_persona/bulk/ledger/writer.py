"""Writes the ledger of one attempt at a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_persona.bulk.ledger.ledger import AttemptEnd, ledger_of
from airflow_provider_persona.bulk.ledger.outcomes import RowResult
from airflow_provider_persona.bulk.ledger.report import Approval
from airflow_provider_persona.storage.paths import StorePath, as_local
from airflow_provider_persona.storage.segments import SegmentWriter

_UNSYNCED = 256
"""Lines that a power cut may take. Then the disk has them all before one more row is begun."""


def unsynced_rows(concurrency: int) -> int:
    """Return of how many rows at most a power cut takes all lines.

    :param concurrency: rows under way at once at most.
    """
    return _UNSYNCED + 2 * concurrency  # a row has one line at least, and while one waits for the disk, each adds two


class LedgerWriter:
    """Writes one attempt's segments; each line is there for good when the call that writes it returns.

    :param folder: the plan's folder.
    :param plan_hash: the plan's hash.
    :param first_segment: number of the first segment to write.
    :param concurrency: rows under way at once at most.
    :param at: UTC time of the beginning, ISO 8601.
    :param approval: who approved the plan, for the opening line of each segment, or None.
    :param unsynced: of how many rows, the first that have no outcome, a power cut may take all lines.
    """

    def __init__(
        self,
        folder: StorePath,
        plan_hash: str,
        first_segment: int,
        concurrency: int,
        at: str,
        approval: Approval | None = None,
        unsynced: int = 0,
    ) -> None:
        self._plan_hash = plan_hash
        opening: dict[str, Any] = {"plan": plan_hash, "concurrency": concurrency, "at": at, "notes_begun": True}
        if unsynced and as_local(folder) is not None:  # in an object store each line outlives the machine
            opening["unsynced"] = unsynced
        if approval is not None:
            opening["approval"] = approval.to_json()
        self._segments = SegmentWriter(ledger_of(folder), first_segment, opening)

    async def open(self) -> None:
        """Put down that an attempt begins, so that a folder which cannot be written to fails it before any request.

        :raises StoreError: then.
        """
        await self._segments.open()

    async def require_newest(self) -> None:
        """Make sure that no newer attempt is at work.

        :raises FencedError: when one is.
        """
        await self._segments.require_newest()

    async def begin(self, row: int, at: str, *, outlives_power: bool = False) -> None:
        """Note that a row is about to be worked on, before anything is sent for it.

        So a later attempt knows exactly which rows may have been under way, and how old their keys are.

        :param outlives_power: whether the note must outlive the machine too, since no look could replace it.
        :raises FencedError: when a newer attempt is at work.
        :raises StoreError: when it cannot be written, or somebody has deleted the ledger.
        """
        # The look first: a note of a fenced attempt would put a row in doubt for which nothing is sent.
        await self._segments.require_newest()
        self._segments.require_there()
        await self._segments.put({"plan": self._plan_hash, "begun": row, "at": at})
        await self._segments.sync(0 if outlives_power else _UNSYNCED)

    async def record(self, result: RowResult) -> None:
        """Put a row's record down."""
        await self._segments.put(result.to_line(self._plan_hash))

    async def carry_over(self, carried: Mapping[str, Any]) -> None:
        """Write what is known of the rows of a lost ledger, as `LedgerState.carry_over` takes it."""
        await self._segments.put({"plan": self._plan_hash, "carried": dict(carried)})

    async def close(
        self, end: AttemptEnd, at: str, counts: Mapping[str, int], not_done: Sequence[tuple[int, int]]
    ) -> None:
        """Write how the attempt ended, the counts of all rows, and which rows are left to do.

        :param not_done: first and last row of every stretch of rows that a further attempt takes up.
        :raises StoreError: when it cannot be written, or somebody has deleted the ledger.
        """
        line = {"plan": self._plan_hash, "end": end.value, "at": at, "counts": dict(counts)}
        await self._segments.put(line | {"not_done": [list(stretch) for stretch in not_done]})
        self._segments.require_there()  # else a run would succeed and leave no record

    def release(self) -> None:
        """Close the file, however the attempt ended."""
        self._segments.release()
