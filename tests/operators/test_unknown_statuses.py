"""Statuses that exist nowhere are said, and a run that could do nothing for any row fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plan_runs import changed, execute, to_status, told, with_status

from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaOperator
from airflow_provider_persona.version_compat import AirflowFailException

pytestmark = pytest.mark.usefixtures("state_path")

TEMPLATE = "retrieve-a-case-template"


def update(rows, **arguments):
    return execute(PersonaBulkUpdateCasesOperator(task_id="cases", changes=rows, **arguments))


def plan(rows, **arguments):
    return execute(PersonaPlanCaseUpdatesOperator(task_id="plan", changes=rows, **arguments))


# ---------------------------------------------------------------------- a status that exists nowhere


def test_a_misspelt_guard_is_said_in_log_report_and_plan(persona_connection, caplog, capfd):
    opened = with_status(persona_connection, "Open", 3)
    report = update(to_status(opened), never_from=["opne", "Approved"])
    assert report["unknown_statuses"] == ["opne"]
    assert "No object and no template in Persona has the status opne" in told(caplog, capfd)
    planned = plan(to_status(opened), never_from=["opne"])
    assert planned["unknown_statuses"] == ["opne"]
    header = json.loads(Path(planned["plan"]).read_text().splitlines()[0])
    assert header["unknown_labels"] == ["opne"]
    assert execute(PersonaApplyPlanOperator(task_id="apply", plan=planned))["unknown_statuses"] == ["opne"]


@pytest.mark.parametrize(
    "rows_and_guards",
    [
        ({"status": "Aproved"}, {"only_from": "Open"}),
        ({"status": "Declined", "expected_status": "opne"}, {}),
        ({"status": "Declined"}, {"never_from": ["OPEN"]}),
    ],
)
def test_it_can_stop_the_run_before_the_first_write(persona_connection, rows_and_guards):
    more, guards = rows_and_guards
    rows = [{"case_id": case_id, **more} for case_id in with_status(persona_connection, "Open", 3)]
    for work in (update, plan):
        with pytest.raises(AirflowFailException, match="nothing was written: no case and no template of one has the"):
            work(rows, unknown_statuses="fail", **guards)
    assert persona_connection.journal() == []


def test_a_misspelt_guard_is_said_however_many_statuses_the_rows_name(persona_connection):
    rows = [
        {"case_id": case_id, "status": "Declined", "expected_status": f"A{number:02}"}
        for number, case_id in enumerate(with_status(persona_connection, "Open", 25))
    ]
    assert "opne" in plan(rows, never_from="opne", fail_in_vain=False)["unknown_statuses"]


def test_a_misspelt_transition_is_said(persona_connection):
    planned = plan(to_status(with_status(persona_connection, "Open", 3)), forbid_transitions=["opne -> *", "* -> Gone"])
    assert planned["unknown_statuses"] == ["Gone", "opne"]


def test_a_status_that_only_a_template_has_is_known(persona_connection):
    persona = persona_connection
    for case_id in with_status(persona, "Declined"):
        persona.act_as_human(case_id, status="Open")
    opened = with_status(persona, "Open", 3)
    assert update(to_status(opened), only_from="Open", unknown_statuses="fail")["counts"]["updated"] == 3
    assert len(persona.requests(operation=TEMPLATE)) > 0


def test_statuses_that_were_seen_cost_no_request(persona_connection):
    rows = to_status(with_status(persona_connection, "Open", 3))
    rows += to_status(with_status(persona_connection, "Declined", 1))
    plan(rows, compare="get", only_from="Open")
    assert {request.operation for request in persona_connection.requests()} == {"retrieve-case", "list-all-rate-limits"}


def test_it_can_be_left_unsaid_and_is_not_looked_for_where_nothing_depends_on_it(persona_connection):
    opened = with_status(persona_connection, "Open", 4)
    assert update(to_status(opened[:2]), never_from="opne", unknown_statuses="ignore")["unknown_statuses"] == []
    update(to_status(opened[2:]))
    assert persona_connection.requests(operation="list-all-cases") == []


def test_where_templates_cannot_be_read_nothing_is_called_unknown(persona_connection, caplog, capfd):
    persona_connection.script_fault("redirect", operation=TEMPLATE, times=9)
    report = update(to_status(with_status(persona_connection, "Open", 2)), never_from="opne")
    assert (report["unknown_statuses"], report["counts"]["updated"]) == ([], 2)
    assert "Whether the statuses Declined, opne exist could not be found out" in told(caplog, capfd)


def test_a_name_that_means_nothing_is_refused(persona_connection):
    with pytest.raises(AirflowFailException, match="unknown_statuses is warn, fail, ignore, not 'perhaps'"):
        update([], unknown_statuses="perhaps")


# ---------------------------------------------------------------------- in vain


def test_rows_that_are_all_invalid_fail_the_task(persona_connection):
    rows = [{"case_id": None, "status": "Declined"}, {"case_id": "case_x", "status": None}]
    for work in (update, plan):
        with pytest.raises(AirflowFailException, match="all 2 rows are invalid"):
            work(rows)
    assert update(rows, fail_in_vain=False)["counts"]["invalid"] == 2
    assert plan(rows, fail_in_vain=False)["outcomes"] == {"invalid": 2}
    assert persona_connection.journal() == []


def test_so_do_calls_that_are_all_invalid(persona_connection, warehouse):
    warehouse("tags", "case_id TEXT, tag TEXT", [("case_1", None), ("case_2", None)])
    arguments = {"operation_id": "add-tag", "path": {"case-id": "case_id"}, "body": {"meta.tag-name": "tag"}}
    query = {"sql": "SELECT * FROM tags", "sql_conn_id": "warehouse"}
    with pytest.raises(AirflowFailException, match="all 2 rows are invalid"):
        execute(SqlToPersonaOperator(task_id="t", **query, **arguments))
    assert execute(SqlToPersonaOperator(task_id="u", fail_in_vain=False, **query, **arguments))["rows"] == 2


def test_rows_that_all_expect_a_status_that_exists_nowhere_fail_the_task(persona_connection):
    opened = with_status(persona_connection, "Open", 3)
    for work in (update, plan):
        with pytest.raises(AirflowFailException, match="all 3 rows were skipped or invalid, and nothing in Persona "):
            work(to_status(opened, expected_status="opne"))
    assert plan(to_status(opened, expected_status="opne"), fail_in_vain=False)["outcomes"] == {"skipped_guard": 3}
    assert changed(persona_connection) == []


def test_rows_that_people_decided_meanwhile_are_no_mistake(persona_connection):
    persona = persona_connection
    opened = with_status(persona, "Open", 3)
    rows = to_status(opened, expected_status="Open")
    for case_id in opened:
        persona.act_as_human(case_id, status="Approved")
    assert update(rows)["counts"]["skipped_guard"] == 3


def test_no_rows_are_no_mistake(persona_connection):
    assert update([])["rows"] == 0
