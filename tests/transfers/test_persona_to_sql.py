"""`PersonaToSqlOperator`: lists and searches of a simulated Persona into real tables, through Airflow."""

from __future__ import annotations

import json
import uuid
from contextlib import closing
from datetime import UTC, datetime

import pytest
from databases import KINDS, POSTGRES, SQLITE, connect_warehouse, warehouse_hook
from rogue_persona import RoguePersona

from airflow_provider_persona.export.columns import Columns
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.storage.sql_tables import KeyedTable
from airflow_provider_persona.transfers.persona_to_sql import PersonaToSqlOperator
from airflow_provider_persona.version_compat import DAG
from persona_simulator import SANDBOX_KEY

COLUMNS = {"status": "status", "score": "fields.risk_score", "accounts": "relationships.accounts", "tags": "tags"}


@pytest.fixture(params=KINDS)
def table(request, tmp_path, monkeypatch):
    """A table that is not there yet, behind the connection `warehouse`; its name."""
    connect_warehouse(request.param, tmp_path, monkeypatch)
    name = f"persona_{uuid.uuid4().hex[:12]}"
    yield name
    with closing(warehouse_hook().get_conn()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {name}")
        connection.commit()


@pytest.fixture
def sqlite_table(tmp_path, monkeypatch):
    connect_warehouse(SQLITE, tmp_path, monkeypatch)
    return "persona_cases"


@pytest.fixture
def fill(run_dag, persona_connection, tmp_path, monkeypatch):
    """Run the operator in a Dag of its own; returns the task instance."""
    monkeypatch.setenv("AIRFLOW__PERSONA__STATE_PATH", str(tmp_path / "state"))

    def run(table, retries=0, **arguments):
        given = {"operation_id": "list-all-cases", "columns": COLUMNS, "sql_conn_id": "warehouse", **arguments}
        with DAG("fill", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
            PersonaToSqlOperator(task_id="cases", table=table, retries=retries, **given)
        return run_dag(dag).get_task_instance("cases")

    return run


@pytest.fixture
def told(caplog, capfd):
    """Return all that was logged and printed."""
    caplog.set_level("DEBUG")
    return lambda: caplog.text + "".join(capfd.readouterr())


def _summary(instance):
    assert str(instance.state) == "success"
    return instance.xcom_pull(task_ids="cases")


def _rows(table, columns="id, type, status, score, accounts, tags"):
    with closing(warehouse_hook().get_conn()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"SELECT {columns} FROM {table} ORDER BY id")
        return [tuple(row) for row in cursor.fetchall()]


def _run_sql(*statements):
    with closing(warehouse_hook().get_conn()) as connection, closing(connection.cursor()) as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


def test_a_table_is_made_and_filled_and_filled_again_without_a_double(fill, persona, table):
    first = _summary(fill(table))
    assert first == {"rows": 300, "inserted": 300, "updated": 0, "requests": 3, "table": table}
    rows = _rows(table)
    assert {row[0]: row[2] for row in rows} == persona.statuses()
    case = rows[0]
    assert case[:2] == ("case_sim000001", "case")
    assert str(case[3]).isdecimal()
    assert case[4].startswith("act_")
    assert isinstance(json.loads(case[5]), list)

    persona.act_as_human("case_sim000002", status="Declined")
    second = _summary(fill(table))
    assert (second["inserted"], second["updated"]) == (0, 300)
    assert {row[0]: row[2] for row in _rows(table)} == persona.statuses()


def test_without_columns_attributes_and_relationships_are_json(fill, persona, table):
    _summary(fill(table, columns=None, fields=["status"]))
    rows = _rows(table, "id, type, attributes, relationships")
    assert {row[0]: json.loads(row[2])["status"] for row in rows} == persona.statuses()
    assert "accounts" in json.loads(rows[0][3])


def test_a_table_of_yours_keeps_its_types_and_further_columns(fill, persona, table):
    _run_sql(
        f"CREATE TABLE {table} (id VARCHAR(64) PRIMARY KEY, type VARCHAR(20), status VARCHAR(50), score INTEGER, "
        "accounts VARCHAR(500), tags VARCHAR(500), note VARCHAR(50))",
        f"INSERT INTO {table} (id, status, note) VALUES ('case_sim000001', 'old', 'mine')",
        f"INSERT INTO {table} (id, status, note) VALUES ('case_gone', 'old', 'kept')",
    )
    summary = _summary(fill(table))
    assert (summary["inserted"], summary["updated"]) == (299, 1)
    rows = {row[0]: row[1:] for row in _rows(table, "id, status, score, note")}
    assert rows["case_sim000001"][0] == persona.statuses()["case_sim000001"]
    assert isinstance(rows["case_sim000001"][1], int)
    assert rows["case_sim000001"][2] == "mine"
    assert rows["case_gone"] == ("old", None, "kept")


def test_texts_of_all_kinds_come_through(fill, persona, table):
    odd = "O'Brien; DROP TABLE x --  %s %(a)s :b ? \U0001f512 Ж \"'\\"
    persona.act_as_human("case_sim000001", fields={"name-first": odd})
    _summary(fill(table, columns={"name": "fields.name-first"}))
    assert dict(_rows(table, "id, name"))["case_sim000001"] == odd


def test_ids_that_differ_in_capitals_only_are_two(persona, table):
    keyed = KeyedTable(warehouse_hook(), table, ["id", "status"])
    with keyed.opened() as opened:
        assert opened.upsert({"case_a": ("case_a", "1"), "case_A": ("case_A", "2")}) == (2, 0)
        assert opened.upsert({"case_a": ("case_a", "3")}) == (0, 1)
    assert sorted(_rows(table, "id, status")) == [("case_A", "2"), ("case_a", "3")]


VALUES = {"a": True, "b": False, "c": 5, "d": 1.5, "e": 2**70, "f": "text", "g": None}
TEXTS = {"a": "true", "b": "false", "c": "5", "d": "1.5", "e": str(2**70), "f": "text", "g": None}


def _values_of(columns, values):
    return {
        key: columns.values({"id": key, "type": "case", "attributes": {"fields": {"v": value}}})
        for key, value in values.items()
    }


def test_numbers_and_truths_are_the_same_text_in_every_database(persona, table):
    columns = Columns({"v": "fields.v"})
    for counts in ((len(VALUES), 0), (0, len(VALUES))):  # into the table that is made, and into the one that is there
        with KeyedTable(warehouse_hook(), table, columns.names).opened() as opened:
            assert opened.upsert(_values_of(columns, VALUES)) == counts
        assert dict(_rows(table, "id, v")) == TEXTS


def test_columns_of_other_types_get_numbers_and_truths_as_such(persona, table):
    _run_sql(f"CREATE TABLE {table} (id VARCHAR(64) PRIMARY KEY, yes BOOLEAN, n NUMERIC(10,2))")
    with KeyedTable(warehouse_hook(), table, ["id", "yes", "n"]).opened() as opened:
        opened.upsert({"a": ("a", True, 1.25), "b": ("b", False, 7)})
    rows = [(bool(yes), float(n)) for yes, n in _rows(table, "yes, n")]
    assert rows == [(True, 1.25), (False, 7.0)]


@pytest.mark.parametrize("word", ["order", "group", "user", "key", "references", "desc"])
def test_words_that_a_database_keeps_for_itself_can_be_columns(persona, table, word):
    for value in ("1", "2"):
        with KeyedTable(warehouse_hook(), table, ["id", "Kind", word]).opened() as opened:
            opened.upsert({"a": ("a", "case", value)})
    assert _rows(table, "id, KIND, kind") == [("a", "case", "case")]  # capitals count as little as ever


def test_a_key_of_fixed_width_is_known_again(persona, table):
    _run_sql(f"CREATE TABLE {table} (id CHAR(30) PRIMARY KEY, type VARCHAR(20))")
    with KeyedTable(warehouse_hook(), table, ["id", "type"]).opened() as opened:
        assert opened.upsert({"a": ("a", "case")}) == (1, 0)
        assert opened.upsert({"a": ("a", "case")}) == (0, 1)


def test_no_transaction_is_open_while_the_rows_are_read(persona, tmp_path, monkeypatch):
    """It would keep PostgreSQL from cleaning up for as long as a request waits for the limit."""
    connect_warehouse(POSTGRES, tmp_path, monkeypatch)
    name = f"persona_{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("PGAPPNAME", name)  # what others do on this server is no matter of ours
    states = "SELECT state FROM pg_stat_activity WHERE application_name = %s AND pid <> pg_backend_pid()"
    with closing(warehouse_hook().get_conn()) as connection, closing(connection.cursor()) as cursor:
        for _ in range(2):  # the table is made, and it is there
            with KeyedTable(warehouse_hook(), name, ["id", "type"]).opened():
                cursor.execute(states, (name,))
                # The connection of the round before may still be ending, on a busy server.
                assert {row[0] for row in cursor.fetchall()} == {"idle"}
                connection.commit()
        cursor.execute(f"DROP TABLE {name}")
        connection.commit()


def test_a_value_that_its_column_never_takes_is_not_tried_again(persona, sqlite_table):
    _run_sql(f"CREATE TABLE {sqlite_table} (id TEXT PRIMARY KEY, n INTEGER)")
    with (
        KeyedTable(warehouse_hook(), sqlite_table, ["id", "n"]).opened() as opened,
        pytest.raises(StoreError, match="a value does not fit its column") as caught,
    ):
        opened.upsert({"a": ("a", 2**70)})
    assert not caught.value.retryable


def test_a_batch_that_is_refused_leaves_nothing_of_itself(fill, persona, table, told):
    persona.act_as_human("case_sim000001", fields={"name-first": "Zyanya-Canary" * 10})
    _run_sql(f"CREATE TABLE {table} (id VARCHAR(64) PRIMARY KEY, type VARCHAR(20), name VARCHAR(40) NOT NULL)")
    instance = fill(table, columns={"name": "fields.customer-name"}, batch_pages=1)  # not every case has one
    assert str(instance.state) == "failed"
    assert _rows(table, "id") == []
    text = told()
    assert f"the table {table} behind the connection warehouse cannot be written to" in text
    assert "Zyanya-Canary" not in text


# ---------------------------------------------------------------------- on one database is enough


def test_a_failed_run_keeps_whole_batches_and_the_next_one_completes(fill, persona, sqlite_table):
    persona.script_fault("redirect", skip=2)
    assert str(fill(sqlite_table, batch_pages=1).state) == "failed"
    assert len(_rows(sqlite_table)) == 200
    summary = _summary(fill(sqlite_table))
    assert (summary["inserted"], summary["updated"]) == (100, 200)


def test_incremental_search_updates_what_changed(fill, persona, sqlite_table):
    arguments = {"operation_id": "search-cases", "incremental": True, "lookback": 0}
    _summary(fill(sqlite_table, **arguments))
    persona.act_as_human("case_sim000009", status="Declined")
    second = _summary(fill(sqlite_table, **arguments))
    assert second["inserted"] == 0
    assert 1 <= second["updated"] <= 3
    assert second["requests"] == 1
    assert {row[0]: row[2] for row in _rows(sqlite_table)} == persona.statuses()


def _version(status, at):
    return {"type": "case", "id": "case_1", "attributes": {"status": status, "updated-at": at}}


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (("Open", "2026-01-01T12:00:00Z"), ("Declined", "2026-01-01T12:00:01Z"), "Declined"),
        (("Declined", "2026-01-01T12:00:01Z"), ("Open", "2026-01-01T12:00:00Z"), "Declined"),
        (("Open", "2026-01-01T12:00:00Z"), ("Declined", "2026-01-01T12:00:00Z"), "Declined"),
        (("Open", None), ("Declined", None), "Declined"),  # what was read later
    ],
)
def test_of_two_versions_of_an_object_the_newer_stays(fill, sqlite_table, monkeypatch, first, second, kept):
    pages = [
        {"data": [_version(*first)], "links": {"next": "/api/v1/cases?page%5Bafter%5D=case_1"}},
        {"data": [_version(*second)], "links": {"next": None}},
    ]
    with RoguePersona() as rogue:
        rogue.give("/api/v1/cases", pages)
        connection = {"conn_type": "persona", "host": rogue.url, "password": SANDBOX_KEY}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
        summary = _summary(fill(sqlite_table, columns={"status": "status"}))
    assert (summary["rows"], summary["inserted"], summary["updated"]) == (2, 1, 0)
    assert _rows(sqlite_table, "id, status") == [("case_1", kept)]


@pytest.mark.parametrize(
    ("objects", "state", "rows"),
    [
        ([_version("Open", None), {"type": "case", "id": None}, {"type": "case"}], "success", ["case_1"]),
        ([{"type": "case", "id": None}, {"type": "case"}], "failed", []),
    ],
)
def test_an_object_without_an_id_is_left_out_and_a_list_of_them_refused(
    fill, sqlite_table, monkeypatch, objects, state, rows
):
    with RoguePersona() as rogue:
        rogue.give("/api/v1/cases", [{"data": objects, "links": {"next": None}}])
        connection = {"conn_type": "persona", "host": rogue.url, "password": SANDBOX_KEY}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
        assert str(fill(sqlite_table, columns={"status": "status"}).state) == state
    assert [row[0] for row in _rows(sqlite_table, "id")] == rows


def test_a_failed_incremental_read_is_done_again(fill, persona, sqlite_table):
    persona.script_fault("redirect", skip=1)
    assert str(fill(sqlite_table, incremental=True, batch_pages=1).state) == "failed"
    assert _summary(fill(sqlite_table, incremental=True))["rows"] == 300
    assert _summary(fill(sqlite_table, incremental=True, lookback=0))["rows"] == 0


@pytest.mark.parametrize(
    ("table", "arguments", "said"),
    [
        ("cases; DROP TABLE x", {}, "a table must be named"),
        ("cases", {"columns": {"a b": "status"}}, "a column must be named"),
        ("cases", {"columns": {"Type": "status"}}, "leave it out of columns"),
        ("cases", {"columns": {"a": "status", "A": "tags"}}, "two names that differ in capitals only"),
        ("cases", {"columns": {}}, "columns is a mapping"),
        ("cases", {"sql_conn_id": "persona_default"}, "no database connection"),
        ("cases", {"sql_hook_params": "abc"}, "sql_hook_params is a mapping"),
        ("cases", {"sql_hook_params": {5: "x"}}, "the keys of sql_hook_params are names"),
        ("cases", {"operation_id": "list-all-reports"}, "of several types"),
    ],
)
def test_arguments_that_cannot_be_used_fail_before_the_first_request(
    fill, persona, sqlite_table, told, table, arguments, said
):
    instance = fill(table, retries=2, **arguments)
    assert (str(instance.state), instance.try_number) == ("failed", 1)
    assert said in told()
    assert persona.requests() == []


def test_a_table_that_lacks_a_column_is_told_of_before_the_first_request(fill, persona, sqlite_table, told):
    _run_sql(f"CREATE TABLE {sqlite_table} (id TEXT PRIMARY KEY, type TEXT, status TEXT)")
    assert str(fill(sqlite_table).state) == "failed"
    assert f"the table {sqlite_table} behind the connection warehouse lacks the columns score, accounts, tags" in told()
    assert persona.requests() == []


def test_a_database_that_does_not_answer_is_told_of(persona_connection, monkeypatch):
    connection = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "nobody", "schema": "none"}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    with (
        pytest.raises(StoreError, match="cannot be reached") as caught,
        KeyedTable(warehouse_hook(), "cases", ["id"]).opened(),
    ):
        pass
    assert caught.value.retryable


def test_neither_key_nor_personal_data_are_logged(fill, persona, sqlite_table, told):
    persona.act_as_human("case_sim000001", fields={"name-first": "Zyanya-Canary"})
    summary = _summary(fill(sqlite_table, columns=None))
    searched = told() + json.dumps(summary)
    assert [canary for canary in (SANDBOX_KEY, "Zyanya-Canary") if canary in searched] == []
    assert any("Zyanya-Canary" in row[0] for row in _rows(sqlite_table, "attributes"))
