"""Rows that take back the changes on a ledger: statuses, and what else a plan kept of its objects before it."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_persona.api.steps import WayBack
from airflow_provider_persona.bulk.errors import PlanError
from airflow_provider_persona.bulk.ledger.ledger import LedgerState, read_ledger, read_results
from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome, RowResult
from airflow_provider_persona.bulk.plan.file import Plan
from airflow_provider_persona.bulk.source.rows import InvalidRow
from airflow_provider_persona.bulk.subjects.subject import ObjectSubject, ObjectUpdate
from airflow_provider_persona.storage.whole_files import scratch_database

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RowsToRevert:
    """Rows that take back what a plan's run changed: each asks for what its object had before.

    :param plan: the plan with the ledger beside it.
    """

    plan: Plan

    def parts(self) -> tuple[Any, ...]:
        """Return what tells these rows from those of another source, for a fingerprint."""
        return ("revert", self.plan.header.hash)

    def read(self) -> Iterator[ObjectUpdate | InvalidRow]:
        """Yield a row for every object that the run changed.

        :raises PlanError: when there is no ledger, or what was changed cannot be taken back.
        """
        subject = self.plan.header.subject
        if not isinstance(subject, ObjectSubject):
            raise PlanError(f"{self.plan.uri} made calls of {subject.name}; only changes of a status can be taken back")
        if not subject.has_status:
            raise PlanError(f"{self.plan.uri} changed {subject.plural}; only changes of a status can be taken back")
        state = read_ledger(self.plan.folder, self.plan.header.hash)
        if not state.last_segment:
            raise PlanError(f"there is no ledger beside {self.plan.uri}, so nothing is known to have been changed")
        with closing(_KeptWays(self.plan)) as kept:
            yield from self._read(subject, state, kept)
            for reason, count in kept.obstacles.items():
                log.warning("Of %d rows a part is not taken back: %s", count, reason)

    def _read(self, subject: ObjectSubject, state: LedgerState, kept: _KeptWays) -> Iterator[ObjectUpdate | InvalidRow]:
        unresolved: dict[int, str | None] = {}
        for result in read_results(self.plan.folder, self.plan.header.hash):
            # A row that was updated, or found as wanted, is never tried again, so it has one such line.
            if result.outcome is RowOutcome.UPDATED:
                yield _way_back(subject, result, kept.of(result.row))
            elif result.may_be_own_doing:
                yield InvalidRow(result.object_id, "an attempt that was cut off may have changed it; look who did")
            elif result.outcome is RowOutcome.UNRESOLVED and state.outcome(result.row) is RowOutcome.UNRESOLVED:
                unresolved[result.row] = result.object_id
        for object_id in unresolved.values():
            yield InvalidRow(object_id, "whether it was changed is unknown: the run left it unresolved")
        for _ in range(state.carried[RowOutcome.UPDATED]):
            yield InvalidRow(None, "it was changed by an attempt that lost its ledger")


class _KeptWays:
    """The ways back that a plan kept, by row, in a temporary file without a name: the ledger has another order.

    `obstacles` counts the rows that were asked for by what cannot be taken back of them.

    :param plan: the plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.obstacles: Counter[str] = Counter()
        self._db = scratch_database()
        # SQLite and not a mapping: what was before may be large, and memory must not grow with the rows.
        self._db.executescript("PRAGMA journal_mode=OFF; CREATE TABLE ways (n INTEGER PRIMARY KEY, way TEXT);")
        records = ((row, json.dumps(asdict(way))) for row, way in plan.ways_back())
        self._db.executemany("INSERT INTO ways VALUES (?, ?)", records)

    def of(self, row: int) -> WayBack:
        """Return what takes a row's change back, apart from its status; an empty way where nothing was kept."""
        record = self._db.execute("SELECT way FROM ways WHERE n = ?", (row,)).fetchone()
        way = WayBack() if record is None else WayBack(**json.loads(record[0]))
        self.obstacles.update(_told(way))
        return way

    def close(self) -> None:
        """Remove the file."""
        self._db.close()


def _told(way: WayBack) -> list[str]:
    return [f"its {part}: {reason}" for part, reason in way.obstacles.items()]


def _way_back(subject: ObjectSubject, result: RowResult, kept: WayBack) -> ObjectUpdate | InvalidRow:
    parts, expected = dict(kept.parts), None
    if result.to_status not in (None, result.from_status):
        assert result.to_status is not None
        if result.from_status is None:
            return InvalidRow(result.object_id, "its status before is not on the ledger: the run did not read it")
        obstacle = subject.no_way_back(result.from_status, result.to_status)
        if obstacle:
            went = f"it went from {result.from_status} to {result.to_status}"
            return InvalidRow(result.object_id, f"{went}, and {obstacle}")
        parts["status"], expected = result.from_status, result.to_status
    if not parts:
        reasons = _told(kept) or ["its status was not changed, and nothing else can be taken back"]
        return InvalidRow(result.object_id, "; ".join(reasons))
    assert result.object_id is not None
    left = subject.change(**kept.left) if kept.left else None
    return ObjectUpdate(subject, result.object_id, subject.change(**parts), expected, left)
