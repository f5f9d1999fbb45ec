"""The styles of a theme set, as far as the published specification says what they are (`theme-set-styles`).

Which cells there are below `inquiry`, `components` and `step-assets` is not published, so any name is taken there. What
a cell holds is: objects in objects, and at their ends typed values such as `{"unit": "hex", "value": "#111111"}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from persona_simulator.problems import bad_request

_VARIANTS: Final = ("light", "dark")
_PARTS: Final = ("inquiry", "components", "step-assets")
_COLOR: Final = re.compile(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")
_MOST_CORNERS: Final = 15


def check_styles(styles: Any, place: str) -> None:
    """Make sure that styles are styles; None is for those that were not given.

    :param place: where they stand in the body, for the refusal.
    :raises RefusedError: 400 naming each place that is not right.
    """
    wrong = list(_faults(styles, place)) if styles is not None else []
    if wrong:
        raise bad_request(f"{', '.join(wrong[:20])} must be as the theme set's styles allow".replace("-", "_"))


def _faults(styles: Any, place: str) -> Iterator[str]:
    for name, value in _members(styles, ("settings", *_VARIANTS)):
        here = f"{place}.{name}"
        if name == "settings":
            yield from _in_settings(value, here)
            continue
        for part, cells in _members(value, _PARTS):
            yield from _in_cells(cells, f"{here}.{part}")
        yield from _strangers(value, _PARTS, here)
    yield from _strangers(styles, ("settings", *_VARIANTS), place)


def _in_settings(settings: Any, place: str) -> Iterator[str]:
    names = ("use-dark-theme", "preferred-theme-variant")
    yield from _strangers(settings, names, place)
    for name, value in _members(settings, names):
        is_right = isinstance(value, bool) if name == names[0] else value in _VARIANTS and isinstance(value, str)
        if not is_right:
            yield f"{place}.{name}"


def _in_cells(cells: Any, place: str) -> Iterator[str]:
    if not isinstance(cells, Mapping):
        yield place
        return
    waiting: list[tuple[Any, str]] = [(cells, place)]  # not by recursion: a body may be nested deeply
    while waiting:
        cell, here = waiting.pop()
        if cell is None or isinstance(cell, list):
            yield here
        elif isinstance(cell, Mapping):
            if not _is_right(cell):
                yield here
            else:
                waiting += [(value, f"{here}.{name}") for name, value in cell.items()]


def _is_right(cell: Mapping[str, Any]) -> bool:
    """Whether a cell, if it is a typed value, holds one of its type."""
    value = cell.get("value")
    if "bitmask" in cell:
        return _is_number(cell["bitmask"], int) and 0 <= cell["bitmask"] <= _MOST_CORNERS
    if "unit" not in cell:
        return True
    if cell["unit"] == "hex":
        return isinstance(value, str) and _COLOR.fullmatch(value) is not None
    return isinstance(cell["unit"], str) and _is_number(value, (int, float))


def _is_number(value: Any, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _members(value: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((name, value[name]) for name in names if name in value)


def _strangers(value: Any, names: tuple[str, ...], place: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield place
    else:
        yield from (f"{place}.{name}" for name in value if name not in names)
