"""A large plan needs no more memory than a small one; measured in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lengths import PLANNED_ROWS as ROWS


@pytest.mark.timeout(400)
def test_planning_and_reading_a_large_plan_needs_little_memory() -> None:
    program = Path(__file__).with_name("planning_memory.py")
    done = subprocess.run(
        [sys.executable, str(program), str(ROWS)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    rows, repeats, invalid, last, grown = map(float, done.stdout.split())
    cases = ROWS - ROWS // 20
    assert (rows, repeats, invalid) == (cases + 100, ROWS // 20 - 100, 200)
    assert last == cases + 100
    assert grown <= 50
