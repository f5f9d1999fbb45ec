"""What a company decides in these tests: cases of one's own, a warehouse with decisions on them, and the proof."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from persona_simulator import SimulatorControl
from persona_simulator.journal import Effect, LoggedRequest

API_KEY = "persona_sandbox_canary_2c9e51b07d"
"""The key of all these tests, which must be found in nothing that Airflow writes."""


class CasePool:
    """Gives each test undecided cases that no other has."""

    def __init__(self, statuses: Mapping[str, str]) -> None:
        self._left = iter([case for case, status in statuses.items() if status in ("Open", "Pending", "In Review")])

    def take(self, count: int) -> list[str]:
        """Return so many."""
        taken = list(islice(self._left, count))
        assert len(taken) == count, "the simulated Persona needs more cases"
        return taken


class Warehouse:
    """A SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self, table: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Make a table anew."""
        with closing(sqlite3.connect(self._path)) as db, db:
            db.execute(f"DROP TABLE IF EXISTS {table}")
            db.execute(f"CREATE TABLE {table} ({columns})")
            db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns.split(',')))})", rows)


def effects_on(persona: SimulatorControl, cases: Iterable[str]) -> list[Effect]:
    """Return what happened to some cases."""
    own = set(cases)
    return [effect for effect in persona.journal() if effect.case_id in own]


def requests_about(persona: SimulatorControl, cases: Iterable[str]) -> list[LoggedRequest]:
    """Return the requests that concerned some cases."""
    own = set(cases)
    return [request for request in persona.requests() if request.case_id in own]


def assert_changed_once(persona: SimulatorControl, wanted: Mapping[str, str]) -> None:
    """Hold the journal, which knows nothing of plan and ledger, against what was wished for."""
    changes = Counter(effect.case_id for effect in effects_on(persona, wanted) if effect.changed)
    assert changes == dict.fromkeys(wanted, 1)
    statuses = persona.statuses()
    assert {case: statuses[case] for case in wanted} == wanted


def busiest_window(requests: Iterable[LoggedRequest], seconds: float) -> int:
    """Return how many requests fell into the fullest window; one begins with the first request after the last."""
    used, ends = [0], 0.0
    for request in requests:
        if request.at >= ends:
            used.append(0)
            ends = request.at + seconds
        used[-1] += 1
    return max(used)
