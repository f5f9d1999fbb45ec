"""What only the blocking client can get wrong: bodies in odd wrappings, threads, interruptions, and its session."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaTransportError
from airflow_provider_persona.api.retry import NO_RETRIES, RetryPolicy
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client import PersonaClient
from airflow_provider_persona.simulator import SANDBOX_KEY, SimulatorConfig, SimulatorServer

CASES = json.dumps({"data": [{"type": "case", "id": "case_1"}] * 500}).encode()


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], str]]:
    """Return a function that answers every connection's first request with given bytes, and closes."""
    sockets: list[socket.socket] = []

    def start(answer: bytes) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def loop() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=loop, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield start
    for listening in sockets:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def client_of(url, **options):
    options.setdefault("policy", NO_RETRIES)
    return PersonaClient(PersonaSettings.checked(api_key=SANDBOX_KEY, host=url, read_timeout=3), **options)


def chunked(body: bytes, *, ends: bool = True) -> bytes:
    pieces = [body[start : start + 700] for start in range(0, len(body), 700)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if ends else b"")


HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
PACKED = gzip.compress(CASES)


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: %d\r\n\r\n" % len(CASES) + CASES,
        HEAD + b"\r\n" + CASES,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(CASES),
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED,
        HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(PACKED),
    ],
    ids=["length", "until-closed", "chunked", "gzip", "gzip-chunked"],
)
def test_a_body_is_read_whole_however_it_is_wrapped(serve, answer):
    with client_of(serve(answer)) as client:
        assert client.call("list-all-cases").content == CASES


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 100000\r\n\r\n" + CASES,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(CASES, ends=False),
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(CASES) + CASES,
        b"HTTP/1.1 200",
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=["short", "chunked-short", "no-gzip", "half-a-line", "no-http", "nothing"],
)
def test_a_body_that_is_not_whole_is_no_answer(serve, answer):
    with client_of(serve(answer)) as client, pytest.raises((PersonaTransportError, PersonaAnswerError)):
        client.call("list-all-cases")


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

    before = signal.signal(signal.SIGUSR1, interrupt)
    persona.script_fault("hang_before")
    alarm = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        with client_of(persona.url) as client, ThreadPoolExecutor(1) as pool:
            alarm.start()
            with pytest.raises(TaskTimeout):
                client.call("list-all-cases")
            assert pool.submit(client.call, "list-all-cases").result(timeout=5).status == 200
    finally:
        alarm.cancel()
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
