"""A task that is stopped: its context, and how it ended."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import airflow_provider_persona
from airflow_provider_persona.bulk.errors import RunStoppedError


class OutOfTime(BaseException):
    """What a signal handler raises, as Airflow's `AirflowTaskTimeout`, which is no `Exception`."""


def out_of_time():
    """Raise what ends a task, as Airflow's timeout does."""
    raise OutOfTime


def context_of(run_id, **of_task_instance):
    """Return the context of a task, as far as our operators look at it."""
    known = {
        "dag_id": "d",
        "run_id": run_id,
        "task_id": "t",
        "map_index": -1,
        "try_number": 1,
        "max_tries": 0,
        "start_date": None,
        "xcom_push": lambda **_: None,
        "xcom_pull": lambda **_: None,
    }
    ti = SimpleNamespace(**{**known, **of_task_instance})
    dag_run = SimpleNamespace(start_date=datetime.now(UTC))
    return {"ti": ti, "task_instance": ti, "run_id": run_id, "dag_run": dag_run}


TOO_EARLY, TOO_LATE = "too early", "too late"


def ending_of(execute, context, came):
    """Run what an operator does; return how it ended, and the seconds from the signal to the end.

    On a slow machine the signal may be there first, or come when all is done.
    """
    if came:
        return TOO_EARLY, None
    try:
        execute(context)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        if not isinstance(error, OutOfTime | RunStoppedError):
            print(f"{type(error).__name__}: {error}")
        return type(error).__name__, time.monotonic() - came[0] if came else None
    finally:
        came.append(None)
    return ("nothing" if came[0] is not None else TOO_LATE), None


class Lines:
    """Counts the lines of this package that the main thread runs, and lets a signal come at one of them.

    :param at: the line at which the signal comes, from 1 on; 0 for none.
    """

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count within the block."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    def _enter(self, frame: Any, _event: str, _argument: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(_PACKAGE) else None

    def _line(self, _frame: Any, event: str, _argument: Any) -> Any:
        self.count += event == "line"
        if event == "line" and self.count == self.at:
            signal.raise_signal(signal.SIGUSR1)
        return self._line


_PACKAGE = str(Path(airflow_provider_persona.__file__).parent)
