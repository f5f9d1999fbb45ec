"""What a signal handler raises is heeded where Python drops it.

Python runs signal handlers between any two instructions of the main thread, also in the callback of a weak reference or
in a destructor. What is raised there is shown on stderr and dropped, so one of a hundred timeouts had no effect.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def heeding_signals(then: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Raise at the end of the block what a signal handler raised within it and Python dropped.

    Only what is no `Exception` counts, as Airflow's timeout; of those, nothing but a signal handler raises one there.

    :param then: called at once when that happens, so that the block comes to its end.
    """
    lost: list[BaseException] = []
    before = sys.unraisablehook

    def hear(unraisable: Any) -> None:
        error = unraisable.exc_value
        is_ours = threading.current_thread() is threading.main_thread()
        if is_ours and error is not None and not isinstance(error, Exception):
            lost.append(error)
            then()
            return
        before(unraisable)

    sys.unraisablehook = hear
    try:
        yield
    finally:
        if sys.unraisablehook is hear:
            sys.unraisablehook = before
    if lost:
        raise lost[0]
