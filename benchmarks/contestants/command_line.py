"""The command line and the report of every contestant. Not part of what is compared."""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.resource_usage import measured

Row = tuple[str, str]
"""A case's id and the status it should have."""

PERSONA_VERSION = "2025-12-08"


@dataclass(frozen=True, slots=True)
class Task:
    """The rows to apply, and what the user knows about the account.

    :param url: address of Persona.
    :param key: the API key.
    :param rows: the rows.
    :param limit: requests per window that the account allows; 0 for none.
    :param window: seconds of a window.
    :param concurrency: requests under way at once, for contestants that can have more than one.
    """

    url: str
    key: str
    rows: tuple[Row, ...]
    limit: int
    window: float
    concurrency: int

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        return {"Authorization": f"Bearer {self.key}", "Persona-Version": PERSONA_VERSION}

    def address(self, case_id: str) -> str:
        """Return the address that sets the status of a case."""
        return f"{self.url}/api/v1/cases/{case_id}/set-status"


def body(status: str) -> dict[str, object]:
    """Return the body that sets a status."""
    return {"meta": {"status": status}}


def run(contestant: Callable[[Task], Iterable[str]]) -> None:
    """Read the command line, let the contestant do the task, and write what it reports.

    :param contestant: does the task and returns the cases that it could not change.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--database", required=True, type=Path)
    parser.add_argument("--api-key", required=True)
    parser.add_argument("--report", required=True, type=Path)
    parser.add_argument("--usage", required=True, type=Path)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--window", type=float, default=60.0)
    parser.add_argument("--concurrency", type=int, default=24)
    given = parser.parse_args()
    with measured(given.usage):
        with closing(sqlite3.connect(given.database)) as db:
            rows = db.execute("SELECT case_id, new_status FROM case_updates ORDER BY id").fetchall()
        task = Task(given.base_url, given.api_key, tuple(rows), given.limit, given.window, given.concurrency)
        failed = sorted(contestant(task))
    given.report.write_text(json.dumps({"failed": failed}))
