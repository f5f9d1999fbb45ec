"""What only the blocking client can get wrong: threads, interruptions, and its session."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_persona.api.retry import NO_RETRIES, RetryPolicy
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client import PersonaClient
from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer


def client_of(url, **options):
    options.setdefault("policy", NO_RETRIES)
    return PersonaClient(PersonaSettings.checked(api_key=SANDBOX_KEY, host=url, read_timeout=3), **options)


def test_threads_share_the_limit_without_being_refused():
    with SimulatorServer(SimulatorConfig(cases=3, limit=20, window_seconds=0.8, latency_ms=5)) as persona:
        with client_of(persona.url) as client, ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: client.call("list-all-cases").status, range(40)))
        assert answers == [200] * 40
        assert {request.status for request in persona.requests()} == {200}


def test_an_interrupted_call_gives_its_turn_back(persona):
    class TaskTimeout(BaseException):
        """As Airflow raises it from a signal, while a request is under way."""

    def interrupt(*_):
        raise TaskTimeout

    def interrupt_when_it_is_under_way():
        until = time.monotonic() + 60
        while not persona.requests() and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    persona.script_fault("hang_before")
    alarm = threading.Thread(target=interrupt_when_it_is_under_way)
    try:
        with client_of(persona.url) as client, ThreadPoolExecutor(1) as pool:
            alarm.start()
            with pytest.raises(TaskTimeout):
                client.call("list-all-cases")
            assert pool.submit(client.call, "list-all-cases").result(timeout=5).status == 200
    finally:
        alarm.join()
        signal.signal(signal.SIGUSR1, before)


def test_the_session_follows_no_redirect_whoever_uses_it(persona):
    with SimulatorServer(SimulatorConfig(cases=1)) as elsewhere, client_of(persona.url) as client:
        persona.script_fault("redirect", location=f"{elsewhere.url}/api/v1/cases")
        answer = client.session.get(f"{persona.url}/api/v1/cases", timeout=5)
        assert answer.status_code == 302
        answer.close()
        assert elsewhere.requests() == []


def test_further_headers_cannot_replace_those_that_authenticate(persona):
    from airflow_provider_persona.api.operations import operation

    forged = {"Authorization": "Bearer other", "Persona-Version": "2020-05-18", "X-Trace": "abc"}
    with client_of(persona.url) as client:
        client.send(operation("list-all-cases").bind(), headers=forged)
    (request,) = persona.requests()
    assert request.key == "full"
    assert dict(request.headers)["persona-version"] == "2025-12-08"
    assert dict(request.headers)["x-trace"] == "abc"


def test_waits_are_told_in_the_log_without_addresses(persona, caplog, open_case):
    caplog.set_level("INFO")
    persona.script_fault("http_503")
    with client_of(persona.url, policy=RetryPolicy(delays=(0.01,))) as client:
        client.call("retrieve-case", path={"case-id": open_case})
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider_persona")]
    assert len(lines) == 1
    assert lines[0].startswith("retrieve-case: status 503; sending again in 0.0 s (attempt 2 of 2)")
