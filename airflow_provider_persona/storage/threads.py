"""Calls functions in threads that keep their order, also after a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec

P = ParamSpec("P")


class ThreadsInTurn:
    """Runs functions in threads, one after the other; for one caller at a time.

    A cancellation ends the wait for a thread and not the thread. Without a turn a later write could then overtake it,
    and what is older would stand in the end.
    """

    def __init__(self) -> None:
        self._last: asyncio.Task[Any] | None = None

    async def run(self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a function in a thread, once the one before has ended, and wait for its end.

        :param function: what writes; what it raises is raised.
        """
        if self._last is not None:
            await asyncio.wait([self._last])
        self._last = asyncio.create_task(asyncio.to_thread(function, *args, **kwargs))
        await asyncio.shield(self._last)
