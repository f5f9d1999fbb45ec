"""Runs against a fixed-window server, simulated event by event: exact, repeatable, and a day of it takes milliseconds.

A run is what a client does with a `WindowBudget`: it asks, sends, hands answers back, and sends refused or lost
requests again. Nothing here knows how the budget works.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.api.rate_limit import Grant, WindowBudget

Rounding = Callable[[float], int]

ROUNDINGS: dict[str, Rounding] = {
    "up": math.ceil,
    "down": math.floor,
    "down-with-epsilon": lambda left: max(0, math.floor(left - 1e-6)),
    "nearest": lambda left: math.floor(left + 0.5),
}

MOST_EVENTS = 400_000


class DeadlockError(AssertionError):
    """Requests wait and nothing will ever wake them."""


@dataclass
class Server:
    """Counts requests in fixed windows that open with the first request after the last one ended."""

    limit: int
    window: float = 60.0
    rounding: Rounding = math.ceil
    headers: bool = True
    used: int = 0
    ends: float = -math.inf
    log: list[tuple[float, str, int]] = field(default_factory=list)
    openings: list[float] = field(default_factory=list)

    def handle(self, now: float, who: str) -> Response:
        if now >= self.ends:
            self.used, self.ends = 0, now + self.window
            self.openings.append(now)
        accepted = self.used < self.limit
        self.used += accepted
        status = 200 if accepted else 429
        self.log.append((now, who, status))
        if not self.headers:
            return Response(status, {}, b"{}")
        state = {"limit": self.limit, "remaining": self.limit - self.used, "reset": self.rounding(self.ends - now)}
        return Response(status, {f"RateLimit-{name}": str(max(0, value)) for name, value in state.items()}, b"{}")

    def refused(self, who: str, after_windows: int = 0) -> int:
        since = self.openings[after_windows] if len(self.openings) > after_windows else math.inf
        return sum(1 for at, name, status in self.log if name == who and status == 429 and at >= since)

    def accepted_per_window(self, who: str) -> list[int]:
        ends = [*self.openings[1:], math.inf]
        return [
            sum(1 for at, name, status in self.log if name == who and status == 200 and start <= at < end)
            for start, end in zip(self.openings, ends, strict=True)
        ]


@dataclass
class Run:
    """One client with work to do.

    :param requests: how many must succeed.
    :param in_flight: how many it may have under way.
    :param latency: seconds of one way, drawn for each way of each request.
    :param loss: share of answers that never arrive; the client gives up on them after `patience` seconds.
    """

    name: str
    budget: WindowBudget
    requests: int
    in_flight: int = 24
    latency: tuple[float, float] = (0.02, 0.06)
    loss: float = 0.0
    patience: float = 5.0
    starts: float = 0.0
    finished: float | None = None
    done: int = 0
    sent: int = 0
    under_way: int = 0
    ready: deque[None] = field(default_factory=deque)
    alarm: float = math.inf


class World:
    """A server, runs and foreign clients on one time line."""

    def __init__(self, server: Server, runs: list[Run], seed: int = 0) -> None:
        self.server = server
        self.runs = runs
        self.now = 0.0
        self._random = random.Random(seed)
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        for run in runs:
            run.ready.extend([None] * run.requests)
            self.at(run.starts, lambda run=run: self._advance(run))

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), action))

    def foreign(self, name: str, times: list[float]) -> None:
        for when in times:
            self.at(when, lambda: self.server.handle(self.now, name) and None)

    def play(self) -> World:
        for _ in range(MOST_EVENTS):
            if all(run.finished is not None for run in self.runs):
                return self
            if not self._events:
                raise DeadlockError(", ".join(f"{run.name}: {run.done} of {run.requests}" for run in self.runs))
            self.now, _, action = heapq.heappop(self._events)
            action()
        raise DeadlockError(f"still not done after {MOST_EVENTS} events, at {self.now} s")

    def _advance(self, run: Run) -> None:
        while run.ready and run.under_way < run.in_flight:
            turn = run.budget.ask(self.now)
            if not isinstance(turn, Grant):
                if turn.seconds is not None:
                    self._set_alarm(run, self.now + turn.seconds)
                return
            run.ready.popleft()
            self._send(run, turn)

    def _set_alarm(self, run: Run, when: float) -> None:
        if run.alarm <= self.now or when < run.alarm:
            run.alarm = when
            self.at(when, lambda: self._advance(run))

    def _send(self, run: Run, grant: Grant) -> None:
        run.sent += 1
        run.under_way += 1
        there, back = (self._random.uniform(*run.latency) for _ in range(2))
        if self._random.random() < run.loss:
            if self._random.random() < 0.5:  # the request is lost, or only its answer
                self.at(self.now + there, lambda: self.server.handle(self.now, run.name) and None)
            self.at(self.now + run.patience, lambda: self._lost(run, grant))
            return

        def arrive() -> None:
            answer = self.server.handle(self.now, run.name)
            self.at(self.now + back, lambda: self._answered(run, grant, answer))

        self.at(self.now + there, arrive)

    def _lost(self, run: Run, grant: Grant) -> None:
        run.budget.lost(grant)
        run.under_way -= 1
        run.ready.append(None)
        self._advance(run)

    def _answered(self, run: Run, grant: Grant, answer: Response) -> None:
        run.budget.answered(grant, answer, self.now)
        run.under_way -= 1
        if answer.status == 200:
            run.done += 1
            if run.done == run.requests:
                run.finished = self.now
        else:
            pause = float(answer.headers.get("ratelimit-reset", "1"))
            self.at(self.now + pause, lambda: self._again(run))
        self._advance(run)

    def _again(self, run: Run) -> None:
        run.ready.append(None)
        self._advance(run)
