"""What ends a task when Airflow says so: a value that each operator has, and that goes to what sends and waits for it.

Airflow 3 answers SIGTERM (the task is marked as failed or cleared, its worker shuts down) with `on_kill()` and nothing
else, so the task would go on. Its handler runs in the main thread, between any two instructions: what `on_kill` raises
there ends whatever the task does just then, as Airflow's own timeout does. Airflow 2 raises by itself after `on_kill`.
"""

from __future__ import annotations

import _thread
import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from airflow_provider_persona.tasks.lost_signals import insisting_on_signals
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS

if TYPE_CHECKING:
    from airflow_provider_persona.client import PersonaClient
    from airflow_provider_persona.tasks.event_loop import TaskLoop

T = TypeVar("T")

LAST_WRITE: Final = 3.0
"""Seconds that a write under way gets after a stop. Airflow kills a task that is marked as failed after five."""


class TaskStopped(BaseException):
    """Airflow ends the task. As Airflow's own timeout it is no `Exception`.

    Drivers, stores and Airflow's sensors take each `Exception` for a failure of their own.
    """


class TaskStop:
    """Whether a task must end, and what it does just now."""

    def __init__(self) -> None:
        self._is_asked = self._is_heeded = self._is_over = False
        self._finishing: str | None = None
        self._loop: TaskLoop[Any] | None = None

    def ask(self) -> None:
        """End the task: its coroutine by a cancellation, all else by an exception, a write by its answer.

        :raises TaskStopped: on Airflow 3, in the main thread, within a block that heeds it.
        """
        if self._is_over:  # what comes now would end Airflow's own work after the task, and not the task
            return
        is_repeated, self._is_asked = self._is_asked, True
        if self._loop is not None:
            self._loop.stop()
        elif self._is_heeded and AIRFLOW_V_3_0_PLUS and threading.current_thread() is threading.main_thread():
            # Not on Airflow 2, where the handler raises by itself once `on_kill` has returned. And not in another
            # thread, where an exception would end whoever calls this; there the flag has to do.
            if self._finishing is None or is_repeated:
                raise _stopped(self._finishing)
            # No `threading.Timer`: the signal may have come while a thread is started, with the lock for that held.
            _thread.start_new_thread(self._insist, (self._finishing,))

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Let a stop end the block; also one that came before it, or during a write that was let finish.

        :raises RunStoppedError: from the outermost of such blocks.
        """
        from airflow_provider_persona.bulk.errors import RunStoppedError

        if self._is_heeded:
            self._check()
            yield
            return
        try:
            try:
                self._is_heeded, self._is_over = True, False
                with insisting_on_signals():
                    self._check()
                    yield
            finally:
                self._is_heeded = False  # within the other block: until here a stop may come
        except TaskStopped as stopped:
            raise RunStoppedError(f"stopped: {stopped}; a retry goes on from here", retryable=True) from None
        finally:
            # A stop that came while the last write was finished has nothing left to end.
            self._is_heeded = self._is_asked = False
            self._is_over = True  # with its timeout Airflow calls `on_kill` when the task has ended

    @contextmanager
    def finishing(self, operation_id: str) -> Iterator[None]:
        """Let a write get its answer, and be told, before a stop ends the task. It gets `LAST_WRITE` seconds.

        :param operation_id: the write.
        """
        self._check()  # a stop that came before holds the write back; one that comes from here on waits for the answer
        self._finishing = operation_id
        try:
            yield
        finally:
            self._finishing = None

    def hold(self, client: PersonaClient) -> PersonaClient:
        """Let a client send nothing more once the task must end, also where other code has swallowed the exception."""
        client.heed(self.error, self.sleep)
        return client

    def error(self) -> TaskStopped | None:
        """Return what is to be raised instead of sending a request; None while the task may go on."""
        return _stopped() if self._is_asked else None

    def sleep(self, seconds: float) -> None:
        """Wait, also between two attempts at a write; a stop ends it at once.

        :raises TaskStopped: when the task must end.
        """
        # Between two attempts nothing is under way, so there is no answer that a stop would have to wait for.
        finishing, self._finishing = self._finishing, None
        self._check()
        time.sleep(seconds)
        self._finishing = finishing

    def cancellation(self) -> asyncio.CancelledError | None:
        """Return what is to be raised in the coroutine instead of sending a request; None while it may go on.

        A coroutine that writes a plan of 100,000 rows learns of its cancellation seconds later, and would go on.
        """
        return asyncio.CancelledError() if self._loop is not None and self._loop.is_stopping else None

    def run_coroutine(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine off the main thread, so that Airflow's timeout and signals end it in time.

        :raises RunStoppedError: when a stop ended it.
        :raises TaskStopped: when a stop came before.
        """
        from airflow_provider_persona.tasks.event_loop import TaskLoop

        # A stop may have been raised within other code that takes every exception for its own: stores and drivers have
        # places with a bare `except`.
        self._check()
        self._loop = loop = TaskLoop(main)
        try:
            return loop.run()
        finally:
            self._loop = None

    def _check(self) -> None:
        if self._is_asked:
            raise _stopped()

    def _insist(self, operation_id: str) -> None:
        time.sleep(LAST_WRITE)
        # A signal that comes once more is the only thing that ends a read of a socket.
        if self._finishing == operation_id:
            os.kill(os.getpid(), signal.SIGTERM)


def _stopped(unanswered: str | None = None) -> TaskStopped:
    """Return the error that ends a task.

    :param unanswered: the write that was under way, or None.
    """
    why = "Airflow ended the task, and nothing more is sent"
    if unanswered is not None:
        why = f"{why}. {unanswered} was under way and got no answer in time, so it may have been done"
    return TaskStopped(why)


def stop_of(task: Any) -> TaskStop:
    """Return the value by which an operator ends. It is made when it is needed: parsing a Dag makes many operators."""
    # One call into C: where a handler asks for it just now too, both get the same value.
    stop: TaskStop = task.__dict__.setdefault("_stop", TaskStop())
    return stop


def end_task(task: Any) -> None:
    """Stop: send nothing more. Airflow calls this, as an operator's `on_kill`, when the task must end."""
    stop_of(task).ask()
