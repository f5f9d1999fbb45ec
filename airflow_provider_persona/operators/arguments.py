"""Arguments read as what they mean, also where a template made a text of them. Errors name the argument, no value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.operators.rendered import is_given, read_back


def as_number(value: Any, name: str) -> Any:
    """Return a number; None when there is none.

    :raises BadCallError: when it is something else.
    """
    if not isinstance(value, str):
        return value
    if not is_given(value):
        return None
    try:
        return float(value) if "." in value else int(value)
    except ValueError:
        raise BadCallError(f"{name} is a number, not a text") from None


def as_flag(value: Any, name: str) -> bool | None:
    """Return a truth value; None when there is none.

    :raises BadCallError: when it is something else.
    """
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if not is_given(text):
        return None
    if text not in ("true", "false"):
        raise BadCallError(f"{name} is true or false")
    return text == "true"


def as_object(value: Any, name: str) -> Mapping[str, Any] | None:
    """Return a mapping; None when there is none.

    :raises BadCallError: when it is something else.
    """
    found = value
    if isinstance(value, str):
        if not is_given(value):
            return None
        found = read_back(value)
        if found is None:
            found = value
    if found is not None and not isinstance(found, Mapping):
        raise BadCallError(f"{name} is a mapping, or a template of a JSON object")
    return found


def as_names(value: Any, name: str) -> list[str] | None:
    """Return a list of names, in the order given; None when there is none.

    :raises BadCallError: when it is something else.
    """
    found = value
    if isinstance(value, str):
        if not is_given(value):
            return None
        found = read_back(value)
    elif value is None:
        return None
    is_list = isinstance(found, list | tuple | set | frozenset)
    if not is_list or not all(isinstance(each, str) and each for each in found):
        raise BadCallError(f"{name} is a list of names, or a template of a JSON list")
    return list(found)
