"""The demonstration: a simulated Persona, a SQLite warehouse, and the main Dag run through Airflow."""

from __future__ import annotations

import signal
from typing import Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end the demonstration."""
