"""What differs between Airflows and versions of common-compat: each way of a shim, as far as it can be run here."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import timedelta

import pytest

from airflow_provider_persona import version_compat
from airflow_provider_persona.hooks.persona import PersonaHook
from tests.airflow_process import run_program

OLDER = """
import asyncio, json, os, sys
os.environ["AIRFLOW_CONN_P"] = json.dumps({"conn_type": "persona", "password": "k", "extra": {"reserve": 0.5}})
try:
    from airflow.providers.common.compat import connection as compat
except ImportError:  # before common-compat 1.9
    from types import SimpleNamespace
    compat = SimpleNamespace()
async def get_async_connection(conn_id):
    raise AssertionError("it would mix asynchronous with synchronous calls to the supervisor")
compat.get_async_connection = get_async_connection  # as before 1.22: it knows no hook
if hasattr(compat, "get_async_extra_dejson"):
    del compat.get_async_extra_dejson
from airflow_provider_persona.hooks.persona import PersonaAsyncHook
print("RESERVE", asyncio.run(PersonaAsyncHook("p").get_settings()).reserve)
"""


def test_an_older_common_compat_reads_the_connection_in_a_worker_thread():
    done = run_program(OLDER)
    assert "RESERVE 0.5" in done.stdout, done.stderr[-2000:]


def test_a_connection_and_its_extras_are_read_in_an_event_loop(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_P", json.dumps({"conn_type": "persona", "password": "k", "extra": {"a": 1}}))

    async def read():
        connection = await version_compat.async_connection(PersonaHook("p"), "p")
        return connection.conn_type, await version_compat.async_extra(connection)

    assert asyncio.run(read()) == ("persona", {"a": 1})


def test_a_secret_is_masked():
    version_compat.mask_secret("canary-of-a-secret-4711")
    if version_compat.AIRFLOW_V_3_1_PLUS:
        from airflow.sdk.log import redact
    elif version_compat.AIRFLOW_V_3_0_PLUS:
        from airflow.sdk.execution_time.secrets_masker import redact
    else:
        from airflow.utils.log.secrets_masker import redact
    assert redact("it is canary-of-a-secret-4711") == "it is ***"


def test_the_base_of_event_triggers_is_a_trigger():
    from airflow.triggers.base import BaseTrigger

    assert issubclass(version_compat.BaseEventTrigger, BaseTrigger)


@pytest.mark.skipif(not version_compat.AIRFLOW_V_3_0_PLUS, reason="Airflow 2 has no watchers")
def test_it_is_the_one_that_watchers_take():
    from airflow.triggers.base import BaseEventTrigger

    assert version_compat.BaseEventTrigger is BaseEventTrigger


_WITHOUT_COMPAT_SDK = """
import sys, warnings
sys.modules["airflow.providers.common.compat.sdk"] = None  # as before common-compat 1.8
from airflow_provider_persona import version_compat
for name in version_compat._BEFORE_COMPAT_SDK:
    getattr(version_compat, name)
import airflow_provider_persona.decorators.persona, airflow_provider_persona.sensors.lifecycle
print(version_compat.BaseOperator.__name__, version_compat.Asset("x-persona://a").uri)
"""


@pytest.mark.skipif(version_compat.AIRFLOW_V_3_1_PLUS, reason="Airflow 3.1 and later come with compat.sdk")
def test_every_name_is_found_without_compat_sdk():
    done = subprocess.run([sys.executable, "-c", _WITHOUT_COMPAT_SDK], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["BaseOperator x-persona://a"], done.stderr[-2000:]


def test_every_name_is_the_one_of_compat_sdk_where_there_is_one():
    sdk = pytest.importorskip("airflow.providers.common.compat.sdk")
    for name in version_compat._BEFORE_COMPAT_SDK:
        if hasattr(sdk, name):
            assert getattr(version_compat, name) is getattr(sdk, name), name
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = version_compat.Nothing


@pytest.mark.skipif(not version_compat.AIRFLOW_V_3_1_PLUS, reason="no operator waits for a person")
def test_the_time_for_an_answer_is_an_argument_that_the_operator_knows():
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    day = timedelta(days=1)
    ask = ApprovalOperator(task_id="ask", subject="?", **version_compat.answer_within(day))
    assert getattr(ask, "response_timeout", ask.execution_timeout) == day


def test_an_older_airflow_is_refused_by_name():
    program = "import airflow; airflow.__version__ = '2.10.5'; import airflow_provider_persona.version_compat"
    done = run_program(program)
    assert done.returncode == 1
    assert "airflow-provider-persona needs Airflow 2.11 or later, and this is 2.10.5" in done.stderr
