"""What people write in Dag files: defaults for a whole Dag, generators, durations, and plans from elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from plan_runs import changed, execute, new_dag, to_status, with_status

from airflow_provider_persona.operators.api_keys import PersonaCreateApiKeyOperator
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.case_actions import PersonaTagCaseOperator
from airflow_provider_persona.operators.cases import PersonaUpdateCaseOperator
from airflow_provider_persona.operators.importers import PersonaImportAccountsOperator
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.operators.plans import (
    PersonaApplyPlanOperator,
    PersonaPlanCaseUpdatesOperator,
    PersonaRevertPlanOperator,
)
from airflow_provider_persona.operators.webhooks import PersonaRotateWebhookSecretOperator
from airflow_provider_persona.operators.workflows import PersonaTriggerWorkflowOperator
from airflow_provider_persona.sensors.cases import PersonaCaseSensor
from airflow_provider_persona.sensors.http import PersonaHttpSensor
from airflow_provider_persona.tasks.state_path import is_within
from airflow_provider_persona.transfers.persona_files_to_object_storage import PersonaFilesToObjectStorageOperator
from airflow_provider_persona.transfers.persona_to_object_storage import PersonaToObjectStorageOperator
from airflow_provider_persona.triggers.events import PersonaEventTrigger
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS, AirflowFailException

pytestmark = pytest.mark.usefixtures("state_path")


def test_a_connection_for_the_whole_dag_contradicts_no_given_rows():
    with new_dag(default_args={"sql_conn_id": "warehouse"}):
        PersonaPlanCaseUpdatesOperator(task_id="rows", changes=[])
        assert PersonaPlanCaseUpdatesOperator(task_id="query", sql="SELECT 1").sql_conn_id == "warehouse"
    for given in ({}, {"sql": "SELECT 1"}, {"sql": "SELECT 1", "sql_conn_id": "w", "changes": []}):
        with pytest.raises(ValueError, match="give either sql with sql_conn_id, or changes"):
            PersonaPlanCaseUpdatesOperator(task_id="t", **given)


@pytest.mark.parametrize(
    ("operator", "defaults", "given"),
    [
        (PersonaPlanCaseUpdatesOperator, {"sql": "SELECT 1", "sql_conn_id": "w"}, {"changes": []}),
        (PersonaPlanCaseUpdatesOperator, {"changes": []}, {"sql": "SELECT 1", "sql_conn_id": "w"}),
        (PersonaBulkUpdateCasesOperator, {"match_many": "newest"}, {"changes": []}),
        (PersonaTagCaseOperator, {"tags": ["a"]}, {"case_id": "case_1", "add_tags": ["b"]}),
        (PersonaTagCaseOperator, {"remove_tags": ["a"], "add_tags": ["b"]}, {"case_id": "case_1", "tags": ["b"]}),
        (PersonaCreateApiKeyOperator, {"secret_variable": "key"}, {"name": "k", "deliver": print}),
        (PersonaImportAccountsOperator, {"file": "a.csv"}, {"rows": [{"a": 1}]}),
        (PersonaHttpSensor, {"deferrable": True}, {"endpoint": "cases"}),
    ],
)
def test_defaults_for_other_tasks_contradict_nothing_that_a_task_is_given(operator, defaults, given):
    with new_dag(default_args=defaults):
        made = operator(task_id="t", **given)
    for name, value in given.items():
        assert getattr(made, name) == value
    for name in defaults.keys() - given.keys() - {"sql_conn_id"}:
        assert not getattr(made, name)
    with pytest.raises(Exception, match=r"either|says nothing|cannot be deferred"):
        operator(task_id="t", **{**defaults, **given})


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda given: PersonaBulkUpdateCasesOperator(task_id="t", changes=given), "changes"),
        (lambda given: PersonaPlanCaseUpdatesOperator(task_id="t", changes=given), "changes"),
        (lambda given: PersonaOperator(task_id="t", operation_id="redact-a-case", path=given), "path"),
    ],
)
def test_a_generator_is_read_once_so_that_each_parse_gives_the_same_dag(make, argument):
    if argument == "path":
        with pytest.raises(Exception, match="path"):
            make(iter(["case-id"]))
        return
    rows = to_status(["case_1", "case_2"])
    assert getattr(make(row for row in rows), argument) == rows


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"b", "a"}, ["a", "b"]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({"b": 1, "a": 2}.keys(), ["b", "a"]),
        (map(str.upper, "ba"), ["B", "A"]),
    ],
)
def test_what_has_another_text_in_each_process_becomes_a_list(given, wanted):
    assert PersonaUpdateCaseOperator(task_id="t", case_id="case_1", add_tags=given).add_tags == wanted


_DAG = """
import json
from datetime import UTC, datetime
from airflow.serialization import serialized_objects
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.case_actions import PersonaTagCaseOperator
from airflow_provider_persona.operators.cases import PersonaUpdateCaseOperator
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.sensors.cases import PersonaCaseSensor
from airflow_provider_persona.version_compat import DAG

names = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]
with DAG("d", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
    rows = ({"case_id": name, "tags": set(names), "fields": {"x": (n for n in names)}} for name in names)
    PersonaBulkUpdateCasesOperator(task_id="a", changes=rows, never_from=set(names))
    PersonaUpdateCaseOperator(task_id="b", case_id="case_1", tags=(n for n in names), only_from=frozenset(names))
    PersonaOperator(task_id="c", operation_id="redact-a-case", path={"case-id": "c"}, body={"a": [set(names)]})
    mapped = {"changes": (row for row in [{"case_id": "c", "add_tags": set(names)}]), "never_from": set(names)}
    PersonaBulkUpdateCasesOperator.partial(task_id="e", **mapped).expand(only_from=[["Open"], ["Pending"]])
    PersonaUpdateCaseOperator.partial(task_id="f", tags=(n for n in names)).expand(case_id=["a", "b"])
    PersonaTagCaseOperator.partial(task_id="g", add_tags=(n for n in names)).expand(case_id=["a", "b"])
    PersonaCaseSensor(task_id="d", case_id="case_1", target_statuses=set(names))
to_dict = getattr(serialized_objects, "DagSerialization", serialized_objects.SerializedDAG).to_dict
print("Dag:", json.dumps(to_dict(dag), sort_keys=True))
"""


def test_each_process_that_parses_a_dag_file_gets_the_same_dag():
    """A fork has its parent's order of sets, so these are processes of their own."""
    texts = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _DAG],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        texts.add(next(line for line in done.stdout.splitlines() if line.startswith("Dag:")))
    (text,) = texts
    assert " at 0x" not in text


def test_durations_may_be_timedeltas(persona_connection):
    rows = to_status(with_status(persona_connection, "Open", 2))
    operator = PersonaBulkUpdateCasesOperator(task_id="t", changes=rows, progress_every=timedelta(seconds=2))
    assert execute(operator)["counts"]["updated"] == 2
    if AIRFLOW_V_3_0_PLUS:
        assert PersonaEventTrigger(poll_interval=timedelta(minutes=1)).poll_interval == 60.0
        with pytest.raises(ValueError, match="above 0"):
            PersonaEventTrigger(poll_interval=timedelta(0))


def test_seconds_of_a_call_may_be_a_timedelta(persona_connection):
    (case_id,) = with_status(persona_connection, "Open", 1)
    execute(PersonaUpdateCaseOperator(task_id="t", case_id=case_id, sla_expires_in=timedelta(hours=1)))
    assert len(persona_connection.requests(operation="update-a-case")) == 1
    sent = PersonaRotateWebhookSecretOperator(
        task_id="t", webhook_id="wbh_1", deliver=print, expires_in=timedelta(minutes=5)
    )
    (call,) = sent.calls()
    assert call.body == {"meta": {"expires-in-seconds": 300}}


SENSOR = {"case_id": "case_1", "target_statuses": "Open"}
FILES = {"operation_id": "retrieve-a-document", "path": {"document-id": "doc_1"}, "output_path": "/x"}
LIST = {"operation_id": "list-all-cases", "output_path": "/x"}
RUN = {"workflow_id": "wfl_1", "fields": {}}


@pytest.mark.parametrize("given", [timedelta(-1), -1, "soon", "PT5S", True, float("nan"), float("inf"), [5]])
@pytest.mark.parametrize(
    ("operator", "argument", "others"),
    [
        (PersonaCaseSensor, "first_poll_after", SENSOR),
        (PersonaFilesToObjectStorageOperator, "timeout", FILES),
        (PersonaToObjectStorageOperator, "lookback", LIST),
        (PersonaTriggerWorkflowOperator, "wait_timeout", RUN),
        (PersonaTriggerWorkflowOperator, "poke_interval", RUN),
    ],
)
def test_what_is_no_number_of_seconds_is_refused_when_the_dag_is_parsed(operator, argument, others, given):
    for fine in (timedelta(seconds=5), 5, 5.5, "5"):
        operator(task_id="t", **others, **{argument: fine})
    with pytest.raises(ValueError, match=f"{argument} is a number"):
        operator(task_id="t", **others, **{argument: given})


# ---------------------------------------------------------------------- plans from elsewhere


@pytest.fixture
def plan(persona_connection):
    changes = to_status(with_status(persona_connection, "Open", 3))
    return execute(PersonaPlanCaseUpdatesOperator(task_id="plan", changes=changes))


@pytest.mark.parametrize("given", [{"plan": 1}, {"hash": 2}, {"plan": ["a"]}, {"hash": {"a": 1}}])
def test_an_address_that_is_no_text_says_so(persona_connection, plan, given):
    operator = PersonaApplyPlanOperator(task_id="apply", plan={**plan, **given})
    with pytest.raises(AirflowFailException, match="a plan's address and hash are texts, not "):
        execute(operator)
    assert persona_connection.journal() == []


@pytest.mark.parametrize("approved", [False, "False", "false", "no", "0"])
@pytest.mark.parametrize("operator", [PersonaApplyPlanOperator, PersonaRevertPlanOperator])
def test_a_plan_that_was_rejected_is_not_applied_also_when_a_template_made_a_text_of_it(
    persona_connection, plan, operator, approved
):
    name = "plan" if operator is PersonaApplyPlanOperator else "report"
    with pytest.raises(AirflowFailException, match="the plan was rejected by nobody in time"):
        execute(operator(task_id="t", **{name: {**plan, "approved": approved}}))
    assert persona_connection.journal() == []


def test_an_answer_that_is_neither_yes_nor_no_approves_nothing(persona_connection, plan):
    with pytest.raises(AirflowFailException, match="approved is true or false"):
        execute(PersonaApplyPlanOperator(task_id="t", plan={**plan, "approved": "perhaps"}))
    assert persona_connection.journal() == []


def moved(plan, folder):
    """The same plan in another folder."""
    shutil.copytree(Path(plan["plan"]).parent, folder)
    return {**plan, "plan": str(folder / "plan.jsonl")}


@pytest.mark.parametrize("odd", [5, True, "/tmp", {5: "x"}, [None]])
def test_places_that_are_no_list_of_texts_are_trusted_in_nothing(persona_connection, plan, odd):
    with pytest.raises(AirflowFailException, match="trusted_paths is a list of names"):
        execute(PersonaApplyPlanOperator(task_id="t", plan=plan, trusted_paths=odd))
    assert persona_connection.journal() == []


@pytest.mark.parametrize("operator", [PersonaApplyPlanOperator, PersonaRevertPlanOperator])
def test_a_plan_from_elsewhere_is_not_read_unless_its_place_is_trusted(persona_connection, plan, tmp_path, operator):
    name = "plan" if operator is PersonaApplyPlanOperator else "report"
    foreign = moved(plan, tmp_path / "foreign")
    with pytest.raises(AirflowFailException, match="is neither below the state path nor in its object store"):
        execute(operator(task_id="t", **{name: foreign}))
    assert persona_connection.journal() == []
    if operator is PersonaApplyPlanOperator:
        trusting = operator(task_id="t", plan=foreign, trusted_paths=[str(tmp_path / "foreign")])
        assert execute(trusting)["counts"]["updated"] == 3
        assert len(changed(persona_connection)) == 3


def test_no_dots_and_no_link_lead_out_of_the_state_path(plan, tmp_path, state_path):
    moved(plan, tmp_path / "foreign")
    (state_path / "link").symlink_to(tmp_path / "foreign")
    for address in (state_path / ".." / "foreign" / "plan.jsonl", state_path / "link" / "plan.jsonl"):
        operator = PersonaApplyPlanOperator(task_id="apply", plan={**plan, "plan": str(address)})
        with pytest.raises(AirflowFailException, match="neither below the state path"):
            execute(operator)


@pytest.mark.parametrize(
    ("place", "is_there"),
    [
        ("s3://aws_default@bucket/elsewhere", True),
        ("s3://bucket", True),
        ("s3://other/persona", False),
        ("gs://bucket/persona", False),
        ("/bucket/persona", False),
    ],
)
def test_a_plan_in_the_object_store_of_the_state_path_is_found_by_any_connection(place, is_there):
    assert is_within("s3://another@bucket/persona/1/plan.jsonl", place) is is_there


def test_what_is_no_path_is_below_no_folder(tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    for address in ("\0", f"{tmp_path}/circle/plan.jsonl", "~nobody-of-that-name/plan.jsonl", f"{tmp_path}/a\0b"):
        assert not is_within(address, str(tmp_path))


def test_a_local_folder_may_have_a_scheme(tmp_path):
    assert is_within(f"file://{tmp_path}/1/plan.jsonl", str(tmp_path))
    assert not is_within(f"file://{tmp_path}/../plan.jsonl", str(tmp_path))
