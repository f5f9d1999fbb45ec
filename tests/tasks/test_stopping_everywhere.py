"""A timeout or a stop at any moment, at every place of a task that runs a loop or blocks long.

`PERSONA_STOPS` gives the number of tries at each place; by default a few.
"""

from __future__ import annotations

import base64
import importlib
import os
import random
import signal
import time
from collections import Counter

import fsspec
import pytest
from stops import TOO_EARLY, TOO_LATE, OutOfTime, context_of, ending_of, out_of_time

from airflow_provider_persona.hooks.persona import PersonaHook
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.case_actions import PersonaTagCaseOperator
from airflow_provider_persona.operators.cases import PersonaUpdateCaseOperator
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.operators.plans import PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.operators.workflows import PersonaTriggerWorkflowOperator
from airflow_provider_persona.sensors.cases import PersonaCasesSensor
from airflow_provider_persona.sensors.http import PersonaHttpSensor
from airflow_provider_persona.sensors.lifecycle import PersonaInquirySensor
from airflow_provider_persona.tasks.failure import fail_without_retry
from airflow_provider_persona.tasks.stopping import TaskStopped
from airflow_provider_persona.transfers.persona_files_to_object_storage import PersonaFilesToObjectStorageOperator
from airflow_provider_persona.transfers.persona_to_object_storage import PersonaToObjectStorageOperator
from airflow_provider_persona.transfers.persona_to_sql import PersonaToSqlOperator
from airflow_provider_persona.transfers.sql_to_persona import SqlToPersonaCasesOperator
from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS
from tests.tasks.test_stopping import _raised_where_it_is_dropped
from tests.transfers.databases import SQLITE, connect_warehouse

# Raised between the opening of a file and the block that closes it, an exception leaves the closing to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("all_garbage_collected"),
]

TRIES = int(os.environ.get("PERSONA_STOPS") or 1)
SLOW_QUERY = """
    WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < 400000)
    SELECT 'case_' || i AS case_id, 'Approved' AS status FROM numbers
"""


@pytest.fixture
def places(persona_connection, tmp_path, monkeypatch):
    """From names of places to functions that make an operator which blocks there for about a second or longer."""
    attached, single, *ids = list(persona_connection.statuses())[:202]
    files = [{"filename": f"{number}.pdf", "data": base64.b64encode(b"%PDF").decode()} for number in range(80)]
    with PersonaHook() as hook:
        hook.update_case(attached, attachments=files)
        waiting = hook.client.call("create-an-inquiry", body=_attributes({"inquiry-template-id": "itmpl_kyc"}))
    persona_connection.configure(latency_ms=120, work_reads=1000, work_seconds=1000)
    slow = {"seconds": 2.0, "times": 1000}
    for operation in ("set-status-for-a-case", "retrieve-an-inquiry"):
        persona_connection.script_fault("latency", operation=operation, **slow)
    persona_connection.script_fault("proxy_503", operation="add-tag", case_id=attached, times=1000)
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
        "one case": lambda: PersonaUpdateCaseOperator(
            task_id="t", case_id=single, status="Declined", add_tags=["checked"]
        ),
        "between attempts": lambda: PersonaTagCaseOperator(task_id="t", case_id=attached, add_tags=["x"]),
        "a workflow": lambda: PersonaTriggerWorkflowOperator(
            task_id="t", workflow_id="wfl_onboarding", fields={}, wait_for_completion=True, poke_interval=30.0
        ),
        "a download": lambda: PersonaFilesToObjectStorageOperator(
            task_id="t", operation_id="retrieve-case", path={"case-id": attached}, output_path=str(tmp_path / "files")
        ),
        "a list": lambda: PersonaOperator(
            task_id="t", operation_id="list-all-cases", query={"page[size]": 10}, result="ids"
        ),
        "poking": lambda: PersonaCasesSensor(
            task_id="t", filters={"reference-id": "of nobody"}, at_least=1, poke_interval=0.05
        ),
        "poking over HTTP": lambda: PersonaHttpSensor(
            task_id="t", endpoint="cases", response_check=lambda _: False, poke_interval=60
        ),
        "a first look": lambda: PersonaInquirySensor(
            task_id="t", inquiry_id=waiting.json()["data"]["id"], deferrable=True
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


def _attributes(attributes):
    return {"data": {"attributes": attributes}}


PLACES = (
    "applying",
    "an object store",
    "comparing",
    "a query",
    "planning a query",
    "one case",
    "between attempts",
    "a workflow",
    "a download",
    "a list",
    "poking",
    "poking over HTTP",
    "a first look",
    "an export",
    "a table",
)


@pytest.mark.parametrize("place", PLACES)
def test_a_timeout_at_any_moment_ends_the_task_as_it_is_within_a_second(places, persona, at_a_moment, place):
    endings, longest = Counter(), 0.0
    for number in range(TRIES):
        operator, context = places[place](), context_of(f"run {number}")
        came = at_a_moment(out_of_time, random.Random(f"{place} {number}").uniform(0.1, 0.9))
        ending, seconds = ending_of(operator.execute, context, came)
        written = len(persona.journal())
        time.sleep(0.2)
        assert len(persona.journal()) <= written + 4  # what was under way
        endings[ending] += 1
        longest = max(longest, seconds or 0.0)
    print(f"{place}: {dict(endings)}, {longest:.2f} s at most")
    assert set(endings) <= {"OutOfTime", TOO_EARLY, TOO_LATE}
    assert longest < 30  # a second on a machine that does nothing else, and longer on a busy one


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 raises out of its handler by itself")
@pytest.mark.parametrize("place", PLACES)
def test_on_kill_at_any_moment_ends_the_task_with_an_error_that_a_retry_may_help(places, persona, at_a_moment, place):
    endings, longest = Counter(), 0.0
    for number in range(TRIES):
        operator = places[place]()
        came = at_a_moment(operator.on_kill, random.Random(f"kill {place} {number}").uniform(0.15, 0.9))
        ending, seconds = ending_of(operator.execute, context_of(f"run {number}"), came)
        asked = persona.state()["requests"]
        time.sleep(0.2)
        assert persona.state()["requests"] <= asked + 4  # what was under way
        endings[ending] += 1
        longest = max(longest, seconds or 0.0)
    print(f"{place}: {dict(endings)}, {longest:.2f} s at most")
    assert set(endings) <= {"RunStoppedError", TOO_EARLY, TOO_LATE}
    assert longest < 30


def _stopped():
    raise TaskStopped


@pytest.mark.parametrize(("handler", "raised"), [(out_of_time, OutOfTime), (_stopped, TaskStopped)])
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
