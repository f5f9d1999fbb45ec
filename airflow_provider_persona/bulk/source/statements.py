"""Tells one SQL statement from several, and a query from what writes, in the lexical rules of PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_TOKEN: Final = re.compile(
    r"""
    --[^\n]*                            # a comment to the end of the line
    | (?P<comment>/\*)                  # a comment that may hold comments
    | (?<![A-Za-z0-9_])[eE]'(?:\\.|''|[^'\\])*'
    | '(?:''|[^'])*'
    | "(?:""|[^"])*"
    | (?<![A-Za-z0-9_$])(?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)
    | (?P<end>;)
    | (?P<space>\s+)
    | (?P<word>[A-Za-z_]\w*)
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")


_WRITES: Final = frozenset({"insert", "update", "delete", "merge"})
_CHANGES: Final = _WRITES | {
    "replace",
    "upsert",
    "create",
    "drop",
    "alter",
    "truncate",
    "grant",
    "revoke",
    "copy",
    "load",
}


def is_empty(sql: str) -> bool:
    """Whether there is nothing but comments, blanks and semicolons, as a template may render to."""
    return all(token["end"] for token in _tokens(sql))


def holds_several(sql: str) -> bool:
    """Whether something that is no comment follows a semicolon."""
    is_ended = False
    for token in _tokens(sql):
        if token["end"]:
            is_ended = True
        elif is_ended:
            return True
    return False


def writing_word(sql: str) -> str | None:
    """Return the word that makes a statement one that writes, like `INSERT`, or None for a query.

    What stands in parentheses is not looked at: PostgreSQL itself refuses an `INSERT` in a query that it gives a cursor
    to, and says so.
    """
    depth, is_first, after_with, before = 0, True, False, ""
    for token in _tokens(sql):
        depth += {"(": 1, ")": -1}.get(token.group(), 0)
        word = (token["word"] or "").lower()
        is_name, before = before in ("with", "recursive", ","), token.group().lower()
        if not word or (depth and not is_first):
            continue
        if after_with and is_name:
            continue  # of a part of the query: `WITH merge AS (...)`
        if after_with and word in _WRITES | {"select"}:
            return None if word == "select" else word.upper()
        if is_first and word in _CHANGES:
            return word.upper()
        is_first, after_with = False, after_with or (is_first and word == "with")
        if not after_with:
            return None
    return None


def _tokens(sql: str) -> Iterator[re.Match[str]]:
    """Yield what is neither a comment nor blank."""
    at = 0
    while at < len(sql) and (token := _TOKEN.match(sql, at)):
        at = token.end()
        if token["comment"]:
            at = _end_of_comment(sql, at)
        elif not token["space"] and not token.group().startswith("--"):
            yield token


def _end_of_comment(sql: str, at: int) -> int:
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(sql, at)
        if edge is None:
            return len(sql)
        at = edge.end()
        depth += 1 if edge.group() == "/*" else -1
    return at
