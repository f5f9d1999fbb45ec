"""Rows of a query through Airflow's hooks: columns, parameters, streaming, closing; on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_persona.transfers.sql_rows import FETCH, query_rows

POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
GENERATED = {
    "sqlite": "WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < {n}) "
    "SELECT 'case_' || i AS case_id, 'Approved' AS status FROM g",
    "postgres": "SELECT 'case_' || i AS case_id, 'Approved' AS status FROM generate_series(1, {n}) AS g(i)",
}
PARAMETER = {"sqlite": "?", "postgres": "%s"}


def sqlite_connection(path: Path) -> str:
    return json.dumps({"conn_type": "sqlite", "host": str(path)})


def _postgres_answers() -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", 5432)) == 0


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The kind of database behind the connection `warehouse`."""
    if request.param == "postgres" and not _postgres_answers():
        if os.environ.get("CI") == "true":
            pytest.fail("no PostgreSQL answers on 127.0.0.1:5432")
        pytest.skip("no PostgreSQL answers on 127.0.0.1:5432")
    connection = POSTGRES if request.param == "postgres" else sqlite_connection(tmp_path / "warehouse.db")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection)
    return str(request.param)


def warehouse() -> Any:
    from airflow.providers.common.compat.sdk import BaseHook

    return BaseHook.get_connection("warehouse").get_hook()


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
    _, rows = all_of(f"SELECT CAST({mark} AS VARCHAR(99)) AS case_id", ["it's; DROP TABLE x --"])
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
    if database == "postgres":
        assert connection.closed
    else:
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            connection.execute("SELECT 1")


def test_rows_of_a_sqlite_table_are_read_from_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE decisions AS SELECT 'c' AS case_id, 'Open' AS status")
        db.commit()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", sqlite_connection(path))
    assert all_of("SELECT * FROM decisions") == (["case_id", "status"], [{"case_id": "c", "status": "Open"}])


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
@pytest.mark.parametrize("cursor", ["realdictcursor", "dictcursor", "namedtuplecursor"])
def test_a_cursor_of_the_connections_choice_gives_values_not_names(
    database: str, cursor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"{POSTGRES}?cursor={cursor}")
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
    wide = GENERATED[database].replace("'Approved' AS status", "'{pad}' || i AS status")
    queries = [wide.format(n=n, pad="x" * 200) for n in (2 * FETCH, 300_000)]
    done = subprocess.run([sys.executable, "-c", _MEMORY, *queries], capture_output=True, text=True, check=True)
    count, grown = done.stdout.split()[-2:]
    assert int(count) == 300_000
    assert float(grown) < 20
