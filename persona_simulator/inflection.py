"""Spelling of keys: requests may use any of three, answers use the one that was asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from persona_simulator.config import Inflection

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


@lru_cache(maxsize=4096)
def kebab(key: str) -> str:
    """Return a key in kebab-case."""
    return _HUMP.sub(r"-\1", key).replace("_", "-").lower()


@lru_cache(maxsize=4096)
def snake(key: str) -> str:
    """Return a key in snake_case."""
    return kebab(key).replace("-", "_")


@lru_cache(maxsize=4096)
def camel(key: str) -> str:
    """Return a key in camelCase."""
    first, *rest = kebab(key).split("-")
    return first + "".join(word.capitalize() for word in rest)


_SPELLINGS: Mapping[Inflection, Callable[[str], str]] = {
    Inflection.KEBAB: kebab,
    Inflection.SNAKE: snake,
    Inflection.CAMEL: camel,
}


def inflected(value: Any, inflection: Inflection, *, spare_fields: bool) -> Any:
    """Return a copy of `value` with its keys spelt anew.

    :param spare_fields: leave the keys inside `fields` as they are.
    """
    spell = _SPELLINGS[inflection]

    def respell(part: Any) -> Any:
        if isinstance(part, dict):
            return {
                spell(key): inner if spare_fields and key == "fields" else respell(inner) for key, inner in part.items()
            }
        if isinstance(part, list):
            return [respell(inner) for inner in part]
        return part

    return respell(value)
