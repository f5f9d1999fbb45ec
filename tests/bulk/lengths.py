"""How long the long tests of the engine run: at length when asked for, and briefly where another run has done it.

The engine knows no Airflow, so its long tests run in full beside Airflow 3 and briefly beside 2.11.
"""

from __future__ import annotations

import os
from importlib import metadata

SOAK = os.environ.get("PERSONA_SOAK") == "1"
BRIEF = not SOAK and metadata.version("apache-airflow").startswith("2.")

STEPS = 20_000 if SOAK else 400 if BRIEF else 2_000
"""Steps of the accounting machine."""

CRASHES = 200 if SOAK else 8 if BRIEF else 20
"""Seeded runs whose worker is killed."""

PLANNED_ROWS = 1_000_000 if os.environ.get("CI") == "true" and not BRIEF else 100_000
"""Rows of the plan whose memory is measured."""
