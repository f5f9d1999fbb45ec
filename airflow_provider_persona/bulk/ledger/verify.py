"""Reads the objects that a run changed once more, and reports those that are not as the run left them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from airflow_provider_persona.bulk.plan.compare import CompareMode, Comparer
from airflow_provider_persona.bulk.plan.file import Plan
from airflow_provider_persona.bulk.plan.spool import Spool
from airflow_provider_persona.bulk.subjects.subject import ObjectState, ObjectSubject, ObjectUpdate
from airflow_provider_persona.client import AsyncPersonaClient
from airflow_provider_persona.storage.paths import remove
from airflow_provider_persona.storage.whole_files import write_whole

DIFFERENCES_FILE = "differences.jsonl"
_FEW = 5


async def verify(plan: Plan, was_touched: Callable[[int], bool], client: AsyncPersonaClient) -> tuple[int, int]:
    """Read the objects that a run changed, and write the differences beside the plan.

    A difference need not be a fault: somebody may have changed the object since.

    :param plan: the plan, with its values.
    :param was_touched: tells whether the run changed, or may have changed, a row's object.
    :param client: the client to call with.
    :returns: how many objects were read, and how many of them are not as the run left them.
    :raises PersonaError: when the objects cannot be read.
    """
    subject = plan.header.subject
    assert isinstance(subject, ObjectSubject)
    # Through a spool of its own: rows can then be compared as for a plan, and need no memory.
    with Spool(only_row_per=subject.only_row_per) as spool:
        spool.fill(_touched(plan, was_touched, client.check_stop))
        touched = spool.valid_rows()
        mode = CompareMode.GET if touched <= _FEW else CompareMode.AUTO
        # Reading pages pays as long as each shows more than one of the objects; the rest is read one by one.
        comparer = Comparer(
            spool, subject, client, mode, needs_states=True, cost_of_blind=10 * touched, is_right=_is_as_left
        )
        await comparer.run()
        differing = list(_differing(spool))
    file = plan.folder / DIFFERENCES_FILE
    if differing:
        write_whole(file, differing)
    else:
        remove(file)  # an earlier attempt's
    return touched, len(differing)


def _touched(
    plan: Plan, was_touched: Callable[[int], bool], check_stop: Callable[[], None]
) -> Iterator[tuple[int, ObjectUpdate]]:
    for row in plan.rows():
        if row.number % 1000 == 0:
            check_stop()  # a million rows keep the event loop for many seconds, in which it hears of no stop
        if isinstance(row.wanted, ObjectUpdate) and was_touched(row.number):
            yield row.number, row.wanted


def _differing(spool: Spool) -> Iterator[bytes]:
    for row in spool.rows():
        if row.seen is None or not row.seen.is_right:
            found = None if row.seen is None else row.seen.status
            line = {"row": row.number, "object_id": row.object_id, "wanted": row.shown.get("status"), "found": found}
            yield json.dumps(line, ensure_ascii=False).encode()


def _is_as_left(update: ObjectUpdate, state: ObjectState) -> bool:
    return not any(step.absence_tells for step in update.change.steps(state.resource))
