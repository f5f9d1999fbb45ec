"""How long the long tests of the engine run: at length when asked for, and briefly where another run has done it.

The engine knows no Airflow, so its long tests run in full beside Airflow 3 and briefly beside 2.11.
"""

from __future__ import annotations

import os
from importlib import metadata

SOAK = os.environ.get("PERSONA_SOAK") == "1"
IN_CI = os.environ.get("CI") == "true"
BRIEF = not SOAK and metadata.version("apache-airflow").startswith("2.")

TRIALS = 2_000 if SOAK else 40 if BRIEF else 200 if IN_CI else 60
"""Seeded runs on virtual time that are killed, stopped or paused."""

STORMS = 1_000 if SOAK else 10 if BRIEF else 40 if IN_CI else 15
"""Seeded runs on virtual time with faults of the disk, and as many with faults of an object store."""

STEPS = 20_000 if SOAK else 400 if BRIEF else 2_000 if IN_CI else 800
"""Steps of the accounting machine."""

CRASHES = 200 if SOAK else 8 if BRIEF else 40 if IN_CI else 20
"""Seeded runs with a worker process that is killed; a fourth as many lose its disk too."""

PLANNED_ROWS = 1_000_000 if SOAK else 100_000
"""Rows of the plan whose memory is measured."""
