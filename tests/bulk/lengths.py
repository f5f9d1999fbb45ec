"""How long the long tests of the engine run: at length when asked for, and briefly where another run has done it.

The engine knows no Airflow, so its long tests run in full beside Airflow 3 and briefly beside 2.11.
"""

from __future__ import annotations

import os
from importlib import metadata

_SOAKED = float(os.environ.get("PERSONA_SOAK") or 0)
"""The share of a whole soak: 1 is all of it, which takes hours, and 0.1 is a tenth."""

SOAK = _SOAKED > 0
IN_CI = os.environ.get("CI") == "true"
BRIEF = not SOAK and metadata.version("apache-airflow").startswith("2.")


def _length(soak: int, *, brief: int, ci: int, usual: int) -> int:
    if SOAK:
        return max(ci, round(soak * _SOAKED))
    return brief if BRIEF else ci if IN_CI else usual


TRIALS = _length(2_000, brief=40, ci=200, usual=40)
"""Seeded runs over cases on virtual time that are killed, stopped or paused."""

TRIALS_OF_A_FURTHER_KIND = _length(500, brief=4, ci=32, usual=4)
"""As many over each other kind."""

STORMS = _length(1_000, brief=10, ci=40, usual=10)
"""Seeded runs on virtual time with faults of the disk, and as many with faults of an object store."""

STEPS = _length(20_000, brief=400, ci=2_000, usual=400)
"""Steps of the accounting machine over cases."""

STEPS_OF_A_FURTHER_KIND = _length(4_000, brief=80, ci=400, usual=80)
"""Steps over each other kind."""

CRASHES = _length(200, brief=8, ci=44, usual=12)
"""Seeded runs with a worker process that is killed; a fourth as many lose its disk too."""

PLANNED_ROWS = _length(1_000_000, brief=100_000, ci=100_000, usual=100_000)
"""Rows of the plan whose memory is measured."""
