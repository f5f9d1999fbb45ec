"""Looking again at the cases that a run changed, in pages, and reporting those that are not as it left them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from airflow_provider_persona.api.models import Case
from airflow_provider_persona.bulk.compare import CompareMode, Comparer
from airflow_provider_persona.bulk.plan import Plan
from airflow_provider_persona.bulk.rows import Wish
from airflow_provider_persona.bulk.spool import Spool, SpooledRow
from airflow_provider_persona.bulk.store import write_whole
from airflow_provider_persona.client import AsyncPersonaClient

DIFFERENCES_FILE = "differences.jsonl"
_FEW = 5


@dataclass(frozen=True, slots=True)
class Verification:
    """What a second look showed.

    :param checked: cases looked at.
    :param differences: those that are not as the run left them.
    """

    checked: int
    differences: int


async def verify(plan: Plan, was_touched: Callable[[int], bool], client: AsyncPersonaClient) -> Verification:
    """Read the cases that a run changed, and write down beside the plan which are not as wished.

    A difference need not be a fault: somebody may have changed the case since.

    :param plan: the plan, with its values.
    :param was_touched: tells whether the run changed, or may have changed, a row's case.
    :param client: the client to call with.
    :raises PersonaError: when the cases cannot be read.
    """
    with Spool() as spool:
        spool.fill_numbered(_touched(plan, was_touched))
        touched = spool.valid_rows()
        mode = CompareMode.GET if touched <= _FEW else CompareMode.AUTO
        # Reading pages pays as long as each shows more than one of the cases; the rest is read one by one.
        comparer = Comparer(spool, client, mode, needs_states=True, cost_of_blind=10 * touched, is_so=_is_as_left)
        await comparer.run()
        differing = list(_differing(spool))
    file = plan.folder / DIFFERENCES_FILE
    if differing:
        write_whole(file, differing)
    elif file.exists():
        file.unlink()  # an earlier attempt's
    return Verification(touched, len(differing))


def _touched(plan: Plan, was_touched: Callable[[int], bool]) -> Iterator[tuple[int, Wish]]:
    for row in plan.rows():
        if isinstance(row.wish, Wish) and was_touched(row.number):
            yield row.number, row.wish


def _differing(spool: Spool) -> Iterator[bytes]:
    for row in spool.rows():
        if row.seen is None or not row.seen.is_so:
            found = None if row.seen is None else row.seen.status
            wanted = json.loads(row.wish).get("status")
            line = {"row": row.number, "object_id": row.object_id, "wanted": wanted, "found": found}
            yield json.dumps(line, ensure_ascii=False).encode()


def _is_as_left(row: SpooledRow, case: Case) -> bool:
    return not any(step.absence_tells for step in row.case_wish.change.steps(case))
