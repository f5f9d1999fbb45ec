"""Stopping a task at a moment: what Airflow does out of the handler of a signal."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time

import pytest


class _Arranged:
    """One signal that comes at a moment, to this process.

    :param when: seconds, or a function that says whether it is time.
    """

    def __init__(self, when):
        self._when = when
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def end(self):
        """Let it not come any more."""
        self._is_over.set()
        self._thread.join()

    def _wait(self):
        if not callable(self._when):
            self._is_over.wait(self._when)
        while callable(self._when) and not self._when():
            if self._is_over.wait(0.01):
                break
        if not self._is_over.is_set():
            os.kill(os.getpid(), signal.SIGUSR1)


@pytest.fixture
def at_a_moment():
    """Call a function out of the handler of a signal, after so many seconds or once something is so; say when."""
    # The second is for a signal that comes once more. The test runner has SIGALRM.
    numbers = (signal.SIGUSR1, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    arranged = []

    def arrange(function, when):
        for each in arranged:
            each.end()
        came = []

        def handle(*_):
            if None not in came:  # the operator has not ended
                came.append(time.monotonic())
                function()

        for number in numbers:
            signal.signal(number, handle)
        arranged[:] = [_Arranged(when)]
        return came

    yield arrange
    for each in arranged:
        each.end()
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def all_garbage_collected():
    """Collect what a stop at any line leaves, such as an open socket. Else Python warns of it in a test of others."""
    yield
    gc.collect()
