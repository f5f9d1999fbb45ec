"""Values of a driver's row as JSON can carry them: one table of types.

A value of a type that stands in no table makes its row invalid, because Python's own text of it (`<NA>`, `nan`,
`[1 2]`) would be written to Persona as if somebody had meant it. numpy, pandas and the drivers' own types are known by
the names of their classes, so that nothing is imported for them. An error names the type, never the value.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final, NoReturn
from uuid import UUID

from airflow_provider_persona.bulk.source.rows import Row, RowError

_LARGEST_EXPONENT: Final = 308  # of the numbers that JSON carries everywhere
_LARGEST_BITS: Final = 1024
_DEEPEST: Final = 100
_ARRAY_PART: Final = re.compile(
    r"""
    \s*
    (?:
        "(?P<quoted>(?:\\.|[^"\\])*)"\s*
        | (?P<bare>(?:\\.|[^{},"\\\s])(?:\\.|[^{},"\\])*)
    )
    (?P<next>[,}])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_NOT_FINITE: Final = "a field is not a finite number, or one too large to be written down"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value that a database has and Python has not, like the 44th year before Christ.

    :param kind: its type in the database.
    """

    kind: str


def value_in(row: Row, column: str) -> Any:
    """Return a column's value as JSON can carry it; None when it is not given.

    :raises RowError: when JSON cannot carry it, naming the column and the type.
    """
    try:
        return json_value(row[column])
    except RowError as error:
        raise RowError(f"{error} (column {column})") from None


def text_in(row: Row, column: str) -> Any:
    """Return what `value_in` returns, a text without the spaces that a CHAR(n) column pads it with."""
    value = value_in(row, column)
    # A text of nothing but spaces stays, so that its reader can tell it from an empty one.
    return value.rstrip(" ") if isinstance(value, str) and value.strip(" ") else value


def json_value(value: Any) -> Any:
    """Return a value as JSON can carry it; None when it stands for "not given": NULL, nan, pandas' NaT and NA.

    :raises RowError: when JSON cannot carry it exactly.
    """
    return _plain(value, 0)


def names_of(value: Any, name: str) -> tuple[str, ...]:
    """Read a list, a JSON array, the text of an SQL array like `{a,b}`, or names separated by commas.

    :param value: what `json_value` returned.
    :param name: the column's name in the error.
    :returns: the names, without blanks around them.
    :raises RowError: when it is none of these, or a name is blank.
    """
    if isinstance(value, str):
        value = _list_in(value.strip(), name)
    if isinstance(value, str):  # the text of a JSON text, as MariaDB gives it
        value = [part for part in value.split(",") if part.strip()]
        if not value:
            # What is left of `CONCAT(a, ',', b)` without an a and a b. Taken for an empty list it removes all tags.
            raise RowError(f"{name} holds no name; an empty list is written as []")
    if not isinstance(value, list) or not all(map(_is_text, value)):
        raise RowError(f"{name} is no list of texts")
    names = tuple(part.strip() for part in value)
    if not all(names):
        raise RowError(f"{name} holds a blank name")
    return names


def _list_in(text: str, name: str) -> Any:
    if text.startswith(("[", '"')):
        return parse_json(text, name)
    return _sql_array(text, name) if text.startswith("{") else text


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:  # JSON may bring half of a surrogate pair
        return False


def object_of(value: Any) -> dict[str, Any]:
    """Read an object, or its JSON text.

    :param value: what `json_value` returned.
    :raises RowError: when it is neither.
    """
    if isinstance(value, str):
        value = json_value(parse_json(value, "fields")) if value.strip() else None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RowError("fields is no object")
    return value


def parse_json(text: str, name: str) -> Any:
    """Return what a JSON text holds.

    :param name: its name in the error.
    :raises RowError: when it is none, holds NaN or Infinity, which JSON does not have, or an object with a name twice.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_doubled)
    except RowError:
        raise
    except (ValueError, RecursionError):
        raise RowError(f"{name} is no valid JSON") from None


def _refuse_constant(_: str) -> NoReturn:
    raise RowError(_NOT_FINITE)


def _refuse_doubled(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RowError("an object in JSON has a name more than once")
    return found


def _sql_array(text: str, name: str) -> list[str]:
    """Return the texts of an array as PostgreSQL writes it (PostgreSQL's documentation, "Arrays", section 8.15.6)."""
    found: list[str] = []
    at, is_open = 1, text != "{}"
    while is_open:
        part = _ARRAY_PART.match(text, at)
        if part is None or (part["bare"] or "").strip().upper() == "NULL":
            raise _no_array(name)
        found.append(_ESCAPED.sub(r"\1", (part["bare"] or "").rstrip() or part["quoted"]))
        at, is_open = part.end(), part["next"] == ","
    if found and at != len(text):
        raise _no_array(name)
    return found


def _no_array(name: str) -> RowError:
    return RowError(f"{name} is no list of texts: it begins like an SQL array, and is none of texts")


# ---------------------------------------------------------------------- the table of types


def _plain(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise RowError(f"a field is nested deeper than {_DEEPEST} times")
    if value is None or value is True or value is False:  # before the table, since a bool is an int
        return value
    if isinstance(value, Enum):  # first, since many are texts or numbers too
        return _plain(value.value, depth + 1)
    for parent in type(value).__mro__:
        rule = _BY_TYPE.get(parent) or _BY_NAME.get((parent.__module__.partition(".")[0], parent.__name__))
        if rule is not None:
            return rule(value, depth)
    if isinstance(value, Mapping):
        return _object(value, depth)
    raise _unknown(value)


def _unknown(value: Any) -> RowError:
    kind = type(value)
    where = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return RowError(f"a field is of type {where}{kind.__qualname__}, which JSON cannot carry; cast it in the query")


def _text(value: str, _: int) -> str:
    if not _is_text(value):
        raise RowError("a field is no valid Unicode")
    return str.__str__(value)  # a subclass may show itself in another way


def _whole(value: int, _: int) -> int:
    if value.bit_length() > _LARGEST_BITS:
        raise RowError(_NOT_FINITE)
    return int(value)


def _float(value: float, _: int) -> float | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        raise RowError(_NOT_FINITE)
    return float(value)


def _decimal(value: Decimal, _: int) -> int | float | None:
    if value.is_qnan():  # a signalling one is a fault of the source, and no missing value
        return None
    if not value.is_finite() or value.adjusted() > _LARGEST_EXPONENT:
        raise RowError(_NOT_FINITE)
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    if Decimal(repr(number)) != value:  # `Decimal(number)` would be the binary value, which hardly ever is equal
        raise RowError("a field is a Decimal with more digits than a number in JSON carries; cast it to text")
    return number


def _duration(value: timedelta, _: int) -> str:
    """Return an ISO 8601 duration, like `P1DT2H0.5S`."""
    nanoseconds = getattr(value, "nanoseconds", 0)  # of pandas' Timedelta
    parts = abs(value.days * 86400_000_000 + value.seconds * 1_000_000 + value.microseconds) * 1000
    parts = parts - nanoseconds if value.days < 0 else parts + nanoseconds
    seconds, fraction = divmod(parts, 1_000_000_000)
    days, seconds = divmod(seconds, 86400)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    tail = f"{seconds}.{fraction:09d}".rstrip("0").rstrip(".") if fraction else f"{seconds}"
    clock = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M"), (tail, "S")) if n not in (0, "0"))
    text = (f"{days}D" if days else "") + (f"T{clock}" if clock else "")
    return f"{'-' if value.days < 0 else ''}P{text or 'T0S'}"


def _list(value: Iterable[Any], depth: int) -> list[Any]:
    return [_member(part, depth) for part in value]


def _member(part: Any, depth: int) -> Any:
    found = _plain(part, depth + 1)
    if found is None and part is not None:
        raise RowError(f"a field is not a finite number, or missing ({type(part).__name__}), within a list")
    return found


def _set(value: Iterable[Any], depth: int) -> list[Any]:
    """Return a list in one order: a set has another in each process."""
    found = _list(value, depth)
    return sorted(found) if all(isinstance(each, str) for each in found) else sorted(found, key=json.dumps)


def _object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    found = {}
    for name, part in value.items():
        if isinstance(name, str) and not _is_text(name):
            raise RowError("the name of a field is no valid Unicode")
        key = _plain(name, depth + 1)
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise RowError(f"the name of a field is of type {type(name).__name__}, and not text")
        plain = _plain(part, depth + 1)
        if plain is not None or part is None:  # NULL is a value here, as in JSON; nan, NaT and NA mean "not given"
            found[str(key)] = plain
    return found


def _range(value: Any, depth: int) -> str:
    """Return a range as PostgreSQL writes it, like `[1,5)`."""
    if value.isempty:
        return "empty"
    lower, upper = (_bound(each, depth) for each in (value.lower, value.upper))
    return f"{'[' if value.lower_inc else '('}{lower},{upper}{']' if value.upper_inc else ')'}"


def _interval(value: Any, depth: int) -> str:
    left, right = (_bound(each, depth) for each in (value.left, value.right))
    return f"{'[' if value.closed_left else '('}{left},{right}{']' if value.closed_right else ')'}"


def _bound(value: Any, depth: int) -> str:
    found = _plain(value, depth + 1)
    if isinstance(found, list | dict):
        raise _unknown(value)
    return "" if found is None else found if isinstance(found, str) else json.dumps(found)


def _scalar(value: Any, depth: int) -> Any:
    """Return a scalar of numpy as the value of Python that it stands for."""
    found = value.item()
    if type(found) is type(value):  # for example longdouble, which Python has no type for
        raise _unknown(value)
    return _plain(found, depth + 1)


def _moment(value: Any, depth: int) -> Any:
    """Return a datetime64 or timedelta64 of numpy; `item()` would give a bare number of nanoseconds."""
    if value != value:  # noqa: PLR0124 - NaT
        return None
    kind = type(value).__name__
    try:
        micro = value.astype(f"{kind}[us]")
        is_exact = micro == value
    except (TypeError, ValueError):  # months have no fixed length
        raise _unknown(value) from None
    if is_exact and not isinstance(micro.item(), int):
        return _plain(micro.item(), depth + 1)
    if kind == "datetime64":
        return str(value)
    raise _unknown(value)


def _numpy_array(value: Any, depth: int) -> Any:
    return _list(value, depth) if value.ndim else _plain(value[()], depth + 1)


def _binary(value: Any, _: int) -> NoReturn:
    raise RowError(f"a field is binary, of type {type(value).__name__}; encode it in the query")


def _unreadable(value: Unreadable, _: int) -> NoReturn:
    raise RowError(f"a field is of type {value.kind}, with a value that Python lacks; cast it to text in the query")


_Rule = Callable[[Any, int], Any]

_BY_TYPE: Final[Mapping[type, _Rule]] = {
    str: _text,
    int: _whole,
    float: _float,
    Decimal: _decimal,
    datetime: lambda value, _: value.isoformat(),
    date: lambda value, _: value.isoformat(),
    time: lambda value, _: value.isoformat(),
    timedelta: _duration,
    UUID: lambda value, _: str(value),
    **dict.fromkeys((IPv4Address, IPv6Address, IPv4Network, IPv6Network), lambda value, _: str(value)),
    **dict.fromkeys((list, tuple, array), _list),
    **dict.fromkeys((set, frozenset), _set),
    **dict.fromkeys((bytes, bytearray, memoryview), _binary),
    dict: _object,
    Unreadable: _unreadable,
}
"""The types of Python. A subclass is read as its nearest parent that stands here."""

_BY_NAME: Final[Mapping[tuple[str, str], _Rule]] = {
    ("pandas", "NaTType"): lambda *_: None,
    ("pandas", "NAType"): lambda *_: None,
    ("pandas", "Period"): lambda value, _: str(value),
    ("pandas", "Interval"): _interval,
    **dict.fromkeys((("pandas", name) for name in ("ExtensionArray", "Series", "Index")), _list),
    ("numpy", "MaskedConstant"): lambda *_: None,
    ("numpy", "ndarray"): _numpy_array,
    ("numpy", "datetime64"): _moment,
    ("numpy", "timedelta64"): _moment,
    ("numpy", "generic"): _scalar,
    **dict.fromkeys(((driver, "Range") for driver in ("psycopg", "psycopg2", "asyncpg")), _range),
    ("psycopg", "Multirange"): _list,
    ("asyncpg", "Record"): lambda value, depth: _object(dict(value.items()), depth),
}
"""Types that may not be imported here, by the first part of their module and their name."""
