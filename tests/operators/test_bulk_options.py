"""Options of the bulk operators through Airflow: comparison, second look, ledger's table, failures, progress, state."""

from __future__ import annotations

import json
import logging
import math
import shutil
import sqlite3
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
from plan_runs import SET_STATUS, PlanRun, changed, new_dag, to_status, told, with_status

from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.version_compat import AIRFLOW_V_3_3_PLUS
from tests.transfers.databases import KINDS, connect_warehouse, warehouse_hook

needs_task_state = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="tasks have a state store from Airflow 3.3 on")


@pytest.fixture
def apply(run_dag, persona_connection, state_path):
    """Run the operator as the task `apply`."""

    def run(rows, **arguments):
        with new_dag("options") as dag:
            PersonaBulkUpdateCasesOperator(task_id="apply", changes=rows, retry_delay=0, **arguments)
        return PlanRun(run_dag(dag))

    return run


def sent(persona):
    """Requests by operation."""
    return Counter(request.operation for request in persona.requests())


# ---------------------------------------------------------------------- comparison with the live cases


def _mostly_right(persona, wrong):
    """Rows for all cases, of which so many are not as wished yet."""
    statuses = persona.statuses()
    rows = [{"case_id": case_id, "status": status} for case_id, status in statuses.items()]
    moved = [row for row in rows if row["status"] == "Open"][:wrong]
    for row in moved:
        row["status"] = "Declined"
    return rows, sorted(row["case_id"] for row in moved)


@pytest.mark.parametrize(
    ("compare", "reads"),
    [
        ("list", {"list-all-cases": 4}),
        ("auto", {"list-all-cases": 4}),
        ("get", {"retrieve-case": 300}),
        ("never", {}),
    ],
)
def test_what_is_already_right_costs_no_write(apply, persona, compare, reads):
    rows, wrong = _mostly_right(persona, 20)
    run = apply(rows, compare=compare)
    assert run.state("apply") == "success"
    assert changed(persona) == wrong
    requests = sent(persona)
    writes = requests.pop(SET_STATUS)
    if compare == "never":  # which writes blindly: what is so already is set once more
        assert (run.counts, writes) == ({"updated": 300}, 300)
    else:
        assert (run.counts, writes) == ({"updated": 20, "unchanged": 280}, 20)
    assert set(requests) == set(reads)
    # Walks that meet in the middle of the list may read a page more.
    assert all(requests[name] <= count + 8 * (name == "list-all-cases") for name, count in reads.items())


def test_listing_is_given_up_where_it_does_not_pay(apply, persona, caplog, capfd):
    opened = with_status(persona, "Open")[:100]
    run = apply(to_status(opened), compare="auto")
    assert run.counts == {"updated": len(opened)}
    pages = sent(persona)["list-all-cases"]
    assert pages <= math.floor(0.1 * len(opened))
    assert sent(persona)[SET_STATUS] == len(opened)


def test_a_listing_for_few_rows_is_not_even_begun(apply, persona, caplog, capfd):
    run = apply(to_status(with_status(persona, "Open", 9)), compare="auto")
    assert run.counts == {"updated": 9}
    assert sent(persona) == {SET_STATUS: 9}


# ---------------------------------------------------------------------- a second look


def test_a_case_that_a_human_changes_after_its_write_is_reported(apply, persona, caplog, capfd):
    first, second, third = with_status(persona, "Open", 3)
    persona.script_fault("latency", operation=SET_STATUS, case_id=third, seconds=1.0)

    def review():
        while first not in changed(persona):
            time.sleep(0.01)
        persona.act_as_human(first, status="Approved")

    reviewer = threading.Thread(target=review)
    reviewer.start()
    run = apply(to_status([first, second, third]), concurrency=1, verify=True)
    reviewer.join()

    assert run.state("apply") == "success"
    report = run.returned("apply")
    assert (run.counts, report["verified"], report["differences"]) == ({"updated": 3}, 3, 1)
    differences = Path(report["plan"]).with_name("differences.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in differences] == [
        {"row": 1, "object_id": first, "wanted": "Declined", "found": "Approved"}
    ]
    said = told(caplog, capfd)
    assert "of 3 changed objects read again, 1 are not as wanted" in said
    assert "1 changed objects are not as wanted any more; see differences.jsonl" in said


def test_a_second_look_that_finds_all_well_says_so(apply, persona):
    run = apply(to_status(with_status(persona, "Open", 40), fields={"decision-note": "x"}), verify=True)
    report = run.returned("apply")
    assert (report["verified"], report["differences"]) == (40, 0)
    assert not Path(report["plan"]).with_name("differences.jsonl").exists()


# ---------------------------------------------------------------------- the ledger in a table


@pytest.fixture(params=KINDS)
def audit_table(request, tmp_path, monkeypatch):
    """A name of a table of its own behind the connection `warehouse`."""
    connect_warehouse(request.param, tmp_path, monkeypatch)
    name = f"persona_ledger_{uuid.uuid4().hex[:12]}"
    yield name
    warehouse_hook().run(f"DROP TABLE IF EXISTS {name}")


def test_the_ledger_is_copied_to_a_table_also_when_the_task_fails(apply, persona, audit_table):
    good, bad = with_status(persona, "Open", 2)
    rows = [*to_status([good]), {"case_id": bad, "status": "Aproved"}, {"case_id": None, "status": "Declined"}]
    run = apply(rows, compare="get", ledger_table=audit_table, ledger_conn_id="warehouse")
    assert run.state("apply") == "failed"
    report = run.returned("apply", "report")
    found = warehouse_hook().get_records(
        "SELECT plan_hash, plan_row, object_id, from_status, to_status, outcome, http_status "
        f"FROM {audit_table} ORDER BY plan_row"
    )
    assert [tuple(line) for line in found] == [
        (report["plan_hash"], 1, good, "Open", "Declined", "updated", 200),
        (report["plan_hash"], 2, bad, "Open", "Aproved", "failed", 422),
        (report["plan_hash"], 3, None, None, None, "invalid", None),
    ]


def test_the_names_of_the_ledgers_table_may_be_templates_that_render_to_nothing(apply, persona):
    """One Dag for all environments: where there is no table, its name renders to an empty text."""
    run = apply(to_status(with_status(persona, "Open", 2)), ledger_table="{{ '' }}", ledger_conn_id="{{ none }}")
    assert run.state("apply") == "success"


# ---------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("max_failures", "outcome"),
    [
        (0, "failed"),
        (1, "failed"),
        (2, "success"),
        ("2", "success"),
        (0.19, "failed"),
        (0.2, "success"),
        (1.0, "success"),
    ],
)
def test_failures_up_to_a_number_or_a_share_are_bearable(apply, persona, caplog, capfd, max_failures, outcome):
    opened = with_status(persona, "Open", 10)
    rows = to_status(opened)
    for row in rows[:2]:
        row["status"] = "Aproved"
    run = apply(rows, max_failures=max_failures)
    assert run.state("apply") == outcome
    assert run.counts == {"updated": 8, "failed": 2}
    assert changed(persona) == sorted(opened[2:])  # everything else was done all the same
    assert ("2 of 10 rows failed, " in told(caplog, capfd)) is (outcome == "failed")


def test_when_persona_mostly_fails_the_run_stops_and_the_retry_goes_on(apply, persona, caplog, capfd):
    caplog.set_level(logging.INFO, "airflow_provider_persona")
    opened = with_status(persona, "Open", 60)
    persona.script_fault("http_503", operation=SET_STATUS, times=50, skip=20)
    run = apply(to_status(opened), retries=1, max_retry_share=0.001)
    said = told(caplog, capfd)
    assert "Persona does not work as it should" in said
    assert "Resuming the plan of an earlier attempt" in said
    assert (run.state("apply"), run.tries("apply")) == ("success", 2)
    assert run.counts == {"updated": 60}
    assert run.returned("apply")["resumed"] >= 20
    assert changed(persona) == sorted(opened)


# ---------------------------------------------------------------------- progress


def test_progress_is_told_every_few_seconds(apply, persona, caplog, capfd):
    opened = with_status(persona, "Open", 30)
    persona.script_fault("latency", operation=SET_STATUS, times=30, seconds=0.1)
    apply(to_status(opened), concurrency=3, progress_every=0.25)
    lines = [line for line in told(caplog, capfd).splitlines() if " of 30 rows (" in line]
    assert len(lines) >= 3
    assert all("/s" in line for line in lines)
    assert "/s, " in lines[-1]
    assert " updated, about " in lines[-1]  # on a slow machine the first may come before any row is done


def _kept(key):
    """What Airflow's metadata database holds in task state stores under a key."""
    from airflow.configuration import conf

    path = conf.get("database", "sql_alchemy_conn").removeprefix("sqlite:///")
    with sqlite3.connect(path) as db:
        db.row_factory = sqlite3.Row
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE name LIKE 'task%state%store%'")]
        rows = [dict(row) for table in tables for row in db.execute(f"SELECT * FROM {table} WHERE key = ?", (key,))]
    db.close()
    return rows


@needs_task_state
def test_progress_is_kept_in_the_tasks_state(apply, persona):
    reviewer = "ana.reviewer@example.com"
    rows = to_status(with_status(persona, "Open", 30), fields={"decision-note": "Canaria"}, assignee=reviewer)
    run = apply(rows)
    kept = [row for row in _kept("persona_progress") if run.run.run_id in str(row.values())]
    assert len(kept) == 1
    text = str(kept[0])
    checkpoint = next(json.loads(value) for value in kept[0].values() if "content_hash" in str(value))
    checkpoint = json.loads(checkpoint) if isinstance(checkpoint, str) else checkpoint
    report = run.returned("apply")
    assert (checkpoint["plan_hash"], checkpoint["plan"]) == (report["plan_hash"], report["plan"])
    assert (checkpoint["rows"], checkpoint["end"]) == (30, "complete")
    assert checkpoint["counts"] == {"updated": 30}
    assert checkpoint["progress"].startswith("Done at ")
    assert "30 of 30 rows, 0 failed" in checkpoint["progress"]
    assert "Canaria" not in text
    assert reviewer not in text
    assert rows[0]["case_id"] not in text


@needs_task_state
def test_a_try_whose_disk_is_lost_goes_on_by_the_tasks_state(apply, persona, state_path, caplog, capfd):
    opened = with_status(persona, "Open", 60)
    persona.script_fault("http_503", operation=SET_STATUS, times=50, skip=20)
    before = []

    def lose_the_disk(_):
        before.append((len(changed(persona)), len(persona.requests())))
        shutil.rmtree(state_path)

    run = apply(to_status(opened), retries=1, max_retry_share=0.001, on_retry_callback=lose_the_disk)
    assert (run.state("apply"), run.tries("apply")) == ("success", 2)
    done, asked = before[0]
    assert "The folder of an earlier attempt is gone" in told(caplog, capfd)
    report = run.returned("apply")
    assert report["resumed"] >= 20
    assert sum(run.counts.values()) == 60
    assert changed(persona) == sorted(opened)
    again = Counter(request.case_id for request in persona.requests()[asked:] if request.operation == SET_STATUS)
    settled = {effect.case_id for effect in persona.journal()[:done]}
    assert not settled & set(again)
