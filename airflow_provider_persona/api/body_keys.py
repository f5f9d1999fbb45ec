"""Keys of bodies: dotted in the catalogue, nested in a body, in camel, kebab or snake case. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
ABSENT: Final[Any] = object()


def tree_of(dotted: Iterable[str]) -> Mapping[str, Any]:
    """Return dotted keys as nested mappings; a key without further keys has an empty one."""
    tree: dict[str, Any] = {}
    for keys in dotted:
        node = tree
        for key in keys.removesuffix(".*").split("."):
            node = node.setdefault(kebab(key), {})
    return tree


def kebab(key: str) -> str:
    """Return a key in kebab case; Persona takes camel, kebab and snake case (docs.withpersona.com/response-body)."""
    return _HUMP.sub(r"-\1", key).replace("_", "-").lower()


def has(body: Any, keys: tuple[str, ...]) -> bool:
    """Whether a body has a value other than null at a key."""
    found = value_at(body, keys)
    return found is not None and found is not ABSENT


def value_at(body: Any, keys: tuple[str, ...]) -> Any:
    """Return the value of a key of a body, in camel, kebab or snake case; `ABSENT` when the body lacks the key."""
    found = body
    for key in keys:
        if not isinstance(found, Mapping):
            return ABSENT
        inner = found.get(key, ABSENT)
        if inner is ABSENT or inner is None:
            wanted = kebab(key)
            spelt = [value for name, value in found.items() if kebab(str(name)) == wanted]
            inner = next((value for value in spelt if value is not None), None if spelt else inner)
        found = inner
    return found
