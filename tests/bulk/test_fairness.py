"""What a run leaves to others: a foreign client beside it, and four runs side by side, by the simulator's own log.

The figures are Persona's: 300 requests in 60 s. The clients share nothing but what Persona answers.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from bulk_runs import assert_each_changed_once, decisions, plan_of

from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.apply.run import apply_plan
from airflow_provider_persona.bulk.plan.file import read_plan
from persona_simulator import SANDBOX_KEY, SimulatorConfig
from persona_simulator.config import ResetRounding
from tests.virtual_time import VirtualPersona

LIMIT, WINDOW = 300, 60.0
RESERVE = 0.2


@pytest.fixture
def persona(request: pytest.FixtureRequest) -> VirtualPersona:
    config = SimulatorConfig(
        cases=1000, limit=LIMIT, window_seconds=WINDOW, latency_ms=200, reset_rounding=request.param
    )
    return VirtualPersona(config)


async def ask_at_an_even_pace(persona: VirtualPersona, seconds: float) -> list[int]:
    """Be somebody else's program, which knows nothing of windows; return the statuses of its answers.

    :param seconds: between two requests.
    """
    statuses = []
    headers = {"Authorization": f"Bearer {SANDBOX_KEY}", "User-Agent": "foreign"}
    try:
        while True:
            answer = persona.handle("GET", "/api/v1/cases?page[size]=1", headers)
            assert answer.reply is not None
            statuses.append(answer.reply.status)
            await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        return statuses


async def apply(persona: VirtualPersona, folder: Path) -> None:
    """Apply the plan in a folder as a task would, with a client of its own."""
    plan = read_plan(folder)
    assert plan is not None
    settings = PersonaSettings.checked(api_key=SANDBOX_KEY, host=persona.url, reserve=RESERVE)
    async with persona.client(settings=settings) as client:
        report = await apply_plan(plan, client, ApplyOptions(), utc=persona.utc)
    assert report.is_balanced
    assert report.failures == 0


@pytest.mark.parametrize("persona", list(ResetRounding), indirect=True)
@pytest.mark.parametrize("begins_after", [0.0, 17.3, 59.9])
def test_a_foreign_client_is_hardly_ever_refused_beside_a_run(
    persona: VirtualPersona, tmp_path: Path, begins_after: float
) -> None:
    rows = decisions(persona, 600)
    plan_of(rows, tmp_path / "plan")

    async def go() -> list[int]:
        foreign = asyncio.create_task(ask_at_an_even_pace(persona, 1.0))
        await asyncio.sleep(begins_after)
        await apply(persona, tmp_path / "plan")
        foreign.cancel()
        return await foreign

    statuses = persona.run(go())
    assert_each_changed_once(persona, rows)
    assert len(statuses) > 100
    assert statuses.count(429) <= 0.025 * len(statuses)
    ours = [request for request in persona.requests() if ("user-agent", "foreign") not in request.headers]
    assert [request.status for request in ours].count(429) == 0


@pytest.mark.parametrize("persona", list(ResetRounding), indirect=True)
def test_four_runs_side_by_side_are_not_refused_after_the_first_window(persona: VirtualPersona, tmp_path: Path) -> None:
    rows = decisions(persona, 600)
    folders = [tmp_path / str(number) for number in range(4)]
    for number, folder in enumerate(folders):
        plan_of(rows[number::4], folder, run=f"run{number}")

    async def go() -> None:
        await asyncio.gather(*(apply(persona, folder) for folder in folders))

    persona.run(go())
    assert_each_changed_once(persona, rows)
    requests = persona.requests()
    second_window = requests[0].at + WINDOW
    assert [request.status for request in requests if request.at >= second_window].count(429) == 0
    assert [request.status for request in requests].count(429) <= 4  # each may try the first window's end once
