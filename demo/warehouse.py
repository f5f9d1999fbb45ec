"""A small warehouse: a company's decisions about Persona's cases, with the flaws of real tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

DECIDED = 1200


def fill(path: Path, statuses: Mapping[str, str]) -> dict[str, str]:
    """Write the table `case_decisions`, and return the status that each changed case must have at the end.

    Besides good rows the table has cases that reviewers have decided already, repeats, a contradiction, NULLs, a
    malformed id and a status that no template has.

    :param path: file of the SQLite database.
    :param statuses: the cases' statuses as the warehouse last saw them.
    """
    open_cases = [case_id for case_id, status in statuses.items() if status in ("Open", "Pending", "In Review")]
    decided_by_humans = [case_id for case_id, status in statuses.items() if status in ("Approved", "Declined")]
    good = {
        case_id: "Declined" if number % 3 == 0 else "Approved" for number, case_id in enumerate(open_cases[:DECIDED])
    }
    rows: list[tuple[str | None, str | None, str | None]] = [
        (case_id, status, None) for case_id, status in good.items()
    ]
    rows += rows[:25]
    rows += [(case_id, "Declined", "Open") for case_id in decided_by_humans[:40]]
    contradicted, misspelt = open_cases[DECIDED], open_cases[DECIDED + 1]
    rows += [
        (contradicted, "Approved", None),
        (contradicted, "Declined", None),
        (None, "Declined", None),
        (open_cases[DECIDED + 2], None, None),
        ("case_1/../case_2", "Declined", None),
        (misspelt, "Aproved", None),
    ]
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE case_decisions (case_id TEXT, new_status TEXT, expected_status TEXT)")
        db.executemany("INSERT INTO case_decisions VALUES (?, ?, ?)", rows)
    return good
