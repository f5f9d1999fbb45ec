"""A process that applies the plan in a folder with a reserve. Arguments: URL of Persona, folder, reserve."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.bulk.apply import ApplyOptions, apply_plan
from airflow_provider_persona.bulk.plan import read_plan
from airflow_provider_persona.client import AsyncPersonaClient
from airflow_provider_persona.simulator import SANDBOX_KEY


async def main(url: str, folder: Path, reserve: float) -> None:
    """Apply the plan as a task would."""
    plan = read_plan(folder)
    assert plan is not None
    settings = PersonaSettings.checked(api_key=SANDBOX_KEY, host=url, reserve=reserve)
    async with AsyncPersonaClient(settings) as client:
        report = await apply_plan(plan, client, ApplyOptions())
    assert report.is_balanced
    assert report.failures == 0
    print("done", report, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
