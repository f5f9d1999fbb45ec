"""Plans, ledgers, stores and thresholds that must stop a run: each says what is wrong, and nothing is written."""

from __future__ import annotations

import json
import math
import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from plan_runs import PlanRun, changed, execute, new_dag, plan_and_apply, to_status, told, with_status

from airflow_provider_persona.bulk.apply.options import ApplyOptions
from airflow_provider_persona.bulk.errors import BulkError
from airflow_provider_persona.bulk.plan.thresholds import Thresholds
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.version_compat import AirflowFailException
from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer

pytestmark = pytest.mark.usefixtures("state_path")


@pytest.fixture
def refused(persona_connection):
    """Plan five cases, meddle, and see the applying refused for good; returns what was said."""

    def run(between=None, applying=None, rows=None, fails_with=AirflowFailException):
        given = rows or to_status(with_status(persona_connection, "Open", 5))
        plan = execute(PersonaPlanCaseUpdatesOperator(task_id="plan", changes=given))
        if between is not None:
            between(plan)
        with pytest.raises(fails_with) as told:
            execute(PersonaApplyPlanOperator(task_id="apply", **{"plan": plan, "retries": 2, **(applying or {})}))
        assert persona_connection.journal() == []
        return str(told.value)

    return run


def test_airflow_tries_what_is_refused_once_and_says_why(run_dag, persona_connection, caplog, capfd):
    """What the tests below see of the operators by themselves, in a Dag."""
    rows = to_status(with_status(persona_connection, "Open", 5))
    between = _edit("plan.jsonl", lambda text: text.replace("Declined", "Approved", 1))
    run = plan_and_apply(run_dag, {"changes": rows}, {"retries": 2}, between)
    assert (run.state("plan"), run.state("meddle")) == ("success", "success")
    assert (run.state("apply"), run.tries("apply")) == ("failed", 1)
    assert "was changed or cut short after it was planned; plan anew" in told(caplog, capfd)
    assert persona_connection.journal() == []


def _edit(name, change):
    """Return what puts a changed file in place of one beside the plan."""

    def edit(plan):
        path = Path(plan["plan"]).with_name(name)
        before = path.read_text()
        path.write_text(change(before))
        assert path.read_text() != before

    return edit


def _rehashed_header(text):
    """Change a count in the header, and leave everything else, hash included."""
    first, _, rest = text.partition("\n")
    header = json.loads(first)
    header["only_from"] = None
    header["rows"] += 1
    return json.dumps(header, separators=(",", ":")) + "\n" + rest


# ---------------------------------------------------------------------- the plan

EDITS = {
    "a row": ("plan.jsonl", lambda text: text.replace("Declined", "Approved", 1)),
    "a guard": ("plan.jsonl", lambda text: text.replace('"never_from":[]', '"never_from":["Open"]')),
    "its header": ("plan.jsonl", _rehashed_header),
    "a row more": ("plan.jsonl", lambda text: text + text.splitlines()[-1].replace('"row":5', '"row":6') + "\n"),
    "cut between lines": ("plan.jsonl", lambda text: "\n".join(text.splitlines()[:-1]) + "\n"),
    "cut within a line": ("plan.jsonl", lambda text: text[:-40]),
    "its values": ("values.jsonl", lambda text: text.replace("seen", "sent")),
    "its values cut": ("values.jsonl", lambda text: text[: len(text) // 2]),
}


@pytest.mark.parametrize("edit", list(EDITS.values()), ids=list(EDITS))
def test_a_plan_that_was_edited_or_cut_short_is_not_applied(refused, persona, edit):
    rows = to_status(with_status(persona, "Open", 5), fields={"decision-note": "seen"})
    said = refused(_edit(*edit), rows=rows)
    assert "was changed or cut short after it was planned; plan anew" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no plan, or of a format unknown here; plan anew"),
        ("{}\n", "is no plan, or of a format unknown here; plan anew"),
        ("[1]\n", "is no plan, or of a format unknown here; plan anew"),
        ("\x00\xff", "is no plan, or of a format unknown here; plan anew"),
        ('{"format":1}\n', "has format 1, and 2 is known here; plan anew"),
    ],
)
def test_a_file_that_is_no_plan_is_not_applied(refused, text, said):
    assert said in refused(lambda plan: Path(plan["plan"]).write_text(text))


def test_values_that_are_gone_stop_it(refused, persona):
    rows = to_status(with_status(persona, "Open", 2), fields={"decision-note": "seen"})
    said = refused(lambda plan: Path(plan["plan"]).with_name("values.jsonl").unlink(), rows=rows)
    assert "values.jsonl is gone, so the plan's custom fields, assignees or bodies are unknown; plan anew" in said


def test_values_that_are_gone_stop_it_also_where_only_the_last_row_needs_them(refused, persona):
    rows = to_status(with_status(persona, "Open", 8))
    rows[-1]["fields"] = {"decision-note": "seen"}
    said = refused(
        lambda plan: Path(plan["plan"]).with_name("values.jsonl").unlink(), rows=rows, applying={"concurrency": 1}
    )
    assert "values.jsonl is gone" in said


def test_a_concurrency_that_makes_no_sense_fails_when_the_dag_is_parsed():
    for concurrency in (0, -1, True, 2.5, "4"):
        for operator in (PersonaPlanCaseUpdatesOperator, PersonaApplyPlanOperator, PersonaBulkUpdateCasesOperator):
            wanted = {"plan": {}} if operator is PersonaApplyPlanOperator else {"changes": []}
            with pytest.raises(ValueError, match="concurrency is a number of requests, 1 or more, not"):
                operator(task_id="t", concurrency=concurrency, **wanted)


def test_a_plan_that_is_gone_is_told_from_one_on_another_machine(refused):
    said = refused(lambda plan: shutil.rmtree(Path(plan["plan"]).parent))
    assert "there is no plan at" in said
    assert "state_path must be an object store or a folder that all of them see" in said


def test_another_plan_in_the_same_place_is_not_applied(run_dag, persona_connection, caplog, capfd):
    opened = with_status(persona_connection, "Open", 4)
    with new_dag() as dag:
        PersonaPlanCaseUpdatesOperator(task_id="plan", changes=to_status(opened[:2]))
    approved = PlanRun(run_dag(dag)).plan
    with new_dag("other") as other:
        PersonaPlanCaseUpdatesOperator(task_id="plan", changes=to_status(opened))
    another = PlanRun(run_dag(other)).plan
    shutil.copy(another["plan"], approved["plan"])
    with new_dag("apply") as apply:
        PersonaApplyPlanOperator(task_id="apply", plan=approved, retries=2)
    run = PlanRun(run_dag(apply))
    assert (run.state("apply"), run.tries("apply")) == ("failed", 1)
    assert f"has hash {another['hash']}, and {approved['hash']} was asked for; it is not applied" in told(caplog, capfd)
    assert persona_connection.journal() == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "a plan is given by its address under `plan` and its hash under `hash`; one of them is missing"),
        ({"plan": "/somewhere/plan.jsonl"}, "one of them is missing"),
        (
            {"plan": "/nowhere/plan.jsonl", "hash": "0"},
            "/nowhere/plan.jsonl is neither below the state path",
        ),
        ("/nowhere/plan.jsonl", "plan is what the task before returned to XCom, a mapping, not str"),
        ("None", "plan is what the task before returned to XCom, a mapping, not str"),
        (None, "plan is what the task before returned to XCom, a mapping, not NoneType"),
        ({"plan": ["/a"], "hash": "0"}, "plan"),
        ({"plan": "s3://bucket/plan.jsonl", "hash": "0"}, "s3://bucket/plan.jsonl is neither below the state path"),
    ],
)
def test_what_is_no_plan_says_so(run_dag, persona_connection, caplog, capfd, given, said):
    with new_dag() as dag:
        PersonaApplyPlanOperator(task_id="apply", plan=given)
    run = PlanRun(run_dag(dag))
    assert run.state("apply") == "failed"
    assert said in told(caplog, capfd)
    assert persona_connection.requests() == []


def test_a_plan_that_is_too_old_is_not_applied(refused):
    said = refused(applying={"max_age": timedelta(0)})
    assert "old, and max_age is 0:00:00; plan anew" in said


def test_an_age_that_makes_no_sense_is_refused_when_the_dag_is_read():
    for age in (-timedelta(hours=1), 24):
        with pytest.raises(ValueError, match="max_age is a timedelta"):
            PersonaApplyPlanOperator(task_id="apply", plan={}, max_age=age)


# ---------------------------------------------------------------------- the environment


@pytest.fixture
def another_persona(monkeypatch):
    """Another environment behind the connection `another`."""
    with SimulatorServer(SimulatorConfig(cases=300, limit=100_000, environment_id="env_another")) as server:
        connection = {"conn_type": "persona", "host": server.url, "password": SANDBOX_KEY}
        monkeypatch.setenv("AIRFLOW_CONN_ANOTHER", json.dumps(connection))
        yield server


def test_a_plan_of_another_environment_is_not_applied(refused, another_persona):
    """The connection of the applying task has the key of another environment, and does not say so."""
    said = refused(applying={"persona_conn_id": "another"})
    assert "env_another" in said
    assert "env_simulator" in said
    assert another_persona.journal() == []
    assert {request.method for request in another_persona.requests()} <= {"GET"}


def test_a_plan_of_another_environment_than_the_connection_expects_is_not_even_tried(refused, persona, monkeypatch):
    connection = {
        "conn_type": "persona",
        "host": persona.url,
        "password": SANDBOX_KEY,
        "extra": {"expected_environment_id": "env_production"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_PRODUCTION", json.dumps(connection))
    asked = []
    said = refused(lambda _: asked.extend(persona.requests()), applying={"persona_conn_id": "production"})
    assert "is for environment env_simulator, the connection is for env_production" in said
    assert len(persona.requests()) == len(asked)


# ---------------------------------------------------------------------- the ledger and the store


def test_the_ledger_of_another_plan_beside_it_stops_it(refused):
    def mix_up(plan):
        opening = {"plan": "0" * 64, "segment": 1, "concurrency": 24, "at": "2026-01-05T08:00:00+00:00"}
        Path(plan["plan"]).with_name("ledger-00001.jsonl").write_text(json.dumps(opening) + "\n")

    assert "ledger-00001.jsonl is the ledger of another plan; give each plan its own folder" in refused(mix_up)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("{file}/below", "check state_path"),
        ("s3://nowhere@bucket/persona", "s3://nowhere@bucket/persona cannot be used here"),
        ("nosuch://x/y", "nosuch://x/y cannot be used here"),
    ],
)
def test_a_store_that_cannot_be_written_to_fails_the_planning(
    run_dag, persona_connection, tmp_path, caplog, capfd, address, said
):
    (tmp_path / "file").write_text("")
    with new_dag() as dag:
        changes = to_status(with_status(persona_connection, "Open", 2))
        place = address.format(file=tmp_path / "file")
        PersonaPlanCaseUpdatesOperator(task_id="plan", changes=changes, state_path=place)
    assert PlanRun(run_dag(dag)).state("plan") == "failed"
    assert said in told(caplog, capfd)
    assert persona_connection.requests() == []


def test_an_unreachable_database_for_the_ledger_fails_before_the_first_request(refused, persona, monkeypatch):
    seen = []
    unreachable = {
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": 1,
        "login": "x",
        "password": "x",
        "schema": "x",
    }
    monkeypatch.setenv("AIRFLOW_CONN_LEDGERS", json.dumps(unreachable))
    said = _failed_for_the_table(refused, persona, seen, "ledgers", "audit")
    assert "the ledger's table audit behind the connection ledgers cannot be reached" in said
    assert len(persona.requests()) == len(seen)


def _failed_for_the_table(refused, persona, seen, conn_id, table):
    return refused(
        lambda _: seen.extend(persona.requests()),
        applying={"ledger_table": table, "ledger_conn_id": conn_id},
        fails_with=StoreError,  # a database may be back later, so Airflow may try again
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"ledger_table": "audit"}, "ledger_table needs ledger_conn_id, the connection of its database"),
        ({"ledger_table": "audit; DROP", "ledger_conn_id": "warehouse"}, "the ledger's table must be named"),
        ({"ledger_table": "audit", "ledger_conn_id": "persona_default"}, "persona_default is no database connection"),
        ({"ledger_table": "audit", "ledger_conn_id": "nothing"}, "nothing"),
        ({"reserve": 1.0}, "reserve"),
        ({"reserve": -0.1}, "reserve"),
        ({"reserve": "all"}, "reserve"),
        ({"max_failures": -1}, "max_failures is a number of rows or a share from 0.0 to 1.0, not -1"),
        ({"max_failures": 1.5}, "max_failures is a number of rows or a share from 0.0 to 1.0, not 1.5"),
        ({"max_failures": True}, "max_failures is a number of rows or a share from 0.0 to 1.0, not True"),
        ({"verify": "perhaps"}, "verify is true or false, not 'perhaps'"),
        ({"max_failures": "half"}, "max_failures is a number, not 'half'"),
        ({"max_retry_share": 0}, "max_retry_share is the retries for every success, above 0"),
        ({"dry_run": "perhaps"}, "dry_run is true or false"),
    ],
)
def test_arguments_of_the_applying_that_make_no_sense_fail_before_the_first_request(
    refused, persona, warehouse, arguments, said
):
    seen = []
    assert said in refused(lambda _: seen.extend(persona.requests()), applying=arguments)
    assert len(persona.requests()) == len(seen)


# ---------------------------------------------------------------------- thresholds

SENSELESS = [
    ({"max_changes": -1}, "max_changes is a number of rows, 0 or more, not -1"),
    ({"max_changes": 0.5}, "max_changes is a number of rows; for a share of them use max_change_ratio"),
    ({"max_changes": True}, "max_changes is a number of rows, 0 or more, not True"),
    ({"max_changes": [3]}, "max_changes is a number of rows, 0 or more, not [3]"),
    ({"max_change_ratio": True}, "max_change_ratio is a share from 0.0 to 1.0, not True"),
    ({"max_invalid": True}, "max_invalid is a number of rows or a share from 0.0 to 1.0, not True"),
    ({"forbid_transitions": "{{ 'Approved' }}"}, "forbid_transitions are given like 'Approved -> Declined'"),
    ({"never_from": "Approved;Declined"}, "statuses are given as one text, or as a list of texts"),
    ({"max_changes": "0.5"}, "max_changes is a number of rows; for a share of them use max_change_ratio"),
    ({"max_changes": "a few"}, "max_changes is a number, not 'a few'"),
    ({"max_change_ratio": 1.5}, "max_change_ratio is a share from 0.0 to 1.0, not 1.5"),
    ({"max_change_ratio": -0.5}, "max_change_ratio is a share from 0.0 to 1.0, not -0.5"),
    ({"max_invalid": -1}, "max_invalid is a number of rows or a share from 0.0 to 1.0, not -1"),
    ({"max_invalid": 2.0}, "max_invalid is a number of rows or a share from 0.0 to 1.0, not 2.0"),
    ({"forbid_transitions": "Approved"}, "forbid_transitions are given like 'Approved -> Declined'"),
    ({"forbid_transitions": ["a -> b -> c"]}, "forbid_transitions are given like 'Approved -> Declined'"),
    ({"forbid_transitions": [("Approved",)]}, "forbid_transitions are given like 'Approved -> Declined'"),
    ({"forbid_transitions": "Open -> Declined", "compare": "never"}, "forbid_transitions needs the live statuses"),
    ({"compare": "sometimes"}, "compare is auto, list, get, never, not 'sometimes'"),
]


@pytest.mark.parametrize(("arguments", "said"), SENSELESS)
@pytest.mark.parametrize("operator", [PersonaPlanCaseUpdatesOperator, PersonaBulkUpdateCasesOperator])
def test_thresholds_that_make_no_sense_fail_before_the_first_request(persona_connection, operator, arguments, said):
    with pytest.raises(AirflowFailException, match=re.escape(said)):
        execute(operator(task_id="plan", changes=to_status(["case_sim000001"]), retries=2, **arguments))
    assert persona_connection.requests() == []


def test_thresholds_that_are_no_number_are_refused():
    """Airflow can keep no such argument in a Dag, so it is tried on what the operators make of it."""
    limits = (
        lambda x: ApplyOptions(max_failures=x),
        lambda x: Thresholds(max_change_ratio=x),
        lambda x: Thresholds(max_invalid=x),
    )
    for makes in limits:
        with pytest.raises(BulkError, match=r"from 0\.0 to 1\.0, not nan"):
            makes(math.nan)


EXCEEDED = [
    ({"max_changes": 5}, "6 rows would be changed, max_changes is 5"),
    ({"max_changes": "5"}, "6 rows would be changed, max_changes is 5"),
    ({"max_change_ratio": 0.5}, "6 of 8 valid rows (75.0%) would be changed, max_change_ratio is 0.5"),
    ({"max_invalid": 1}, "2 of 10 rows are invalid, max_invalid is 1"),
    ({"max_invalid": "0.1"}, "2 of 10 rows are invalid, max_invalid is 0.1"),
    ({"forbid_transitions": "Open -> Declined"}, "4 rows would go Open -> Declined, which forbid_transitions forbids"),
    ({"forbid_transitions": [("*", "Declined")]}, "2 rows would go Pending -> Declined, which forbid_transitions"),
    ({"forbid_transitions": {"Open": ["Approved", "Declined"]}}, "4 rows would go Open -> Declined, which"),
]
KEPT = [
    {"max_changes": 6, "max_change_ratio": 0.75, "max_invalid": 2, "forbid_transitions": "Approved -> Declined"},
    {"max_changes": "", "max_change_ratio": "None", "max_invalid": "0.2", "forbid_transitions": []},
]


def _mixed_rows(persona):
    opened, pending, declined = (with_status(persona, status) for status in ("Open", "Pending", "Declined"))
    rows = to_status([*opened[:4], *pending[:2], *declined[:2]])
    return [*rows, {"case_id": None, "status": "Declined"}, {"case_id": "case_x", "status": None}]


@pytest.mark.parametrize(("arguments", "said"), EXCEEDED)
@pytest.mark.parametrize("operator", [PersonaPlanCaseUpdatesOperator, PersonaBulkUpdateCasesOperator])
def test_a_threshold_that_is_exceeded_fails_with_its_numbers_before_the_first_write(
    persona_connection, tmp_path, operator, arguments, said
):
    rows = _mixed_rows(persona_connection)
    with pytest.raises(AirflowFailException, match="nothing was written: ") as told:
        execute(operator(task_id="plan", changes=rows, compare="get", retries=2, **arguments))
    assert said in str(told.value)
    assert persona_connection.journal() == []
    assert not list((tmp_path / "state").rglob("plan.jsonl"))  # nothing that could be applied by mistake


@pytest.mark.parametrize("arguments", KEPT)
def test_thresholds_that_are_kept_let_the_plan_be_applied(run_dag, persona_connection, arguments):
    planning = {"changes": _mixed_rows(persona_connection), **arguments}
    run = plan_and_apply(run_dag, planning)
    assert run.counts == {"updated": 6, "unchanged": 2, "invalid": 2}
    assert len(changed(persona_connection)) == 6


# ---------------------------------------------------------------------- a limit of zero


def test_a_limit_of_zero_stops_the_planning_and_says_so(run_dag, persona_connection, caplog, capfd):
    rows = to_status(with_status(persona_connection, "Open", 5))
    persona_connection.configure(limit=0)
    with new_dag() as dag:
        PersonaPlanCaseUpdatesOperator(task_id="plan", changes=rows)
    assert PlanRun(run_dag(dag)).state("plan") == "failed"
    assert "the limit is zero, nothing can be sent" in told(caplog, capfd)
    assert len(persona_connection.requests()) <= 3


@pytest.mark.parametrize("arguments", [{}, {"compare": "get"}, {"compare": "list"}, {"only_from": "Open"}])
def test_a_limit_of_zero_stops_the_applying_and_says_so(run_dag, persona_connection, caplog, capfd, arguments):
    rows = to_status(with_status(persona_connection, "Open", 60))
    persona_connection.configure(limit=0)
    with new_dag() as dag:
        PersonaBulkUpdateCasesOperator(task_id="apply", changes=rows, **arguments)
    run = PlanRun(run_dag(dag))
    assert run.state("apply") == "failed"
    assert "the limit is zero, nothing can be sent" in told(caplog, capfd)
    assert persona_connection.journal() == []
    assert len(persona_connection.requests()) <= 24
