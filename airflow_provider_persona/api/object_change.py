"""What the changes of all kinds of objects share: the wanted state is a value, and its steps follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from airflow_provider_persona.api.steps import Step


class ObjectChange(BaseModel):
    """The wanted state of one object. A kind of object gives its fields, and `_all_steps`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def _all_steps(self) -> Iterator[Step]:
        """Yield the calls that make all of it true, in their order."""
        raise NotImplementedError

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing."""
        return not self.steps()

    def steps(self, current: Any = None) -> tuple[Step, ...]:
        """Return the calls to make, in order.

        :param current: the object as just read, to leave out what it already has; None to make all calls.
        """
        return tuple(step for step in self._all_steps() if current is None or not step.is_shown_by(current))
