"""Rows of a query through Airflow's hooks: columns, parameters, streaming, closing; on every database at hand."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_persona.bulk.errors import BulkError, QueryError
from airflow_provider_persona.bulk.source.query import FETCH, query_rows
from airflow_provider_persona.tasks.sql_hook import sql_hook_of
from airflow_provider_persona.version_compat import AirflowFailException
from tests.airflow_process import run_program
from tests.transfers.databases import (
    HAS_MYSQLCLIENT,
    KINDS,
    MARIADB,
    MARIADB_MYSQLCLIENT,
    MARIADBS,
    POSTGRES,
    SQLITE,
    connect_warehouse,
    warehouse_hook as warehouse,
)

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


@pytest.mark.parametrize("second", ["SELECT 'case_2' AS case_id", "-- why\nSELECT 'case_2' AS case_id"])
def test_a_second_statement_is_refused(database: str, second: str) -> None:
    refusals = {SQLITE: "one statement at a time"}
    with pytest.raises(Exception, match=refusals.get(database, "sql holds several statements")):
        all_of(f"SELECT 'case_1' AS case_id; {second}")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO decisions VALUES (1)",
        "-- why\nCREATE TABLE decisions_too (a INTEGER)",
        "WITH d AS (SELECT 1 AS a) INSERT INTO decisions SELECT a FROM d",
    ],
)
def test_a_statement_that_writes_is_refused_before_it_is_sent(database: str, sql: str) -> None:
    with pytest.raises(BulkError, match=r"sql is no query: it begins with .*would be rolled back"):
        all_of(sql)


@pytest.mark.parametrize("database", [SQLITE, MARIADB], indirect=True)
def test_a_statement_without_rows_is_refused(database: str) -> None:
    sql = "PRAGMA case_sensitive_like = ON" if database == SQLITE else "SET @a = 1"
    with pytest.raises(BulkError, match="sql is no query: it gives no rows"):
        all_of(sql)


@pytest.mark.parametrize("database", [MARIADB], indirect=True)
def test_a_second_result_of_a_procedure_is_refused(database: str) -> None:
    with closing(warehouse().get_conn()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("DROP PROCEDURE IF EXISTS two_results")
        cursor.execute("CREATE PROCEDURE two_results() BEGIN SELECT 'a' AS case_id; SELECT 'b' AS case_id; END")
    with pytest.raises(BulkError, match="sql holds several statements"):
        all_of("CALL two_results()")


@pytest.mark.parametrize("is_named_by", ["the connection", "its hook"])
@pytest.mark.parametrize("database", [POSTGRES], indirect=True)
def test_a_connection_with_autocommit_is_read_all_the_same(database: str, is_named_by: str) -> None:
    hook = warehouse()
    connect = hook.get_conn

    def with_autocommit() -> Any:
        connection = connect()
        if is_named_by == "its hook":
            hook.set_autocommit(connection, True)
        else:
            connection.autocommit = True
        return connection

    hook.get_conn = with_autocommit
    with query_rows(hook, GENERATED[POSTGRES].format(n=2 * FETCH)) as (_, rows):
        assert sum(1 for _ in rows) == 2 * FETCH


def test_doubled_columns_are_handed_over_before_rows_become_mappings(database: str) -> None:
    with query_rows(warehouse(), "SELECT 'a' AS case_id, 'b' AS case_id") as (columns, _):
        assert columns == ["case_id", "case_id"]


@pytest.mark.parametrize(
    "sql", ["SELECT ';' AS case_id;", "SELECT ';' AS case_id; -- one; query\n", "SELECT ';' AS case_id ;\n"]
)
def test_semicolons_that_end_nothing_are_fine(database: str, sql: str) -> None:
    assert all_of(sql) == (["case_id"], [{"case_id": ";"}])


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
    assert made  # and for some drivers a second one, to end the query
    assert all(_is_closed(connection, database) for connection in made)


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


@pytest.mark.parametrize("database", MARIADBS, indirect=True)
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
from airflow_provider_persona.version_compat import BaseHook
from airflow_provider_persona.bulk.errors import BulkError, QueryError
from airflow_provider_persona.bulk.source.query import query_rows

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
    done = run_program(_MEMORY, queries)
    assert done.returncode == 0, done.stderr
    count, grown = done.stdout.split()[-2:]
    assert int(count) == 300_000
    assert float(grown) < 20


@pytest.mark.skipif(not HAS_MYSQLCLIENT, reason="mysqlclient is not installed; it has to be compiled")
def test_mysqlclient_is_among_the_drivers_that_are_tried() -> None:
    assert MARIADB_MYSQLCLIENT in KINDS


@pytest.mark.parametrize(
    ("conn_type", "advice"),
    [
        ("snowflake", "install apache-airflow-providers-snowflake"),
        ("gcpbigquery", "install apache-airflow-providers-google"),
        ("", "give it a type"),
    ],
)
def test_a_provider_that_is_not_installed_is_named_and_no_retry_waits_for_it(
    conn_type: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": conn_type, "password": "canary"}))
    with pytest.raises(AirflowFailException, match=f"the connection warehouse .* {advice}$") as caught:
        sql_hook_of("warehouse")
    assert "canary" not in str(caught.value)


class OddSqlite:
    """A database in memory whose driver makes rows or texts in a way of its own, as drivers may be told to."""

    conn_type = "sqlite"

    def __init__(self, **ways: Any) -> None:
        self._ways = ways

    def get_conn(self) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:")
        for name, way in self._ways.items():
            setattr(connection, name, way)
        return connection


@pytest.mark.parametrize("way", [lambda _, row: row[:1], lambda _, row: (*row, 1), lambda *_: 5, lambda *_: None])
def test_a_row_that_does_not_fit_the_columns_is_an_error_of_the_query(way: Any) -> None:
    with (
        pytest.raises(QueryError, match="the query failed: its driver gave a row without one value") as caught,
        query_rows(OddSqlite(row_factory=way), "SELECT 'case_1' AS case_id, 'Open' AS status") as (_, rows),
    ):
        list(rows)
    assert not caught.value.retryable


@pytest.mark.parametrize("first", [True, False], ids=["at once", "later"])
def test_a_value_that_the_driver_cannot_read_is_an_error_of_the_query_without_it(first: bool) -> None:
    rows_before = "" if first else f"WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < {FETCH})"
    sql = "SELECT 'canary' AS case_id" if first else f"{rows_before} SELECT i FROM g UNION ALL SELECT 'canary'"
    with (
        pytest.raises(QueryError, match=r"cannot read one of its values \(ValueError\)") as caught,
        query_rows(OddSqlite(text_factory=int), sql) as (_, rows),
    ):
        list(rows)
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert not caught.value.retryable
