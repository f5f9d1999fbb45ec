"""What the last runs of a task did, and what about a new one is worth a notice. Pure, but for one small file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow_provider_persona.storage.paths import StorePath

KEPT: Final = 30
"""Runs in the file."""

_ENOUGH: Final = 3
"""Runs before one: with fewer nobody knows what is usual."""


class RunState(StrEnum):
    """How a run ended, as far as notices tell it."""

    OK = "ok"
    """It succeeded, and did about as much as the runs before."""
    UNUSUAL = "unusual"
    """It succeeded, and did much more or much less than the runs before."""
    FAILED = "failed"
    """It failed."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run of a task, in numbers; a number is None where the task counts no such thing.

    :param run_id: the Dag run.
    :param state: how it ended.
    :param changes: objects that it changed.
    :param failures: rows that failed or are unresolved.
    :param seconds: how long it took.
    """

    run_id: str
    state: RunState
    changes: int | None = None
    failures: int | None = None
    seconds: float | None = None


_SLACK: Final = {"changes": 10.0, "failures": 0.0, "seconds": 60.0}
"""By number: a difference that is no deviation however large its share is."""


def deviations(run: PastRun, before: Sequence[PastRun], factor: float) -> list[str]:
    """Return what is unusual about a run, in words.

    The median of the successful runs before is what is usual. More than `factor` times as much is a deviation, and so
    are fewer changes than a `factor`-th of it.

    :param run: the run.
    :param before: the runs before it.
    :param factor: how many times the usual is too much, above 1.
    """
    found = []
    for name, slack in _SLACK.items():
        now = getattr(run, name)
        past = [
            value for one in before if one.state is not RunState.FAILED and (value := getattr(one, name)) is not None
        ]
        if now is None or len(past) < _ENOUGH:
            continue
        usual = float(median(past))
        is_more = now > usual * factor and now - usual > slack
        is_less = name == "changes" and now < usual / factor and usual - now > slack
        if is_more or is_less:
            found.append(f"{now:.0f} {name}, usually {usual:.0f}")
    return found


def is_worth_a_notice(state: RunState, before: RunState | None) -> bool:
    """Whether to report a run: the first failure, the first unusual run, and the first good one after a failure.

    :param state: how it ended.
    :param before: how the run before it ended; None for the first run.
    """
    return state is not before and (state is not RunState.OK or before is RunState.FAILED)


class RunHistory:
    """Keeps the last runs of a task in a file.

    :param path: the file.
    """

    def __init__(self, path: StorePath) -> None:
        self._path = path

    def read(self) -> list[PastRun]:
        """Return the last runs, the newest last; none when there is no file, or one that cannot be understood.

        :raises Exception: what the store raises when it cannot be reached.
        """
        from airflow_provider_persona.storage.paths import read_regular

        try:
            found = json.loads(read_regular(self._path))
            return [PastRun(**{**each, "state": RunState(each["state"])}) for each in found]
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError, RecursionError):
            return []

    def add(self, runs: Sequence[PastRun], run: PastRun) -> None:
        """Keep a run after others.

        :raises StoreError: when it cannot be written.
        """
        from airflow_provider_persona.storage.paths import prepare_folder
        from airflow_provider_persona.storage.whole_files import write_whole

        kept: list[dict[str, Any]] = [asdict(each) for each in [*runs, run][-KEPT:]]
        prepare_folder(self._path.parent)
        write_whole(self._path, [json.dumps(kept).encode()])
