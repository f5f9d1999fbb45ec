"""Plans generated rows and prints how much its memory grew over a small plan's, in MB. Argument: how many rows."""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # it is started as a program

from bulk_runs import plan_of


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Rows of which every twentieth case comes twice, a hundred of them with another wish."""
    cases = count - count // 20
    for number in range(count):
        case = number % cases
        status = "Declined" if cases <= number < cases + 100 else "Approved"
        yield {"case_id": f"case_{case:020d}", "status": status, "note": f"note {case}"}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        mapping = {"fields": {"decision-note": "note"}}
        plan_of(rows(1000), Path(place) / "small", mapping)
        before = peak()
        plan = plan_of(rows(int(sys.argv[1])), Path(place) / "large", mapping)
        last = max(row.number for row in plan.rows())
        print(plan.header.rows, plan.header.repeats, plan.header.planned["invalid"], last, round(peak() - before, 1))
