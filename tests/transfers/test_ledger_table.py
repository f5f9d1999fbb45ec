"""The ledger's copy in a table, through Airflow's hooks: made, filled, repeated, grown, refused; on every database."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_persona.bulk.ledger.outcomes import RowOutcome, RowResult
from airflow_provider_persona.bulk.ledger.table import BATCH, LedgerTable
from airflow_provider_persona.storage.errors import StoreError
from tests.airflow_process import run_program
from tests.transfers.databases import (
    KINDS,
    MARIADB,
    MARIADBS,
    POSTGRES,
    SQLITE,
    connect_warehouse,
    warehouse_hook,
)

PLAN = "0123456789abcdef" * 4
OTHER_PLAN = "f" * 64
AT = "2026-11-24T03:05:46.392+00:00"
SERVERS = [kind for kind in KINDS if kind != SQLITE]
COLUMNS = (
    "plan_hash, plan_row, object_id, from_status, to_status, outcome, reason, http_status, request_ids, "
    "key_generation, attempts, retryable, recorded_at"
)
FULL = RowResult(
    row=7,
    object_id="case_7",
    outcome=RowOutcome.FAILED,
    from_status="Open",
    to_status="Отклонено ✓ \U0001f512",
    reason="Record not found; 100 % \\ 'quoted' \"twice\" ? %s :x",
    http_status=404,
    request_ids=("req_1", "req_2"),
    generation=2,
    attempts=3,
    retryable=True,
    at=AT,
)
FULL_LINE = (PLAN, 7, "case_7", "Open", FULL.to_status, "failed", FULL.reason, 404, "req_1 req_2", 2, 3, 1, AT)


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The kind of database behind the connection `warehouse`."""
    connect_warehouse(request.param, tmp_path, monkeypatch)
    return str(request.param)


@pytest.fixture
def table(database: str) -> Iterator[str]:
    """A name that no table has; what got it is dropped."""
    name = f"persona_ledger_{uuid.uuid4().hex}"
    run = _runner()
    yield name
    if database != SQLITE:  # whose file goes with the test
        run(f"DROP TABLE IF EXISTS {name}")


def _runner() -> Callable[[str], None]:
    """Return a way to run SQL that outlives what a test does to the connection."""
    hook = warehouse_hook()
    _ = hook.connection

    def run(sql: str) -> None:
        with closing(hook.get_conn()) as connection:
            connection.cursor().execute(sql)
            connection.commit()

    return run


def lines(table: str) -> list[tuple[Any, ...]]:
    return [tuple(line) for line in warehouse_hook().get_records(f"SELECT * FROM {table} ORDER BY plan_hash, plan_row")]


def results(count: int, outcome: RowOutcome = RowOutcome.UPDATED) -> Iterator[RowResult]:
    for row in range(1, count + 1):
        yield RowResult(row, f"case_{row}", outcome, "Open", "Declined", http_status=200, attempts=1, at=AT)


def outcomes(table: str, plan_hash: str = PLAN) -> dict[int, str]:
    return {line[1]: line[5] for line in lines(table) if line[0] == plan_hash}


def test_the_table_is_made_when_it_is_missing_and_holds_every_field(database: str, table: str) -> None:
    ledger = LedgerTable(warehouse_hook(), table)
    ledger.prepare()
    assert lines(table) == []
    assert ledger.copy([FULL, RowResult(8, None, RowOutcome.INVALID)], PLAN) == 2
    nothing_known = (PLAN, 8, None, None, None, "invalid", "", None, "", 0, 0, 0, "")
    assert lines(table) == [FULL_LINE, nothing_known]
    ledger.prepare()
    assert lines(table) == [FULL_LINE, nothing_known]
    named = warehouse_hook().get_records(f"SELECT {COLUMNS} FROM {table} WHERE plan_row = 7")
    assert [tuple(line) for line in named] == [FULL_LINE]


def test_no_field_of_a_record_is_forgotten() -> None:
    from airflow_provider_persona.bulk.ledger import table as ledger_table

    assert {column.key for column in ledger_table._COLUMNS} == set(FULL.to_line(PLAN))
    assert ", ".join(column.name for column in ledger_table._COLUMNS) == COLUMNS
    documented = LedgerTable.__doc__ or ""
    assert [column.name for column in ledger_table._COLUMNS if f"`{column.name}`" not in documented] == []


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, 2 * BATCH + 7])
def test_all_batches_arrive_and_a_second_copy_changes_nothing(database: str, table: str, count: int) -> None:
    ledger = LedgerTable(warehouse_hook(), table)
    ledger.prepare()
    for _ in range(2):
        assert ledger.copy(results(count), PLAN) == count
        assert outcomes(table) == dict.fromkeys(range(1, count + 1), "updated")


def test_the_newest_record_of_a_row_stays_within_a_batch_across_batches_and_across_copies(
    database: str, table: str
) -> None:
    ledger = LedgerTable(warehouse_hook(), table)
    ledger.prepare()
    count = BATCH + 10
    first = [*results(count, RowOutcome.FAILED), *results(5, RowOutcome.UNRESOLVED), *results(3, RowOutcome.UNCHANGED)]
    assert ledger.copy(first, PLAN) == count
    expected = dict.fromkeys(range(1, count + 1), "failed") | {4: "unresolved", 5: "unresolved"}
    assert outcomes(table) == expected | dict.fromkeys((1, 2, 3), "unchanged")
    grown = [*first, *results(count + 5)]
    for _ in range(2):
        assert ledger.copy(grown, PLAN) == count + 5
        assert outcomes(table) == dict.fromkeys(range(1, count + 6), "updated")


def test_a_copy_that_broke_off_left_whole_batches_and_can_be_made_again(database: str, table: str) -> None:
    def broken() -> Iterator[RowResult]:
        yield from results(2 * BATCH + 10)
        raise ConnectionResetError("the ledger's store went away")

    ledger = LedgerTable(warehouse_hook(), table)
    ledger.prepare()
    with pytest.raises(ConnectionResetError):
        ledger.copy(broken(), PLAN)
    assert len(lines(table)) == 2 * BATCH
    assert ledger.copy(results(2 * BATCH + 10), PLAN) == 2 * BATCH + 10


def test_a_batch_is_taken_in_whole_or_not_at_all(database: str, table: str) -> None:
    hook_params = {"init_command": "SET SESSION autocommit = 1"} if database in MARIADBS else {}
    ledger = LedgerTable(warehouse_hook(**hook_params), table)
    ledger.prepare()
    ledger.copy(results(BATCH, RowOutcome.FAILED), PLAN)
    poison = RowResult(2 * BATCH, "case", RowOutcome.UPDATED, attempts=2**70)  # no column holds such a number
    with pytest.raises(StoreError, match="can be copied again") as refused:
        ledger.copy([*results(BATCH - 1), poison], PLAN)
    assert refused.value.retryable
    assert outcomes(table) == dict.fromkeys(range(1, BATCH + 1), "failed")


def test_the_lines_of_other_plans_are_left_alone(database: str, table: str) -> None:
    ledger = LedgerTable(warehouse_hook(), table)
    ledger.prepare()
    assert ledger.copy(results(20), PLAN) == 20
    assert ledger.copy(results(10, RowOutcome.FAILED), OTHER_PLAN) == 10
    assert ledger.copy(results(20, RowOutcome.UNCHANGED), PLAN) == 20
    assert set(outcomes(table).values()) == {"unchanged"}
    assert set(outcomes(table, OTHER_PLAN).values()) == {"failed"}
    assert len(lines(table)) == 30


def test_four_tasks_share_a_table_and_all_of_them_find_it_missing(database: str, table: str) -> None:
    def share(number: int) -> list[int]:
        ledger = LedgerTable(warehouse_hook(), table)
        ledger.prepare()
        kinds = (RowOutcome.FAILED, RowOutcome.UPDATED)
        return [ledger.copy(results(2 * BATCH, outcome), f"{number}" * 64) for outcome in kinds]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(share, range(4))) == [[2 * BATCH] * 2] * 4
    assert {line[5] for line in lines(table)} == {"updated"}


def test_texts_that_no_column_holds_are_made_to_fit(database: str, table: str) -> None:
    ledger = LedgerTable(warehouse_hook(), table)
    ledger.prepare()
    long = RowResult(1, "c" * 300, RowOutcome.FAILED, "O\0pen", reason="ж" * 5000, request_ids=("req_1",) * 1000, at=AT)
    for _ in range(2):
        assert ledger.copy([long], PLAN) == 1
    ((_, _, object_id, from_status, _, _, reason, _, request_ids, *_),) = lines(table)
    assert (object_id, from_status, reason) == ("c" * 254 + "…", "O\ufffdpen", "ж" * 3999 + "…")
    assert request_ids == " ".join(["req_1"] * 1000)[:3999] + "…"


@pytest.mark.parametrize("database", [POSTGRES], indirect=True)
def test_lines_that_are_right_already_are_left_alone(database: str, table: str) -> None:
    def versions() -> dict[int, str]:
        return dict(warehouse_hook().get_records(f"SELECT plan_row, ctid::text FROM {table}"))

    ledger = LedgerTable(warehouse_hook(), table)
    ledger.prepare()
    ledger.copy(results(50), PLAN)
    before = versions()
    ledger.copy([*results(50), *results(2, RowOutcome.FAILED)], PLAN)
    assert {row for row, version in versions().items() if version != before[row]} == {1, 2}


@pytest.mark.parametrize(
    ("database", "cursor"),
    [
        (POSTGRES, "dictcursor"),
        (POSTGRES, "namedtuplecursor"),
        *((driver, "dictcursor") for driver in MARIADBS if driver != MARIADB),
    ],
    indirect=["database"],
)
def test_a_connection_may_ask_for_rows_of_another_kind(
    database: str, table: str, cursor: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connect_warehouse(database, tmp_path, monkeypatch, extra={"cursor": cursor})
    ledger = LedgerTable(warehouse_hook(), table)
    ledger.prepare()
    for outcome in (RowOutcome.FAILED, RowOutcome.UPDATED):
        assert ledger.copy(results(3, outcome), PLAN) == 3


def test_a_name_may_have_a_schema(database: str, table: str) -> None:
    schema = {SQLITE: "main", POSTGRES: "public"}.get(database, "test")
    ledger = LedgerTable(warehouse_hook(), f"{schema}.{table}")
    ledger.prepare()
    assert ledger.copy([FULL], PLAN) == 1
    assert lines(table) == [FULL_LINE]


def test_a_schema_that_is_missing_is_named(database: str, table: str) -> None:
    ledger = LedgerTable(warehouse_hook(), f"no_such_schema.{table}")
    with pytest.raises(
        StoreError, match=f"no_such_schema.{table} behind the connection warehouse can neither"
    ) as error:
        ledger.prepare()
    assert error.value.__cause__ is not None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x; DROP TABLE y",
        'a"b',
        "a`b",
        "a'b",
        "a b",
        "a-b",
        "1x",
        "a..b",
        ".a",
        "a.b.c.d",
        "x\n",
        "ä",
        "%s",
        "?",
        None,
    ],
)
def test_a_name_that_would_need_quotes_is_refused(name: Any) -> None:
    with pytest.raises(StoreError, match="plain letters") as error:
        LedgerTable(None, name)  # type: ignore[arg-type]
    assert not error.value.retryable


def test_another_table_of_that_name_is_refused_and_left_as_it_is(database: str, table: str) -> None:
    run = _runner()
    run(f"CREATE TABLE {table} (plan_hash VARCHAR(64), plan_row INTEGER, customer VARCHAR(20))")
    run(f"INSERT INTO {table} VALUES ('x', 1, 'somebody')")
    with pytest.raises(
        StoreError, match=f"{table} .* is no table of ledgers: it lacks object_id, from_status"
    ) as error:
        LedgerTable(warehouse_hook(), table).prepare()
    assert not error.value.retryable
    assert lines(table) == [("x", 1, "somebody")]


def test_further_columns_are_fine_unless_they_want_a_value(database: str, table: str) -> None:
    run = _runner()
    ledger = LedgerTable(warehouse_hook(), table)
    ledger.prepare()
    run(f"ALTER TABLE {table} ADD COLUMN team VARCHAR(20) DEFAULT 'fraud'")
    ledger.prepare()
    assert ledger.copy([FULL], PLAN) == 1
    assert lines(table) == [(*FULL_LINE, "fraud")]
    run(f"DROP TABLE {table}")
    ledger.prepare()
    run(f"DROP TABLE {table}")
    run(f"CREATE TABLE {table} ({_columns()}, team VARCHAR(20) NOT NULL)")
    with pytest.raises(StoreError, match="no further column that wants a value"):
        ledger.prepare()


def _columns(**changes: str) -> str:
    from airflow_provider_persona.bulk.ledger.table import _COLUMNS

    return ", ".join(f"{column.name} {changes.get(column.name, column.type)}" for column in _COLUMNS)


@pytest.mark.parametrize("database", SERVERS, indirect=True)
@pytest.mark.parametrize("change", [{"object_id": "VARCHAR(40)"}, {"attempts": "SMALLINT"}, {"recorded_at": "DATE"}])
def test_a_column_that_could_not_hold_what_may_come_is_found_in_time(
    database: str, table: str, change: dict[str, str]
) -> None:
    _runner()(f"CREATE TABLE {table} ({_columns(**change)})")
    with pytest.raises(StoreError, match="trial line"):
        LedgerTable(warehouse_hook(), table).prepare()


@pytest.mark.parametrize("database", MARIADBS, indirect=True)
@pytest.mark.parametrize("mode", ["STRICT_TRANS_TABLES", ""])
def test_a_character_set_that_could_not_hold_what_may_come_is_found_in_time(
    database: str, table: str, mode: str
) -> None:
    """Without the strict mode the database would put question marks in place of letters, and say nothing."""
    _runner()(f"CREATE TABLE {table} ({_columns()}) CHARACTER SET latin1")
    hook = warehouse_hook(init_command=f"SET SESSION sql_mode = '{mode}'")
    with pytest.raises(StoreError, match="utf8mb4"):
        LedgerTable(hook, table).prepare()
    assert lines(table) == []


def test_a_login_that_may_only_read_is_found_in_time(
    database: str, table: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    LedgerTable(warehouse_hook(), table).prepare()
    hook_params = {}
    if database == SQLITE:
        connect_warehouse(database, tmp_path, monkeypatch, extra={"mode": "ro"})
    elif database == POSTGRES:
        connect_warehouse(database, tmp_path, monkeypatch, extra={"options": "-c default_transaction_read_only=on"})
    else:
        hook_params["init_command"] = "SET SESSION TRANSACTION READ ONLY"
    with pytest.raises(StoreError, match="needs SELECT, INSERT and DELETE"):
        LedgerTable(warehouse_hook(**hook_params), table).prepare()


def test_a_database_that_does_not_answer_is_named(
    database: str, table: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ledger = LedgerTable(warehouse_hook(), table)
    ledger.prepare()
    nowhere = {"host": str(tmp_path / "no" / "folder.sqlite")} if database == SQLITE else {"port": 9}
    connect_warehouse(database, tmp_path, monkeypatch, **nowhere, password="hunter2")
    gone = LedgerTable(warehouse_hook(), table)
    for attempt in (gone.prepare, lambda: gone.copy([FULL], PLAN)):
        with pytest.raises(StoreError, match=f"{table} behind the connection warehouse cannot be reached") as error:
            attempt()
        assert error.value.retryable
        assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("database", [SQLITE], indirect=True)
def test_nothing_else_is_written_to_the_database(database: str, table: str, tmp_path: Path) -> None:
    ledger = LedgerTable(warehouse_hook(), table)
    ledger.prepare()
    ledger.copy(results(10), PLAN)
    with closing(warehouse_hook().get_conn()) as connection:
        dump = list(connection.iterdump())
    inserts = [line for line in dump if line.startswith("INSERT")]
    assert len(inserts) == 10
    assert all(PLAN in line for line in inserts)
    assert [line.split("(")[0] for line in dump if line.startswith("CREATE")] == [f'CREATE TABLE "{table}" ']
    assert len(dump) == 13  # and the transaction's beginning and end


@pytest.mark.parametrize("database", [POSTGRES, MARIADB], indirect=True)
def test_a_name_that_the_database_would_cut_is_refused(database: str) -> None:
    with pytest.raises(StoreError, match=r"is longer than 6[34], and would be cut") as refused:
        LedgerTable(warehouse_hook(), "ledger_" + "x" * 60).prepare()
    assert not refused.value.retryable


@pytest.mark.parametrize("database", [SQLITE], indirect=True)
def test_a_driver_without_transactions_can_have_the_ledger(database: str, table: str) -> None:
    """BigQuery, Databricks and DuckDB raise on `rollback()` when there is nothing to roll back."""

    class WithoutTransactions(sqlite3.Connection):
        def rollback(self) -> None:
            raise sqlite3.OperationalError("cannot rollback - no transaction is active")

    hook = warehouse_hook()
    path = hook.get_uri().removeprefix("sqlite:///")
    hook.get_conn = lambda: sqlite3.connect(path, factory=WithoutTransactions, isolation_level=None)
    ledger = LedgerTable(hook, table)
    ledger.prepare()
    assert ledger.copy(results(10), PLAN) == 10
    assert ledger.copy(results(12, RowOutcome.FAILED), PLAN) == 12


_MEMORY = """
import resource, sys
from tests.transfers.databases import warehouse_hook
from tests.transfers.test_ledger_table import results
from airflow_provider_persona.bulk.ledger.table import LedgerTable

table, count = sys.argv[1], int(sys.argv[2])
ledger = LedgerTable(warehouse_hook(), table)
ledger.prepare()
ledger.copy(results(3000), "a" * 64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(ledger.copy(results(count), "b" * 64), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_a_large_ledger_takes_no_more_memory(database: str, table: str) -> None:
    """A client that gathered 40,000 lines would need some 40 MB."""
    done = run_program(_MEMORY, [table, "40000"])
    assert done.returncode == 0, done.stderr
    count, grown = done.stdout.split()[-2:]
    assert int(count) == 40_000
    assert float(grown) < 8
