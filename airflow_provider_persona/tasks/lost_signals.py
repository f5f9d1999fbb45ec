"""What a signal handler raises is heeded where Python drops it.

Python runs signal handlers between any two instructions of the main thread, also in the callback of a weak reference or
in a destructor. What is raised there is shown on stderr and dropped, so one of a hundred timeouts had no effect.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SOON = 0.02
"""Seconds after which a signal comes once more when its exception was dropped. By then other code runs."""


@contextmanager
def insisting_on_signals() -> Iterator[None]:
    """Let a signal come once more, and end the block, where Python dropped what its handler raised."""
    timers: list[threading.Timer] = []

    def once_more(error: BaseException) -> None:
        # Airflow's timeout comes with SIGALRM; what else it raises in a handler comes with SIGTERM.
        number = signal.SIGALRM if "Timeout" in type(error).__name__ else signal.SIGTERM
        if callable(signal.getsignal(number)):  # without a handler the signal would kill the process
            timers.append(timer := threading.Timer(_SOON, os.kill, (os.getpid(), number)))
            timer.daemon = True  # a process that ends meanwhile must not wait for it
            timer.start()

    try:
        with heeding_signals(once_more):
            yield
    finally:
        # The block has ended, so the signal would end what Airflow does next: callbacks, or the task's report.
        for timer in timers:
            timer.cancel()


@contextmanager
def heeding_signals(then: Callable[[BaseException], None] = lambda _: None) -> Iterator[None]:
    """Raise at the end of the block what a signal handler raised within it and Python dropped.

    What counts is what is no `Exception`, as Airflow's timeout and `TaskStopped`. Nothing but a signal handler raises
    one of these there.

    :param then: called at once with the exception when that happens, so that the block comes to its end.
    """
    lost: list[BaseException] = []
    before = sys.unraisablehook

    def hear(unraisable: Any) -> None:
        error = unraisable.exc_value
        is_ours = threading.current_thread() is threading.main_thread()
        if is_ours and error is not None and not isinstance(error, Exception):
            lost.append(error)
            then(error)
            return
        before(unraisable)

    sys.unraisablehook = hear
    try:
        yield
    finally:
        if sys.unraisablehook is hear:  # somebody else's, set meanwhile, is not ours to take away
            sys.unraisablehook = before
    if lost:  # not within `finally`: an exception that leaves the block goes on, and this one has done its work
        raise lost[0]
