"""What a run leaves to others: a foreign client beside it, and four runs side by side, by the simulator's own log.

Persona's window of 300 requests in 60 s, and the foreign client's 60 a minute, are scaled to windows of 3 s.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bulk_runs import assert_each_changed_once, decisions, plan_of

from airflow_provider_persona.simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer
from airflow_provider_persona.simulator.config import ResetRounding

pytestmark = pytest.mark.alone

PROGRAM = Path(__file__).with_name("fair_run.py")
LIMIT, WINDOW = 300, 3.0


@pytest.fixture
def persona(request: pytest.FixtureRequest) -> Iterator[SimulatorServer]:
    config = SimulatorConfig(
        cases=1000, limit=LIMIT, window_seconds=WINDOW, latency_ms=20, reset_rounding=request.param
    )
    with SimulatorServer(config) as server:
        yield server


class ForeignClient:
    """Somebody else's program: asks at an even pace, knows nothing of windows, and counts its refusals.

    :param persona: whom it asks.
    :param pace: requests a second.
    """

    def __init__(self, persona: SimulatorServer, pace: float) -> None:
        self.statuses: list[int] = []
        self._persona = persona
        self._pause = 1 / pace
        self._going = True
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def stop(self) -> None:
        self._going = False
        self._thread.join()

    @property
    def refused(self) -> int:
        return self.statuses.count(429)

    def _ask(self) -> None:
        parts = urlsplit(self._persona.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        due = time.monotonic()
        while self._going:
            connection.request(
                "GET",
                "/api/v1/cases?page[size]=1",
                headers={"Authorization": f"Bearer {SANDBOX_KEY}", "User-Agent": "foreign"},
            )
            answer = connection.getresponse()
            answer.read()
            self.statuses.append(answer.status)
            due += self._pause
            time.sleep(max(0.0, due - time.monotonic()))
        connection.close()


def apply_in_processes(persona: SimulatorServer, folders: list[Path], reserve: float) -> Callable[[], list[str]]:
    """Start a process for each plan; returns what waits for their ends."""
    command = [sys.executable, str(PROGRAM), persona.url]
    processes = [
        subprocess.Popen(
            [*command, str(folder), str(reserve)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for folder in folders
    ]

    def wait() -> list[str]:
        try:
            told = [process.communicate(timeout=80)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert [process.returncode for process in processes] == [0] * len(processes)
        return told

    return wait


@pytest.mark.parametrize("persona", [ResetRounding.UP], indirect=True)
def test_a_foreign_client_is_hardly_ever_refused_beside_a_run(persona: SimulatorServer, tmp_path: Path) -> None:
    rows = decisions(persona, 600)
    plan_of(rows, tmp_path / "plan")
    foreign = ForeignClient(persona, pace=60 / WINDOW)
    try:
        apply_in_processes(persona, [tmp_path / "plan"], 0.2)()
    finally:
        foreign.stop()
    assert_each_changed_once(persona, rows)
    assert len(foreign.statuses) > 100
    assert foreign.refused <= 0.025 * len(foreign.statuses)
    ours = [request for request in persona.requests() if ("user-agent", "foreign") not in request.headers]
    assert [request.status for request in ours].count(429) == 0


@pytest.mark.parametrize("persona", [ResetRounding.DOWN], indirect=True)
def test_four_runs_side_by_side_are_not_refused_after_the_first_window(
    persona: SimulatorServer, tmp_path: Path
) -> None:
    rows = decisions(persona, 600)
    folders = [tmp_path / str(number) for number in range(4)]
    for number, folder in enumerate(folders):
        plan_of(rows[number::4], folder, run=f"run{number}")
    apply_in_processes(persona, folders, 0.2)()
    assert_each_changed_once(persona, rows)
    requests = persona.requests()
    second_window = requests[0].at + WINDOW
    assert [request.status for request in requests if request.at >= second_window].count(429) == 0
    assert [request.status for request in requests].count(429) <= 4  # each may try the first window's end once
