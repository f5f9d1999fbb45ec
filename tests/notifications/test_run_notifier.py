"""`PersonaRunNotifier` in real Dag runs: which runs are told, what is said of them, and what is not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from airflow_provider_persona.notifications.runs import PersonaRunNotifier
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.plans import PersonaRevertPlanOperator
from airflow_provider_persona.tasks.run_history import (
    PastRun,
    RunHistory,
    RunState,
    deviations,
    is_worth_a_notice,
)
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_1_PLUS, DAG, task
from persona_simulator import SANDBOX_KEY
from tests.notifications.alerts import Broken, Recorder, to_recorder

CANARY = "Canaria Quokka"


@pytest.fixture
def sent():
    """What was sent, begun anew."""
    Recorder.sent.clear()
    return Recorder.sent


@pytest.fixture
def update(run_dag, persona_connection, state_path, sent):
    """Run a Dag that updates cases under a notifier; returns what was sent in it."""

    def run(changes, notifier, state="success"):
        with DAG("notices", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
            PersonaBulkUpdateCasesOperator(
                task_id="cases", changes=changes, on_failure_callback=notifier, on_success_callback=notifier
            )
        count = len(sent)
        assert str(run_dag(dag).state) == state
        return sent[count:]

    return run


def _open(persona, count):
    return [case_id for case_id, status in persona.statuses().items() if status == "Open"][:count]


def test_the_first_failure_and_the_recovery_are_told_with_the_report_and_nothing_in_between(update, persona):
    notifier = PersonaRunNotifier(Recorder(text="{{ persona_notice }}"))
    bad = [{"case_id": _open(persona, 1)[0], "status": "{{ conn.persona_default.password }}", "assignee": CANARY}]
    good = [{"case_id": _open(persona, 2)[1], "status": "Declined"}]
    assert update(good, notifier) == []
    (failed,) = update(bad, notifier, "failed")
    assert failed.startswith("Persona: notices.cases failed\n1 rows: 1 failed; ")
    assert "\n- 1 x failed: Persona answered 422" in failed
    assert "\nLedger: " in failed
    assert update(bad, notifier, "failed") == []
    (recovered,) = update(good, notifier)
    assert recovered.startswith("Persona: notices.cases recovered\n1 rows: 1 updated; ")
    assert update(good, notifier) == []
    assert not any(word in text for text in (failed, recovered) for word in (CANARY, SANDBOX_KEY))


def test_a_task_that_is_given_a_report_and_makes_none_is_told_without(run_dag, persona_connection, state_path, sent):
    notifier = PersonaRunNotifier(Recorder(text="{{ persona_notice }}"))
    with DAG("notices", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        PersonaRevertPlanOperator(
            task_id="back", report={"plan": "/gone/plan.jsonl", "hash": "none"}, on_failure_callback=notifier
        )
    assert str(run_dag(dag).state) == "failed"
    (failed,) = sent
    assert failed.startswith("Persona: notices.back failed\nthe plan at /gone/plan.jsonl is neither below")


def test_a_run_that_changes_far_more_than_usual_is_told(update, persona, sent):
    cases = _open(persona, 44)
    notifier = PersonaRunNotifier("tests.notifications.alerts.to_recorder", max_deviation=2)
    for number in range(3):
        assert update([{"case_id": cases[number], "status": "Declined"}], notifier) == []
    (unusual,) = update([{"case_id": case_id, "status": "Declined"} for case_id in cases[3:]], notifier)
    assert unusual.startswith(
        "Persona: notices.cases is unusual\nUnusual: 41 changes, usually 1\n41 rows: 41 updated; "
    )


def test_an_error_of_others_is_told_without_its_text(run_dag, sent, state_path):
    @task(on_failure_callback=PersonaRunNotifier(to_recorder))
    def fail():
        raise ValueError(CANARY)

    with DAG("others", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        fail()
    run_dag(dag)
    (told,) = sent
    assert told.startswith("Persona: others.fail failed\nValueError; the log has more\nRun ")
    assert CANARY not in told


def _fails_to_be_made(notice):
    raise ConnectionError


@pytest.mark.parametrize("broken", [Broken(), lambda _: Broken(), _fails_to_be_made], ids=["notifier", "made", "maker"])
def test_what_could_not_be_sent_is_told_after_the_next_run(update, persona, sent, broken):
    bad = [{"case_id": _open(persona, 1)[0], "status": "No such status"}]
    assert update(bad, PersonaRunNotifier(broken), "failed") == []
    assert len(update(bad, PersonaRunNotifier(to_recorder), "failed")) == 1


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 gives the callback a text in place of an error")
@pytest.mark.parametrize("state_path", [None, "{{ params.place }}", "{{ no_such_name.at_all }}"])
def test_a_task_whose_worker_died_has_failed(sent, tmp_path, monkeypatch, state_path):
    """Airflow 3 has the Dag processor call the callback then: with no error, no state, and a task nobody rendered."""
    import structlog
    from airflow.api_fastapi.execution_api.datamodels.taskinstance import TaskInstance
    from airflow.callbacks.callback_requests import TaskCallbackRequest
    from airflow.dag_processing.processor import _execute_task_callbacks

    monkeypatch.setenv("AIRFLOW__PERSONA__STATE_PATH", str(tmp_path / "usual"))
    monkeypatch.chdir(tmp_path)
    notifier = PersonaRunNotifier(to_recorder)
    params = {"place": str(tmp_path / "rendered")}
    with DAG("notices", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), params=params) as dag:
        PersonaBulkUpdateCasesOperator(task_id="cases", changes=[], state_path=state_path, on_failure_callback=notifier)
    ids = {"id": uuid4(), "dag_version_id": uuid4()}
    ti = TaskInstance(task_id="cases", dag_id="notices", run_id="r", try_number=1, **ids)
    request = TaskCallbackRequest(filepath="f", bundle_name="b", bundle_version=None, ti=ti, msg="heartbeat timeout")
    for _ in range(2):
        _execute_task_callbacks(SimpleNamespace(dags={"notices": dag}), request, structlog.get_logger())
    (told,) = sent
    assert told.startswith(
        "Persona: notices.cases failed\nAirflow ended the task, or its worker died; the log has more\n"
    )
    place = "rendered" if "place" in str(state_path) else "usual"
    assert [found.name for found in tmp_path.iterdir()] == [place]


def test_a_text_of_the_schedulers_is_no_error_of_the_task(sent, tmp_path):
    """Airflow 2.11 puts it in the place of the error when a worker died."""
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1, state="failed")
    PersonaRunNotifier(to_recorder, state_path=str(tmp_path)).notify({"ti": ti, "exception": f"zombie on {CANARY}"})
    assert sent == ["Persona: d.t failed\nAirflow ended the task, or its worker died; the log has more\nRun r, try 1"]


def _runs(*changes, seconds=10.0):
    return [PastRun(f"run {number}", RunState.OK, each, 0, seconds) for number, each in enumerate(changes)]


@pytest.mark.parametrize(
    ("now", "before", "found"),
    [
        (PastRun("r", RunState.OK, 400, 0, 10), _runs(100, 90, 110), ["400 changes, usually 100"]),
        (PastRun("r", RunState.OK, 0, 0, 10), _runs(100, 90, 110), ["0 changes, usually 100"]),
        (
            PastRun("r", RunState.OK, 100, 2, 400),
            _runs(100, 90, 110),
            ["2 failures, usually 0", "400 seconds, usually 10"],
        ),
        (PastRun("r", RunState.OK, 120, 0, 50), _runs(100, 90, 110), []),
        (PastRun("r", RunState.OK, 9, 0, 10), _runs(1, 1, 1), []),
        (PastRun("r", RunState.OK, 400, 0, 10), _runs(100, 90), []),
        (PastRun("r", RunState.OK), _runs(100, 90, 110), []),
    ],
    ids=["more", "none", "failures and time", "usual", "few", "too early", "nothing counted"],
)
def test_what_deviates_from_the_runs_before(now, before, found):
    assert deviations(now, before, 3.0) == found


@pytest.mark.parametrize(
    ("before", "state", "told"),
    [
        (None, "ok", False),
        (None, "failed", True),
        ("ok", "failed", True),
        ("failed", "failed", False),
        ("failed", "ok", True),
        ("unusual", "ok", False),
        ("unusual", "unusual", False),
        ("failed", "unusual", True),
    ],
)
def test_which_change_of_state_is_told(before, state, told):
    assert is_worth_a_notice(RunState(state), before and RunState(before)) is told


def test_the_history_is_short_and_a_damaged_one_is_none(tmp_path):
    history = RunHistory(tmp_path / "notices" / "runs.json")
    for number in range(40):
        history.add(history.read(), PastRun(f"run {number}", RunState.OK, number))
    assert [run.changes for run in history.read()] == [*range(10, 40)]
    (tmp_path / "notices" / "runs.json").write_text('[{"run_id": ')
    assert history.read() == []


@pytest.mark.parametrize("factor", [1, 0.5])
def test_a_deviation_that_means_nothing_is_refused(factor):
    with pytest.raises(ValueError, match="above 1"):
        PersonaRunNotifier(to_recorder, max_deviation=factor)


@pytest.mark.skipif(not AIRFLOW_V_3_1_PLUS, reason="Airflow 3.1 brought deadlines")
def test_a_missed_deadline_is_told_by_the_triggerers_own_trigger(sent):
    from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
    from airflow.triggers.callback import CallbackTrigger

    callback = AsyncCallback(PersonaRunNotifier, kwargs={"notifier": "tests.notifications.alerts.to_recorder"})
    alert = DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(hours=1), callback=callback)
    context = {
        "dag_run": {"dag_id": "chargebacks", "dag_run_id": "scheduled__1", "state": "running"},
        "deadline": {"id": "1", "deadline_time": "2026-11-27T06:00:00Z"},
    }
    trigger = CallbackTrigger(alert.callback.path, {**alert.callback.kwargs, "context": context})

    async def events():
        return [event.payload["state"] async for event in trigger.run()]

    assert [str(state) for state in asyncio.run(events())][-1].endswith("success")
    assert sent == [
        "Persona: chargebacks missed its deadline\nRun scheduled__1 is running\nIt was due at 2026-11-27T06:00:00Z"
    ]
