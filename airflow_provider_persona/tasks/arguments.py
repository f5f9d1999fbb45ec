"""What the arguments of operators may be, and how each kind is read.

A template renders to text, so every kind of argument may arrive as text. The readers turn it back into a value. Their
errors name the argument and not its value, because the value may be personal data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard, TypeVar

from airflow_provider_persona.api.literals import read_literal
from airflow_provider_persona.api.operations import BadCallError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import XComArg

# Types for declarations. Each allows what a Dag may give: a value, a template, or the output of another task.
Text: TypeAlias = "str | XComArg"
Number: TypeAlias = "int | float | timedelta | str | XComArg"
Flag: TypeAlias = "bool | str | XComArg"
Names: TypeAlias = "Sequence[str] | XComArg"
JsonObject: TypeAlias = "Mapping[str, Any] | str | XComArg"

TEMPLATE_MARKS: Final = ("{{", "{%", "{#")
"""One of these is in each text that is a template."""

T = TypeVar("T")

_NOTHING = ("", "none")


def is_given(value: T | None) -> TypeGuard[T]:
    """Return whether an argument is given: it is not None, and not the text that a template renders None to."""
    return value is not None and not (isinstance(value, str) and value.strip().lower() in _NOTHING)


def read_back(text: str) -> Any:
    """Return the value that a template rendered to text, by itself or with `tojson`; None for any other text."""
    for reader in (read_literal, json.loads):
        try:
            return reader(text.strip())
        except (ValueError, RecursionError):
            continue
    return None


def as_seconds(value: Any, name: str) -> float:
    """Return a number of seconds that is given as such, as the text of one, or as a timedelta.

    :param name: the argument.
    :raises BadCallError: when it is something else, or below 0.
    """
    found = as_strict_number(value, name)
    if found is None or not 0 <= found < math.inf:
        raise BadCallError(f"{name} is a number of seconds, 0 or more, or a timedelta")
    return float(found) if isinstance(found, Decimal) else found


def as_bool(value: Any, name: str, *, shown: bool = False) -> bool | None:
    """Return a truth value; None when it is not given.

    :param value: a bool, or text: `true`, `1`, `yes`, `false`, `0` or `no`.
    :param name: the argument.
    :param shown: whether the error may show the value. Only for arguments that never hold personal data.
    :raises BadCallError: when it is something else.
    """
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if not is_given(text):
        return None
    if text in ("true", "1", "yes"):
        return True
    if text in ("false", "0", "no"):
        return False
    raise BadCallError(f"{name} is true or false{f', not {value!r}' if shown else ''}")


def as_number(value: Any, name: str, *, shown: bool = False) -> Any:
    """Return a number; None when it is not given. A value that is no text is returned as it is.

    :param value: a number, or the text of one.
    :param name: the argument.
    :param shown: whether the error may show the value, as for `as_bool`.
    :raises BadCallError: when the text is no number.
    """
    if not isinstance(value, str):
        return value
    if not is_given(value):
        return None
    for reader in (int, float):
        with suppress(ValueError):
            found = reader(value)
            if isinstance(found, int) or math.isfinite(found):  # no limit holds against `nan`, which `float` reads
                return found
    raise BadCallError(f"{name} is a number{f', not {value!r}' if shown else ''}")


def as_strict_number(value: Any, name: str) -> int | float | Decimal | None:
    """Return a number as `as_number` does, that of the seconds of a timedelta, and refuse values of any other type.

    :raises BadCallError: when it is something else.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds.is_integer() else seconds
    found = as_number(value, name)
    # A bool is an int in Python, and never the number that somebody meant.
    if found is not None and (isinstance(found, bool) or not isinstance(found, int | float | Decimal)):
        raise BadCallError(f"{name} is a number, not a value of type {type(found).__name__}")
    return found


def as_text(value: Any, name: str) -> str | None:
    """Return a text; None when there is none. A whole number becomes its digits.

    Airflow turns text of digits into an int with `render_template_as_native_obj=True`, and Persona takes text only.

    :raises BadCallError: when it is something else.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadCallError(f"{name} is a text, not a value of type {type(value).__name__}")


def as_mapping(value: Any, name: str) -> Mapping[str, Any] | None:
    """Return a mapping; None when it is not given.

    :raises BadCallError: when it is something else.
    """
    if not is_given(value):
        return None
    found = read_back(value) if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        raise BadCallError(f"{name} is a mapping, or a template of a JSON object")
    return found


def check_whole(value: Any, name: str, what: str) -> None:
    """Make sure, when the Dag is parsed, that an argument that is no template is a whole number of at least 1.

    :param what: what it counts.
    :raises ValueError: when it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is a number of {what}, 1 or more, not {value!r}")


def as_parameters(value: Any, name: str) -> Mapping[str, Any] | Sequence[Any] | None:
    """Return the parameters of a query; None when they are not given.

    A text must be read back: SQLite would take each of its characters for a parameter.

    :raises BadCallError: when it is something else.
    """
    if not is_given(value):
        return None
    found = read_back(value) if isinstance(value, str) else value
    if not isinstance(found, Mapping | Sequence) or isinstance(found, str | bytes | bytearray):
        raise BadCallError(f"{name} is a list or a mapping, or a template of one")
    return found


def as_names(value: Any, name: str) -> list[str] | None:
    """Return a list of names, in the order given, those of a set sorted; None when it is not given.

    :raises BadCallError: when it is something else.
    """
    if not is_given(value):
        return None
    found = read_back(value) if isinstance(value, str) else value
    is_list = isinstance(found, list | tuple | set | frozenset)
    if not is_list or not all(isinstance(each, str) and each for each in found):
        raise BadCallError(f"{name} is a list of names, or a template of a JSON list")
    # A set has another order in another process, and the order is part of the key that a retry must repeat.
    return sorted(found) if isinstance(found, set | frozenset) else list(found)


def as_mappings(value: Any, name: str) -> Sequence[Mapping[str, Any]] | None:
    """Return a list of mappings; None when it is not given.

    :raises BadCallError: when it is something else.
    """
    if not is_given(value):
        return None
    found = read_back(value) if isinstance(value, str) else value
    is_list = isinstance(found, Sequence) and not isinstance(found, str)
    if not is_list or not all(isinstance(each, Mapping) for each in found):
        raise BadCallError(f"{name} is a list of mappings, or a template of a JSON list")
    return list(found)


def as_confirmation(value: Any, name: str) -> bool:
    """Return True, which is the only value that confirms what cannot be undone.

    :raises BadCallError: when it is anything else, also a text or a template.
    """
    if value is not True:
        raise BadCallError(f"this erases personal data for ever; confirm it with {name}=True")
    return True
