"""Template fields that Airflow must not keep the rendered values of.

Airflow stores what every template field renders to and shows it under "Rendered Template". Arguments that may hold
personal data are template fields like all others, so Airflow itself handles dependencies, mapping and rendering. But
once such an argument is rendered, a wrapper holds its value, and Airflow can store no more of it than its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Concealed:
    """Holds a rendered value, and shows only its type.

    :param value: the value.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"(a {type(self.value).__name__} that is not kept, since it may hold personal data)"


class PrivateTemplate:
    """A template field of an operator that conceals its value as soon as it is rendered.

    The first value that is set is the argument, still a template. The next one is set by Airflow, and is what the
    template renders to. So no code of ours may set such an attribute twice.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._attribute = f"_private_{name}"

    def __get__(self, operator: Any, owner: type | None = None) -> Any:
        return self if operator is None else operator.__dict__.get(self._attribute)

    def __set__(self, operator: Any, value: Any) -> None:
        is_argument = self._attribute not in operator.__dict__
        operator.__dict__[self._attribute] = value if is_argument or isinstance(value, Concealed) else Concealed(value)


class PathTemplate(PrivateTemplate):
    """A private template of a path's values. It shows ids, and conceals tokens and names of files."""

    def __set__(self, operator: Any, value: Any) -> None:
        is_rendered = self._attribute in operator.__dict__
        if is_rendered and isinstance(value, Mapping):
            value = {name: each if _is_shown(name, each) else Concealed(each) for name, each in value.items()}
            operator.__dict__[self._attribute] = value
        else:
            super().__set__(operator, value)


def _is_shown(name: Any, value: Any) -> bool:
    return str(name).endswith("-id") or isinstance(value, Concealed)


def revealed(value: Any) -> Any:
    """Return what a private template renders to, or the argument where nothing was rendered."""
    if isinstance(value, dict) and any(isinstance(each, Concealed) for each in value.values()):
        return {name: revealed(each) for name, each in value.items()}
    return value.value if isinstance(value, Concealed) else value
