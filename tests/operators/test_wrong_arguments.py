"""Arguments of bulk tasks that are of another type than they should be: said by name, for good, before any request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plan_runs import execute, to_status, with_status

from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator, SqlToPersonaOperator
from airflow_provider_persona.version_compat import AirflowFailException

pytestmark = pytest.mark.usefixtures("state_path")

QUERY = {"sql": "SELECT * FROM decisions", "sql_conn_id": "warehouse"}
CALL = {**QUERY, "operation_id": "add-tag", "path": {"case-id": "case_id"}, "body": {"meta.tag-name": "status"}}


@pytest.fixture
def decisions(persona_connection, warehouse):
    """Three rows in the warehouse."""
    warehouse("decisions", "case_id, status", [(one, "Declined") for one in with_status(persona_connection, "Open", 3)])


@pytest.mark.usefixtures("decisions")
@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("sql", [["SELECT 1", "SELECT 2"], ("SELECT 1",), None, 5, b"SELECT 1", {"a": 1}]),
        ("sql_hook_params", ["abc", 5, ["a"]]),
        ("mapping", ["abc", "{", 5, ["a"], [("status", "status")]]),
        ("max_retry_share", ["x", None, 0]),
        ("state_path", [True, ["a"], {}]),
        ("parameters", ["AB", "5", 5, True, b"AB"]),
        ("ledger_table", [True, ["a"]]),
        ("progress_every", ["x", None, -1]),
    ],
)
def test_an_argument_of_another_type_is_named(persona_connection, argument, values):
    for value in values:
        with pytest.raises(AirflowFailException, match=rf"^{argument} is "):
            execute(SqlToPersonaCasesOperator(task_id="t", **{**QUERY, argument: value}))
    assert persona_connection.requests() == []


@pytest.mark.usefixtures("decisions")
@pytest.mark.parametrize(
    ("argument", "values", "said"),
    [
        ("only_from", [5, True, {"Open": 1}], "statuses are given as"),
        ("never_from", [5, {"Open": 1}], "statuses are given as"),
        ("forbid_transitions", [5, True], "forbid_transitions are given like"),
    ],
)
def test_a_guard_of_another_type_guards_nothing_and_is_refused(persona_connection, argument, values, said):
    for value in values:
        with pytest.raises(AirflowFailException, match=said):
            execute(SqlToPersonaCasesOperator(task_id="t", compare="list", **QUERY, **{argument: value}))
    assert persona_connection.journal() == []


@pytest.mark.usefixtures("decisions")
@pytest.mark.parametrize("argument", ["path", "body", "constants"])
def test_the_mappings_of_a_call_are_mappings_or_templates_of_such(persona_connection, argument):
    for value in ("abc", 5, ["a"]):
        with pytest.raises(AirflowFailException, match=rf"^{argument} is a mapping, or a template"):
            execute(SqlToPersonaOperator(task_id="t", **{**CALL, argument: value}))
    text = json.dumps({**CALL, "constants": {}}[argument])
    made = execute(SqlToPersonaOperator(task_id="u", **{**CALL, argument: text}))
    assert made["counts"]["updated"] == 3


@pytest.mark.usefixtures("decisions")
@pytest.mark.parametrize("operation_id", [5, None, ["add-tag"]])
def test_an_operation_is_named_by_a_text(operation_id):
    with pytest.raises(AirflowFailException, match=r"Persona has no operation|operation_id is a text"):
        execute(SqlToPersonaOperator(task_id="t", **{**CALL, "operation_id": operation_id}))


@pytest.mark.usefixtures("decisions")
def test_a_mapping_may_be_what_a_template_makes_of_one():
    given = json.dumps({"case_id": "case_id", "status": "status"})
    assert execute(SqlToPersonaCasesOperator(task_id="t", mapping=given, **QUERY))["counts"]["updated"] == 3


@pytest.mark.usefixtures("decisions")
@pytest.mark.parametrize("text", ["['Declined', 1]", '["Declined", 1]', "('Declined', 1)"])
def test_parameters_of_a_query_may_be_what_a_template_makes_of_them(persona_connection, text):
    sql = "SELECT * FROM decisions WHERE status = ? LIMIT ?"
    execute(SqlToPersonaCasesOperator(task_id="t", **{**QUERY, "sql": sql, "parameters": text}))
    assert len(persona_connection.journal()) == 1


@pytest.mark.usefixtures("decisions")
@pytest.mark.parametrize("nothing", ["", "None", "{}", "[]"])
def test_parameters_that_render_to_nothing_are_none(persona_connection, nothing):
    execute(SqlToPersonaCasesOperator(task_id="t", **{**QUERY, "parameters": nothing}))
    assert len(persona_connection.journal()) == 3


def test_a_folder_may_be_given_as_a_path(persona_connection, tmp_path):
    rows = to_status(with_status(persona_connection, "Open", 2))
    report = execute(PersonaBulkUpdateCasesOperator(task_id="t", changes=rows, state_path=tmp_path / "here"))
    assert Path(report["plan"]).is_relative_to(tmp_path / "here")
