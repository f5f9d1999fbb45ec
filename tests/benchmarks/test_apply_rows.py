"""The script by which others measure us: it applies the rows, names those that failed, and goes on after a kill."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from persona_simulator import SANDBOX_KEY
from tests.airflow_process import AirflowProcess, run_program

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "apply_rows.py"


@pytest.fixture
def script(persona, tmp_path):
    """Fill the table and return the arguments that apply it."""

    def command(rows, *options):
        with closing(sqlite3.connect(tmp_path / "rows.sqlite")) as db, db:
            db.execute("CREATE TABLE case_updates (id INTEGER PRIMARY KEY, case_id TEXT, new_status TEXT)")
            db.executemany("INSERT INTO case_updates (case_id, new_status) VALUES (?, ?)", rows)
        files = {"--database": "rows.sqlite", "--report": "report.json", "--state": "state"}
        named = [part for name, file in files.items() for part in (name, str(tmp_path / file))]
        return ["--base-url", persona.url, "--api-key", SANDBOX_KEY, *named, *options]

    return command


def _rows(persona, count):
    return [(case_id, "Declined") for case_id, status in persona.statuses().items() if status == "Open"][:count]


def test_it_applies_every_row_and_names_those_that_failed(script, persona, tmp_path):
    rows = _rows(persona, 20)
    command = script([*rows, ("case_unknown", "Declined")], "--reserve", "0", "--concurrency", "4")
    started = [sys.executable, "-W", "ignore", str(SCRIPT), *command]  # as others start it
    done = subprocess.run(started, capture_output=True, text=True, check=True)
    assert json.loads((tmp_path / "report.json").read_text()) == {"failed": ["case_unknown"]}
    assert {effect.case_id for effect in persona.journal()} == {case_id for case_id, _ in rows}
    assert SANDBOX_KEY not in done.stdout + done.stderr


def test_it_changes_only_from_the_given_statuses_and_says_what_that_cost(script, persona, tmp_path):
    pending = next(case_id for case_id, status in persona.statuses().items() if status == "Pending")
    usage = tmp_path / "usage.json"
    command = script([*_rows(persona, 3), (pending, "Declined")], "--only-from", "Open", "--usage", str(usage))
    assert run_program(SCRIPT, command).returncode == 0
    assert json.loads((tmp_path / "report.json").read_text()) == {"failed": [pending]}
    assert len(persona.journal()) == 3
    assert json.loads(usage.read_text())["cpu_seconds"] > 0


def test_a_run_that_stops_says_why(script, persona):
    command = script(_rows(persona, 3))
    command[command.index(SANDBOX_KEY)] = "persona_sandbox_revoked"
    done = run_program(SCRIPT, command)
    assert done.returncode == 1
    assert "401" in done.stderr.splitlines()[-1]
    assert 'report: {"counts"' in done.stdout
    assert not persona.journal()


def test_started_again_after_a_kill_it_changes_each_case_once(script, persona, tmp_path):
    persona.configure(latency_ms=40)
    rows = _rows(persona, 90)
    command = script(rows, "--concurrency", "4")
    with AirflowProcess(SCRIPT, command) as running:
        deadline = time.monotonic() + 60
        while len(persona.journal()) < 20 and time.monotonic() < deadline:
            time.sleep(0.02)
        running.kill()
    before = len(persona.journal())
    assert 20 <= before < 90
    assert run_program(SCRIPT, command).returncode == 0
    effects = Counter(effect.case_id for effect in persona.journal())
    assert effects == Counter(case_id for case_id, _ in rows)
    assert json.loads((tmp_path / "report.json").read_text()) == {"failed": []}
