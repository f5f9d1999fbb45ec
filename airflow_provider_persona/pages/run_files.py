"""The plan and the ledger that a task's records name, as far as the API server may and can read them.

A path never comes from a request. It comes from the task's records, and those can be written by whoever may write a
Dag or an XCom. So a path must be below the state path that the API server knows, or in its object store, or below one
of the folders in `[persona] trusted_paths`; its plan must have the hash that the records say; and a plan of another Dag
is shown only to somebody who may read that Dag.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from airflow_provider_persona.api.errors import ProviderError
from airflow_provider_persona.bulk.ledger.ledger import ledger_of
from airflow_provider_persona.bulk.ledger.row_index import RowIndex
from airflow_provider_persona.bulk.plan.file import PLAN_FILE, read_plan
from airflow_provider_persona.pages.task_records import TaskRecords
from airflow_provider_persona.storage.paths import StorePath, names_in, shown
from airflow_provider_persona.storage.run_folders import run_folder
from airflow_provider_persona.tasks.state_path import is_within, state_address, state_root, store_path
from airflow_provider_persona.version_compat import conf

_KEPT: Final = 8
"""Indexes that are kept in memory."""
_ROWS_KEPT: Final = 5_000_000
"""Rows that all of them may have together, at 20 bytes a row."""
_WAITS: Final = 10.0
"""Seconds to wait for another request that reads the same files."""


class CannotReadError(Exception):
    """Why plan and ledger cannot be shown, in a sentence for people."""


@dataclass(slots=True)
class _Kept:
    index: RowIndex
    stamp: tuple[float, ...]
    lock: threading.Lock = field(default_factory=threading.Lock)


class RunFiles:
    """Finds the files of runs, and keeps the indexes of those that were looked at last.

    One for each process of the API server; its methods may be called from several threads.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, bool], _Kept] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def index_of(
        self, records: TaskRecords, may_read: Callable[[str], bool], seconds: float
    ) -> Iterator[tuple[RowIndex, bool]]:
        """Yield the index of a task's run, and whether it has all that the files hold now.

        Nobody else uses the index meanwhile.

        :param records: what the database knows of the task.
        :param may_read: whether the user may read a Dag.
        :param seconds: about how long to read at most.
        :raises CannotReadError: when there is nothing to read, or it may or can not be read here.
        """
        folder, wanted = _place_of(records)
        with _explained(folder):
            kept = self._index(folder, with_ledger=_has_ledger(records, folder))
        header = kept.index.plan.header
        if wanted is not None and header.hash != wanted:
            raise CannotReadError(f"The plan at {shown(folder)} has another hash than this task's, so it is not shown")
        # The records of a task may name another Dag's plan, of which the path of the request says nothing.
        owner = header.run.partition("/")[0]
        if owner != records.address.dag_id and not may_read(owner):
            raise CannotReadError("The plan belongs to another Dag, which you may not read")
        # An index is read and asked by one request at a time: `RowIndex` has no locks of its own.
        if not kept.lock.acquire(timeout=_WAITS):
            raise CannotReadError("Others are reading the same files; try again in a moment")
        try:
            with _explained(folder):
                is_complete = kept.index.read_on(seconds)
            yield kept.index, is_complete
        finally:
            kept.lock.release()

    def _index(self, folder: StorePath, *, with_ledger: bool) -> _Kept:
        # A plan that was shown before anybody applied it has an index without a ledger; from then on it needs another.
        key = (shown(folder), with_ledger)
        stamp = _stamp(folder / PLAN_FILE)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.stamp == stamp:
                self._kept.move_to_end(key)
                return kept
        plan = read_plan(folder)  # outside the lock: a plan of a million rows takes seconds
        if plan is None:
            raise CannotReadError(_gone(folder))
        kept = _Kept(RowIndex(plan, with_ledger), stamp)
        with self._lock:
            self._kept[key] = kept
            while len(self._kept) > _KEPT or (len(self._kept) > 1 and self._rows() > _ROWS_KEPT):
                self._kept.popitem(last=False)
        return kept

    def _rows(self) -> int:
        return sum(kept.index.plan.header.rows for kept in self._kept.values())


def _place_of(records: TaskRecords) -> tuple[StorePath, str | None]:
    """Return the folder of a task's plan, and the hash that the plan must have as far as a record says it."""
    places = [state_address(None), *_trusted_paths()]
    named = records.plan
    try:
        if named is None:
            return _newest_folder(records, places), None
        if not any(is_within(named.uri, place) for place in places):
            raise CannotReadError(_not_trusted(named.uri))
        path = store_path(named.uri)
    except ProviderError as error:
        raise CannotReadError(str(error)) from error
    if path.name != PLAN_FILE:
        raise CannotReadError("The address that this task names is not that of a plan")
    return path.parent, named.hash


def _newest_folder(records: TaskRecords, places: list[str]) -> StorePath:
    """Return the folder of the task's last plan, where no record names it yet.

    That is so before the first checkpoint of a run, and in each run on Airflow 3.1 and 3.2, which have no task state.
    """
    given = records.rendered.get("state_path")
    address = state_address(given if isinstance(given, str) else None)
    if not any(is_within(address, place) for place in places):
        raise CannotReadError(_not_trusted(address))
    root = run_folder(state_root(address), records.address.run_parts)
    numbers = [int(name) for name in names_in(root) if name.isdecimal()]
    if not numbers:
        raise CannotReadError(_gone(root) if records.is_of_persona else "This task has left no plan and no report")
    return root / str(max(numbers))


def _trusted_paths() -> list[str]:
    text: str = conf.get("persona", "trusted_paths", fallback="")
    return [place.strip() for place in text.split(",") if place.strip()]


def _has_ledger(records: TaskRecords, folder: StorePath) -> bool:
    """Whether to show what became of the rows: the task applies the plan, and has begun to."""
    return not records.only_plans and bool(ledger_of(folder).last)


def _stamp(path: StorePath) -> tuple[float, ...]:
    """Return what changes when a file is replaced."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise CannotReadError(_gone(path.parent)) from None
    return float(found.st_size), float(getattr(found, "st_mtime", 0) or 0)


def _gone(folder: StorePath) -> str:
    return (
        f"There is no plan at {shown(folder)} on the machine of Airflow's API server. It was deleted, or not written "
        "yet, or tasks run on machines with another disk: then state_path must be an object store, or a folder that "
        "the API server sees too"
    )


def _not_trusted(address: str) -> str:
    return (
        f"{address} is outside the state path that Airflow's API server knows, so it is not read. Set [persona] "
        "state_path there as for the tasks, or name the folder in [persona] trusted_paths"
    )


@contextmanager
def _explained(folder: StorePath) -> Iterator[None]:
    """Say for people why a folder cannot be read."""
    try:
        yield
    except CannotReadError:
        raise
    except ProviderError as error:
        raise CannotReadError(str(error)) from error
    except Exception as error:  # fsspec's stores raise what their libraries raise
        raise CannotReadError(
            f"Airflow's API server cannot read {shown(folder)} ({type(error).__name__}); check its rights, and the "
            "connection of an object store"
        ) from error
