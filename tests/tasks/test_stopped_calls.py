"""What Airflow 3 stops with `on_kill`: single calls, waits, deferrals and exports, and what is left of them."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import random
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress

import pytest
from stops import TOO_EARLY, TOO_LATE, Lines, context_of, ending_of

import airflow_provider_persona
from airflow_provider_persona.api.document import Resource
from airflow_provider_persona.bulk.errors import RunStoppedError
from airflow_provider_persona.decorators.persona import PersonaDecoratedOperator
from airflow_provider_persona.hooks.persona import PersonaHook
from airflow_provider_persona.operators.accounts import PersonaCreateAccountOperator
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.case_actions import PersonaTagCaseOperator
from airflow_provider_persona.operators.workflows import PersonaTriggerWorkflowOperator
from airflow_provider_persona.sensors.http import PersonaHttpSensor
from airflow_provider_persona.sensors.lifecycle import PersonaInquirySensor
from airflow_provider_persona.tasks.stopping import stop_of
from airflow_provider_persona.tasks.wait_trigger import WaitEnded
from airflow_provider_persona.transfers.persona_to_object_storage import PersonaToObjectStorageOperator
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS, BaseOperator

pytestmark = [
    pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 raises out of its handler by itself"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # as in test_stopping_everywhere
    pytest.mark.usefixtures("all_garbage_collected"),
]

TRIES = int(os.environ.get("PERSONA_STOPS") or 4)
CASE = "case_sim000001"
SENDS_NOTHING = {"PersonaApprovalOperator"}


def _tag(*tags):
    return PersonaTagCaseOperator(task_id="t", case_id=CASE, add_tags=list(tags))


def _sent(persona, operation):
    return [request.status for request in persona.requests(operation=operation)]


def _classes():
    for module in pkgutil.walk_packages(airflow_provider_persona.__path__, "airflow_provider_persona."):
        if module.name.split(".")[1] in ("operators", "sensors", "transfers", "decorators"):
            for name, found in vars(importlib.import_module(module.name)).items():
                if isinstance(found, type) and issubclass(found, BaseOperator) and found.__module__ == module.name:
                    yield name, found


def test_every_operator_that_sends_answers_a_stop():
    deaf = {name for name, found in _classes() if found.on_kill is BaseOperator.on_kill}
    assert deaf == SENDS_NOTHING


def test_a_wait_between_two_attempts_ends_at_once_and_nothing_is_sent_after_it(persona_connection, at_a_moment):
    persona_connection.script_fault("proxy_503", operation="add-tag", times=1000)
    operator = _tag("x")
    came = at_a_moment(operator.on_kill, lambda: len(_sent(persona_connection, "add-tag")) >= 2)
    with pytest.raises(RunStoppedError, match=r"stopped: Airflow ended the task, .* a retry goes on") as stopped:
        operator.execute(context_of("r"))
    assert stopped.value.retryable
    assert came
    assert _sent(persona_connection, "add-tag") == [503, 503]  # the wait for the third is five seconds


def test_a_wait_for_the_limit_ends_at_once(persona_connection, at_a_moment):
    persona_connection.configure(limit=10, window_seconds=600.0)
    operator = _tag(*(f"tag {number}" for number in range(30)))
    at_a_moment(operator.on_kill, lambda: len(_sent(persona_connection, "add-tag")) >= 5)
    with pytest.raises(RunStoppedError):
        operator.execute(context_of("r"))
    assert len(_sent(persona_connection, "add-tag")) < 30


def test_a_write_under_way_gets_its_answer_and_the_next_is_not_sent(persona_connection, at_a_moment):
    persona_connection.script_fault("latency", operation="add-tag", seconds=2.0)
    operator = _tag("one", "two")
    at_a_moment(operator.on_kill, lambda: _sent(persona_connection, "add-tag"))
    with pytest.raises(RunStoppedError):
        operator.execute(context_of("r"))
    assert _sent(persona_connection, "add-tag") == [200]


def test_the_last_write_of_a_stopped_task_is_told(persona_connection, at_a_moment):
    persona_connection.script_fault("latency", operation="create-an-account", seconds=1.0)
    operator = PersonaCreateAccountOperator(task_id="t", reference_id="r-1")
    at_a_moment(operator.on_kill, lambda: _sent(persona_connection, "create-an-account"))
    made = operator.execute(context_of("r"))
    assert made == persona_connection.journal()[0].object_id


def test_a_workflow_that_a_stopped_task_has_just_started_is_not_waited_for(persona_connection, at_a_moment):
    persona_connection.configure(work_reads=1000, work_seconds=1000)
    persona_connection.script_fault("latency", operation="create-a-workflow-run", seconds=2.0)
    operator = PersonaTriggerWorkflowOperator(
        task_id="t", workflow_id="wfl_onboarding", fields={}, wait_for_completion=True, poke_interval=60.0
    )
    at_a_moment(operator.on_kill, lambda: _sent(persona_connection, "create-a-workflow-run"))
    with pytest.raises(RunStoppedError):
        operator.execute(context_of("r"))
    assert _sent(persona_connection, "create-a-workflow-run") == [200]
    assert _sent(persona_connection, "retrieve-a-workflow-run") == []


def test_a_write_that_is_never_answered_is_named_and_a_retry_finds_what_it_did(persona_connection, at_a_moment):
    persona_connection.script_fault("hang_after", operation="create-an-account")
    operator = PersonaCreateAccountOperator(task_id="t", reference_id="r-1", retries=1)
    at_a_moment(operator.on_kill, lambda: _sent(persona_connection, "create-an-account"))
    with pytest.raises(RunStoppedError, match=r"create-an-account was under way .* it may have been done; a retry"):
        operator.execute(context_of("r", max_tries=1))
    again = PersonaCreateAccountOperator(task_id="t", reference_id="r-1", retries=1)
    made = again.execute(context_of("r", max_tries=1, try_number=2))
    assert [effect.object_id for effect in persona_connection.journal()] == [made]


def test_a_stop_before_the_task_begins_is_not_lost_and_one_after_its_end_is_none(persona_connection):
    operator = _tag("x")
    operator.on_kill()
    with pytest.raises(RunStoppedError):
        operator.execute(context_of("r"))
    assert persona_connection.requests() == []
    operator.on_kill()  # as Airflow does after a timeout
    operator.execute(context_of("r", try_number=2))
    assert _sent(persona_connection, "add-tag") == [200]


def test_the_function_of_a_decorated_task_is_ended_too(persona_connection, at_a_moment):
    operator = PersonaDecoratedOperator(
        task_id="t", operation_id="list-all-cases", python_callable=lambda: time.sleep(60), result="ids"
    )
    came = at_a_moment(operator.on_kill, 0.2)
    with pytest.raises(RunStoppedError):
        operator.execute(context_of("r"))
    assert time.monotonic() - came[0] < 30
    assert persona_connection.requests() == []


def test_a_stop_that_other_code_swallows_ends_the_task_before_its_next_request(persona_connection, at_a_moment):
    def swallow(_):
        at_a_moment(operator.on_kill, 0.05)
        with suppress(BaseException):
            time.sleep(60)
        return False

    operator = PersonaHttpSensor(task_id="t", endpoint="cases", response_check=swallow, poke_interval=0.05)
    with pytest.raises(RunStoppedError):
        operator.execute(context_of("r"))
    assert len(persona_connection.requests()) == 1


def test_a_stop_that_no_handler_may_raise_ends_the_next_step():
    """Airflow calls `on_kill` in the main thread; a test or a program of one's own may not."""
    stop = stop_of(_tag("x"))

    def write():
        with stop.heeded(), stop.finishing("add-tag"):
            stop.ask()
            assert stop.error() is not None
            stop.sleep(60)

    with pytest.raises(RunStoppedError):
        write()


def _stopped_at_lines(made, at_a_moment, persona, every, **arguments):
    """Run what a task does again and again, with a stop at another line of the package each time."""
    log = persona._simulation.environment.requests

    def run(at):
        execute, lines, asked = made(), Lines(at), []

        def stop():
            asked.append(log.received)
            execute.__self__.on_kill()

        came = at_a_moment(stop, 3600)
        with lines.counted():
            ending = ending_of(lambda context: execute(context, **arguments), context_of("r", try_number=at + 1), came)
        assert not asked or log.received <= asked[0] + 1  # what was being sent
        return lines.count, ending[0]

    run(0)  # imports
    lines, _ = run(0)
    endings = Counter(run(at)[1] for at in range(1, lines + 1, every))
    print(f"{lines} lines: {dict(endings)}")
    return endings


def test_a_stop_at_any_line_of_a_call_ends_it_or_lets_it_end(persona_connection, at_a_moment):
    every = 1 if TRIES > 4 else 7
    endings = _stopped_at_lines(lambda: _tag("x", "y").execute, at_a_moment, persona_connection, every)
    assert set(endings) == {"RunStoppedError", "nothing"}
    assert endings["nothing"] < endings["RunStoppedError"]


def test_a_stop_at_any_line_of_a_bulk_task_loses_nothing(persona_connection, at_a_moment, tmp_path):
    """Lines of the main thread, which reads and plans, and waits while rows are sent."""
    cases, log = list(persona_connection.statuses())[:8], persona_connection._simulation.environment.journal

    def run(at, try_number=1):
        changes = [{"case_id": case_id, "add_tags": [f"line {at}"]} for case_id in cases]
        operator = PersonaBulkUpdateCasesOperator(task_id="t", changes=changes, state_path=str(tmp_path))
        came, lines = at_a_moment(operator.on_kill, 3600), Lines(at if try_number == 1 else 0)
        with lines.counted():
            ending = ending_of(operator.execute, context_of(f"r {at}", try_number=try_number, max_tries=1), came)
        return lines.count, ending[0]

    run(0)  # imports
    lines, _ = run(10**9)
    endings, chance = Counter(), random.Random(9)
    for at in chance.sample(range(1, lines + 1), 5 * TRIES):
        begun = len(log.effects)
        endings[ending := run(at)[1]] += 1
        assert ending == "nothing" or run(at, try_number=2)[1] == TOO_LATE
        assert sorted(effect.object_id for effect in log.effects[begun:] if effect.changed) == sorted(cases)
    print(f"{lines} lines: {dict(endings)}")
    assert set(endings) <= {"RunStoppedError", "nothing"}
    assert endings["RunStoppedError"]


def _is_writing_a_plan():
    frames = sys._current_frames().values()
    return any(frame.f_code.co_name == "write_spooled" for found in frames for frame, _ in traceback.walk_stack(found))


def test_a_stop_while_a_plan_is_written_ends_that_and_nothing_is_sent(persona_connection, at_a_moment, tmp_path):
    """Writing keeps the event loop to itself, so that no cancellation reaches it."""
    changes = [{"case_id": f"case_{number}", "add_tags": ["x"]} for number in range(40_000)]
    operator = PersonaBulkUpdateCasesOperator(task_id="t", changes=changes, state_path=str(tmp_path))
    came = at_a_moment(operator.on_kill, _is_writing_a_plan)
    with pytest.raises(RunStoppedError):
        operator.execute(context_of("r"))
    assert came
    assert list(tmp_path.rglob("plan.jsonl")) == []
    assert persona_connection.requests() == []


# ---------------------------------------------------------------------- deferral


@pytest.fixture
def sensor(persona_connection):
    body = {"data": {"attributes": {"inquiry-template-id": "itmpl_kyc"}}}
    with PersonaHook() as hook:
        made = hook.client.call("create-an-inquiry", body=body).json()["data"]["id"]
    persona_connection.configure(latency_ms=15)
    return lambda: PersonaInquirySensor(task_id="t", inquiry_id=made, deferrable=True)


def test_a_stop_while_a_task_defers_ends_it_or_comes_too_late(sensor, at_a_moment):
    """Where it comes too late, Airflow is told of the deferral, and refuses it for a task that was marked as failed."""
    endings = Counter()
    for number in range(TRIES):
        operator = sensor()
        came = at_a_moment(operator.on_kill, random.Random(f"defer {number}").uniform(0.0, 0.06))
        endings[ending_of(operator.execute, context_of(f"r {number}"), came)[0]] += 1
    print(dict(endings))
    assert set(endings) <= {"RunStoppedError", "TaskDeferred", TOO_EARLY, TOO_LATE}
    assert set(endings) & {"RunStoppedError", "TaskDeferred"}


def test_a_stop_at_any_line_of_a_resumed_task_ends_it_or_comes_too_late(sensor, persona, at_a_moment):
    event = WaitEnded(ended="reached", status="approved").to_event().payload
    endings = _stopped_at_lines(lambda: sensor().execute_complete, at_a_moment, persona, 1, event=event)
    assert set(endings) == {"RunStoppedError", "nothing"}


# ---------------------------------------------------------------------- exports


def _held(folder):
    """Return the ids in the parts, of which each line must be whole."""
    parts = sorted(folder.glob("part-*"))
    return [Resource(json.loads(line)).id for part in parts for line in part.read_text().splitlines()]


def test_a_stopped_export_keeps_what_it_had_and_a_retry_goes_on_from_there(persona_connection, tmp_path, at_a_moment):
    persona_connection.configure(latency_ms=20)
    arguments = {"task_id": "t", "operation_id": "list-all-cases", "query": {"page[size]": 10}, "pages_per_part": 2}
    endings = Counter()
    for number in range(TRIES):
        folder, run_id = tmp_path / str(number), f"r {number}"
        operator = PersonaToObjectStorageOperator(output_path=str(folder), **arguments)
        pages = persona_connection.state()["requests"] + random.Random(f"export {number}").randrange(1, 25)
        came = at_a_moment(operator.on_kill, lambda until=pages: persona_connection.state()["requests"] >= until)
        endings[ending := ending_of(operator.execute, context_of(run_id), came)[0]] += 1
        if ending == TOO_LATE:
            continue
        had, asked = _held(folder), persona_connection.state()["requests"]
        assert not (folder / "_manifest.json").exists()
        again = PersonaToObjectStorageOperator(output_path=str(folder), **arguments)
        summary = again.execute(context_of(run_id, try_number=2))
        assert summary["rows"] == 300
        assert sorted(_held(folder)) == sorted(persona_connection.statuses())
        assert persona_connection.state()["requests"] - asked <= (300 - len(had)) / 10 + 2
        assert {path.name[:5] for path in folder.iterdir()} == {"part-", "_mani"}
    print(dict(endings))
    assert set(endings) <= {"RunStoppedError", TOO_LATE}
    assert endings["RunStoppedError"]
