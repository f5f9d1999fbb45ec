"""The calls that change the tags of an object: one that replaces them all, or one for each tag added or removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from airflow_provider_persona.tasks.call_arguments import path_of
from airflow_provider_persona.tasks.call_checks import Call, NotYetKnown

ALL_DOC: Final = "exactly these tags, or"
ADD_DOC: Final = "these tags too, and"
REMOVE_DOC: Final = "not these tags."


def tag_calls(replace: str, add: str, remove: str) -> Any:
    """Return the method `calls_of` of an operator with `tags`, `add_tags` and `remove_tags`, beside the object's id.

    :param replace: the operation that sets all tags.
    :param add: the operation that adds one.
    :param remove: the operation that removes one.
    """

    def calls_of(operator: Any, values: Mapping[str, Any]) -> Sequence[Call]:
        path = path_of(operator.arguments.values(), values)

        def call(operation_id: str, names: Any) -> Call:
            return Call(operation_id, path, body={"meta": {"tag-name": names}})

        if values["tags"] is not None:
            return [call(replace, values["tags"])]
        removed = [call(remove, name) for name in _each(values["remove_tags"])]
        return removed + [call(add, name) for name in _each(values["add_tags"])]

    return calls_of


def _each(names: Any) -> Iterable[Any]:
    if isinstance(names, NotYetKnown):
        return [names]  # one call of this kind stands for however many there will be
    return dict.fromkeys(names or ())


def tags_or_changes(given: Mapping[str, Any]) -> str | None:
    """Say what is wrong unless either all tags are given, or some to add or remove (a rule of arguments)."""
    is_met = (given["tags"] is not None) != (given["add_tags"] is not None or given["remove_tags"] is not None)
    return None if is_met else "give either tags, which replaces all, or add_tags and remove_tags"
