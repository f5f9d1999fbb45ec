"""Headers that an operation needs and others do not, like the secret of a relay.

Their values are secrets, so no error shows one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def wrong_names(wanted: Mapping[str, str], given: Iterable[str]) -> str | None:
    """Say which headers are missing or too many, None when none is.

    :param wanted: the beginning of the value of each header, by name.
    :param given: names in any capitals; a Dag may write a number where a name is meant.
    """
    known, there = {name.lower() for name in wanted}, {str(name).lower() for name in given}
    if missing := [name for name in wanted if name.lower() not in there]:
        return f"needs {', '.join(missing)} in its headers"
    if there - known:
        return f"takes no header {', '.join(sorted(there - known))}"
    return None


def wrong_value(wanted: Mapping[str, str], given: Mapping[str, Any]) -> str | None:
    """Say which value cannot be sent, None when each can.

    :param wanted: the beginning of the value of each header, by name.
    :param given: the values, by the same names in lower case.
    """
    for name, beginning in wanted.items():
        value = given[name.lower()]
        # A line break would begin another header.
        if not isinstance(value, str) or not value.strip() or not value.isascii() or not value.isprintable():
            return f"needs a text of printable ASCII characters in its header {name}"
        if not value.startswith(beginning) or value.strip() == beginning:
            return f"needs a header {name} that begins with {beginning!r}, and then the token"
    return None
