"""`SqlToPersonaOperator`: any writing operation, one call a row, each once, whatever goes wrong on the way."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_persona.bulk.ledger.table import LedgerTable
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaOperator
from airflow_provider_persona.version_compat import DAG, AirflowFailException, BaseHook
from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer
from tests.airflow_process import AirflowProcess, run_program, wait_for_what_was_sent

CREATE, ADD_ITEM, ADD_TAG = "create-an-account", "create-an-email-address-list-item", "accounts-add-tag"
ACCOUNTS = [f"act_sim{number:06d}" for number in range(1, 21)]
INQUIRIES = [f"inq_sim{number:06d}" for number in range(1, 21)]


@pytest.fixture
def calls(run_dag, persona_connection, warehouse):
    """Run the operator in a Dag on a table `rows`; returns the task instance."""

    def run(operation_id, columns, rows, retries=0, **arguments):
        warehouse("rows", columns, rows)
        with DAG("calls", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
            SqlToPersonaOperator(
                task_id="calls",
                operation_id=operation_id,
                retries=retries,
                retry_delay=0,
                **{"sql": "SELECT * FROM rows", "sql_conn_id": "warehouse", **arguments},
            )
        return run_dag(dag).get_task_instance("calls")

    return run


def counts(instance):
    report = instance.xcom_pull(task_ids="calls") or instance.xcom_pull(task_ids="calls", key="report")
    return {outcome: count for outcome, count in report["counts"].items() if count}


def ledger(instance):
    report = instance.xcom_pull(task_ids="calls") or instance.xcom_pull(task_ids="calls", key="report")
    lines = [line for path in sorted(Path(report["ledger"]).glob("ledger-*")) for line in read(path)]
    return {line["row"]: line for line in lines if "row" in line}


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def effects(persona, operation):
    """How often each object was really changed by an operation."""
    return Counter(effect.object_id for effect in persona.journal() if effect.operation == operation and effect.changed)


def state_of(instance):
    return str(instance.state), instance.try_number


# ---------------------------------------------------------------------- the calls


def test_items_are_added_to_a_list(calls, persona):
    rows = [(f"person{number}@example.com",) for number in range(30)]
    instance = calls(
        ADD_ITEM,
        "email",
        [*rows, rows[0]],  # there twice, called once
        body={"data.attributes.value": "email"},
        constants={"data.attributes.list-id": "lst_email_address", "data.attributes.match-type": "email_address"},
    )
    assert str(instance.state) == "success"
    assert counts(instance) == {"updated": 30}
    added = effects(persona, ADD_ITEM)
    assert (len(added), set(added.values())) == (30, {1})
    values = {persona.object(item)["attributes"]["value"] for item in added}
    assert values == {email for (email,) in rows}
    assert {line["object_id"] for line in ledger(instance).values()} == {None}


def test_accounts_are_tagged_several_tags_each(calls, persona):
    rows = [(account, tag) for account in ACCOUNTS[:10] for tag in ("watched", "chargeback")]
    instance = calls(ADD_TAG, "account, tag", rows, path={"account-id": "account"}, body={"meta.tag-name": "tag"})
    assert counts(instance) == {"updated": 20}
    assert effects(persona, ADD_TAG) == Counter(dict.fromkeys(ACCOUNTS[:10], 2))
    assert {line["object_id"] for line in ledger(instance).values()} == set(ACCOUNTS[:10])


def test_inquiries_are_redacted_without_a_body(calls, persona):
    instance = calls("redact-an-inquiry", "id", [(inquiry,) for inquiry in INQUIRIES[:8]], path={"inquiry-id": "id"})
    assert counts(instance) == {"updated": 8}
    assert set(effects(persona, "redact-an-inquiry")) >= set(INQUIRIES[:8])
    assert all(request.body_bytes == 0 for request in persona.requests(operation="redact-an-inquiry"))


def test_accounts_are_created_with_nulls_left_out_and_json_read(calls, persona):
    rows = [("Ada", "ref-1", '{"note": 1}'), ("Ben", None, None)]
    instance = calls(
        CREATE,
        "name, reference, fields",
        rows,
        body={
            "data.attributes.name-first": "name",
            "data.attributes.reference-id": "reference",
            "data.attributes.fields": "fields",
        },
        max_failures=2,
    )
    created = list(effects(persona, CREATE))
    lines = ledger(instance)
    assert lines[2]["outcome"] == "updated"
    assert len(created) == counts(instance)["updated"]
    references = {persona.object(account)["attributes"]["reference-id"] for account in created}
    assert None in references


def test_path_parameters_and_keys_may_be_constants_and_templates(calls, persona):
    instance = calls(
        ADD_TAG,
        "tag",
        [("watched",), ("chargeback",)],
        body={"meta.tag-name": "tag"},
        constants={"account-id": "{{ 'act_sim%06d' % 3 }}"},
    )
    assert counts(instance) == {"updated": 2}
    assert effects(persona, ADD_TAG) == {ACCOUNTS[2]: 2}


def test_two_rows_that_set_different_things_for_one_object_are_invalid(calls, persona):
    rows = [(ACCOUNTS[0], "Ada"), (ACCOUNTS[0], "Ida"), (ACCOUNTS[1], "Zora"), (ACCOUNTS[1], "Zora")]
    instance = calls(
        "update-an-account", "id, name", rows, path={"account-id": "id"}, body={"data.attributes.reference-id": "name"}
    )
    assert counts(instance) == {"updated": 1, "invalid": 2}
    assert set(effects(persona, "update-an-account")) == {ACCOUNTS[1]}


def test_rows_without_a_usable_id_are_invalid_and_never_sent(calls, persona):
    rows = [(None, "a"), ("", "a"), ("a/b", "a"), ("..", "a"), (ACCOUNTS[0], "a"), (ACCOUNTS[1], None)]
    instance = calls(ADD_TAG, "id, tag", rows, path={"account-id": "id"}, body={"meta.tag-name": "tag"})
    assert counts(instance) == {"updated": 1, "invalid": 5}
    assert len(persona.requests()) == 1


def test_an_object_that_does_not_exist_fails_its_row_only(calls, persona):
    rows = [(ACCOUNTS[0], "a"), ("act_nobody", "a")]
    instance = calls(ADD_TAG, "id, tag", rows, retries=2, path={"account-id": "id"}, body={"meta.tag-name": "tag"})
    assert state_of(instance) == ("failed", 1)
    assert counts(instance) == {"updated": 1, "failed": 1}
    assert ledger(instance)[2]["http_status"] == 404


def test_a_dry_run_calls_nothing(calls, persona):
    instance = calls(
        ADD_TAG, "id, tag", [(ACCOUNTS[0], "a")], path={"account-id": "id"}, body={"meta.tag-name": "tag"}, dry_run=True
    )
    assert counts(instance) == {"planned": 1}
    assert persona.journal() == []


# ---------------------------------------------------------------------- what cannot be called

TAG = {"path": {"account-id": "id"}, "body": {"meta.tag-name": "tag"}}
REFUSED = [
    ("create-an-acount", {}, "did you mean create-an-account"),
    ("list-all-accounts", {}, "list-all-accounts only reads; a bulk run is for operations that write"),
    ("search-cases", {}, "search-cases only reads; a bulk run is for operations that write"),
    (ADD_TAG, {"body": {"meta.tag-name": "tag"}}, "path of accounts-add-tag lacks account-id; the operation's path is"),
    (ADD_TAG, {**TAG, "path": {"account": "id"}}, "path of accounts-add-tag lacks account-id"),
    (ADD_TAG, {**TAG, "path": {"account-id": "id", "x": "id"}}, "path of accounts-add-tag does not know x"),
    (ADD_TAG, {"path": {"account-id": "id"}}, "accounts-add-tag needs meta.tag-name|meta.tag-id in body or constants"),
    (ADD_TAG, {**TAG, "body": {"meta.tag-nam": "tag"}}, "accounts-add-tag needs meta.tag-name"),
    (ADD_TAG, {**TAG, "body": {"meta.tag-name": "tags"}}, "the rows have no column tags; their columns are id, tag"),
    (ADD_TAG, {**TAG, "constants": {"account-id": None}}, "account-id"),
    (ADD_TAG, {**TAG, "sql_conn_id": "persona_default"}, "persona_default is no database connection"),
]


@pytest.mark.parametrize(("operation_id", "arguments", "said"), REFUSED)
def test_what_cannot_be_called_fails_before_the_first_request(
    calls, persona, caplog, capfd, operation_id, arguments, said
):
    instance = calls(operation_id, "id, tag", [(ACCOUNTS[0], "a")], retries=2, **arguments)
    assert state_of(instance) == ("failed", 1)
    assert said in caplog.text + "".join(capfd.readouterr())
    assert persona.requests() == []


# ---------------------------------------------------------------------- what goes wrong on the way

PEOPLE = [(f"Person {number}",) for number in range(12)]
BY_NAME = {"body": {"data.attributes.name-first": "name"}}


@pytest.mark.parametrize("fault", ["reset_after", "reset_before", "proxy_503", "truncated", "malformed"])
def test_a_lost_answer_to_a_creation_is_asked_for_again_under_the_same_key(calls, persona, fault):
    persona.script_fault(fault, operation=CREATE, times=3, skip=2)
    instance = calls(CREATE, "name", PEOPLE, **BY_NAME)
    created = effects(persona, CREATE)
    keys = Counter(request.idempotency_key for request in persona.requests(operation=CREATE))
    if fault == "proxy_503":  # whatever answers 503 may have done it
        assert counts(instance) == {"updated": 9, "unresolved": 3}
        assert (len(created), len(keys), sum(keys.values())) == (9, 12, 12)
        return
    assert counts(instance) == {"updated": 12}
    assert (len(created), set(created.values())) == (12, {1})
    assert (len(keys), sum(keys.values())) == (12, 15)


@pytest.mark.parametrize("fault", ["http_500", "http_503_after"])
def test_a_creation_that_was_answered_with_a_failure_is_unresolved_and_not_sent_again(calls, persona, fault):
    persona.script_fault(fault, operation=CREATE, times=2, skip=3)
    instance = calls(CREATE, "name", PEOPLE, retries=2, **BY_NAME)
    assert state_of(instance) == ("failed", 1)
    assert counts(instance) == {"updated": 10, "unresolved": 2}
    assert len(persona.requests(operation=CREATE)) == 12
    reasons = {line["reason"] for line in ledger(instance).values() if line["outcome"] == "unresolved"}
    assert len(reasons) == 1
    assert "look before doing it again" in reasons.pop()


def test_what_is_unresolved_is_not_sent_again_by_another_try_either(persona_connection, warehouse):
    warehouse("rows", "name", PEOPLE)
    persona_connection.script_fault("http_500_after", operation=CREATE, times=1, skip=2)
    arguments = {"operation_id": CREATE, "sql": "SELECT * FROM rows", "sql_conn_id": "warehouse", **BY_NAME}
    operator = SqlToPersonaOperator(task_id="calls", retries=1, **arguments)
    reports = []
    for number in (1, 2):
        ti = SimpleNamespace(dag_id="d", run_id="r", task_id="calls", map_index=-1, try_number=number, max_tries=1)
        ti.xcom_push = lambda key, value: reports.append(value) if key == "report" else None
        with pytest.raises(AirflowFailException, match="1 of 12 rows failed, and none may; "):
            operator.execute({"ti": ti})
    assert [(report["counts"]["updated"], report["counts"]["unresolved"]) for report in reports] == [(11, 1)] * 2
    assert sum(effects(persona_connection, CREATE).values()) == 12
    assert len(persona_connection.requests(operation=CREATE)) == 12


@pytest.mark.parametrize("fault", ["http_502_after", "stale_409", "reset_after", "proxy_502"])
def test_an_operation_that_may_be_repeated_gets_through_faults(calls, persona, fault):
    persona.script_fault(fault, operation=ADD_TAG, times=3, skip=1)
    rows = [(account, "watched") for account in ACCOUNTS]
    instance = calls(ADD_TAG, "id, tag", rows, **TAG)
    assert str(instance.state) == "success"
    assert counts(instance) == {"updated": 20}
    assert effects(persona, ADD_TAG) == Counter(dict.fromkeys(ACCOUNTS, 1))


def test_a_retry_after_everything_was_done_does_nothing_anew(calls, persona, monkeypatch, tmp_path):
    """The copy of the ledger fails after the last creation; Airflow's retry copies it, and creates nothing."""
    database = tmp_path / "audit.sqlite"
    monkeypatch.setenv("AIRFLOW_CONN_AUDIT", json.dumps({"conn_type": "sqlite", "host": str(database)}))
    LedgerTable(BaseHook.get_connection("audit").get_hook(), "audit").prepare()

    def in_database(sql):
        with closing(sqlite3.connect(database)) as db, db:
            return db.execute(sql).fetchall()

    # It takes trial lines, and no others until the retry.
    in_database(
        "CREATE TRIGGER broken BEFORE INSERT ON audit WHEN NEW.plan_hash NOT LIKE 'trial-%' "
        "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    instance = calls(
        CREATE,
        "name",
        PEOPLE,
        retries=1,
        on_retry_callback=lambda _: in_database("DROP TRIGGER broken"),
        ledger_table="audit",
        ledger_conn_id="audit",
        **BY_NAME,
    )
    assert state_of(instance) == ("success", 2)
    assert counts(instance) == {"updated": 12}
    assert sum(effects(persona, CREATE).values()) == len(persona.requests(operation=CREATE)) == 12
    assert in_database("SELECT COUNT(*) FROM audit WHERE outcome = 'updated'") == [(12,)]


# ---------------------------------------------------------------------- a kill

PROGRAM = Path(__file__).with_name("killed_calls.py")


@pytest.fixture(scope="module")
def busy():
    with SimulatorServer(SimulatorConfig(cases=0, limit=1_000_000, latency_ms=20)) as server:
        yield server


@pytest.mark.parametrize("after", [150, 300])
def test_after_a_kill_each_creation_is_made_once_and_none_is_lost(busy, tmp_path, after):
    """With 300 of 300 it dies after the last creation, before it could say so; its retry must not begin anew."""
    busy.reset()
    with closing(sqlite3.connect(tmp_path / "warehouse.sqlite")) as db, db:
        db.execute("CREATE TABLE people (name)")
        db.executemany("INSERT INTO people VALUES (?)", [(f"Person {number}",) for number in range(300)])
    arguments = [busy.url, SANDBOX_KEY, str(tmp_path)]
    with AirflowProcess(PROGRAM, [*arguments, "1"]) as process:
        deadline = time.monotonic() + 60
        while busy.state()["effects"] < after:
            assert process.is_running
            assert time.monotonic() < deadline
            time.sleep(0.002)
        if after == 300:
            while not any(line.startswith("report") for line in process.stdout.splitlines()):
                assert time.monotonic() < deadline
                time.sleep(0.002)
        process.kill()
    wait_for_what_was_sent(busy)

    done = run_program(PROGRAM, [*arguments, "2"])

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1].removeprefix("report "))
    assert report["counts"]["updated"] == report["rows"] == 300
    created = effects(busy, CREATE)
    assert (len(created), set(created.values())) == (300, {1})
    assert len(busy.requests(operation=CREATE)) - 300 <= 25
