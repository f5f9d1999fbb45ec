"""`default_args` of a Dag that are meant for its other tasks: only what a task is given itself contradicts itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_ALTERNATIVES: Final = (
    ("sql", "changes"),
    ("tags", "add_tags"),
    ("tags", "remove_tags"),
    ("secret_variable", "deliver"),
    ("file", "rows"),
)
"""Arguments of which a task takes one."""

_ONLY_WITH: Final = {"match_many": "match_by"}
"""Arguments that say nothing without another."""


def defaults_of(operator: Any) -> Mapping[str, Any]:
    """Return the `default_args` that Airflow has applied to an operator: those of its Dag and of its task group."""
    places = (operator.get_dag(), getattr(operator, "task_group", None))
    return {name: value for place in places for name, value in (getattr(place, "default_args", None) or {}).items()}


def without_needless_defaults(operator: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operator's arguments, and None for those of `default_args` that do not go with one that it is given.

    :param operator: the operator, after Airflow's `__init__`.
    :param values: its arguments by name, with `default_args` applied.
    """
    found = dict(values)
    defaults = defaults_of(operator)
    # By identity: Airflow puts the very object of `default_args` into the arguments.
    inherited = {name for name, value in values.items() if value is not None and defaults.get(name) is value}
    for pair in _ALTERNATIVES:
        needless = inherited.intersection(pair)
        if len(needless) == 1 and all(found.get(name) is not None for name in pair):
            found[needless.pop()] = None
    for name, other in _ONLY_WITH.items():
        if name in inherited and found.get(other) is None:
            found[name] = None
    return found
