"""An auth manager in which each user may read some Dags only.

Airflow's simple auth manager lets every user read every Dag. This one is the same in all but that.
"""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

READABLE = {
    "alice": ("e2e_", "looked_at"),
    "mallory": ("another_dag",),
    "nobody": (),
    "olga": ("looked_at", "persona_"),
}
"""What the ids of the Dags begin with that a user may read."""


class DagReaders(SimpleAuthManager):
    """Lets a user read the Dags in `READABLE`."""

    def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        """Whether a user may do something with a Dag, or with some Dag where none is named."""
        readable, named = READABLE[user.username], None if details is None else details.id
        if not readable or (named is not None and not named.startswith(readable)):
            return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
