"""A timeout or a stop at any moment, at every place of a task that runs a loop or blocks long.

`PERSONA_STOPS` gives the number of tries at each place; by default a few.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import random
import signal
import threading
import time
from collections import Counter
from types import SimpleNamespace

import fsspec
import pytest

from airflow_provider_persona.bulk.errors import RunStoppedError
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.sensors.cases import PersonaCasesSensor
from airflow_provider_persona.tasks.failure import fail_without_retry
from airflow_provider_persona.transfers.persona_to_object_storage import PersonaToObjectStorageOperator
from airflow_provider_persona.transfers.persona_to_sql import PersonaToSqlOperator
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS
from tests.tasks.test_stopping import _raised_where_it_is_dropped
from tests.transfers.databases import SQLITE, connect_warehouse

TRIES = int(os.environ.get("PERSONA_STOPS") or 2)
SLOW_QUERY = """
    WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < 400000)
    SELECT 'case_' || i AS case_id, 'Approved' AS status FROM numbers
"""


class OutOfTime(BaseException):
    """What a signal handler raises, as Airflow's `AirflowTaskTimeout`, which is no `Exception`."""


@pytest.fixture
def places(persona_connection, tmp_path, monkeypatch):
    """From names of places to functions that make an operator which blocks there for about a second or longer."""
    persona_connection.configure(latency_ms=120)
    ids = list(persona_connection.statuses())[:200]
    stores = importlib.import_module("airflow.sdk.io" if AIRFLOW_V_3_0_PLUS else "airflow.io.store")
    stores.attach("memory", fs=fsspec.filesystem("memory"))
    connect_warehouse(SQLITE, tmp_path, monkeypatch)
    tags = [{"case_id": case_id, "add_tags": ["checked"]} for case_id in ids]
    moves = [{"case_id": case_id, "status": "Declined"} for case_id in ids]
    memory = {"changes": tags, "state_path": "memory://runs", "concurrency": 4}
    bulk = PersonaBulkUpdateCasesOperator
    kept = {"task_id": "t", "state_path": str(tmp_path / "state")}
    sql = {"sql": SLOW_QUERY, "sql_conn_id": "warehouse", **kept}
    return {
        "applying": lambda: bulk(changes=tags, concurrency=4, **kept),
        "an object store": lambda: bulk(task_id="t", **memory),
        "comparing": lambda: PersonaPlanCaseUpdatesOperator(changes=moves, compare="get", concurrency=2, **kept),
        "a query": lambda: SqlToPersonaCasesOperator(**sql),
        "planning a query": lambda: PersonaPlanCaseUpdatesOperator(**sql),
        "a list": lambda: PersonaOperator(
            task_id="t", operation_id="list-all-cases", query={"page[size]": 10}, result="ids"
        ),
        "poking": lambda: PersonaCasesSensor(
            task_id="t", filters={"reference-id": "of nobody"}, at_least=1, poke_interval=0.05
        ),
        "an export": lambda: PersonaToObjectStorageOperator(
            task_id="t", operation_id="list-all-cases", query={"page[size]": 10}, output_path=str(tmp_path / "out")
        ),
        "a table": lambda: PersonaToSqlOperator(
            task_id="t",
            operation_id="list-all-cases",
            query={"page[size]": 10},
            table="cases",
            sql_conn_id="warehouse",
        ),
    }


PLACES = (
    "applying",
    "an object store",
    "comparing",
    "a query",
    "planning a query",
    "a list",
    "poking",
    "an export",
    "a table",
)


@pytest.fixture
def at_a_moment():
    """Call a function out of the handler of a signal after so many seconds, and say when that was."""
    # The second is for a signal that comes once more. The test runner has SIGALRM.
    numbers = (signal.SIGUSR1, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    timers = []

    def arrange(function, seconds):
        for timer in timers:
            timer.cancel()
            timer.join()
        came = []

        def handle(*_):
            if None not in came:  # the operator has not ended
                came.append(time.monotonic())
                function()

        for number in numbers:
            signal.signal(number, handle)
        timers.append(threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGUSR1)))
        timers[-1].start()
        return came

    yield arrange
    for timer in timers:
        timer.cancel()
        timer.join()
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def context_of(run_id):
    ti = SimpleNamespace(
        dag_id="d",
        run_id=run_id,
        task_id="t",
        map_index=-1,
        try_number=1,
        max_tries=0,
        start_date=None,
        xcom_push=lambda **_: None,
        xcom_pull=lambda **_: None,
    )
    return {"ti": ti, "task_instance": ti, "run_id": run_id}


def out_of_time():
    raise OutOfTime


def ending_of(operator, context, came):
    """Run an operator; return how it ended, and the seconds from the signal to the end."""
    if came:  # a slow machine: the signal was there first
        return "too early", None
    try:
        operator.execute(context)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        if not isinstance(error, OutOfTime | RunStoppedError):
            print(f"{type(error).__name__}: {error}")
        return type(error).__name__, time.monotonic() - came[0] if came else None
    finally:
        came.append(None)
    return "nothing", None


@pytest.mark.parametrize("place", PLACES)
def test_a_timeout_at_any_moment_ends_the_task_as_it_is_within_a_second(places, persona, at_a_moment, place):
    endings, longest = Counter(), 0.0
    for number in range(TRIES):
        operator, context = places[place](), context_of(f"run {number}")
        came = at_a_moment(out_of_time, random.Random(f"{place} {number}").uniform(0.1, 0.9))
        ending, seconds = ending_of(operator, context, came)
        written = len(persona.journal())
        time.sleep(0.2)
        assert len(persona.journal()) <= written + 4  # what was under way
        endings[ending] += 1
        longest = max(longest, seconds or 0.0)
    print(f"{place}: {dict(endings)}, {longest:.2f} s at most")
    assert endings == {"OutOfTime": TRIES}
    assert longest < 30  # a second on a machine that does nothing else, and longer on a busy one


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 raises out of its handler by itself")
@pytest.mark.parametrize("place", PLACES[:5])
def test_on_kill_at_any_moment_ends_a_bulk_task(places, at_a_moment, place):
    endings, longest = Counter(), 0.0
    for number in range(TRIES):
        operator = places[place]()
        came = at_a_moment(operator.on_kill, random.Random(f"kill {place} {number}").uniform(0.15, 0.9))
        ending, seconds = ending_of(operator, context_of(f"run {number}"), came)
        endings[ending] += 1
        longest = max(longest, seconds or 0.0)
    print(f"{place}: {dict(endings)}, {longest:.2f} s at most")
    assert endings == {"RunStoppedError": TRIES}
    assert longest < 30


def test_a_stop_while_a_plan_is_read_is_not_lost(places, at_a_moment):
    operator = PersonaApplyPlanOperator(task_id="t", plan={})

    def read():
        with operator.reading():
            at_a_moment(operator.on_kill, 0.05)
            time.sleep(0.3)
        operator.run_coroutine(lambda: asyncio.sleep(60))

    with pytest.raises(RunStoppedError):
        read()


def _stopped():
    raise RunStoppedError("the task was stopped while it read", retryable=True)


@pytest.mark.parametrize(("handler", "raised"), [(out_of_time, OutOfTime), (_stopped, RunStoppedError)])
def test_what_python_drops_of_a_signal_handler_comes_once_more(handler, raised):
    """It lands in the callback of a weak reference at first, and the block would go on for a minute."""
    term, usr1 = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: handler())
    since = time.monotonic()

    def work():
        with fail_without_retry():
            _raised_where_it_is_dropped()
            time.sleep(60)

    try:
        with pytest.raises(raised):
            work()
    finally:
        signal.signal(signal.SIGTERM, term)
        signal.signal(signal.SIGUSR1, usr1)
    assert time.monotonic() - since < 30
