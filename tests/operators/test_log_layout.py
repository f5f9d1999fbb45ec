"""The log of a bulk task, as a person reads it: short lines, details folded up, and errors that name their cause."""

from __future__ import annotations

import json

import pytest

from airflow_provider_persona.bulk.errors import QueryError
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator
from airflow_provider_persona.version_compat import AirflowFailException
from tests.operators.plan_runs import execute, to_status, with_status

LONGEST = 160


def test_lines_are_short_and_addresses_stand_alone_in_folded_groups(persona_connection, state_path, told):
    rows = to_status(with_status(persona_connection, "Open", 20)) + to_status([""])
    report = execute(PersonaBulkUpdateCasesOperator(task_id="bulk", changes=rows, verify=True))
    lines = told()
    assert [line for line in lines if len(line) > LONGEST and report["ledger"] not in line] == []
    assert lines.count("::endgroup::") == sum(line.startswith("::group::") for line in lines) == 2
    opened = False
    for line in lines:
        opened = line.startswith("::group::") or (opened and line != "::endgroup::")
        if report["ledger"] in line:
            assert opened, line
            assert line.split(": ", 1)[1] in (report["plan"], report["ledger"])
    assert any("20 updated, 1 invalid" in line for line in lines)
    assert not any("was killed" in line for line in lines), "there was no attempt before"


@pytest.mark.parametrize("in_file", [True, False])
def test_a_query_that_fails_is_named_by_connection_and_file(warehouse, persona_connection, tmp_path, in_file):
    private = "Vogel" + "sang"
    (tmp_path / "decisions.sql").write_text("SELECT case_id FROM missing WHERE name = :name")
    sql = "decisions.sql" if in_file else "SELECT case_id FROM missing WHERE name = :name"
    operator = SqlToPersonaCasesOperator(
        task_id="update", sql=sql, sql_conn_id="warehouse", parameters={"name": private}, only_from="Open"
    )
    if in_file:
        operator.sql = (tmp_path / sql).read_text()  # as Airflow does before a task runs
    with pytest.raises(QueryError) as raised:
        execute(operator)
    assert "on connection warehouse failed" in str(raised.value)
    assert ("in decisions.sql" in str(raised.value)) is in_file
    assert "missing" in str(raised.value)
    assert private not in str(raised.value)
    assert raised.value.__suppress_context__
    assert raised.value.retryable


def test_a_users_error_comes_without_a_chain(persona_connection, state_path):
    rows = to_status(with_status(persona_connection, "Open", 3))
    with pytest.raises(AirflowFailException, match="max_changes is 1") as raised:
        execute(PersonaBulkUpdateCasesOperator(task_id="bulk", changes=rows, max_changes=1))
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(("extra", "is_warned"), [({}, True), ({"expected_environment_id": "env_1"}, False)])
def test_a_production_key_without_an_expected_environment_is_warned_of(persona, monkeypatch, told, extra, is_warned):
    from airflow_provider_persona.hooks.persona import PersonaHook

    key = "persona_production_" + "canary"
    connection = {"conn_type": "persona", "host": persona.url, "password": key, "extra": json.dumps(extra)}
    monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
    hook = PersonaHook()
    assert hook.settings is hook.settings
    lines = [line for line in told() if "production key" in line]
    assert len(lines) == is_warned
    assert key not in "".join(lines)
