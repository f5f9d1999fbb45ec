"""A task that must stop: by an exception out of a signal handler (timeout; SIGTERM on Airflow 2) or by `on_kill`."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import weakref
from collections import Counter
from contextlib import suppress
from types import SimpleNamespace

import pytest

from airflow_provider_persona.bulk.errors import RunStoppedError
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.tasks.event_loop import TaskLoop
from airflow_provider_persona.tasks.lost_signals import heeding_signals
from airflow_provider_persona.tasks.stopping import TaskStop
from airflow_provider_persona.version_compat import AirflowFailException
from tests.airflow_process import wait_for_what_was_sent

ROWS = 300
BEFORE_THE_STOP = 50


class OutOfTime(BaseException):
    """What a signal handler raises, as Airflow's `AirflowTaskTimeout`, which is no `Exception`."""


@pytest.fixture
def signalled():
    """Let SIGUSR1 call a function in the main thread; SIGALRM is taken by the test runner."""
    before = signal.getsignal(signal.SIGUSR1)

    def answer_with(function):
        signal.signal(signal.SIGUSR1, lambda *_: function())

    yield answer_with
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def cases(persona_connection):
    persona_connection.configure(latency_ms=30)
    return list(persona_connection.statuses())[:ROWS]


@pytest.fixture
def operator(cases, tmp_path):
    changes = [{"case_id": case_id, "add_tags": ["checked"]} for case_id in cases]
    return PersonaBulkUpdateCasesOperator(task_id="bulk", changes=changes, state_path=str(tmp_path))


def attempt(operator, number):
    ti = SimpleNamespace(
        dag_id="d", run_id="r", task_id="bulk", map_index=-1, try_number=number, max_tries=1, xcom_push=lambda **_: None
    )
    return operator.execute({"ti": ti})


def test_a_report_that_cannot_be_pushed_hides_no_reason(persona_connection, tmp_path):
    """Else a run that would fail in the same way again would be tried again, for an error of Airflow's."""
    changes = [{"case_id": "case_none", "status": "Declined"}]
    operator = PersonaBulkUpdateCasesOperator(task_id="bulk", changes=changes, state_path=str(tmp_path))

    def refuse(key, **_):
        if key == "report":
            raise ConnectionError

    ti = SimpleNamespace(
        dag_id="d", run_id="r", task_id="bulk", map_index=-1, try_number=1, max_tries=1, xcom_push=refuse
    )
    with pytest.raises(AirflowFailException, match="1 of 1 rows failed"):
        operator.execute({"ti": ti})


def signal_when(reached):
    """Send this process SIGUSR1 once `reached` says so."""

    def wait():
        while not reached():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)

    threading.Thread(target=wait, daemon=True).start()


def assert_nothing_more_is_written_and_a_retry_goes_on(persona, operator, caplog):
    wait_for_what_was_sent(persona)
    written = len(persona.journal())
    time.sleep(0.3)  # ten times the latency: long enough for a loop that still runs to write more
    assert len(persona.journal()) == written < ROWS
    assert any(f"of {ROWS} rows; a retry or a clear goes on" in line for line in caplog.messages)
    report = attempt(operator, 2)
    assert report["resumed"] >= BEFORE_THE_STOP // 2
    assert report["counts"]["updated"] == ROWS
    assert set(Counter(effect.case_id for effect in persona.journal()).values()) == {1}


@pytest.mark.parametrize("_nth", range(5))
def test_an_exception_of_a_signal_handler_ends_a_bulk_run_as_it_is(operator, persona, signalled, caplog, _nth):
    def expire():
        raise OutOfTime

    signalled(expire)
    signal_when(lambda: len(persona.journal()) >= BEFORE_THE_STOP)
    with pytest.raises(OutOfTime):
        attempt(operator, 1)
    assert_nothing_more_is_written_and_a_retry_goes_on(persona, operator, caplog)


def test_on_kill_ends_a_bulk_run_with_an_error_that_a_retry_may_help(operator, persona, signalled, caplog):
    signalled(operator.on_kill)  # as Airflow 3 does on SIGTERM
    signal_when(lambda: len(persona.journal()) >= BEFORE_THE_STOP)
    with pytest.raises(RunStoppedError) as stopped:
        attempt(operator, 1)
    assert stopped.value.retryable
    assert_nothing_more_is_written_and_a_retry_goes_on(persona, operator, caplog)


def test_on_kill_and_an_exception_together_end_it_once(operator, persona, signalled, caplog):
    def terminate():  # as Airflow 2 does on SIGTERM
        operator.on_kill()
        raise OutOfTime

    signalled(terminate)
    signal_when(lambda: len(persona.journal()) >= BEFORE_THE_STOP)
    with pytest.raises(OutOfTime):
        attempt(operator, 1)
    assert_nothing_more_is_written_and_a_retry_goes_on(persona, operator, caplog)


def test_a_stop_before_the_loop_begins_is_not_lost():
    async def main():
        await asyncio.sleep(3600)

    loop = TaskLoop(main)
    loop.stop()
    with pytest.raises(RunStoppedError):
        loop.run()


def test_a_stop_that_other_code_swallows_before_the_loop_begins_is_not_lost():
    stop, ran = TaskStop(), []

    async def main():
        ran.append(True)

    def work():
        with stop.heeded():
            with suppress(BaseException):  # as `exists` of some stores does
                stop.ask()
            stop.run_coroutine(main)

    with pytest.raises(RunStoppedError):
        work()
    assert ran == []


def test_a_coroutine_runs_where_a_loop_is_running_already():
    async def main():
        await asyncio.sleep(0)
        return threading.current_thread() is threading.main_thread()

    async def notebook():
        return TaskLoop(main).run()

    assert asyncio.run(notebook()) is False


def test_what_the_coroutine_raises_arrives():
    async def main():
        raise LookupError("not there")

    with pytest.raises(LookupError, match="not there"):
        TaskLoop(main).run()


def test_tasks_left_behind_are_cancelled_with_the_coroutine():
    ended = []

    async def straggler():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(True)

    async def main():
        task = asyncio.create_task(straggler())
        await asyncio.sleep(0)
        return task is not None

    assert TaskLoop(main).run()
    assert ended == [True]


class _Thing:
    """Something to hold weakly."""


def _raised_where_it_is_dropped() -> None:
    """Let the signal's handler run in the callback of a weak reference, where Python drops what it raises."""
    thing = _Thing()
    reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGUSR1))
    del thing
    assert reference() is None


def test_a_timeout_that_lands_in_the_callback_of_a_weak_reference_ends_the_loop(signalled):
    def out_of_time():
        raise OutOfTime

    def first():
        signalled(out_of_time)
        _raised_where_it_is_dropped()

    ended = []

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("files closed")

    signalled(first)  # the handler of a first signal is what the main thread runs while it waits
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    since = time.monotonic()
    with pytest.raises(OutOfTime):
        TaskLoop(work).run()
    assert time.monotonic() - since < 30
    assert ended == ["files closed"]


def test_a_timeout_that_is_dropped_while_rows_are_read_is_raised_when_they_are(signalled):
    def out_of_time():
        raise OutOfTime

    signalled(out_of_time)
    with pytest.raises(OutOfTime), heeding_signals():
        _raised_where_it_is_dropped()


def test_an_error_of_a_destructor_stays_what_it_is(monkeypatch):
    class Broken:
        def __del__(self):
            raise ValueError("broken")

    seen = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: seen.append(str(unraisable.exc_value)))
    with heeding_signals():
        Broken()
    assert seen == ["broken"]
