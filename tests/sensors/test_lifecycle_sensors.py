"""The sensors on things with a life-cycle, in each of their modes, through Airflow and against a simulated Persona."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_persona.api.errors import PersonaRateLimitError, PersonaServerError
from airflow_provider_persona.api.lifecycle import LIFECYCLES
from airflow_provider_persona.sensors import lifecycle
from airflow_provider_persona.sensors.lifecycle import (
    PersonaImporterSensor,
    PersonaInquirySensor,
    PersonaReportSensor,
    PersonaTransactionSensor,
)
from airflow_provider_persona.version_compat import (
    AIRFLOW_V_3_0_PLUS,
    AIRFLOW_V_3_1_PLUS,
    DAG,
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from tests.airflow_process import run_program
from tests.sensors.lives import BY_NAME, LIVES, change

DEFERRED = {"deferrable": True, "first_poll_after": 0.1}
MODES = [{"mode": "poke"}, {"mode": "reschedule"}, DEFERRED]
REPORT = BY_NAME["report"]


@pytest.fixture
def wait(run_dag, persona_connection):
    """Run a sensor in a Dag; returns its task instance."""

    def run(sensor, **arguments):
        with DAG("wait", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
            sensor(task_id="wait", **{"poke_interval": 0.1, "timeout": 20, "retries": 0, **arguments})
        return run_dag(dag).get_task_instance("wait")

    return run


def _after_the_first_look(persona, thing_id, status, attributes=None):
    """Change a thing once the sensor has looked at it."""
    seen = len(persona.requests())

    def act():
        deadline = time.monotonic() + 15
        while len(persona.requests(since=seen)) == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        change(persona, thing_id, status, attributes)

    threading.Thread(target=act).start()


def _deferral(sensor):
    """Let a sensor defer and return what it defers with."""
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})
    return deferred.value


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.resource)
class TestEveryResource:
    def test_it_waits_in_the_triggerer_for_a_good_end(self, wait, persona, life):
        thing_id = life.begin(persona)
        _after_the_first_look(persona, thing_id, life.good, life.end)
        instance = wait(life.sensor, **life.arguments(thing_id), **DEFERRED)
        assert str(instance.state) == "success"
        assert instance.xcom_pull(task_ids="wait") == {"id": thing_id, "status": life.good, **life.found}

    def test_a_bad_end_fails_it_for_good_with_the_reason(self, persona_connection, life):
        thing_id = life.begin(persona_connection)
        sensor = life.sensor(task_id="wait", **life.arguments(thing_id))
        assert not sensor.poke({}).is_done
        change(persona_connection, thing_id, life.bad)
        with pytest.raises(AirflowFailException, match=f"{thing_id} .*{life.bad}"):
            sensor.poke({})

    def test_an_unknown_id_fails_it_for_good(self, persona_connection, life):
        sensor = life.sensor(task_id="wait", **life.arguments("x_unknown"), **DEFERRED)
        with pytest.raises(AirflowFailException, match="404"):
            sensor.execute({})
        assert len(persona_connection.requests()) == 1

    def test_its_id_and_statuses_are_templates(self, life):
        sensor = life.sensor(task_id="wait", **{**life.arguments("{{ run_id }}"), "target_statuses": "{{ run_id }}"})
        sensor.render_template_fields({"run_id": "rendered"})
        trigger = sensor.trigger(persona_conn_id=sensor.persona_conn_id, poll_interval=1)
        assert (trigger.resource, trigger.resource_id) == (life.resource, "rendered")
        assert trigger.goal.targets == {"rendered"}


@pytest.mark.parametrize("mode", MODES, ids=str)
class TestInEveryMode:
    def test_it_waits(self, wait, persona, mode):
        thing_id = REPORT.begin(persona)
        _after_the_first_look(persona, thing_id, "ready", {"has-match": False})
        instance = wait(PersonaReportSensor, report_id=thing_id, fail_on_match=True, **mode)
        assert str(instance.state) == "success"
        assert instance.xcom_pull(task_ids="wait") == {"id": thing_id, "status": "ready", "has_match": False}

    def test_a_bad_end_fails_it_without_retries(self, wait, persona, mode):
        thing_id = REPORT.begin(persona)
        _after_the_first_look(persona, thing_id, "errored")
        instance = wait(PersonaReportSensor, report_id=thing_id, **{**mode, "retries": 2})
        assert (str(instance.state), instance.try_number) == ("failed", 1)

    def test_a_bad_end_skips_it_where_that_is_wished(self, wait, persona, mode):
        thing_id = REPORT.begin(persona)
        _after_the_first_look(persona, thing_id, "errored")
        assert str(wait(PersonaReportSensor, report_id=thing_id, soft_fail=True, **mode).state) == "skipped"

    def test_the_timeout_ends_it(self, wait, persona, mode):
        if mode == {"mode": "reschedule"} and AIRFLOW_V_3_0_PLUS and not AIRFLOW_V_3_1_PLUS:
            pytest.skip("in `dag.test()` of Airflow 3.0 no sensor that is rescheduled ever ends by its timeout")
        instance = wait(PersonaReportSensor, report_id=REPORT.begin(persona), timeout=1, retries=2, **mode)
        assert (str(instance.state), instance.try_number) == ("failed", 1)
        assert len(persona.requests(operation="retrieve-a-report")) >= 2

    def test_a_wrong_key_fails_it_without_retries(self, wait, persona, mode, monkeypatch):
        connection = {"conn_type": "persona", "host": persona.url, "password": "persona_sandbox_wrong"}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
        instance = wait(PersonaReportSensor, report_id="rep_1", **{**mode, "retries": 2})
        assert (str(instance.state), instance.try_number) == ("failed", 1)


@pytest.mark.parametrize("resource", ["report", "workflow-run", "importer", "graph-query"])
def test_what_a_dag_began_is_waited_for_until_persona_is_done(persona_connection, resource):
    """Without a Dag run, before the begin of which a slow machine would let Persona finish."""
    persona, life = persona_connection, BY_NAME[resource]
    thing_id = life.made()
    found = life.sensor(task_id="wait", poke_interval=0.1, **life.arguments(thing_id)).execute({})
    assert found["status"] == persona.object(thing_id)["status"]
    assert len(persona.requests(operation=LIFECYCLES[resource].operation_id)) > 1


def test_many_are_mapped(run_dag, persona_connection):
    ids = [REPORT.begin(persona_connection) for _ in range(3)]
    for thing_id in ids:
        change(persona_connection, thing_id, "ready")
    with DAG("wait", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        PersonaReportSensor.partial(task_id="wait", target_statuses=["ready"]).expand(report_id=ids)
    run = run_dag(dag)
    assert str(run.state) == "success"
    # One by one: in Airflow 3.1 a run's instance fails when it pulls those of all.
    instances = [run.get_task_instance("wait", map_index=index) for index in range(3)]
    found = [each.xcom_pull(task_ids="wait", map_indexes=each.map_index)["id"] for each in instances]
    assert found == ids


@pytest.mark.parametrize(
    ("sensor", "arguments", "attributes", "complaint"),
    [
        (PersonaReportSensor, {}, {"has-match": True}, None),
        (PersonaReportSensor, {"fail_on_match": True}, {"has-match": False}, None),
        (PersonaReportSensor, {"fail_on_match": True}, {"has-match": True}, "has a match"),
        (PersonaReportSensor, {"fail_on_match": True}, {"has-match": None}, "does not tell"),
        (PersonaImporterSensor, {}, {"error-count": 0}, None),
        (PersonaImporterSensor, {}, {"error-count": 1}, "1 rows in error"),
        (PersonaImporterSensor, {"max_errors": 2}, {"error-count": 2}, None),
        (PersonaImporterSensor, {"max_errors": 2}, {"error-count": 3}, "3 rows in error, 2 are allowed"),
        (PersonaImporterSensor, {"max_errors": None}, {"error-count": 9}, None),
        (PersonaImporterSensor, {}, {"error-count": None}, "unknown number"),
    ],
)
def test_ready_is_not_good_by_itself(persona_connection, sensor, arguments, attributes, complaint):
    life = BY_NAME[sensor.resource]
    thing_id = life.begin(persona_connection)
    change(persona_connection, thing_id, "ready", attributes)
    waiting = sensor(task_id="wait", **life.arguments(thing_id), **arguments, **DEFERRED)
    if complaint is None:
        assert waiting.execute({})["id"] == thing_id
    else:
        with pytest.raises(AirflowFailException, match=complaint):
            waiting.execute({})


class TestDeferring:
    def test_the_first_look_in_the_triggerer_is_late(self, persona_connection):
        sensor = PersonaReportSensor(
            task_id="wait", report_id=REPORT.begin(persona_connection), deferrable=True, poke_interval=1, timeout=100
        )
        deferral = _deferral(sensor)
        assert (deferral.trigger.first_poll_after, deferral.trigger.poll_interval) == (15, 1)
        assert deferral.trigger.give_up_at == pytest.approx(time.time() + 100, abs=5)
        assert deferral.timeout.total_seconds() > 100, "the trigger's own last look comes first"

    @pytest.mark.parametrize("given", [40, 40.0, timedelta(seconds=40)])
    def test_the_first_look_can_be_set_in_seconds_or_as_a_timedelta(self, persona_connection, given):
        thing_id = REPORT.begin(persona_connection)
        sensor = PersonaReportSensor(task_id="wait", report_id=thing_id, deferrable=True, first_poll_after=given)
        assert _deferral(sensor).trigger.first_poll_after == 40

    def test_what_is_there_already_defers_nothing(self, persona_connection):
        thing_id = REPORT.begin(persona_connection)
        change(persona_connection, thing_id, "ready")
        sensor = PersonaReportSensor(task_id="wait", report_id=thing_id, deferrable=True)
        assert sensor.execute({})["status"] == "ready"

    def test_the_first_look_skips_where_that_is_wished(self, persona_connection):
        sensor = PersonaReportSensor(task_id="wait", report_id="rep_unknown", soft_fail=True, **DEFERRED)
        with pytest.raises(AirflowSkipException, match="404"):
            sensor.execute({})

    def test_a_first_look_that_fails_for_a_moment(self, persona_connection):
        thing_id = REPORT.begin(persona_connection)
        persona_connection.configure(limit=0)
        with pytest.raises(PersonaRateLimitError):
            PersonaReportSensor(task_id="wait", report_id=thing_id, **DEFERRED).execute({})
        with pytest.raises(AirflowSkipException):
            PersonaReportSensor(task_id="wait", report_id=thing_id, never_fail=True, **DEFERRED).execute({})
        deferral = _deferral(PersonaReportSensor(task_id="wait", report_id=thing_id, silent_fail=True, **DEFERRED))
        assert deferral.trigger.silent_fail

    @pytest.mark.parametrize(
        ("event", "raised", "told"),
        [
            ({"ended": "timeout"}, AirflowSensorTimeout, "timeout of 60 s"),
            ({"ended": "failed", "status": "errored"}, AirflowFailException, "rep_1 has status errored"),
            (
                {"ended": "reached", "status": "ready", "facts": {"has-match": True}},
                AirflowFailException,
                "has a match",
            ),
            ({"ended": "reached", "status": "ready"}, AirflowFailException, "does not tell"),
            ({"ended": "error", "error": PersonaServerError("it answered 503").to_event()}, PersonaServerError, "503"),
            (None, AirflowFailException, "not one of a Persona trigger"),
            ({"ended": "reached", "status": "ready", "facts": {"name": "Canaria"}}, AirflowFailException, "not one of"),
        ],
    )
    def test_what_an_event_leads_to(self, event, raised, told):
        sensor = PersonaReportSensor(task_id="wait", report_id="rep_1", fail_on_match=True, timeout=60)
        with pytest.raises(raised, match=told):
            sensor.execute_complete({}, event)


@pytest.mark.parametrize(
    ("given", "told"),
    [({"target_statuses": ["Approved"]}, "did you mean"), ({"target_statuses": "a", "failure_statuses": "a"}, "both")],
)
def test_arguments_that_make_no_sense_fail_it_before_a_request(persona_connection, given, told):
    with pytest.raises(AirflowFailException, match=told):
        PersonaInquirySensor(task_id="wait", inquiry_id="inq_1", **given).execute({})
    assert persona_connection.requests() == []


def test_a_transaction_wants_its_statuses_named():
    with pytest.raises((TypeError, AirflowException), match="target_statuses"):  # the second on Airflow 2
        PersonaTransactionSensor(task_id="wait", transaction_id="txn_1")


def test_importing_them_imports_nothing_heavy():
    program = (
        "import sys, airflow_provider_persona.version_compat; before = set(sys.modules)\n"
        f"import {lifecycle.__name__}\n"
        "print(*(set(sys.modules) - before))"
    )
    imported = set(run_program(program).stdout.split())
    assert lifecycle.__name__ in imported
    assert not {"pydantic", "aiohttp", "requests", "airflow_provider_persona.api.lifecycle"} & imported
