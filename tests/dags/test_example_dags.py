"""Every example Dag runs through Airflow against a simulated Persona, and changes exactly what it should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_1_PLUS
from tests.airflow_process import run_program

DAGS = Path(__file__).parents[2] / "dags"
NEED_A_NEWER_AIRFLOW = {"persona_on_case_status"} if not AIRFLOW_V_3_0_PLUS else set()
NEED_A_NEWER_AIRFLOW |= {"persona_plan_approve_apply"} if not AIRFLOW_V_3_1_PLUS else set()


def _with_status(persona, status, count=None):
    return [case_id for case_id, now in persona.statuses().items() if now == status][:count]


def test_bulk_update_changes_exactly_the_planned_cases(run_dag, load_dag, warehouse, persona_connection, tmp_path):
    persona = persona_connection
    decided = _with_status(persona, "Open", 40)
    by_human = _with_status(persona, "Approved", 3)
    rows = [(case_id, "Declined", None) for case_id in decided + by_human]
    rows += [(decided[0], "Declined", None), (None, "Declined", None)]
    warehouse("case_decisions", "case_id, new_status, expected_status", rows)

    run = run_dag(load_dag("persona_bulk_update"), dry_run=False)

    assert run.state == "success"
    assert sorted(effect.case_id for effect in persona.journal()) == sorted(decided)
    assert all(persona.statuses()[case_id] == "Declined" for case_id in decided)
    assert all(persona.statuses()[case_id] == "Approved" for case_id in by_human)
    report = run.get_task_instance("update_cases").xcom_pull(task_ids="update_cases")
    counts = {outcome: count for outcome, count in report["counts"].items() if count}
    assert counts == {"updated": 40, "skipped_guard": 3, "invalid": 1}
    assert (report["rows"], report["repeats"]) == (44, 1)
    assert Path(report["plan"]).is_relative_to(tmp_path / "state")
    assert len(json.dumps(report)) < 2000


def test_bulk_update_as_a_dry_run_changes_nothing(run_dag, load_dag, warehouse, persona_connection):
    decided = _with_status(persona_connection, "Open", 5)
    warehouse("case_decisions", "case_id, new_status, expected_status", [(c, "Declined", "Open") for c in decided])

    run = run_dag(load_dag("persona_bulk_update"))  # as it is by default

    report = run.get_task_instance("update_cases").xcom_pull(task_ids="update_cases")
    assert run.state == "success"
    assert report["counts"]["planned"] == 5
    assert persona_connection.journal() == []


def test_closed_loop_plans_updates_and_waits(run_dag, load_dag, warehouse, persona_connection):
    pending = _with_status(persona_connection, "Pending")
    warehouse("screenings", "case_id, result", [(case_id, "clear") for case_id in pending])

    run = run_dag(load_dag("persona_closed_loop"), dry_run=False)

    assert run.state == "success"
    assert len(pending) > 10
    assert _with_status(persona_connection, "Pending") == []
    assert run.get_task_instance("none_pending").xcom_pull(task_ids="dry_run")["counts"]["planned"] == len(pending)


def test_an_assets_event_starts_the_update(run_dag, load_dag, warehouse, persona_connection):
    decided = _with_status(persona_connection, "Open", 4)
    warehouse("case_decisions", "case_id, new_status, expected_status", [(c, "Declined", "Open") for c in decided])
    producer, consumer = load_dag("warehouse_decisions"), load_dag("persona_update_on_asset")

    assert run_dag(producer).state == "success"
    assert run_dag(consumer, dry_run=False).state == "success"
    assert sorted(effect.case_id for effect in persona_connection.journal()) == sorted(decided)
    waited_for = str(consumer.schedule if AIRFLOW_V_3_0_PLUS else consumer.timetable.serialize())
    assert [outlet.uri in waited_for for outlet in producer.get_task("write_decisions").outlets] == [True]


def test_one_case_is_updated_and_waited_for(run_dag, load_dag, persona_connection):
    case_id = _with_status(persona_connection, "Open", 1)[0]

    run = run_dag(load_dag("persona_update_one_case"), case_id=case_id, status="Declined")

    assert run.state == "success"
    effects = persona_connection.journal()
    assert {effect.case_id for effect in effects} == {case_id}
    assert persona_connection.statuses()[case_id] == "Declined"
    assert run.get_task_instance("decline").xcom_pull(task_ids="decline")["outcome"] == "updated"


def test_mapped_shards_together_change_every_row_once(run_dag, load_dag, warehouse, persona_connection):
    decided = _with_status(persona_connection, "Open", 40)
    rows = [(case_id, "Declined", number % 4) for number, case_id in enumerate(decided)]
    warehouse("case_decisions", "case_id, new_status, shard", rows)

    run = run_dag(load_dag("persona_mapped_shards"), dry_run=False)

    assert run.state == "success"
    assert sorted(effect.case_id for effect in persona_connection.journal()) == sorted(decided)
    shards = [task for task in run.get_task_instances() if task.task_id == "update_shard"]
    assert len(shards) == 4


def test_cases_are_decided_by_the_reference_ids_of_their_customers(run_dag, load_dag, warehouse, persona_connection):
    opened = _with_status(persona_connection, "Open", 12)
    by_human = _with_status(persona_connection, "Approved", 2)
    rows = [(case_id.replace("case_", "customer-"), "Declined", None) for case_id in opened + by_human]
    rows += [("nobody", "Declined", None), (opened[0].replace("case_", "customer-"), "Declined", "ctmpl_kyc")]
    warehouse("customer_decisions", "customer_id, decision, case_template_id", rows)

    run = run_dag(load_dag("persona_decide_by_reference_id"), dry_run=False)

    assert run.state == "success"
    assert sorted(effect.case_id for effect in persona_connection.journal()) == sorted(opened)
    reports = [run.get_task_instance(name).xcom_pull(task_ids=name) for name in ("apply_sample", "apply")]
    counts = [{outcome: count for outcome, count in each["counts"].items() if count} for each in reports]
    assert counts == [
        {"updated": 10, "planned": 2, "skipped_guard": 2, "invalid": 1},
        {"updated": 12, "skipped_guard": 2, "invalid": 1},
    ]
    assert [(each["verified"], each["differences"], each["repeats"]) for each in reports] == [
        (10, 0, 1),
        (None, None, 1),
    ]


def test_a_change_is_planned_back_and_a_dry_run_ends_there(run_dag, load_dag, warehouse, persona_connection):
    decided = _with_status(persona_connection, "Open", 6)
    warehouse("case_decisions", "case_id, new_status, expected_status", [(c, "Declined", None) for c in decided])
    made = run_dag(load_dag("persona_bulk_update"), dry_run=False)
    report = made.get_task_instance("update_cases").xcom_pull(task_ids="update_cases")
    persona_connection.act_as_human(decided[0], status="Approved")
    changes = len(persona_connection.journal())

    run = run_dag(load_dag("persona_revert_run"), plan=report["plan"], plan_hash=report["plan_hash"])

    assert run.state == "success"
    planned = run.get_task_instance("plan_the_way_back").xcom_pull(task_ids="plan_the_way_back")
    assert planned["transitions"] == {"Declined -> Open": 5}
    assert str(run.get_task_instance("apply").state) == "skipped"
    assert len(persona_connection.journal()) == changes


@pytest.mark.skipif(AIRFLOW_V_3_1_PLUS, reason="here a person is asked first")
def test_where_no_person_can_be_asked_the_way_back_is_gone_when_it_is_no_dry_run(
    run_dag, load_dag, warehouse, persona_connection
):
    decided = _with_status(persona_connection, "Open", 6)
    warehouse("case_decisions", "case_id, new_status, expected_status", [(c, "Declined", None) for c in decided])
    made = run_dag(load_dag("persona_bulk_update"), dry_run=False)
    report = made.get_task_instance("update_cases").xcom_pull(task_ids="update_cases")

    run_dag(load_dag("persona_revert_run"), plan=report["plan"], plan_hash=report["plan_hash"], dry_run=False)

    assert {persona_connection.statuses()[case_id] for case_id in decided} == {"Open"}


@pytest.mark.parametrize("path", sorted(DAGS.glob("persona_*.py")), ids=lambda path: path.stem)
def test_an_example_says_what_it_is_and_does_nothing_unasked(path, load_dag):
    if path.stem in NEED_A_NEWER_AIRFLOW:
        pytest.skip("this Airflow cannot run it")
    dag = load_dag(path.stem)
    assert dag.dag_display_name.startswith("Persona: ")
    assert len(dag.description) > 20
    assert dag.is_paused_upon_creation
    for task in dag.tasks:
        approved = path.stem == "persona_plan_approve_apply"  # a person decides there
        if "is_dry_run" in task.template_fields and task.task_id != "dry_run" and not approved:
            partial = getattr(task, "partial_kwargs", None)
            given = partial["dry_run"] if partial else task.is_dry_run
            assert given == "{{ params.dry_run }}"
            assert dag.params["dry_run"] is True
            assert dag.params["max_changes"] > 0


@pytest.mark.parametrize("path", sorted(DAGS.glob("*.py")), ids=lambda path: path.stem)
def test_parsing_a_dag_costs_little_and_imports_nothing_heavy(path):
    program = f"""
import contextlib, sys
from tests.call_counts import CallCount
with contextlib.suppress(ImportError):  # not there beside Airflow 3.0
    import airflow.providers.common.compat.sdk
from airflow_provider_persona.version_compat import DAG, Asset, Param, BaseOperator, BaseSensorOperator
from airflow_provider_persona.version_compat import BaseHook, chain, conf, task
from airflow_provider_persona.version_compat import AirflowFailException, AirflowSkipException, PokeReturnValue
from datetime import UTC, datetime
import runpy

class Stock(BaseOperator):
    def __init__(self, *, given=None, **kwargs):
        super().__init__(**kwargs)

class StockSensor(BaseSensorOperator):
    pass

# What any Dag makes Airflow load is not our time.
with DAG("stock", schedule=[Asset("x-stock://a")], start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False,
         params={{"p": Param(default=False, type="boolean"), "q": Param(default="a", type="string")}}):
    chain(Stock(task_id="a", retries=3), StockSensor(task_id="b", mode="reschedule", poke_interval=60, timeout=60))
    Stock.partial(task_id="c", retries=3).expand(given=[1, 2])

    @task(outlets=[Asset("x-stock://b")])
    def d(): ...

    d()

DAG("stock_by_hand", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC))
DAG("stock_daily", schedule="@daily", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False)

from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS

if AIRFLOW_V_3_1_PLUS:
    import airflow.providers.standard.operators.hitl

before = set(sys.modules)
with CallCount() as parsing:
    runpy.run_path({str(path)!r})
heavy = {{"aiohttp", "requests", "pandas", "sqlite3"}} & (set(sys.modules) - before)
print(parsing.calls, sorted(heavy))
"""
    done = run_program(program)
    assert done.returncode == 0, done.stderr
    calls, heavy = done.stdout.splitlines()[-1].split(" ", 1)
    assert heavy == "[]"
    assert int(calls) < 60_000  # the most costly makes 42,000, which take some 25 ms
