"""What the changes of all kinds of objects share: the wanted state is a value, and its steps follow from it.

Tags change by calls of their own for every kind, so they stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator

from airflow_provider_persona.api.steps import Step


class Change(BaseModel):
    """The wanted state of one object. What is not given stays as it is. A kind adds its parts, and `_all_steps`.

    :param tags: all tags that the object should have; not together with the next two.
    :param add_tags: tags to add.
    :param remove_tags: tags to remove.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    tags: tuple[str, ...] | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()

    resource_type: ClassVar[str]
    """Persona's name for the kind of object."""
    tag_operations: ClassVar[tuple[str, str, str]]
    """Ids of the operations that replace all tags, add one, and remove one."""

    if TYPE_CHECKING:

        @property
        def status(self) -> str | None:
            """The wanted status, or None when it stays as it is; always None for kinds without such calls."""

    @model_validator(mode="after")
    def _tags_make_sense(self) -> Self:
        if self.tags is not None and (self.add_tags or self.remove_tags):
            raise ValueError("tags replaces all tags; give either tags, or add_tags and remove_tags")
        if set(self.add_tags) & set(self.remove_tags):
            raise ValueError("the same tag is to be added and removed")
        return self

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing."""
        return not self.steps()

    def steps(self, current: Any = None) -> tuple[Step, ...]:
        """Return the calls to make, in order. The status comes last: it may start a workflow that needs the rest.

        :param current: the object as just read, to leave out what it already has; None to make all calls.
        """
        return tuple(step for step in self._all_steps() if current is None or not step.is_shown_by(current))

    def _all_steps(self) -> Iterator[Step]:
        """Yield the calls that make all of it true, in their order."""
        raise NotImplementedError

    def _tag_steps(self) -> Iterator[Step]:
        """Yield one call that replaces all tags, or one for each tag."""
        replace_all, add, remove = self.tag_operations
        if self.tags is not None:
            wanted = set(self.tags)
            yield self._tag_step(replace_all, list(self.tags), lambda it: set(it.attributes.tags or ()) == wanted)
        for operation_id, tags, present in ((add, self.add_tags, True), (remove, self.remove_tags, False)):
            for tag in tags:
                yield self._tag_step(operation_id, tag, partial(_has_tag, tag, present=present))

    def _tag_step(self, operation_id: str, tag: str | list[str], shown: Callable[[Any], bool]) -> Step:
        return Step(self.resource_type, "tags", operation_id, {"meta": {"tag-name": tag}}, shown, ("tags",))


def _has_tag(tag: str, it: Any, *, present: bool) -> bool:
    tags = it.attributes.tags
    return tags is not None and (tag in tags) is present
