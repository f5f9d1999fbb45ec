"""The command line: `python -m persona_simulator`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from persona_simulator.config import (
    ALL_PERMISSIONS,
    DEFAULT_KEYS,
    ApiKey,
    ResetRounding,
    SimulatorConfig,
)
from persona_simulator.faults import FaultKind, usual_rates
from persona_simulator.server import READY, SimulatorServer


def _parser() -> argparse.ArgumentParser:
    default = SimulatorConfig()
    parser = argparse.ArgumentParser(prog="python -m persona_simulator", description=__doc__)
    add = parser.add_argument
    add("--host", default=default.host, help="address to listen on; one that others can reach needs a token")
    add("--control-token", default=None, help="what control requests must bring along in the header Simulator-Token")
    add("--port", type=int, default=8790, help="port to listen on; 0 takes a free one")
    add("--cases", type=int, default=default.cases, help="cases to begin with")
    add("--limit", type=int, default=default.limit, help="requests a window, over all keys")
    add("--window", type=float, default=default.window_seconds, help="length of a window in seconds")
    add("--reset-rounding", choices=list(ResetRounding), default=default.reset_rounding, help="of RateLimit-Reset")
    add("--latency-ms", type=float, default=default.latency_ms, help="what every answer takes")
    add("--seed", type=int, default=default.seed, help="of the cases and the random faults")
    add("--api-key", action="append", default=[], help="accept this key too, with all permissions (repeatable)")
    add("--faults", type=float, default=0.0, help="share of requests (0 to 1) that meet one of the usual faults")
    add("--fault", action="append", default=[], metavar="KIND=SHARE", help=f"share of one kind: {', '.join(FaultKind)}")
    add("--create-quota", type=int, default=None, help="cases, inquiries, … that may be created a window")
    add("--work-seconds", type=float, default=default.work_seconds, help="what a report, an import or a run takes")
    add("--restricted", action="store_true", help="answer 403 to what has left the published specification")
    add("--search-lag", type=float, default=default.search_lag_seconds, help="seconds the search index is behind")
    add("--state", type=Path, default=None, help="file to begin from if it is there, and to save to at the end")
    add(
        "--config",
        default=None,
        help="JSON file of a SimulatorConfig, `-` for standard input; replaces all of the above",
    )
    return parser


def _config(options: argparse.Namespace) -> SimulatorConfig:
    if options.config is not None:
        text = sys.stdin.read() if options.config == "-" else Path(options.config).read_text("utf-8")
        return TypeAdapter(SimulatorConfig).validate_json(text)
    rates = usual_rates(options.faults)
    for given in options.fault:
        kind, _, share = given.partition("=")
        rates[FaultKind(kind)] = float(share)
    keys = tuple(
        ApiKey(secret, f"api_simulator_{number}", "full", ALL_PERMISSIONS)
        for number, secret in enumerate(options.api_key, start=1)
    )
    return SimulatorConfig(
        host=options.host,
        control_token=options.control_token,
        port=options.port,
        cases=options.cases,
        limit=options.limit,
        window_seconds=options.window,
        reset_rounding=ResetRounding(options.reset_rounding),
        latency_ms=options.latency_ms,
        seed=options.seed,
        keys=keys + DEFAULT_KEYS,
        fault_rates=rates,
        create_quota=options.create_quota,
        search_lag_seconds=options.search_lag,
        work_seconds=options.work_seconds,
        restricted=options.restricted,
        state_file=options.state,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM and return 0; 2 when the options make no sense or the extra is missing."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        config = _config(options)
    except (ValueError, ValidationError, OSError) as refusal:
        parser.error(str(refusal))
    came: list[int] = []
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, _: came.append(number))
    if hasattr(signal, "pthread_sigmask"):  # a `SimulatorProcess` begins without interrupts
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        server = SimulatorServer(config).start()
    except (ValueError, OSError, ModuleNotFoundError) as refusal:
        parser.error(str(refusal))
    with server:
        print(
            f"{READY} {server.url} environment={config.environment_id} cases={config.cases}"
            f" limit={config.limit}/{config.window_seconds:g}s",
            flush=True,
        )
        # No wait on a lock or an `Event`: a signal that comes just before the thread sleeps there does not wake it.
        while not came:
            time.sleep(0.1)
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)  # it ends already
    return 0


if __name__ == "__main__":
    sys.exit(main())
