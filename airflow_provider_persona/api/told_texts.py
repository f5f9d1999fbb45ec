"""Texts of Persona's errors, made fit for logs, ledgers and XComs.

A title may repeat what was sent or what is stored, like `Email jane@example.com is taken`, and a pointer may end in it.
So what was sent is taken out of a title, and so is all that looks like an address or a number of a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from airflow_provider_persona.api.messages import Request

_LONGEST: Final = 120
_LONGEST_READ: Final = 2000
_SHORTEST_VALUE: Final = 3
_BEGINNING: Final = 60
"""Characters of a long value by which it is found, since a title may be cut."""

_ADDRESS: Final = re.compile(r"\S+@\S+")
_NUMBER: Final = re.compile(r"(?<![\w.])\+?\(?\d[\d ().:/-]{4,}\d(?!\w)")
"""A telephone number, an identity number or a date."""

_PLAIN_NAME: Final = re.compile(r"(?!.*\d{6})[A-Za-z0-9_~.\[\]-]{1,60}")


def shown_text(text: str) -> str:
    """Return a name or a label of a user as a message shows it: as it is, or quoted with escapes.

    A text with characters that nobody sees (a blank at its end, a zero-width one) would look like another text in the
    message, and one with a line break would make two lines of it.
    """
    is_plain = text.isprintable() and text != "" and text == text.strip()
    return text if is_plain else repr(text)


def told_title(title: Any, request: Request | None = None) -> str | None:
    """Return a title as one short printable line without personal data, or None when it is empty.

    :param title: the title as it came.
    :param request: what it answers.
    """
    line = _line(title)
    if line is None:
        return None
    for value in () if request is None else _values(request):
        end = r".*" if len(value) > _BEGINNING else r"(?!\w)"
        line = re.sub(rf"(?<!\w){re.escape(value[:_BEGINNING])}{end}", "(a value)", line, flags=re.IGNORECASE)
    return _short(_NUMBER.sub("(a number)", _ADDRESS.sub("(an address)", line)))


def told_pointer(pointer: Any) -> str | None:
    """Return a JSON pointer without what cannot be the name of a part, or None when it is empty.

    :param pointer: the pointer as it came.
    """
    line = _line(pointer)
    if line is None:
        return None
    return _short("/".join(part if not part or _PLAIN_NAME.fullmatch(part) else "…" for part in line.split("/")))


def _line(text: Any) -> str | None:
    if not isinstance(text, str) or not text.strip():
        return None
    # An answer may hold megabytes, and each value of the request is looked for in what is kept here.
    return "".join(character if character.isprintable() else " " for character in text[:_LONGEST_READ]).strip() or None


def _short(line: str) -> str:
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _values(request: Request) -> Iterator[str]:
    """Yield the texts in a request that an error may repeat, the longest first."""
    # A filter takes several values with commas between (`filter[reference-id]`), and a title names one of them.
    in_query = (part for _, value in request.query for part in (value, *value.split(",")))
    sent = {value.strip() for value in (*_leaves(request.body), *in_query)}
    # A short value first would cut its part out of a longer one, and the rest of that would stay.
    yield from sorted((value for value in sent if len(value) >= _SHORTEST_VALUE), key=len, reverse=True)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            if name not in _NOBODYS:
                yield from _leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, str):
        yield value


_NOBODYS: Final = frozenset({"status", "tag-name", "type", "case-template-id", "inquiry-template-id"})
"""Keys of a body with labels for values, which a title may name."""
