"""Private template fields with `.partial().expand()`: dependencies hold, and data is never taken for a template."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.cases import PersonaUpdateCaseOperator
from airflow_provider_persona.version_compat import DAG, task


@pytest.fixture(autouse=True)
def _secret(state_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_VAR_SECRET", "LEAKED")


def _dag():
    return DAG("mapping", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False)


def _open_cases(persona, count):
    return [case_id for case_id, status in persona.statuses().items() if status == "Open"][:count]


def _tags(persona, case_id):
    return next(case["tags"] for case in persona.cases() if case["case_id"] == case_id)


def test_rows_that_come_through_expand_are_data_and_not_templates(run_dag, persona_connection):
    first, second = _open_cases(persona_connection, 2)
    with _dag() as dag:

        @task
        def shards():
            return [[{"case_id": case_id, "add_tags": ["t-{{ var.value.secret }}"]}] for case_id in (first, second)]

        PersonaBulkUpdateCasesOperator.partial(task_id="cases").expand(changes=shards())
    assert str(run_dag(dag).state) == "success"
    assert len(persona_connection.journal()) == 2
    bodies = str(persona_connection.cases())
    assert "t-{{ var.value.secret }}" in bodies
    assert "LEAKED" not in bodies


def test_a_generator_in_partial_serves_each_task(run_dag, persona_connection):
    (case_id,) = _open_cases(persona_connection, 1)
    with _dag() as dag:
        PersonaBulkUpdateCasesOperator.partial(
            task_id="cases", changes=({"case_id": case, "add_tags": ["x"]} for case in [case_id])
        ).expand(only_from=[["Open"], ["Open", "Pending"]])
    run = run_dag(dag)
    instances = [run.get_task_instance("cases", map_index=index) for index in (0, 1)]
    reports = [each.xcom_pull(task_ids="cases", map_indexes=each.map_index) for each in instances]
    assert [report["rows"] for report in reports] == [1, 1]


def test_neither_are_sets_within_them(run_dag, persona_connection):
    (first,) = _open_cases(persona_connection, 1)
    with _dag() as dag:

        @task
        def shards():
            return [[{"case_id": first, "add_tags": {"t-{{ var.value.secret }}"}}]]

        PersonaBulkUpdateCasesOperator.partial(task_id="cases").expand(changes=shards())
    assert str(run_dag(dag).state) == "success"
    assert "t-{{ var.value.secret }}" in str(persona_connection.cases())


def test_a_private_field_in_partial_waits_for_the_task_it_comes_from(run_dag, persona_connection):
    case_id = _open_cases(persona_connection, 1)[0]
    with _dag() as dag:

        @task
        def rows():
            return [{"case_id": case_id, "status": "Declined"}]

        PersonaBulkUpdateCasesOperator.partial(task_id="a_bulk", changes=rows()).expand(
            only_from=[["Open"], ["Pending"]]
        )
    assert dag.get_task("a_bulk").upstream_task_ids == {"rows"}
    assert str(run_dag(dag).state) == "success"
    assert [effect.case_id for effect in persona_connection.journal()] == [case_id]


def test_fields_are_templates_when_they_stand_in_the_dag(run_dag, persona_connection):
    case_id = _open_cases(persona_connection, 1)[0]
    with _dag() as dag:
        PersonaUpdateCaseOperator(task_id="case", case_id=case_id, fields={"decision-note": "by {{ dag.dag_id }}"})
    assert str(run_dag(dag).state) == "success"
    assert "by mapping" in str(persona_connection.cases())


@pytest.mark.parametrize("rendered", ["['Approved', 'Declined']", '["Approved", "Declined"]'])
def test_a_guard_that_a_template_rendered_to_text_still_guards(run_dag, persona_connection, rendered):
    decided = next(case_id for case_id, status in persona_connection.statuses().items() if status == "Approved")
    with _dag() as dag:
        changes = [{"case_id": decided, "status": "Declined"}]
        PersonaBulkUpdateCasesOperator(
            task_id="cases", changes=changes, never_from="{{ params.protected }}", params={"protected": rendered}
        )
    assert str(run_dag(dag).state) == "success"
    assert persona_connection.journal() == []


@pytest.mark.parametrize(
    "forbidden",
    ["{{ ['Open -> Declined'] }}", "{{ 'Open' }} -> Declined", ["{{ 'Open' }} -> *"], {"Open": "{{ 'Declined' }}"}],
)
def test_a_forbidden_transition_may_be_a_template(run_dag, persona_connection, forbidden):
    with _dag() as dag:
        changes = [{"case_id": case_id, "status": "Declined"} for case_id in _open_cases(persona_connection, 2)]
        PersonaBulkUpdateCasesOperator(task_id="cases", changes=changes, compare="list", forbid_transitions=forbidden)
    assert str(run_dag(dag).state) == "failed"
    assert persona_connection.journal() == []


def test_a_template_of_nothing_forbids_nothing(run_dag, persona_connection):
    with _dag() as dag:
        changes = [{"case_id": case_id, "status": "Declined"} for case_id in _open_cases(persona_connection, 2)]
        PersonaBulkUpdateCasesOperator(
            task_id="cases", changes=changes, forbid_transitions="{{ dag_run.conf.get('forbidden') }}"
        )
    assert str(run_dag(dag).state) == "success"


def test_a_guard_that_cannot_be_read_fails_before_the_first_call(run_dag, persona_connection):
    decided = next(case_id for case_id, status in persona_connection.statuses().items() if status == "Approved")
    with _dag() as dag:
        changes = [{"case_id": decided, "status": "Declined"}]
        PersonaBulkUpdateCasesOperator(task_id="cases", changes=changes, never_from="Approved,Declined")
    assert str(run_dag(dag).state) == "failed"
    assert persona_connection.requests() == []


def test_a_task_that_gives_no_rows_at_all_fails_without_retries(run_dag, persona_connection):
    with _dag() as dag:

        @task
        def nothing():
            return None

        PersonaBulkUpdateCasesOperator(task_id="cases", changes=nothing(), retries=2)
    instance = run_dag(dag).get_task_instance("cases")
    assert (str(instance.state), instance.try_number) == ("failed", 1)


def test_a_second_try_that_finds_its_own_work_done_is_a_success(run_dag, persona_connection):
    """The first try is cut off after its writes; the guard must not take its status for a human's."""
    case_id = _open_cases(persona_connection, 1)[0]

    class CutOff(PersonaUpdateCaseOperator):
        def execute(self, context):
            result = super().execute(context)
            if context["ti"].try_number == 1:
                raise RuntimeError("the worker died")
            return result

    with _dag() as dag:
        CutOff(
            task_id="case",
            case_id=case_id,
            status="Declined",
            sla_expires_in=3600,
            only_from=["Open"],
            retries=1,
            retry_delay=0,
        )
    instance = run_dag(dag).get_task_instance("case")
    assert (str(instance.state), instance.try_number) == ("success", 2)
    assert instance.xcom_pull(task_ids="case")["outcome"] == "unchanged"
