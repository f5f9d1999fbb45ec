"""Apply the rows of a SQLite table through the real operator, in this process, without a scheduler.

The table is `case_updates(id, case_id, new_status)`. Plan and ledger stay in the state folder. After a kill, start it
again with the same folder: it resumes where the ledger ends. The report names the cases of the rows that were not done.

    python benchmarks/apply_rows.py --base-url URL --database FILE --api-key KEY --report FILE --state DIR

`--usage FILE` also writes the CPU time and memory of the operator's `execute`, without starting and importing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

WANTED = "SELECT case_id, new_status AS status FROM case_updates ORDER BY id"

BY_ACCOUNT = (
    "SELECT replace(case_id, 'case_', 'act_') AS account_id, new_status AS status FROM case_updates ORDER BY id"
)
"""The same cases by their accounts: the simulator gives each case one of the same number."""

USED_ON_THE_WAY = (
    "airflow.providers.sqlite.hooks.sqlite",
    "airflow_provider_persona.bulk.apply.run",
    "airflow_provider_persona.bulk.job",
    "airflow_provider_persona.hooks.persona",
    "airflow_provider_persona.bulk.source.query",
    "aiohttp",
    "requests",
    "urllib.request",
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Apply the rows of case_updates through SqlToPersonaCasesOperator.")
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--database", required=True, type=Path, help="SQLite file with the table case_updates")
    parser.add_argument("--api-key", required=True)
    parser.add_argument("--report", required=True, type=Path, help='where {"failed": [case ids]} goes')
    parser.add_argument("--state", required=True, type=Path, help="folder for plan and ledger")
    parser.add_argument("--reserve", type=float, default=None, help="share of the limit left to others")
    parser.add_argument("--read-timeout", type=float, default=None, help="seconds until an answer must have arrived")
    parser.add_argument("--compare", default="never")
    parser.add_argument(
        "--match-by", choices=["account-id"], default=None, help="name cases by another key than their id"
    )
    parser.add_argument("--concurrency", type=int, default=24)
    parser.add_argument("--only-from", action="append", help="change only cases in this status (repeatable)")
    parser.add_argument("--dry-run", action="store_true", help="plan and read, write nothing")
    parser.add_argument("--usage", type=Path, default=None, help="where CPU seconds and memory go")
    return parser.parse_args()


def _environment(arguments: argparse.Namespace) -> None:
    """Set Airflow's home and the two connections. This must come before Airflow is imported."""
    home = arguments.state.resolve() / "airflow"
    home.mkdir(parents=True, exist_ok=True)
    persona: dict[str, Any] = {"conn_type": "persona", "host": arguments.base_url, "password": arguments.api_key}
    if arguments.read_timeout is not None:
        persona["extra"] = {"read_timeout": arguments.read_timeout}
    warehouse = {"conn_type": "sqlite", "host": str(arguments.database.resolve())}
    os.environ.update(
        {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_PERSONA_DEFAULT": json.dumps(persona),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps(warehouse),
        }
    )


def _measured(usage: Path | None) -> AbstractContextManager[None]:
    """Measure the block. What the operator would import on its way is imported before, so that it does not count."""
    if usage is None:
        return nullcontext()
    from resource_usage import measured  # beside this script, where Python looks first

    for module in USED_ON_THE_WAY:
        importlib.import_module(module)
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
    from airflow.providers.common.compat.sdk import BaseHook

    # The process of a real task has loaded by then what Airflow loads at the first connection and the first lineage.
    BaseHook.get_connection("persona_default")
    get_hook_lineage_collector()
    return measured(usage)


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator

    operator = SqlToPersonaCasesOperator(
        task_id="apply_rows",
        sql=WANTED if arguments.match_by is None else BY_ACCOUNT,
        match_by=arguments.match_by,
        sql_conn_id="warehouse",
        state_path=str(arguments.state),
        compare=arguments.compare,
        concurrency=arguments.concurrency,
        reserve=arguments.reserve,
        only_from=arguments.only_from,
        dry_run=arguments.dry_run,
        max_failures=1.0,
    )
    task_instance = SimpleNamespace(
        dag_id="benchmark",
        run_id="apply_rows",
        task_id="apply_rows",
        map_index=-1,
        try_number=2,  # a retry: it resumes what is in the state folder
        max_tries=0,
        xcom_push=_push,
    )
    with _measured(arguments.usage):
        return operator.execute({"ti": task_instance})


def _push(key: str, value: Any) -> None:
    print(f"{key}: {json.dumps(value)}")


def _not_as_wished(report: dict[str, Any]) -> list[str]:
    from airflow_provider_persona.bulk.ledger.ledger import read_results

    outcomes = {
        result.row: (result.object_id, result.outcome)
        for result in read_results(Path(report["ledger"]), report["plan_hash"])
    }
    return sorted(
        {case_id for case_id, outcome in outcomes.values() if case_id and outcome not in ("updated", "unchanged")}
    )


def main() -> int:
    """Apply the rows, write the report, and print the counts."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    _environment(arguments)
    report = _run(arguments)
    arguments.report.write_text(json.dumps({"failed": _not_as_wished(report)}))
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
