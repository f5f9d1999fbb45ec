"""Checkpoints in the state store of a task, where Airflow has one (3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.bulk.ledger.checkpoint import Checkpoint

KEY = "persona_progress"
"""Shown under "Storage" of the task in Airflow's UI."""


class TaskStateCheckpoints:
    """Keeps a run's last checkpoint in its task's state store. Its calls block; keep them off an event loop's thread.

    :param store: the store, of the task's context.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    def load(self) -> Checkpoint | None:
        """Return the last checkpoint, or None."""
        from airflow_provider_persona.bulk.ledger.checkpoint import Checkpoint

        return Checkpoint.from_json(self._store.get(KEY))

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the last one."""
        self._store.set(KEY, checkpoint.to_json())


def checkpoints_of(context: Context) -> TaskStateCheckpoints | None:
    """Return where checkpoints of the running task are kept, or None where Airflow has no such place."""
    store = context.get("task_state_store")
    return None if store is None else TaskStateCheckpoints(store)
