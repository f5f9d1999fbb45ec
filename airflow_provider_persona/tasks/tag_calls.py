"""The calls that change the tags of an object: one that replaces them all, or one for each tag added or removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_persona.tasks.call_checks import Call, NotYetKnown

ALL_DOC: Final = "exactly these tags, or"
ADD_DOC: Final = "these tags too, and"
REMOVE_DOC: Final = "not these tags."


@dataclass(frozen=True, slots=True)
class TagCalls:
    """The operations on the tags of one kind of object.

    :param replace: sets all tags.
    :param add: adds one.
    :param remove: removes one.
    """

    replace: str
    add: str
    remove: str

    def of(self, path: Mapping[str, Any], values: Mapping[str, Any]) -> Sequence[Call]:
        """Return the calls that the wanted tags take.

        :param path: values of the path's parameters.
        :param values: `tags`, `add_tags` and `remove_tags`: lists of names, or None.
        """
        if values["tags"] is not None:
            return [self._call(self.replace, path, values["tags"])]
        removed = [self._call(self.remove, path, name) for name in _each(values["remove_tags"])]
        return removed + [self._call(self.add, path, name) for name in _each(values["add_tags"])]

    def _call(self, operation_id: str, path: Mapping[str, Any], names: Any) -> Call:
        return Call(operation_id, path, body={"meta": {"tag-name": names}})


def _each(names: Any) -> Iterable[Any]:
    if isinstance(names, NotYetKnown):
        return [names]  # one call of this kind stands for however many there will be
    return dict.fromkeys(names or ())


def tags_or_changes(given: Mapping[str, Any]) -> str | None:
    """Say what is wrong unless either all tags are given, or some to add or remove (a rule of arguments)."""
    is_met = (given["tags"] is not None) != (given["add_tags"] is not None or given["remove_tags"] is not None)
    return None if is_met else "give either tags, which replaces all, or add_tags and remove_tags"
