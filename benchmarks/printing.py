"""The tables that the suite prints."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata

from benchmarks.contest import Measurement
from benchmarks.scenarios import CONCURRENCY, Contestant, Goal, Scenario

_UNKNOWN = "-"

_COLUMNS: tuple[tuple[str, Callable[[Measurement], str]], ...] = (
    ("contestant", lambda one: one.label),
    ("rows", lambda one: f"{one.rows:,}"),
    ("rows/s", lambda one: _number(one.rate, 1)),
    ("x optimum", lambda one: _number(one.ratio, 3)),
    ("x rounded", lambda one: _number(one.beyond_rounding, 3)),
    ("429s", lambda one: f"{one.throttled:,}"),
    ("requests", lambda one: f"{one.requests:,}"),
    ("CPU s/1,000", lambda one: _number(one.cpu_per_1000, 3)),
    ("RSS MiB", lambda one: _number(one.peak_mib, 0)),
    ("grown", lambda one: _number(one.grown_mib, 0)),
    ("once", lambda one: f"{one.accounting.once:,}"),
    ("lost", lambda one: f"{one.accounting.lost:,}"),
    ("untold", lambda one: f"{one.accounting.untold:,}"),
    ("twice", lambda one: f"{one.accounting.twice:,}"),
    ("again", lambda one: f"{one.accounting.again:,}"),
)
_COMPARED: tuple[tuple[str, Callable[[Measurement], str]], ...] = (
    ("spared", lambda one: f"{one.accounting.spared:,}"),
    ("needless", lambda one: f"{one.accounting.needless:,}"),
)


def machine() -> str:
    """Return a line about the machine and the versions."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("apache-airflow", "aiohttp", "requests"))
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def heading(scenario: Scenario) -> str:
    """Return the lines above a scenario's table."""
    limit = "no limit"
    if scenario.limit is not None:
        limit = f"{scenario.limit} requests per {scenario.window:g} s, reserve {scenario.reserve:g}"
        if scenario.time_factor != 1:
            limit += f" (Persona's minute passes {scenario.time_factor:g} times as fast)"
    return (
        f"\n{scenario.name}: {scenario.about}\n"
        f"  {scenario.rows:,} rows, {scenario.cases:,} cases, {limit}, {scenario.latency_ms:g} ms latency, "
        f"{CONCURRENCY} at once"
    )


def table(found: Sequence[Measurement]) -> str:
    """Return measurements as a table with aligned columns."""
    columns = _COLUMNS
    if any(one.accounting.spared or one.accounting.needless for one in found):
        columns += _COMPARED
    lines = [[name for name, _ in columns], *([show(one) for _, show in columns] for one in found)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  " + "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines
    )


def notes(scenario: Scenario, found: Iterable[Measurement]) -> list[str]:
    """Return the notes about single measurements."""
    said = []
    for one in found:
        if one.trouble is not None:
            said.append(f"{one.label}: {one.trouble}")
        if one.accounting.strays:
            said.append(f"{one.label}: {one.accounting.strays} effects that no row asked for")
        if one.extras:
            said.append(f"{one.label}: " + ", ".join(f"{name} {value:.1f}" for name, value in one.extras.items()))
        if one.label == Contestant.EXPAND and one.seconds:
            whole = one.seconds / one.rows * scenario.rows
            said.append(
                f"{one.label}: EXTRAPOLATED PER ROW from {one.rows} mapped tasks, one after the other in dag.test(); "
                f"{scenario.rows:,} rows would take about {whole:,.0f} s at that rate"
            )
        elif one.rows < scenario.rows and scenario.name not in ("memory", "compared", "matched"):
            said.append(f"{one.label}: given fewer rows, because it is slow")
    return [f"  note  {line}" for line in said]


def goals(scenario: Scenario, found: Mapping[str, Measurement]) -> list[str]:
    """Return for each goal whether our figures meet it."""
    return [f"  goal  {_verdict(goal, goal.figure(dict(found)))}" for goal in scenario.goals]


def _verdict(goal: Goal, figure: float | None) -> str:
    bound = f"{goal.what} {'>=' if goal.at_least else '<='} {goal.bound:g}"
    if figure is None:
        return f"{bound}: not measured"
    return f"{bound}: {figure:.4g}, {'met' if goal.is_met_by(figure) else 'MISSED'}"


def _number(value: float | None, digits: int) -> str:
    return _UNKNOWN if value is None else f"{value:,.{digits}f}"
