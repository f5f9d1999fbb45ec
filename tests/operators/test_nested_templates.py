"""Texts within the rows, fields and tags that a Dag gives stay texts, whatever they look like."""

from __future__ import annotations

import pytest
from plan_runs import new_dag, with_status

from airflow_provider_persona.operators.accounts import PersonaCreateAccountOperator
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.cases import PersonaUpdateCaseOperator
from airflow_provider_persona.operators.plans import PersonaPlanCaseUpdatesOperator

pytestmark = pytest.mark.usefixtures("state_path")

LIKE_VALUES = ["10115", "1e5", "1_000", "None", "True", "[1]", "x.sql"]
PARAMS = {"zip": "10115", "seconds": 3600, "tags": ["a", "b"]}


def _tags(persona, case_id):
    return next(case["tags"] for case in persona.cases() if case["case_id"] == case_id)


@pytest.mark.parametrize("native", [True, False])
def test_texts_within_rows_and_tags_stay_texts(run_dag, persona_connection, native):
    bulk, single, planned = with_status(persona_connection, "Open", 3)
    with new_dag(render_template_as_native_obj=native, params=PARAMS) as dag:
        PersonaBulkUpdateCasesOperator(
            task_id="bulk",
            changes=[{"case_id": bulk, "add_tags": [*LIKE_VALUES, "z{{ params.zip }}", "{{ params.zip }}0"]}],
        )
        PersonaUpdateCaseOperator(task_id="single", case_id=single, add_tags=[*LIKE_VALUES, "{{ params.zip }}1"])
        PersonaPlanCaseUpdatesOperator(task_id="plan", changes=[{"case_id": planned, "add_tags": LIKE_VALUES}])
        PersonaCreateAccountOperator(
            task_id="account", fields={"name-first": "10115", "name-last": "{{ params.zip }}"}, tags=["10", "True"]
        )
    run = run_dag(dag)
    assert {str(run.get_task_instance(task).state) for task in dag.task_ids} == {"success"}
    assert {*LIKE_VALUES, "z10115", "101150"} <= {*_tags(persona_connection, bulk)}
    assert {*LIKE_VALUES, "101151"} <= {*_tags(persona_connection, single)}
    made = persona_connection.object(run.get_task_instance("account").xcom_pull(task_ids="account"))["attributes"]
    assert (made["fields"]["name-first"]["value"], made["fields"]["name-last"]["value"]) == ("10115", "10115")
    assert made["tags"] == ["10", "True"]


def test_one_expression_within_a_row_gives_what_it_is(run_dag, persona_connection):
    (case_id,) = with_status(persona_connection, "Open", 1)
    row = {"case_id": case_id, "sla_expires_in": "{{ params.seconds }}", "add_tags": "{{ params.tags }}"}
    with new_dag(render_template_as_native_obj=True, params=PARAMS) as dag:
        PersonaBulkUpdateCasesOperator(task_id="bulk", changes=[row])
    assert str(run_dag(dag).state) == "success"
    assert {"a", "b"} <= {*_tags(persona_connection, case_id)}


def test_an_error_in_a_template_within_a_row_fails_the_task(run_dag, persona_connection):
    with new_dag() as dag:
        PersonaBulkUpdateCasesOperator(task_id="bulk", changes=[{"case_id": "{{ 1 / 0 }}", "status": "Open"}])
    assert str(run_dag(dag).state) == "failed"
    assert persona_connection.requests() == []
