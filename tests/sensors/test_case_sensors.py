"""The sensors on cases in each of their modes, through Airflow and against a simulated Persona."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from datetime import UTC, datetime

import pytest

from airflow_provider_persona.sensors.cases import PersonaCaseSensor, PersonaCasesSensor
from airflow_provider_persona.version_compat import DAG, AirflowFailException
from tests.transfers.rogue_persona import RoguePersona

MODES = [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True, "first_poll_after": 0.2}]


@pytest.fixture
def wait(run_dag, persona_connection):
    """Run a sensor in a Dag; returns its task instance."""

    def run(sensor, **arguments):
        with DAG("wait", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
            sensor(task_id="wait", **{"poke_interval": 0.2, "timeout": 20, "retries": 0, **arguments})
        return run_dag(dag).get_task_instance("wait")

    return run


def _case(persona, status):
    return next(case_id for case_id, now in persona.statuses().items() if now == status)


def _after_the_first_look(persona, case_id, status):
    """Let a human change a case once the sensor has looked at least once."""

    def act():
        deadline = time.monotonic() + 15
        while not persona.requests() and time.monotonic() < deadline:
            time.sleep(0.05)
        persona.act_as_human(case_id, status=status)

    threading.Thread(target=act).start()


@pytest.mark.parametrize("mode", MODES, ids=str)
class TestInEveryMode:
    def test_it_waits_for_a_status(self, wait, persona, mode):
        case_id = _case(persona, "Open")
        _after_the_first_look(persona, case_id, "Approved")
        instance = wait(PersonaCaseSensor, case_id=case_id, target_statuses=["Approved", "Declined"], **mode)
        assert str(instance.state) == "success"
        assert instance.xcom_pull(task_ids="wait") == "Approved"
        assert len(persona.requests()) >= 2

    def test_it_waits_for_the_resolution(self, wait, persona, mode):
        case_id = _case(persona, "Open")
        _after_the_first_look(persona, case_id, "Declined")
        assert str(wait(PersonaCaseSensor, case_id=case_id, resolved=True, **mode).state) == "success"

    def test_a_failure_status_fails_it_without_retries(self, wait, persona, mode):
        case_id = _case(persona, "Open")
        _after_the_first_look(persona, case_id, "Declined")
        instance = wait(
            PersonaCaseSensor,
            case_id=case_id,
            target_statuses="Approved",
            failure_statuses="Declined",
            **{**mode, "retries": 2},
        )
        assert (str(instance.state), instance.try_number) == ("failed", 1)

    def test_it_waits_until_none_remain(self, wait, persona, mode):
        pending = [case_id for case_id, now in persona.statuses().items() if now == "Pending"]
        for case_id in pending[1:]:
            persona.act_as_human(case_id, status="Approved")
        _after_the_first_look(persona, pending[0], "Approved")
        instance = wait(PersonaCasesSensor, filters={"status": "Pending"}, **mode)
        assert str(instance.state) == "success"
        assert instance.xcom_pull(task_ids="wait") == 0

    def test_it_waits_until_enough_are_there(self, wait, persona, mode):
        instance = wait(PersonaCasesSensor, filters={"status": "Open"}, at_least=102, **mode)
        assert str(instance.state) == "success"
        assert instance.xcom_pull(task_ids="wait") == 102


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_an_unknown_case_fails_at_once(wait, persona, mode):
    arguments = {**mode, "retries": 2}
    instance = wait(PersonaCaseSensor, case_id="case_unknown", target_statuses="Approved", **arguments)
    assert (str(instance.state), instance.try_number) == ("failed", 1)
    assert len(persona.requests()) == 1


def test_an_error_in_the_trigger_stays_typed(wait, persona):
    case_id = _case(persona, "Open")
    persona.script_fault("redirect", operation="retrieve-case", skip=1, times=10)
    instance = wait(PersonaCaseSensor, case_id=case_id, target_statuses="Approved", **MODES[2])
    assert str(instance.state) == "failed"


def test_a_look_at_none_remaining_is_one_small_request(wait, persona):
    wait(PersonaCasesSensor, filters={"status": "Open"}, timeout=0.1, mode="poke")
    assert len(persona.requests()) <= 2


@pytest.mark.parametrize(
    ("sensor", "arguments"),
    [
        (PersonaCaseSensor, {"case_id": "case_1"}),
        (PersonaCaseSensor, {"case_id": "case_1", "target_statuses": []}),
        (PersonaCasesSensor, {"filters": {}, "at_most": 0, "at_least": 1}),
        (PersonaCasesSensor, {"filters": {}, "at_least": 0}),
        (PersonaCasesSensor, {"filters": {}, "at_most": -1}),
    ],
)
def test_a_wait_for_nothing_is_an_error_at_parse(sensor, arguments):
    with pytest.raises(ValueError, match="give"):
        sensor(task_id="wait", **arguments)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_wait_for_nothing_that_a_template_makes_fails_before_a_request(wait, persona, mode):
    instance = wait(PersonaCaseSensor, case_id=_case(persona, "Open"), target_statuses="{{ [] }}", **mode)
    assert str(instance.state) == "failed"
    assert persona.requests() == []


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_filters_may_be_the_text_that_a_template_renders_to(wait, persona, mode):
    filters = "{{ {'status': 'No such status'} | tojson }}"
    instance = wait(PersonaCasesSensor, filters=filters, **mode)
    assert (str(instance.state), instance.xcom_pull(task_ids="wait")) == ("success", 0)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_filters_that_a_template_did_not_find_are_not_taken_for_all_cases(wait, persona, mode):
    instance = wait(PersonaCasesSensor, filters="{{ none }}", at_least=1, **mode)
    assert str(instance.state) == "failed"
    assert persona.requests() == []


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_what_filters_render_to_is_kept_nowhere(run_dag, persona_connection, mode, caplog, capfd):
    from airflow.configuration import conf

    name = "Vogel" + "sang"
    macros = {"name": lambda: name}
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with DAG("wait", schedule=None, start_date=start, catchup=False, user_defined_macros=macros) as dag:
        filters = {"reference-id": "{{ name() }}"}
        PersonaCasesSensor(task_id="wait", filters=filters, poke_interval=0.2, timeout=20, retries=0, **mode)
    instance = run_dag(dag).get_task_instance("wait")
    assert (str(instance.state), instance.xcom_pull(task_ids="wait")) == ("success", 0)
    assert f"reference-id%5D={name}" in persona_connection.requests()[-1].query
    with sqlite3.connect(conf.get("database", "sql_alchemy_conn").removeprefix("sqlite:///")) as db:
        told = "\n".join(db.iterdump())
    assert name not in told + caplog.text + "".join(capfd.readouterr())


def _page(ids, following, kind="case"):
    return {"data": [{"type": kind, "id": each} for each in ids], "links": {"next": following}}


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ([_page(["a", "b"], "/?page%5Bafter%5D=1"), _page(["b"], None)], None),
        ([_page(["a", "b"], f"/?page%5Bafter%5D={number}") for number in range(20)], "leads back to an earlier page"),
        ([_page(["a", "b", "c"], None, "inquiry")], "does not look like a case"),
        ([_page(["a", None, "c"], None)], "does not look like a case"),
    ],
)
def test_each_case_is_counted_once_and_nothing_else_is(monkeypatch, pages, said):
    with RoguePersona() as rogue:
        rogue.give("/api/v1/cases", pages)
        connection = {"conn_type": "persona", "host": rogue.url, "password": "persona_sandbox_x"}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
        sensor = PersonaCasesSensor(task_id="wait", filters={"status": "Open"}, at_least=3)
        if said is None:
            assert not sensor.poke({}).is_done
            return
        with pytest.raises(AirflowFailException, match=said):
            sensor.poke({})
