"""`make demo` on machines as they are: stopped at any time, behind a proxy, and with something amiss."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.airflow_run import AirflowRun

REPOSITORY = Path(__file__).parents[2]


@contextmanager
def _demo(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The demonstration as a group of processes, as in a terminal; what it leaves is killed at the end."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    running = subprocess.Popen(
        [sys.executable, "-u", "-m", "demo"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        if _is_alive(running.pid):
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("awaited", "number"), [("A simulated Persona", signal.SIGTERM), ("Running the Dag", signal.SIGINT)]
)
def test_a_signal_ends_it_and_all_that_it_started(tmp_path, awaited, number):
    with _demo(tmp_path) as running:
        assert running.stdout is not None
        printed = ""
        for line in running.stdout:
            printed += line
            if awaited in line:
                break
        # Ctrl-C reaches the whole group, the others the one process that was asked to end.
        (os.killpg if number == signal.SIGINT else os.kill)(running.pid, number)
        printed += running.stdout.read()
        assert running.wait() == 128 + number
        assert "Traceback" not in printed
        assert f"Stopped by {number.name}" in printed
        deadline = time.monotonic() + 20
        while _is_alive(running.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _is_alive(running.pid)


def test_airflow_asks_no_proxy_for_this_machine_and_does_not_wait_minutes_to_try_again(tmp_path, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "company.example")
    run = AirflowRun(tmp_path, "http://127.0.0.1:1", "persona_sandbox_key", tmp_path / "warehouse.sqlite")
    given = run._environment()
    assert given["NO_PROXY"] == given["no_proxy"] == "company.example,127.0.0.1,localhost,::1"
    assert float(given["AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY"]) < 10
