"""What the pages get, as plain data: counts, reasons and rows of a run, and the list of runs.

Texts go out as they are. The pages show them as text and never as markup.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from airflow_provider_persona.api.dashboard import dashboard_address
from airflow_provider_persona.bulk.ledger.limit_use import limit_use_of
from airflow_provider_persona.bulk.ledger.row_index import RowFilter, RowIndex
from airflow_provider_persona.bulk.ledger.shown_rows import OPEN, ShownRow
from airflow_provider_persona.bulk.plan.file import PlanHeader
from airflow_provider_persona.pages.task_records import TaskRecords

PAGE_SIZE: Final = 50
_MOST_REASONS = 50
_SORTS = ("failed", "unresolved", "invalid", "skipped_guard")
_MOST_TRANSITIONS = 100
_OF_THE_REPORT = (
    "requests",
    "retries",
    "throttled",
    "waited_seconds",
    "seconds",
    "resumed",
    "not_done",
    "repeats",
    "verified",
    "differences",
)
_OF_THE_PLAN = ("created_at", "environment", "rows", "repeats", "unknown_statuses", "irreversible", "estimate")


def task_answer(records: TaskRecords) -> dict[str, Any]:
    """Return what Airflow's own store knows of a run."""
    result, progress = records.result, records.progress
    counts = _counts(result.get("outcomes") if records.only_plans else result.get("counts"))
    if records.is_live or not counts:
        counts = _counts(progress.get("counts")) or counts
    rows = _number(result.get("rows")) or _number(progress.get("rows"))
    if rows and counts and not records.only_plans and sum(counts.values()) < rows:
        counts = {OPEN: int(rows) - sum(counts.values()), **counts}
    named = records.plan
    return {
        "task": {
            **asdict(records.address),
            "operator": records.operator,
            "state": records.state,
            "try_number": records.try_number,
            "began": records.began,
            "ended": records.ended,
            "is_live": records.is_live,
            "is_of_persona": records.is_of_persona,
            "only_plans": records.only_plans,
        },
        "plan": {
            "address": None if named is None else named.uri,
            "hash": None if named is None else named.hash,
            **{name: result[name] for name in _OF_THE_PLAN if result.get(name) not in (None, [], {})},
        },
        "report": {name: result[name] for name in _OF_THE_REPORT if _number(result.get(name)) is not None},
        "ledger": result["ledger"] if isinstance(result.get("ledger"), str) else None,
        "rows": rows,
        "counts": counts,
        "reasons": _reasons_of(result.get("failures")),
        "transitions": _transitions_of(_counts(result.get("transitions")).items()),
        "said": progress.get("progress") or None,
        "said_at": progress.get("at") or None,
        "said_end": progress.get("end") or None,
    }


def limit_answer(records: TaskRecords) -> dict[str, Any]:
    """Return how much of the request limit was used when, as far as the last attempt kept it."""
    reserve, samples = limit_use_of(records.progress.get("limit_use"))
    return {"reserve": reserve, "samples": samples}


def header_answer(header: PlanHeader) -> dict[str, Any]:
    """Return what a plan's first line says."""
    return {
        "hash": header.hash,
        "created_at": header.created_at,
        "environment": header.environment,
        "kind": header.object_kind if header.operation_id is None else None,
        "operation": header.operation_id,
        "rows": header.rows,
        "repeats": header.repeats,
        "only_from": header.only_from,
        "never_from": header.never_from,
        "unknown_statuses": header.unknown_labels,
        "irreversible": header.irreversible,
        "planned": header.planned,
        "planned_transitions": _transitions_of(header.transitions.items()),
    }


def index_answer(index: RowIndex, *, is_complete: bool, now: datetime | None = None) -> dict[str, Any]:
    """Return what plan and ledger say of a run, as far as they were read.

    :param index: the run's rows.
    :param is_complete: whether all was read that there is now.
    :param now: UTC time; by default the present.
    """
    rows, settled = index.plan.header.rows, index.settled
    return {
        "is_complete": is_complete,
        "share_read": round(index.share_read, 3),
        "rows_read": settled,
        "damaged": index.damaged,
        "is_applied": index.with_ledger,
        "end": index.end,
        "rows": rows,
        "counts": index.counts(),
        "reasons": _worst_first([_reason(text, count) for text, count in index.reasons()])[:_MOST_REASONS],
        "transitions": _transitions_of(index.transitions()[:_MOST_TRANSITIONS]),
        "pace": {"seconds": index.pace.seconds, "stretches": index.pace.stretches()},
        "seconds_left": _seconds_left(index, now or datetime.now(UTC)) if is_complete else None,
        "attempt_began": index.attempt_began,
    }


def rows_answer(index: RowIndex, wanted: RowFilter, page: int) -> dict[str, Any]:
    """Return a page of rows.

    :param index: the run's rows.
    :param wanted: which rows.
    :param page: number of the page, from 0.
    """
    header = index.plan.header
    kind = header.object_kind if header.operation_id is None else ""
    total, rows = index.page(wanted, page * PAGE_SIZE, PAGE_SIZE)
    return {
        "total": total,
        "page": page,
        "pages": max(1, -(-total // PAGE_SIZE)),
        "size": PAGE_SIZE,
        "rows": [_row(row, kind) for row in rows],
    }


def _row(row: ShownRow, kind: str) -> dict[str, Any]:
    result = row.result
    return {
        "row": row.number,
        "object_id": row.object_id,
        "link": dashboard_address(kind, row.object_id),
        "state": row.state,
        "from": row.from_status,
        "to": row.to_status,
        "reason": row.reason,
        "http_status": None if result is None else result.http_status,
        "request_ids": [] if result is None else list(result.request_ids),
        "attempts": None if result is None else result.attempts,
        "at": None if result is None else result.at,
    }


def _seconds_left(index: RowIndex, now: datetime) -> float | None:
    """Return about how long the rest takes at the pace of this attempt, or None while that is unknown."""
    if index.attempt_began is None or index.end is not None:
        return None
    done = index.settled - index.settled_before
    passed = (now - datetime.fromisoformat(index.attempt_began)).total_seconds()
    left = index.plan.header.rows - index.settled
    return round(left * passed / done, 1) if done > 0 and passed > 0 else None


def _reason(text: str, count: int) -> dict[str, Any]:
    state, _, reason = text.partition(": ")
    return {"text": text, "state": state if reason else None, "reason": reason or text, "count": count}


def _worst_first(reasons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return reasons with those of failures first; each sort stays in its order."""
    return sorted(reasons, key=lambda one: _SORTS.index(one["state"]) if one["state"] in _SORTS else len(_SORTS))


def _reasons_of(failures: Any) -> list[dict[str, Any]]:
    """Return the reasons that the task's own report names."""
    found = []
    for one in failures if isinstance(failures, Sequence) and not isinstance(failures, str) else []:
        if isinstance(one, Mapping) and isinstance(one.get("reason"), str) and _number(one.get("count")) is not None:
            ids = one.get("example_ids")
            examples = [str(each) for each in ids[:3]] if isinstance(ids, list) else []
            found.append(_reason(one["reason"], one["count"]) | {"examples": examples})
    return found


def _transitions_of(counts: Any) -> list[dict[str, Any]]:
    found = []
    for text, count in counts:
        before, _, after = text.partition(" -> ")
        found.append({"text": text, "from": before, "to": after, "count": count})
    return found


def _counts(found: Any) -> dict[str, int]:
    """Return counts as a record holds them; whoever may write XCom can write anything."""
    if not isinstance(found, Mapping):
        return {}
    return {str(name): count for name, count in found.items() if isinstance(count, int) and count > 0}


def _number(found: Any) -> float | None:
    if isinstance(found, float) and not math.isfinite(found):  # Python reads them from JSON, and `int` refuses them
        return None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None
