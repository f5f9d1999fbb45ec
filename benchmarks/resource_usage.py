"""CPU time and memory of the part of a process that does the work, without starting and importing.

The contestants and `apply_rows.py` import it, so it uses the standard library only.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

_MIB = 1024.0 * 1024.0
_PROCESS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """CPU time and memory of the measured part.

    :param cpu_seconds: user and system time of this process and of children that it waited for.
    :param wall_seconds: time by the clock.
    :param rss_before_mib: resident memory when it began: what starting and importing took.
    :param peak_rss_mib: the most resident memory of this process so far.
    """

    cpu_seconds: float
    wall_seconds: float
    rss_before_mib: float
    peak_rss_mib: float


@contextmanager
def measured(report: Path | None) -> Iterator[None]:
    """Measure the block and write the figures to a file as JSON, also when the block fails.

    :param report: the file; None measures nothing.
    """
    if report is None:
        yield
        return
    rss, cpu, wall = _resident("VmRSS"), _cpu_seconds(), time.monotonic()
    try:
        yield
    finally:
        usage = ResourceUsage(_cpu_seconds() - cpu, time.monotonic() - wall, rss, _resident("VmHWM"))
        report.write_text(json.dumps(asdict(usage)))


def read_usage(report: Path) -> ResourceUsage | None:
    """Return what `measured` wrote, or None when it wrote nothing."""
    return ResourceUsage(**json.loads(report.read_text())) if report.exists() else None


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _resident(name: str) -> float:
    """Return a figure of `/proc/self/status` in MiB, or the peak that `getrusage` knows where there is no such file.

    `ru_maxrss` is second choice: on Linux it survives `exec`, so a child begins with the size of its parent.
    """
    if _PROCESS.exists():
        for line in _PROCESS.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MIB if sys.platform == "darwin" else peak / 1024.0
