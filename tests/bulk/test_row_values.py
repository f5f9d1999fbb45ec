"""What each type that a driver or a data frame brings becomes: a value of JSON, "not given", or an invalid row."""

from __future__ import annotations

import enum
import ipaddress
import json
import types
import uuid
from array import array
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_persona.bulk.source.columns import ObjectRows
from airflow_provider_persona.bulk.source.rows import InvalidRow
from airflow_provider_persona.bulk.subjects.kinds import CASE
from airflow_provider_persona.bulk.subjects.operation import OperationRows
from airflow_provider_persona.bulk.subjects.subject import ObjectUpdate

CANARY = "Keiko-Lindqvist-7731"
_FRAMES = "numpy and pandas are not installed"


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Unknown:
    def __repr__(self) -> str:
        return CANARY


def read(value: Any) -> ObjectUpdate | InvalidRow:
    """Read a row with the value in a column of its own, beside another part, so that the row asks for something."""
    row = {"case_id": "case_1", "assignee": "a@b.c", "note": value}
    return ObjectRows(CASE, {"fields": {"x": "note"}}).reader(list(row)).read(row)


def sent(value: Any) -> Any:
    found = read(value)
    assert isinstance(found, ObjectUpdate), found
    fields = found.change.model_dump()["fields"]
    json.dumps(fields, allow_nan=False)
    return fields.get("x", "not given")


def problem(value: Any) -> str:
    found = read(value)
    assert isinstance(found, InvalidRow), found
    assert CANARY not in found.reason
    return found.reason


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (Decimal("0.1"), 0.1),
        (Decimal(12345678901234567890), 12345678901234567890),
        (time(8, 5), "08:05:00"),
        (timedelta(days=1, hours=2, seconds=3, microseconds=500_000), "P1DT2H3.5S"),
        (timedelta(0), "PT0S"),
        (timedelta(seconds=-90), "-PT1M30S"),
        (timedelta(days=2), "P2D"),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({3, 1, 2}), [1, 2, 3]),
        ({"b", 3, "a"}, ["a", "b", 3]),
        (array("i", [1, 2]), [1, 2]),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
        (ipaddress.ip_interface("10.0.0.1/24"), "10.0.0.1/24"),
        (ipaddress.ip_network("2001:db8::/32"), "2001:db8::/32"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        ('{"a": 1}', '{"a": 1}'),  # a text stays a text
        ("10115", "10115"),
        (
            {1: {"on": date(2026, 1, 5), "none": None, "left_out": float("nan")}},
            {"1": {"on": "2026-01-05", "none": None}},
        ),
    ],
)
def test_a_value_of_a_known_type_is_written_as_json_has_it(value: Any, wanted: Any) -> None:
    found = sent(value)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize("value", [None, float("nan"), Decimal("NaN")])
def test_a_missing_value_is_not_given(value: Any) -> None:
    assert sent(value) == "not given"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Unknown(), "of type test_row_values.Unknown"),
        (complex(1, 2), "of type complex"),
        (range(3), "of type range"),
        (CANARY.encode(), "a field is binary, of type bytes"),
        (memoryview(CANARY.encode()), "a field is binary, of type memoryview"),
        (Decimal("12345678.123456789012"), "a field is a Decimal with more digits"),
        (Decimal("1E-400"), "a field is a Decimal with more digits"),
        (float("inf"), "a field is not a finite number"),
        (10**400, "a field is not a finite number"),
        ([1, float("nan")], "a field is not a finite number, or missing (float), within a list"),
        ({(CANARY,): 1}, "the name of a field is of type tuple"),
        ([Unknown()], "of type test_row_values.Unknown"),
    ],
)
def test_a_value_that_json_cannot_carry_makes_its_row_invalid_and_names_type_and_column(value: Any, said: str) -> None:
    reason = problem(value)
    assert said in reason
    assert reason.endswith("(column note)")


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    ("most", "too_much", "said"),
    [
        (nested(100), nested(101), "a field is nested deeper than 100 times"),
        (2**1024 - 1, 2**1024, "a field is not a finite number"),
        (1 - 2**1024, -(2**1024), "a field is not a finite number"),
        (Decimal("9E+308"), Decimal("1E+309"), "a field is not a finite number"),
    ],
    ids=["depth", "number", "negative", "Decimal"],
)
def test_the_most_that_json_carries_is_taken_and_more_makes_the_row_invalid(
    most: Any, too_much: Any, said: str
) -> None:
    assert sent(most) == most
    assert said in problem(too_much)


def test_a_value_that_holds_itself_makes_its_row_invalid() -> None:
    value: list[Any] = []
    value.append(value)
    assert "nested deeper" in problem(value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{a,b}", ("a", "b")),
        ('{ "a b" ,"c\\"d,}",e}', ("a b", 'c"d,}', "e")),
        ("{}", ()),
        ("{NULL}", None),
        ("{a,,b}", None),
        ("{{a},{b}}", None),
        ("{a}b", None),
        ("{a", None),
        ('{"a', None),
        ('{"a": 1}', None),
    ],
)
def test_the_text_of_an_sql_array_is_read_as_tags_or_makes_the_row_invalid(text: str, wanted: Any) -> None:
    row = {"case_id": "case_1", "status": "Open", "tags": text}
    found = ObjectRows(CASE, None).reader(list(row)).read(row)
    if wanted is None:
        assert isinstance(found, InvalidRow)
        assert found.reason.startswith("tags is no list of texts")
    else:
        assert isinstance(found, ObjectUpdate)
        assert found.change.model_dump()["tags"] == wanted


def test_ranges_of_both_drivers_of_postgresql_are_written_as_it_writes_them() -> None:
    asyncpg = pytest.importorskip("asyncpg")
    psycopg = pytest.importorskip("psycopg.types.range")
    psycopg2 = pytest.importorskip("psycopg2.extras")
    multirange = pytest.importorskip("psycopg.types.multirange")
    assert sent(psycopg.Range(1, 5)) == "[1,5)"
    assert sent(psycopg2.NumericRange(1, None, "(]")) == "(1,)"
    assert sent(asyncpg.Range(date(2026, 1, 5), date(2026, 2, 1), upper_inc=True)) == "[2026-01-05,2026-02-01]"
    assert sent(psycopg.Range(empty=True)) == "empty"
    assert sent(multirange.Multirange([psycopg.Range(1, 2), psycopg.Range(4, 5)])) == ["[1,2)", "[4,5)"]


def test_values_of_numpy_become_those_of_python() -> None:
    np = pytest.importorskip("numpy", reason=_FRAMES)
    for value, wanted in (
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.float32(0.5), 0.5),
        (np.array([1, 2]), [1, 2]),
        (np.array([[1.5], [2.0]]), [[1.5], [2.0]]),
        (np.array(7), 7),
        (np.array(["2026-01-05"], dtype="datetime64[ns]"), ["2026-01-05T00:00:00"]),
        (np.datetime64("2026-01-05T08:00:00.000000001"), "2026-01-05T08:00:00.000000001"),
        (np.timedelta64(90, "s"), "PT1M30S"),
    ):
        found = sent(value)
        assert (found, type(found)) == (wanted, type(wanted))
    for missing in (np.float32("nan"), np.float64("nan"), np.datetime64("NaT"), np.timedelta64("NaT"), np.ma.masked):
        assert sent(missing) == "not given"
    for bad, kind in (
        (np.bytes_(CANARY.encode()), "bytes_"),
        (np.longdouble(1), "numpy.longdouble"),
        (np.timedelta64(3, "M"), "numpy.timedelta64"),
        (np.array([1.0, np.nan]), "float64"),
    ):
        assert kind in problem(bad)


def test_values_of_pandas_become_those_of_python() -> None:
    pd = pytest.importorskip("pandas", reason=_FRAMES)
    for value, wanted in (
        (pd.Timestamp("2026-01-05T08:00:00Z"), "2026-01-05T08:00:00+00:00"),
        (pd.Timedelta(days=1, nanoseconds=5), "P1DT0.000000005S"),
        (pd.Period("2026-01"), "2026-01"),
        (pd.Interval(0, 5), "(0,5]"),
        (pd.Series([1, 2]), [1, 2]),
        (pd.array([1, 2]), [1, 2]),
        (pd.Index(["a"]), ["a"]),
    ):
        found = sent(value)
        assert (found, type(found)) == (wanted, type(wanted))
    for missing in (pd.NaT, pd.NA):
        assert sent(missing) == "not given"
        assert "missing (" in problem([1, missing])
    assert "pandas.DataFrame" in problem(pd.DataFrame({"a": [1]}))


def test_what_a_data_frame_lacks_is_not_given_as_id_status_guard_and_path() -> None:
    pd = pytest.importorskip("pandas", reason=_FRAMES)
    for missing in (pd.NaT, pd.NA, float("nan")):
        row = {"case_id": "case_1", "status": "Open", "expected_status": missing, "assignee": missing, "tags": missing}
        reader = ObjectRows(CASE, None).reader(list(row))
        found = reader.read(row)
        assert isinstance(found, ObjectUpdate)
        assert (found.expected_status, found.change.model_dump(exclude_unset=True)) == (None, {"status": "Open"})
        assert reader.read({**row, "status": missing}) == InvalidRow("case_1", "no status")
        assert reader.read({**row, "case_id": missing}) == InvalidRow(None, "no case id")
        call = OperationRows("add-tag", {"case-id": "case_id"}, {"meta.tag-name": "status"}).reader(list(row))
        assert isinstance(call.read({**row, "case_id": missing}), InvalidRow)
        assert isinstance(call.read({**row, "status": missing}), InvalidRow)


def test_a_call_names_type_and_column_of_a_value_that_its_body_cannot_carry() -> None:
    reader = OperationRows("add-tag", {"case-id": "id"}, {"meta.tag-name": "tag"}).reader(["id", "tag"])
    found = reader.read({"id": "case_1", "tag": Unknown()})
    assert isinstance(found, InvalidRow)
    assert "Unknown" in found.reason
    assert "(column tag)" in found.reason
    assert CANARY not in found.reason
