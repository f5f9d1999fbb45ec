"""What `make demo` shows: cases updated from a warehouse query, and the proof from the simulator's own journal."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

from airflow_provider_persona.bulk.ledger.ledger import read_results
from airflow_provider_persona.bulk.ledger.outcomes import RowResult
from airflow_provider_persona.bulk.plan.file import read_plan
from demo.airflow_run import DAG_ID, AirflowRun
from demo.warehouse import fill
from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorProcess

FOLDER = Path(".demo")
CASES = 3000
LIMIT, WINDOW, LATENCY = 500, 5.0, 20.0
_SHOWN = re.compile(r"(Planned|rows \(|rows: |window is used up|No rows).*")
_NOISE = re.compile(r"\s*\[airflow\.task.*$|\s+loc=.*$|\x1b\[[0-9;]*m")


def demonstrate() -> int:
    """Run the demonstration; 0 when Persona shows exactly what was planned."""
    started = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    config = SimulatorConfig(cases=CASES, limit=LIMIT, window_seconds=WINDOW, latency_ms=LATENCY)
    with SimulatorProcess(config) as persona:
        print(f"A simulated Persona listens on {persona.url}: {CASES} cases, {LIMIT} requests per {WINDOW:g} s")
        wanted = fill(FOLDER / "warehouse.sqlite", persona.statuses())
        print(
            f"The warehouse {FOLDER / 'warehouse.sqlite'} holds decisions on {len(wanted)} cases, and some flawed rows"
        )
        print(
            f"Running the Dag {DAG_ID} through Airflow (airflow dags test); all it prints goes to {FOLDER}/airflow.log"
        )
        run = AirflowRun(FOLDER.resolve(), persona.url, SANDBOX_KEY, (FOLDER / "warehouse.sqlite").resolve())
        try:
            for line in run.lines():
                _show(line)
        except subprocess.CalledProcessError as error:
            print(f"{error}; the end of {run.log}:", *run.log.read_text().splitlines()[-30:], sep="\n")
            return 1
        is_proved = _report(run, persona, wanted)
    print(f"Took {time.monotonic() - started:.0f} s")
    return 0 if is_proved else 1


def _show(line: str) -> None:
    """Show the operator's own lines of Airflow's log."""
    found = _SHOWN.search(_NOISE.sub("", line))
    if found is not None:
        start = max(line.rfind("]", 0, found.start()), 0)
        text = _NOISE.sub("", line)[start:].lstrip("] -INFO").strip()
        print(f"  {text}", flush=True)


def _report(run: AirflowRun, persona: SimulatorProcess, wanted: dict[str, str]) -> bool:
    plans = list(run.state.rglob("plan.jsonl"))
    folder = plans[0].parent
    plan = read_plan(folder)
    assert plan is not None
    results: dict[int, RowResult] = {result.row: result for result in read_results(folder, plan.header.hash)}
    counts = Counter(result.outcome.value for result in results.values())
    print("\nReport")
    for outcome, count in counts.most_common():
        example = next((r.reason for r in results.values() if r.outcome == outcome and r.reason), "")
        print(f"  {outcome:14} {count:5}  {example[:100]}")
    print(f"  {'planned':14} {plan.header.rows:5}  = the sum above; {plan.header.repeats} repeated rows collapsed")
    print(f"  plan    {plan.uri}\n  ledger  {folder}/ledger-*.jsonl")
    return _prove(persona, wanted, results)


def _prove(persona: SimulatorProcess, wanted: dict[str, str], results: dict[int, RowResult]) -> bool:
    """Compare the simulator's journal with plan and ledger, which it does not know."""
    effects = Counter(effect.case_id for effect in persona.journal())
    updated = {result.object_id for result in results.values() if result.outcome == "updated"}
    statuses = persona.statuses()
    requests = Counter(request.status for request in persona.requests())
    checks = {
        "every planned change took place": all(statuses[case_id] == status for case_id, status in wanted.items()),
        "no other case was touched": set(effects) == set(wanted) == updated,
        "each was changed once": set(effects.values()) == {1},
        "no request was refused for the limit": requests[429] == 0,
    }
    print(f"Proof from the simulator's journal ({effects.total()} effects, {requests.total()} requests)")
    for what, holds in checks.items():
        print(f"  {'yes' if holds else 'NO ':4} {what}")
    return all(checks.values())
