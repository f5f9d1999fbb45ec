"""A failed task says why in its error, its log and XCom, with examples and without values."""

from __future__ import annotations

import pytest
from plan_runs import execute, to_status, told, with_status

from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.version_compat import AirflowFailException

pytestmark = pytest.mark.usefixtures("state_path")

CANARY = "Canaria Quokka"


def test_the_reasons_stand_in_error_log_and_xcom(persona_connection, caplog, capfd):
    opened = with_status(persona_connection, "Open", 6)
    rows = to_status(opened[:3], status="Aproved") + to_status(opened[3:5]) + [{"case_id": None, "status": "Declined"}]
    rows.append({"case_id": opened[5], "status": "Declined", "fields": {"no-such-field": CANARY}})
    pushed = {}
    operator = PersonaBulkUpdateCasesOperator(task_id="cases", changes=rows)
    with pytest.raises(AirflowFailException, match="4 of 7 rows failed, and none may; ") as error:
        execute(operator, pushed=pushed)
    assert "Most frequent: 3 x failed: Persona answered 422 (Unprocessable Entity)" in str(error.value)
    failures = pushed["report"]["failures"]
    # In the order in which Persona answered: 24 rows are under way at once.
    assert [(one["count"], set(one["example_ids"])) for one in failures] == [
        (3, set(opened[:3])),
        (1, {opened[5]}),
        (1, set()),
    ]
    said = told(caplog, capfd)
    assert all(one["reason"] in said for one in failures)
    assert CANARY not in said + str(error.value) + str(failures)


def test_a_run_without_failures_has_none(persona_connection):
    report = execute(
        PersonaBulkUpdateCasesOperator(task_id="t", changes=to_status(with_status(persona_connection, "Open", 1)))
    )
    assert report["failures"] == []
