"""Runs a coroutine for a task in an event loop of its own thread, and ends it when the task must stop.

Airflow stops a task by a signal, and Python runs signal handlers in the main thread, between any two instructions. In
an event loop on the main thread the exception of a handler lands in whatever callback runs just then, and asyncio logs
and drops it: `execution_timeout` had no effect in up to half of the tries. So the main thread only waits here, and the
loop runs elsewhere. This also works where the main thread has a running loop already (notebooks, async tasks).
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from airflow_provider_persona.tasks.lost_signals import heeding_signals

T = TypeVar("T")

LONGEST_STOP = 10.0
"""Seconds that the main thread waits for the coroutine to end after a stop. A coroutine that honours its cancellation
ends far earlier; one that hangs must not keep the task alive."""


class TaskLoop(Generic[T]):
    """Runs one coroutine off the main thread.

    :param main: makes the coroutine; called in the loop's thread.
    """

    def __init__(self, main: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._main = main
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[T] | None = None
        self._was_told = False
        self.is_stopping = False
        """Whether the coroutine is being cancelled. It learns of that when it next lets go of the loop."""
        # A SimpleQueue is written in C: an exception from a signal handler cannot leave it half locked.
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._result: T | None = None
        self._error: BaseException | None = None

    def run(self) -> T:
        """Run the coroutine to its end, and return its result.

        An exception that a signal handler raises meanwhile cancels the coroutine, waits for its end, and goes on.

        :raises RunStoppedError: when `stop` ended the coroutine.
        """
        # Logging and lineage keep the task's identity in context variables.
        context = contextvars.copy_context()
        # A daemon: a coroutine that hangs after a stop must not keep the process from ending.
        thread = threading.Thread(target=context.run, args=(self._work,), name="persona-loop", daemon=True)
        with heeding_signals(lambda _: self.stop()):
            try:
                thread.start()
                self._ended.get()
            except BaseException:  # Airflow's timeout and `TaskStopped` are no `Exception`
                self.stop()
                self._wait_for_end()
                raise
        if isinstance(self._error, asyncio.CancelledError):
            from airflow_provider_persona.bulk.errors import RunStoppedError

            raise RunStoppedError("the task was stopped; a retry or a clear goes on from here", retryable=True)
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # a coroutine without an error has one

    def stop(self) -> None:
        """Cancel the coroutine; from any thread, also from a signal handler, also before it has begun."""
        if self._was_told:  # a second cancellation would cut off the time in which the coroutine closes its files
            return
        self._was_told = True
        # The loop's thread looks at the flag after it has set the task, so one of the two cancels it.
        task = self._task
        if task is not None:
            try:
                self._loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:  # the loop has ended and is closed
                return
        # Only now: whatever ends because it sees this is noticed after the cancellation, and not taken for done.
        self.is_stopping = True

    def _wait_for_end(self) -> None:
        """Wait until the coroutine has ended, whatever further signals raise."""
        until = time.monotonic() + LONGEST_STOP
        while (left := until - time.monotonic()) > 0:
            try:
                self._ended.get(timeout=left)
            except queue.Empty:
                return
            except BaseException:  # noqa: BLE001, S112 - the first exception tells why the task ends
                continue
            return

    def _work(self) -> None:
        try:
            self._result = self._run_loop()
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._error = error
        finally:
            # Without waiting for its worker threads: one may hang in a name lookup.
            self._loop.close()
            self._ended.put(None)

    def _run_loop(self) -> T:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._main())
        if self._was_told:
            self._task.cancel()
        try:
            return self._loop.run_until_complete(self._task)
        finally:
            # Tasks of aiohttp and generators end while the loop still runs; a closed one destroys them with warnings.
            _cancel_rest(self._loop)
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            asyncio.set_event_loop(None)


def _cancel_rest(loop: asyncio.AbstractEventLoop) -> None:
    rest = asyncio.all_tasks(loop)
    for task in rest:
        task.cancel()
    if rest:
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
