"""Which task a call belongs to, and which of its tries this is, so that a retry repeats nothing.

A retry must carry the idempotency key of the first try; a task that somebody cleared must carry a new one. Airflow
tells neither directly. `max_tries` of the task instance does: Airflow sets it when the run is made, and anew at each
clear (number of tries so far + `retries`). It does not change when somebody edits `retries` in the Dag. So keys are
made from `max_tries`. `max_tries - retries` would be another number after such an edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

FIRST_TRY: Final = "persona_first_try"
"""Key of the note in the task's state store. Airflow shows it under "Storage" of the task (3.3)."""


@dataclass(frozen=True, slots=True)
class TaskIdentity:
    """One task of one Dag run, the same in each of its tries.

    :param dag_id: the Dag.
    :param run_id: its run.
    :param task_id: the task.
    :param map_index: index of a mapped task; -1 for a task that is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @classmethod
    def of(cls, ti: Any) -> TaskIdentity:
        """Return the identity of a task instance."""
        # None on a task instance of the task SDK (`map_index: int | None`, Airflow 3), where Airflow's database has -1.
        return cls(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index)

    @property
    def task_parts(self) -> list[str]:
        """What names the task in all runs of its Dag."""
        parts = [self.dag_id, self.task_id]
        return parts if self.map_index < 0 else [*parts, str(self.map_index)]

    @property
    def run_parts(self) -> list[str]:
        """What names the task in this run of its Dag."""
        dag_id, *rest = self.task_parts
        return [dag_id, self.run_id, *rest]

    def __str__(self) -> str:
        return "/".join(self.run_parts)


@dataclass(frozen=True, slots=True)
class Tries:
    """The tries of a task since it was last cleared.

    :param max_tries: Airflow's number, which is another one after each clear.
    :param try_number: number of this try.
    :param is_retry: whether an earlier try since the last clear may have sent something.
    :param begun_at: when the first of them began; None where it is not known.
    """

    max_tries: int
    try_number: int
    is_retry: bool
    begun_at: datetime | None

    @classmethod
    def begin(cls, context: Context | Mapping[str, Any], retries: int, now: datetime | None = None) -> Tries:
        """Return the tries so far, and note the first one in the task's state store where Airflow has one (3.3).

        Call this before anything is sent: where the note is missing, earlier tries are known to have sent nothing.

        :param context: Airflow's context of the try.
        :param retries: retries of the task in the Dag as it is now.
        :param now: UTC time; by default the present.
        """
        ti, store = context["ti"], context.get("task_state_store")
        now = now or datetime.now(UTC)
        noted = _noted(store)
        if noted is not None and noted["max_tries"] == ti.max_tries:
            is_retry = ti.try_number > noted["first_try"]
            at = noted["at"]
            if at is not None:  # None is what `forget` left: nothing was done yet, so the time of the key begins now
                return cls(ti.max_tries, ti.try_number, is_retry, datetime.fromisoformat(at))
        else:
            # A note about another max_tries: the task was cleared since, and no try has begun after that.
            is_retry = noted is None and not _looks_like_the_first(ti, retries)
            if is_retry:
                return cls(ti.max_tries, ti.try_number, is_retry, None)
        if store is not None:
            first = noted["first_try"] if is_retry and noted is not None else ti.try_number
            store.set(FIRST_TRY, {"max_tries": ti.max_tries, "first_try": first, "at": now.isoformat()})
        return cls(ti.max_tries, ti.try_number, is_retry, now)

    def forget(self, context: Context | Mapping[str, Any]) -> None:
        """Note that the tries so far did nothing, so that the next one counts as the first."""
        store: Any = context.get("task_state_store")
        if store is not None:
            store.set(FIRST_TRY, {"max_tries": self.max_tries, "first_try": self.try_number + 1, "at": None})


def _noted(store: Any) -> dict[str, Any] | None:
    noted = None if store is None else store.get(FIRST_TRY)
    return noted if isinstance(noted, dict) and {"max_tries", "first_try", "at"} <= noted.keys() else None


def _looks_like_the_first(ti: Any, retries: int) -> bool:
    """Return whether this try is the first since the task was last cleared, where no note can tell.

    The first try of all is number 1. After a clear at try N, Airflow sets `max_tries` to N + `retries`, so try N + 1
    is `max_tries - retries + 1`, as long as nobody has edited `retries` since. Every other number is taken for a retry,
    because the mistakes are not alike: a first try that is taken for a retry sends nothing when it cannot rule out that
    an earlier one did, and says so; a retry that is taken for a first try could create a second object. That is left
    possible in one case only: `retries` was lowered by k after the first try, this is try k + 1 or its like after a
    clear, and Persona has forgotten the key of the first try. A key itself never depends on this guess.
    """
    return bool(ti.try_number == 1 or ti.try_number == ti.max_tries - retries + 1)
