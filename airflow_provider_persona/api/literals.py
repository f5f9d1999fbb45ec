"""Reads back the values that a template has made a text of."""

from __future__ import annotations

import ast
from typing import Any


def read_literal(text: str) -> Any:
    """Return the value that a text of Python spells, blanks around it left out.

    :param text: the text, like `['Open', 'Pending']`.
    :raises ValueError: when it spells none.
    """
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # all that `ast` documents
        raise ValueError("no literal of Python") from None
