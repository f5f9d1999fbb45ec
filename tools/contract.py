"""Testers that we did not write hold the simulator and the catalogue against Persona's published specification.

schemathesis sends the simulator what the specification allows and what it forbids: no answer may be a 5xx, and none may
have a status that the specification does not give to its operation. Prism says whether the specification allows what
the tests of the catalogue send. What is known and right as it is stands in `contract_reasons.toml`, with its reason.

    PERSONA_SPECIFICATION=path python -m tools.contract
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorProcess
from tests.simulator.catalogue_requests import PATHS
from tools.contract_prism import PRISM, refusals
from tools.contract_specification import SPECIFICATION, fault

_SCHEMATHESIS: Final = Path(".venv-contract/bin/schemathesis")
_REASONS: Final = Path(__file__).with_name("contract_reasons.toml")
_BOUND_SECONDS: Final = 200
"""The run is stopped after this time. It took 140 s on two cores that others used, too. Prism has 90 s to start."""
_RECEIVED: Final = re.compile(r"Received: (\d+)")
_OPTIONS: Final = (
    *("--phases", "coverage", "--seed", "1", "--generation-database", "none", "--workers", "1"),
    *("--checks", "not_a_server_error,status_code_conformance", "--continue-on-failure", "--no-shrink"),
    *("--suppress-health-check", "all", "--warnings", "off", "--report", "junit"),
)


def main() -> int:
    """Run both testers; return 0 when all that they found has a reason, 1 otherwise, 2 without a specification."""
    if said := fault():
        print(said, file=sys.stderr)
        return 2
    reasons = tomllib.loads(_REASONS.read_text("utf-8"))
    begun = time.monotonic()
    found = list(_faults(SPECIFICATION))
    unexplained = _told("schemathesis", found, reasons["schemathesis"], begun)
    if PRISM.is_file():
        begun = time.monotonic()
        refused, sent = refusals(SPECIFICATION)
        print(f"Prism accepted {sent - len(refused)} of {sent} requests")
        unexplained += _told("Prism", refused.items(), reasons["prism"], begun)
    else:
        print("Prism: left out, because this machine has no npm")
    return 1 if unexplained else 0


def _told(tester: str, found: Iterable[tuple[str, str]], reasons: Mapping[str, str], begun: float) -> int:
    """Print what a tester found, with the reasons, and return how much has none or is a reason for nothing."""
    seen = dict(found)
    for name, what in sorted(seen.items()):
        print(f"  {'known' if name in reasons else 'NEW'}: {name}: {reasons.get(name, what)}")
    needless = sorted(set(reasons) - set(seen))
    for name in needless:
        print(f"  NEEDLESS reason: {name}")
    new = len(set(seen) - set(reasons))
    print(f"{tester}: {len(seen) - new} known, {new} new, {len(needless)} needless, {time.monotonic() - begun:.0f} s")
    return new + len(needless)


def _faults(specification: Path) -> Iterable[tuple[str, str]]:
    """Yield `METHOD path status` and the message of each thing that schemathesis found."""
    config = SimulatorConfig(cases=60, limit=10_000_000, work_seconds=0)
    with tempfile.TemporaryDirectory() as folder, SimulatorProcess(config) as simulator:
        report = _run(specification, simulator.url, Path(folder))
        for case in ET.parse(report).iter("testcase"):  # noqa: S314 - our own file
            for problem in case:
                text = problem.get("message", "") + (problem.text or "")
                statuses = dict.fromkeys(_RECEIVED.findall(text)) or ["error"]
                yield from ((f"{case.get('name')} {status}", text) for status in statuses)


def _run(specification: Path, url: str, folder: Path) -> Path:
    """Let schemathesis test the simulator and return its report. Paths get ids of things that are there.

    :raises RuntimeError: when schemathesis could not do it.
    :raises TimeoutExpired: after the bound.
    """
    settings, report = folder / "schemathesis.toml", folder / "report.xml"
    lines = [f'"path.{name}" = "{value}"' for name, value in PATHS.items()]
    settings.write_text("\n".join(["[parameters]", *lines]), "utf-8")
    command = [_SCHEMATHESIS.absolute(), "--config-file", settings, "run", specification.absolute()]
    options = ["--url", f"{url}/api/v1", "--header", f"Authorization: Bearer {SANDBOX_KEY}", *_OPTIONS]
    ended = subprocess.run(
        [*command, *options, "--report-junit-path", report],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_BOUND_SECONDS,
        check=False,
    )
    if ended.returncode not in (0, 1) or not report.is_file():
        raise RuntimeError(f"schemathesis did not run:\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}")
    print("\n".join(line.strip() for line in ended.stdout.splitlines() if "generated" in line))
    return report


if __name__ == "__main__":
    sys.exit(main())
