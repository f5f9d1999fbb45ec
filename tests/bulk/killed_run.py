"""A process that applies the plan in a folder, to be killed. Arguments: URL of Persona, address of the folder."""

from __future__ import annotations

import sys
from pathlib import Path

from bulk_runs import attempt
from object_shelf import shelf_path

from airflow_provider_persona.bulk.plan.file import read_plan
from persona_simulator import SimulatorControl

if __name__ == "__main__":
    url, address = sys.argv[1:]
    found = read_plan(shelf_path(address) if address.startswith("shelf:") else Path(address))
    assert found is not None
    attempt(SimulatorControl(url), found)
