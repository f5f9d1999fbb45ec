"""`PersonaUpdateCaseOperator`, through Airflow and against a simulated Persona."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_persona.operators.cases import PersonaUpdateCaseOperator
from airflow_provider_persona.version_compat import DAG


@pytest.fixture
def update(run_dag, persona_connection):
    """Run the operator in a Dag; returns the task's state and what it returned."""

    def run(**arguments):
        with DAG("update", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
            PersonaUpdateCaseOperator(task_id="case", retries=0, **arguments)
        run = run_dag(dag)
        instance = run.get_task_instance("case")
        return str(instance.state), instance.xcom_pull(task_ids="case")

    return run


REVIEWER = "ana.reviewer@example.com"


def _open_case(persona):
    return next(case_id for case_id, status in persona.statuses().items() if status == "Open")


def _calls(persona):
    return [request.operation for request in persona.requests()]


def test_one_wanted_status_is_one_request(update, persona):
    case_id = _open_case(persona)
    state, result = update(case_id=case_id, status="Approved")
    assert state == "success"
    assert (result["id"], result["status"], result["outcome"]) == (case_id, "Approved", "updated")
    assert len(result["request_ids"]) == 1
    assert _calls(persona) == ["set-status-for-a-case"]


def test_each_argument_may_be_the_text_that_a_template_renders_to(update, persona):
    case_id = _open_case(persona)
    state, result = update(
        case_id=case_id,
        fields="{{ {'risk_score': 7} | tojson }}",
        add_tags="{{ ['a', 'b'] }}",
        sla_expires_in="{{ 3600 }}",
        attachments="{{ [{'filename': 'a.pdf', 'data': 'JVBERi0xLjQ='}] }}",
        remove_objects="{{ none }}",
    )
    assert (state, result["outcome"]) == ("success", "updated")
    assert _calls(persona) == ["update-a-case", "add-tag", "add-tag"]
    assert {"attachments", "fields.risk_score", "sla"} <= {part for each in persona.journal() for part in each.parts}


def test_all_parts_together_take_one_call_each_with_the_status_last(update, persona):
    case_id = _open_case(persona)
    state, result = update(
        case_id=case_id,
        status="Pending",
        fields={"risk_score": 7},
        sla_expires_in=3600,
        add_tags=["a"],
        remove_tags=["b"],
        objects=["inq_sim000001"],
        assignee=REVIEWER,
    )
    assert (state, result["status"]) == ("success", "Pending")
    calls = _calls(persona)
    assert calls[0] == "update-a-case"
    assert calls[-1] == "set-status-for-a-case"
    assert len(calls) == len(set(calls))


def test_a_guard_skips_the_task_and_nothing_is_written(update, persona):
    case_id = next(case_id for case_id, status in persona.statuses().items() if status == "Approved")
    state, _ = update(case_id=case_id, status="Declined", only_from=["Open", "Pending"])
    assert state == "skipped"
    assert persona.journal() == []


def test_what_is_already_so_is_not_written_when_a_guard_has_looked(update, persona):
    case_id = next(case_id for case_id, status in persona.statuses().items() if status == "Approved")
    state, result = update(case_id=case_id, status="Approved", only_from="Open")
    assert (state, result["outcome"], result["status"]) == ("success", "unchanged", "Approved")
    assert persona.journal() == []


@pytest.mark.parametrize(
    ("arguments", "requests"),
    [
        ({"status": "No such status"}, 1),
        ({"case_id": "case_unknown", "status": "Approved"}, 1),
        ({"case_id": "case_1/../case_2", "status": "Approved"}, 0),
        ({"case_id": "case 1", "status": "Approved"}, 0),
        ({}, 0),
        ({"sla_expires_in": 10**9}, 0),
    ],
    ids=["unknown status", "unknown case", "slash in id", "space in id", "no change", "SLA too long"],
)
def test_what_a_retry_would_meet_again_fails_without_retries(run_dag, persona_connection, arguments, requests):
    given = {"case_id": _open_case(persona_connection), **arguments}
    with DAG("update", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        PersonaUpdateCaseOperator(task_id="case", retries=2, **given)
    instance = run_dag(dag).get_task_instance("case")
    assert str(instance.state) == "failed"
    assert instance.try_number == 1
    assert len(persona_connection.requests()) == requests
    assert persona_connection.journal() == []


def test_a_wrong_key_fails_without_retries(run_dag, persona, monkeypatch):
    import json

    wrong = {"conn_type": "persona", "host": persona.url, "password": "persona_sandbox_wrong"}
    monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(wrong))
    with DAG("update", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        PersonaUpdateCaseOperator(task_id="case", case_id=_open_case(persona), status="Approved", retries=2)
    instance = run_dag(dag).get_task_instance("case")
    assert (str(instance.state), instance.try_number) == ("failed", 1)


def test_templates_render_and_mapping_works(run_dag, persona_connection):
    cases = [case_id for case_id, status in persona_connection.statuses().items() if status == "Open"][:3]
    with DAG("update", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        PersonaUpdateCaseOperator.partial(
            task_id="case", status="{{ params.status }}", params={"status": "Declined"}
        ).expand(case_id=cases)
    run = run_dag(dag)
    assert str(run.state) == "success"
    assert [persona_connection.statuses()[case_id] for case_id in cases] == ["Declined"] * 3


def test_a_fault_after_the_effect_leaves_one_effect_and_a_success(update, persona):
    case_id = _open_case(persona)
    persona.script_fault("reset_after", operation="set-status-for-a-case")
    state, result = update(case_id=case_id, status="Approved")
    assert (state, result["outcome"]) == ("success", "updated")
    assert [effect.case_id for effect in persona.journal()] == [case_id]
