"""One contestant's run: a fresh simulator, a fresh process, and figures from the simulator afterwards."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks.accounting import Accounting, account
from benchmarks.foreign_client import KIND_OF_KEY, ForeignClient
from benchmarks.optimum import least_seconds, rounding_seconds
from benchmarks.resource_usage import ResourceUsage, read_usage
from benchmarks.scenarios import CONCURRENCY, Contestant, Entry, Scenario
from persona_simulator import (
    SANDBOX_KEY,
    LoggedRequest,
    SimulatorConfig,
    SimulatorProcess,
    usual_rates,
)
from persona_simulator.loopback import without_proxy

REPOSITORY = Path(__file__).parent.parent
NO_LIMIT = 1_000_000_000
LONGEST_RUN = 1800.0
"""Seconds after which a contestant is stopped."""

_MODULES = {
    Contestant.LOOP: "requests_loop",
    Contestant.POOL: "thread_pool_tenacity",
    Contestant.AIOHTTP: "aiohttp_aiolimiter",
    Contestant.EXPAND: "http_operator_expand",
}
_WISHES = {"ctmpl_kyc": ("Declined", "Approved"), "ctmpl_monitoring": ("resolved", "closed")}


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures of one run.

    :param label: name of the contestant in the table.
    :param rows: rows it was given.
    :param seconds: between its first and its last request, by the simulator's log.
    :param requests: requests that the simulator received from it.
    :param throttled: how many of them were refused with 429.
    :param optimum: the least seconds in which all rows' requests could have been sent.
    :param rounding: seconds more that the rounding of the reset costs anybody.
    :param accounting: what became of the rows, by the simulator's journal.
    :param usage: CPU and memory; None when the process did not come that far.
    :param trouble: why it did not end well, or None.
    :param extras: further figures of the scenario.
    """

    label: str
    rows: int
    seconds: float
    requests: int
    throttled: int
    optimum: float
    rounding: float
    accounting: Accounting
    usage: ResourceUsage | None = None
    trouble: str | None = None
    extras: Mapping[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        """Rows a second between first and last request."""
        return self.rows / self.seconds if self.seconds > 0 else None

    @property
    def ratio(self) -> float | None:
        """The measured seconds divided by the optimum."""
        return self.seconds / self.optimum if self.optimum > 0 and self.seconds > 0 else None

    @property
    def beyond_rounding(self) -> float | None:
        """The measured seconds divided by the optimum of a client that sees whole seconds only."""
        least = self.optimum + self.rounding
        return self.seconds / least if least > 0 and self.seconds > 0 else None

    @property
    def peak_mib(self) -> float | None:
        """Peak resident memory."""
        return self.usage.peak_rss_mib if self.usage else None

    @property
    def grown_mib(self) -> float | None:
        """Peak memory minus the memory after starting and importing."""
        return self.usage.peak_rss_mib - self.usage.rss_before_mib if self.usage else None

    @property
    def cpu_per_1000(self) -> float | None:
        """CPU seconds per 1,000 rows, without starting and importing."""
        return 1000 * self.usage.cpu_seconds / self.rows if self.usage and self.rows else None


def hold(scenario: Scenario, entry: Entry) -> Measurement:
    """Run one contestant against a simulator of its own, and return the figures."""
    rows = entry.rows or scenario.rows
    config = SimulatorConfig(
        cases=scenario.cases,
        limit=scenario.limit or NO_LIMIT,
        window_seconds=scenario.window,
        latency_ms=scenario.latency_ms,
        fault_rates=usual_rates(scenario.faults, with_hangs=scenario.hangs),
        log_size=max(200_000, 3 * scenario.cases),
    )
    with SimulatorProcess(config) as persona, tempfile.TemporaryDirectory(prefix="persona-benchmark-") as name:
        folder = Path(name)
        wishes = wishes_for(persona.cases(), rows, scenario)
        _fill(folder / "rows.sqlite", wishes)
        with _beside(scenario, persona, next(iter(wishes))):
            trouble = _run(_command(scenario, entry, persona.url, folder))
        return _measurement(scenario, entry, persona, wishes, folder, trouble)


def wishes_for(cases: Iterable[Mapping[str, Any]], rows: int, scenario: Scenario) -> dict[str, str]:
    """Return the wanted status by case. It differs from the present one, except for the share that is right already.

    If there are fewer cases than rows (a dry run needs none), the others are invented.
    """
    wishes: dict[str, str] = {}
    for case in cases:
        if len(wishes) == rows:
            break
        status = case["status"]
        if scenario.only_open and status.lower() != "open":
            continue
        one, other = _WISHES[case["template_id"]]
        due = len(wishes) * scenario.already_right
        is_right = int(due + scenario.already_right) > int(due)
        wishes[case["case_id"]] = status if is_right else (other if status == one else one)
    for number in range(len(wishes), rows):
        wishes[f"case_made_up_{number:09d}"] = "Declined"
    return wishes


def _fill(database: Path, wishes: Mapping[str, str]) -> None:
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("CREATE TABLE case_updates (id INTEGER PRIMARY KEY, case_id TEXT, new_status TEXT)")
        db.executemany("INSERT INTO case_updates (case_id, new_status) VALUES (?, ?)", wishes.items())


def _beside(scenario: Scenario, persona: SimulatorProcess, case_id: str) -> ForeignClient | nullcontext[None]:
    if not scenario.foreign_per_window:
        return nullcontext()
    return ForeignClient(persona.url, case_id, scenario.foreign_per_window / scenario.window)


def _command(scenario: Scenario, entry: Entry, url: str, folder: Path) -> list[str]:
    if entry.contestant is Contestant.OURS:
        program = [str(REPOSITORY / "benchmarks" / "apply_rows.py")]
        options = ["--state", str(folder / "state"), "--reserve", str(scenario.reserve)]
    else:
        program = ["-m", f"benchmarks.contestants.{_MODULES[entry.contestant]}"]
        options = ["--limit", str(scenario.limit or 0), "--window", str(scenario.window)]
    return [
        *(sys.executable, "-W", "ignore", *program),
        *("--base-url", url, "--api-key", SANDBOX_KEY, "--database", str(folder / "rows.sqlite")),
        *("--report", str(folder / "report.json"), "--usage", str(folder / "usage.json")),
        *("--concurrency", str(CONCURRENCY), *options, *entry.options),
    ]


def _run(command: list[str]) -> str | None:
    """Run a contestant to its end; return the problem, or None."""
    own = ("AIRFLOW", "PYTEST")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    environment = inherited | without_proxy(inherited)
    try:
        done = subprocess.run(  # noqa: S603 - our own programs
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=LONGEST_RUN, check=False
        )
    except subprocess.TimeoutExpired:
        return f"stopped after {LONGEST_RUN:.0f} s"
    if done.returncode == 0:
        return None
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no word")
    return f"ended with {done.returncode}: {last.strip()[:200]}"


def _measurement(
    scenario: Scenario,
    entry: Entry,
    persona: SimulatorProcess,
    wishes: Mapping[str, str],
    folder: Path,
    trouble: str | None,
) -> Measurement:
    received = persona.requests()
    own = [request for request in received if request.key != KIND_OF_KEY]
    report = folder / "report.json"
    # A contestant that stopped with an error has reported all rows as failed by that.
    failed = json.loads(report.read_text())["failed"] if report.exists() else tuple(wishes)
    is_dry = "--dry-run" in entry.options
    usage = read_usage(folder / "usage.json")
    needed = 0 if is_dry else len(wishes) * scenario.requests_per_row
    limits: dict[str, Any] = {
        "limit": scenario.limit_for_us if entry.contestant is Contestant.OURS else scenario.limit,
        "window": scenario.window,
        "latency": scenario.latency_ms / 1000,
        "concurrency": CONCURRENCY,
    }
    return Measurement(
        label=entry.name,
        rows=len(wishes),
        seconds=own[-1].at - own[0].at if own else 0.0,
        requests=len(own),
        throttled=sum(request.status == 429 for request in own),
        optimum=least_seconds(needed, **limits),
        rounding=rounding_seconds(needed, **limits),
        accounting=Accounting() if is_dry else account(wishes, persona.statuses(), persona.journal(), failed),
        usage=usage,
        trouble=trouble,
        extras=_extras(scenario, own, received) | _of_planning(usage, is_dry=is_dry),
    )


def _of_planning(usage: ResourceUsage | None, *, is_dry: bool) -> dict[str, float]:
    return {"whole_seconds": usage.wall_seconds} if is_dry and usage is not None else {}


def _extras(scenario: Scenario, own: list[LoggedRequest], received: list[LoggedRequest]) -> dict[str, float]:
    extras: dict[str, float] = {}
    if scenario.only_open and len(gaps := read_write_gaps(own)) > 1:
        marks = quantiles(gaps, n=20, method="inclusive")
        extras |= {"gap_p50_ms": marks[9] * 1000, "gap_p95_ms": marks[18] * 1000, "gap_max_ms": max(gaps) * 1000}
    if scenario.foreign_per_window and own:
        # Only during the run: before and after it the other client is alone.
        others = Counter(
            request.status
            for request in received
            if request.key == KIND_OF_KEY and own[0].at <= request.at <= own[-1].at
        )
        extras["foreign_requests"] = others.total()
        if others.total():
            extras["foreign_refused_percent"] = 100 * others[429] / others.total()
    return extras


def read_write_gaps(requests: Iterable[LoggedRequest]) -> list[float]:
    """Return, for each write to a case, the seconds since the last read of it arrived.

    Simulated latency delays the effect of a read and of a write alike, so the arrivals are as far apart as the effects.
    """
    read_at: dict[str, float] = {}
    gaps: list[float] = []
    for request in requests:
        if request.case_id is None:
            continue
        if request.method == "GET":
            read_at[request.case_id] = request.at
        elif request.case_id in read_at:
            gaps.append(request.at - read_at[request.case_id])
    return gaps
