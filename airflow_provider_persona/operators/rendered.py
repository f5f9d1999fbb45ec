"""What templates render to is text; this reads it back as what the argument means."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any, TypeGuard

_NOTHING = ("", "none")


def is_given(value: str | None) -> TypeGuard[str]:
    """Whether an argument is given: not None, nor what a template makes of nothing."""
    return value is not None and value.strip().lower() not in _NOTHING


def as_bool(value: bool | str, argument: str) -> bool:  # noqa: FBT001 - it is what is read
    """Return the truth value that an argument means.

    :raises BulkError: when it means none.
    """
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "1", "yes"):
        return True
    if text in ("false", "0", "no", "none", ""):
        return False
    from airflow_provider_persona.bulk.errors import BulkError

    raise BulkError(f"{argument} is true or false, not {value!r}")


def as_number(value: float | str | None, argument: str) -> int | float | None:
    """Return the number that an argument means; None, or the text that stands for it, when there is none.

    :raises BulkError: when it means none.
    """
    if not isinstance(value, str):
        return value
    if not is_given(value):
        return None
    try:
        return float(value) if "." in value else int(value)
    except ValueError:
        from airflow_provider_persona.bulk.errors import BulkError

        raise BulkError(f"{argument} is a number, or a share like 0.01, not {value!r}") from None


def read_back(text: str) -> Any:
    """Return the value that a template made a text of, by itself or by `tojson`; None when it is no such text."""
    for reader in (ast.literal_eval, json.loads):
        try:
            return reader(text.strip())
        except (ValueError, SyntaxError, RecursionError):
            continue
    return None


def as_mapping(value: Mapping[str, Any] | str, argument: str) -> Mapping[str, Any]:
    """Return the mapping that an argument is, or that a template made a text of.

    :raises BulkError: when it is none.
    """
    found = read_back(value) if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        from airflow_provider_persona.bulk.errors import BulkError

        raise BulkError(f"{argument} is what the task before returned to XCom, a mapping, not {type(value).__name__}")
    return found
