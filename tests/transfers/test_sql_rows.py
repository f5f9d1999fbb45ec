"""Rows of a query through Airflow's hooks: columns, parameters, streaming, closing; on every database at hand."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_persona.transfers.sql_rows import FETCH, query_rows
from tests.transfers.databases import KINDS, MARIADB, MARIADB_MYSQLCLIENT, POSTGRES, SQLITE, connect_warehouse
from tests.transfers.databases import warehouse_hook as warehouse

_SEQUENCE = "SELECT CONCAT('case_', seq) AS case_id, 'Approved' AS status FROM seq_1_to_{n}"
GENERATED = {
    SQLITE: "WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < {n}) "
    "SELECT 'case_' || i AS case_id, 'Approved' AS status FROM g",
    POSTGRES: "SELECT 'case_' || i AS case_id, 'Approved' AS status FROM generate_series(1, {n}) AS g(i)",
    MARIADB: _SEQUENCE,
    MARIADB_MYSQLCLIENT: _SEQUENCE,
}
_WIDE_SEQUENCE = "CONCAT('{pad}', seq) AS status"
WIDE = {
    SQLITE: "'{pad}' || i AS status",
    POSTGRES: "'{pad}' || i AS status",
    MARIADB: _WIDE_SEQUENCE,
    MARIADB_MYSQLCLIENT: _WIDE_SEQUENCE,
}
PARAMETER = {SQLITE: "?", POSTGRES: "%s", MARIADB: "%s", MARIADB_MYSQLCLIENT: "%s"}


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The kind of database behind the connection `warehouse`."""
    connect_warehouse(request.param, tmp_path, monkeypatch)
    return str(request.param)


def all_of(sql: str, parameters: Any = None) -> tuple[list[str], list[dict[str, Any]]]:
    with query_rows(warehouse(), sql, parameters) as (columns, rows):
        return columns, [dict(row) for row in rows]


def test_rows_come_as_mappings_in_the_order_of_the_query(database: str) -> None:
    columns, rows = all_of("SELECT 'case_2' AS case_id, 'Open' AS status UNION ALL SELECT 'case_1', NULL")
    assert columns == ["case_id", "status"]
    assert rows == [{"case_id": "case_2", "status": "Open"}, {"case_id": "case_1", "status": None}]


@pytest.mark.parametrize("count", [FETCH - 1, FETCH, FETCH + 1, 2 * FETCH + 7])
def test_no_row_is_lost_or_doubled_where_one_fetch_ends(database: str, count: int) -> None:
    _, rows = all_of(GENERATED[database].format(n=count))
    assert [row["case_id"] for row in rows] == [f"case_{number}" for number in range(1, count + 1)]


def test_the_columns_of_an_empty_result_are_known(database: str) -> None:
    columns, rows = all_of("SELECT 'x' AS case_id, 'y' AS status WHERE 1 = 0")
    assert (columns, rows) == (["case_id", "status"], [])


def test_parameters_are_given_to_the_driver(database: str) -> None:
    mark = PARAMETER[database]
    _, rows = all_of(f"SELECT {mark} AS case_id", ["it's; DROP TABLE x --"])
    assert rows == [{"case_id": "it's; DROP TABLE x --"}]


def test_a_percent_sign_needs_no_doubling_without_parameters(database: str) -> None:
    _, rows = all_of("SELECT 'case_1' AS case_id WHERE 'abc' LIKE 'a%'")
    assert rows == [{"case_id": "case_1"}]


def test_an_error_of_the_query_comes_through_and_the_connection_is_closed(database: str) -> None:
    with pytest.raises(Exception, match="no_such_table"), query_rows(warehouse(), "SELECT * FROM no_such_table"):
        pytest.fail("the query cannot be run")


@pytest.mark.parametrize("ending", ["all", "some", "error"])
def test_the_connection_is_closed_however_the_reading_ends(database: str, ending: str) -> None:
    hook = warehouse()
    made: list[Any] = []
    connect = hook.get_conn

    def remembered() -> Any:
        made.append(connect())
        return made[-1]

    hook.get_conn = remembered
    try:
        with query_rows(hook, GENERATED[database].format(n=3 * FETCH)) as (_, rows):
            if ending == "all":
                assert sum(1 for _ in rows) == 3 * FETCH
            else:
                next(rows)
            if ending == "error":
                {}["a fault of the reader"]
    except KeyError:
        assert ending == "error"
    (connection,) = made
    assert _is_closed(connection, database)


def _is_closed(connection: Any, database: str) -> bool:
    if database == POSTGRES:
        return bool(connection.closed)
    if database == MARIADB:
        return not connection.is_connected()
    if database == MARIADB_MYSQLCLIENT:
        return not connection.open
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        connection.execute("SELECT 1")
    return True


@pytest.mark.parametrize("database", [MARIADB, MARIADB_MYSQLCLIENT], indirect=True)
def test_leaving_early_does_not_read_the_rest(database: str) -> None:
    """The rest of these rows would take some 20 seconds."""
    with query_rows(warehouse(), GENERATED[database].format(n=30_000_000)) as (_, rows):
        assert next(rows)["case_id"] == "case_1"
        started = time.monotonic()
    assert time.monotonic() - started < 5


def test_rows_of_a_sqlite_table_are_read_from_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connect_warehouse(SQLITE, tmp_path, monkeypatch)
    with closing(sqlite3.connect(tmp_path / "warehouse.sqlite")) as db:
        db.execute("CREATE TABLE decisions AS SELECT 'c' AS case_id, 'Open' AS status")
        db.commit()
    assert all_of("SELECT * FROM decisions") == (["case_id", "status"], [{"case_id": "c", "status": "Open"}])


@pytest.mark.parametrize("database", [POSTGRES], indirect=True)
@pytest.mark.parametrize("cursor", ["realdictcursor", "dictcursor", "namedtuplecursor"])
def test_a_cursor_of_the_connections_choice_gives_values_not_names(
    database: str, cursor: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connect_warehouse(POSTGRES, tmp_path, monkeypatch, extra={"cursor": cursor})
    try:
        warehouse().get_conn().close()
    except ValueError as error:
        pytest.skip(f"this driver knows no such cursor: {error}")
    _, rows = all_of("SELECT 'case_1' AS case_id, 'Open' AS status")
    assert rows == [{"case_id": "case_1", "status": "Open"}]


_MEMORY = """
import resource, sys
from airflow.providers.common.compat.sdk import BaseHook
from airflow_provider_persona.transfers.sql_rows import query_rows

def read(sql):
    with query_rows(BaseHook.get_connection("warehouse").get_hook(), sql) as (_, rows):
        return sum(1 for _ in rows)

few, many = sys.argv[1:]
read(few)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(read(many), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_a_large_result_is_streamed(database: str) -> None:
    """A client that gathered 300,000 rows of 200 characters would need some 90 MB."""
    wide = GENERATED[database].replace("'Approved' AS status", WIDE[database])
    queries = [wide.format(n=n, pad="x" * 200) for n in (2 * FETCH, 300_000)]
    done = subprocess.run([sys.executable, "-c", _MEMORY, *queries], capture_output=True, text=True, check=True)
    count, grown = done.stdout.split()[-2:]
    assert int(count) == 300_000
    assert float(grown) < 20
