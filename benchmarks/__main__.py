"""The command line: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.contest import Measurement, hold
from benchmarks.printing import goals, heading, machine, notes, table
from benchmarks.scenarios import MEMORY, MILLION, SCENARIOS, Contestant, Scenario

_USUAL = [name for name, scenario in SCENARIOS.items() if not scenario.on_request]
_SHORT = {contestant.name.lower(): contestant for contestant in Contestant}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--list", action="store_true", help="list the scenarios and end")
    add("--scenario", action="append", choices=list(SCENARIOS), help="run only this scenario (repeatable)")
    add("--contestant", action="append", choices=list(_SHORT), help="run only this contestant (repeatable)")
    add("--quick", action="store_true", help="small and fast: shows that it works, measures nothing worth quoting")
    add("--million", action="store_true", help="also plan 1,000,000 rows in `memory`")
    add("--output", type=Path, default=None, metavar="FILE.json", help="write all figures to this file too")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios and print a table for each; return 1 when a contestant did not finish."""
    options = _parser().parse_args(arguments)
    if options.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:16}{scenario.about}")
        return 0
    began = time.monotonic()
    print(machine())
    results = {name: _play(scenario) for name, scenario in _chosen(options).items()}
    print(f"\nTook {time.monotonic() - began:.0f} s")
    if options.output is not None:
        figures = {name: [_plain(one) for one in found] for name, found in results.items()}
        options.output.write_text(json.dumps({"machine": machine(), "quick": options.quick, "scenarios": figures}))
    return int(any(one.trouble for found in results.values() for one in found))


def _chosen(options: argparse.Namespace) -> dict[str, Scenario]:
    """Return the scenarios to run, each with the contestants to run."""
    chosen = {name: SCENARIOS[name] for name in options.scenario or _USUAL}
    if options.quick:
        chosen = {name: scenario.quickly() for name, scenario in chosen.items()}
    if options.million and MEMORY.name in chosen:
        memory = chosen[MEMORY.name]
        chosen[MEMORY.name] = replace(memory, entries=(*memory.entries, MILLION))
    if options.contestant:
        wanted = {_SHORT[name] for name in options.contestant}
        chosen = {
            name: replace(scenario, entries=tuple(entry for entry in scenario.entries if entry.contestant in wanted))
            for name, scenario in chosen.items()
        }
    return {name: scenario for name, scenario in chosen.items() if scenario.entries}


def _play(scenario: Scenario) -> list[Measurement]:
    print(heading(scenario), flush=True)
    found = []
    for entry in scenario.entries:
        if sys.stderr.isatty():
            print(f"\r  ... {entry.name:60}", end="\r", file=sys.stderr, flush=True)
        found.append(hold(scenario, entry))
    print(table(found))
    for line in (*notes(scenario, found), *goals(scenario, {one.label: one for one in found})):
        print(line)
    sys.stdout.flush()
    return found


def _plain(one: Measurement) -> dict[str, Any]:
    derived = {
        "rows_per_second": one.rate,
        "times_optimum": one.ratio,
        "times_optimum_beyond_rounding": one.beyond_rounding,
        "cpu_seconds_per_1000_rows": one.cpu_per_1000,
    }
    return {**asdict(one), **derived}


if __name__ == "__main__":
    sys.exit(main())
