"""A first send: which rows of a plan are applied before all others, so that people can look at what comes of them."""

from __future__ import annotations

import hashlib
import heapq
from collections import defaultdict

from airflow_provider_persona.bulk.plan.file import Plan


def sampled_rows(plan: Plan, size: int) -> frozenset[int]:
    """Return the numbers of the rows in a plan's sample, spread over its transitions (`from -> to` status).

    The first rows are one of each transition, the next ones another of each, and so on. Within a transition chance
    decides, by the plan's hash. So each attempt has the same sample, and a bigger sample holds each smaller one.

    :param plan: the plan.
    :param size: rows that are to be changed.
    :raises PlanError: when the plan was changed since it was checked.
    """
    by_transition: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, transition in plan.changes():
        kept = by_transition[transition]
        item = (-_rank(plan.header.hash, number), number)  # a heap gives its smallest, and the smallest ranks stay
        if len(kept) < size:
            heapq.heappush(kept, item)
        elif item > kept[0]:
            heapq.heapreplace(kept, item)
    turns = [
        (turn, transition, number)
        for transition, kept in by_transition.items()
        for turn, (_, number) in enumerate(sorted(kept, reverse=True))
    ]
    return frozenset(number for _, _, number in heapq.nsmallest(size, turns))


def _rank(plan_hash: str, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{plan_hash}:{number}".encode()).digest()[:8])
