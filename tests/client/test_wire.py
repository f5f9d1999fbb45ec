"""Both clients against what comes over the wire: in odd wrappings, too much, too slowly; and what they keep of it."""

from __future__ import annotations

import gzip
import http.client
import json
import logging
import socket
import threading
import time
import traceback
import zlib
from contextlib import suppress

import pytest

from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaAuthenticationError,
    PersonaError,
    PersonaServerError,
    PersonaTransportError,
    PersonaUnresolvedError,
)
from airflow_provider_persona.api.retry import NO_RETRIES
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client import PersonaClient
from airflow_provider_persona.client.answer_body import LARGEST_ANSWER
from persona_simulator import SANDBOX_KEY
from tests.client.conftest import approve
from tests.client.raw_server import LIMITS, always, answer

CASES = json.dumps({"data": [{"type": "case", "id": "case_1"}] * 500}).encode()
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
PACKED = gzip.compress(CASES)
MORE = LARGEST_ANSWER + 1
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"
"""A block of `deflate` without content."""


def once(content):
    """Return a handler that gives one answer and hangs up."""

    def handle(_, line):
        line.send(content)
        line.hang_up()

    return handle


def chunked(body, *, ends=True):
    pieces = [body[start : start + 700] for start in range(0, len(body), 700)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if ends else b"")


# ---------------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    "content",
    [
        HEAD + b"Content-Length: %d\r\n\r\n" % len(CASES) + CASES,
        HEAD + b"\r\n" + CASES,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(CASES),
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED,
        HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(PACKED),
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + HEAD + b"\r\n" + CASES,
    ],
    ids=["length", "until-closed", "chunked", "gzip", "gzip-chunked", "interim"],
)
def test_a_body_is_read_whole_however_it_is_wrapped(connect, serve, content):
    assert connect(serve(once(content)).url, policy=NO_RETRIES).call("list-all-cases").content == CASES


@pytest.mark.parametrize(
    "content",
    [
        HEAD + b"Content-Length: 100000\r\n\r\n" + CASES,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(CASES, ends=False),
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(CASES) + CASES,
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED[:-8]) + PACKED[:-8],
        HEAD + b"Content-Encoding: br\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200",
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=["short", "chunked-short", "no-gzip", "gzip-short", "brotli", "half-a-line", "no-http", "nothing"],
)
def test_a_body_that_is_not_whole_is_no_answer(connect, serve, content):
    face = connect(serve(once(content)).url, policy=NO_RETRIES)
    with pytest.raises((PersonaTransportError, PersonaAnswerError)):
        face.call("list-all-cases")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("", b" " * MORE),
        ("Content-Encoding: gzip\r\n", gzip.compress(b" " * MORE, compresslevel=1)),
        ("Content-Encoding: deflate\r\n", zlib.compress(b"")[:2] + EMPTY_BLOCK * (MORE // len(EMPTY_BLOCK) + 1)),
    ],
    ids=["plain", "unpacked", "packed"],
)
def test_an_answer_above_the_limit_is_refused_and_said(connect, serve, headers, body):
    face = connect(serve(once(answer(body, headers=LIMITS + headers))).url)
    with pytest.raises(PersonaAnswerError, match="larger than 32 MiB; ask for fewer attributes"):
        face.call("list-all-cases")
    assert face.client.usage.requests == 1


@pytest.mark.parametrize("packs", [False, True])
def test_an_answer_of_just_the_limit_is_taken(connect, serve, packs):
    body = b'{"data":[]}'.ljust(LARGEST_ANSWER)
    sent = gzip.compress(body, compresslevel=1) if packs else body
    server = serve(once(answer(sent, headers="Content-Encoding: gzip\r\n" if packs else "")))
    assert connect(server.url, policy=NO_RETRIES).call("list-all-cases").json() == {"data": []}


SMUGGLED = b'{"data": [{"type": "case", "id": "case_other"}]}'


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n" + answer(SMUGGLED),
        b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        b"HTTP/1.1 304 Not Modified\r\n\r\n" + answer(SMUGGLED),
        answer(b"{}") + answer(SMUGGLED),
        answer(b"{}") + b"\0" * 100,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + answer(SMUGGLED),
    ],
    ids=["204-and-more", "204-with-a-body", "304-and-more", "two-answers", "garbage", "chunked-and-more"],
)
def test_what_follows_an_answer_is_not_taken_for_the_next_one(connect, serve, first):
    asked = []

    def handle(received, line):
        asked.append(received)
        line.send(first if len(asked) == 1 else answer({"data": []}))

    face = connect(serve(handle).url, policy=NO_RETRIES)
    with suppress(PersonaError):
        face.call("list-all-cases")
    time.sleep(0.05)  # what follows has arrived by now, as it has when a client pauses between two calls
    assert face.call("list-all-cases").json() == {"data": []}
    assert len(asked) == 2


@pytest.mark.parametrize(
    "value", ["", "-5", "1.5", "[60]", "5, 5", "NaN", "9" * 400, "\u0665", "60;w=60", "5\r\nRateLimit-Reset: 7"]
)
@pytest.mark.parametrize("header", ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After", "Date"])
def test_headers_that_make_no_sense_cost_no_call_and_no_wait(connect, serve, header, value):
    sent = {"RateLimit-Limit": "300", "RateLimit-Remaining": "299", "RateLimit-Reset": "60", header: value}
    lines = "".join(f"{name}: {text}\r\n" for name, text in sent.items())
    waits = []
    face = connect(serve(always(answer({"data": []}, headers=lines))).url, policy=NO_RETRIES, sleep=waits.append)
    for _ in range(3):
        assert face.call("list-all-cases").json() == {"data": []}
    assert sum(waits) <= 60


# ---------------------------------------------------------------------- deadlines


@pytest.mark.parametrize(
    ("beginning", "more"),
    [
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Drop: 1\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Line: ", b"a"),
        (HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
        (HEAD + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(b"")[:2], EMPTY_BLOCK),
    ],
    ids=["interim-answers", "headers", "one-header", "body", "chunk-extension", "empty-blocks"],
)
def test_an_answer_that_goes_on_for_ever_ends_at_the_deadline(connect, serve, beginning, more):
    def drip(_, line):
        line.send(beginning)
        line.keep_sending(more)

    face = connect(serve(drip).url, read_timeout=0.2, connect_timeout=0.1, policy=NO_RETRIES)
    begun = time.monotonic()
    with pytest.raises(PersonaTransportError):
        face.call("list-all-cases")
    assert time.monotonic() - begun < 20


@pytest.fixture
def mute():
    """A port that takes connections, and says nothing on them."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("through_proxy", [False, True])
def test_a_connection_that_is_never_ready_ends_at_its_own_deadline_and_was_not_sent(connect, mute, through_proxy):
    proxies = {"https": f"http://127.0.0.1:{mute}"} if through_proxy else None
    host = "https://persona.invalid" if through_proxy else f"https://127.0.0.1:{mute}"
    face = connect(host, connect_timeout=0.1, read_timeout=300, policy=NO_RETRIES, proxies=proxies)
    begun = time.monotonic()
    with pytest.raises(PersonaTransportError) as caught:
        face.call("set-status-for-a-case", **approve("case_1"))
    assert not isinstance(caught.value, PersonaUnresolvedError)
    assert time.monotonic() - begun < 60


def test_a_large_request_has_the_time_of_the_answer_not_of_the_connection(connect):
    def read_late(listening):
        connection, _ = listening.accept()
        threading.Event().wait(1.2)  # longer than the connect timeout
        with connection, connection.makefile("rb") as lines:
            length = 0
            while line := lines.readline().strip():
                length = int(line.partition(b":")[2]) if line.lower().startswith(b"content-length") else length
            lines.read(length)
            connection.sendall(answer({"data": {"type": "case", "id": "case_1"}}))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=read_late, args=[listening], daemon=True)
        server.start()
        face = connect(
            f"http://127.0.0.1:{listening.getsockname()[1]}", connect_timeout=0.5, read_timeout=30, policy=NO_RETRIES
        )
        body = {"data": {"attributes": {"fields": {"note": "x" * 30_000_000}}}}  # more than any buffer takes
        assert face.call("update-a-case", path={"case-id": "case_1"}, body=body).status == 200
        server.join(10)


# ---------------------------------------------------------------------- what a client keeps


def test_a_refused_key_is_remembered(connect, serve):
    server = serve(always(answer({"errors": [{"title": "Unauthorized"}]}, "401 Unauthorized")))
    face = connect(server.url)
    traces = []
    for _ in range(4):
        with pytest.raises(PersonaAuthenticationError) as refused:
            face.call("list-all-cases")
        traces.append(len(traceback.extract_tb(refused.value.__traceback__)))
    assert len(server.received) == face.client.usage.requests == 1
    assert traces[1] == traces[2] == traces[3], "each trace holds the frames, and so the bodies, of all calls before"


def test_no_cookie_is_kept(connect, serve):
    server = serve(always(answer({"data": []}, headers="Set-Cookie: canary=1; Path=/\r\n")))
    face = connect(server.url.replace("127.0.0.1", "localhost"))  # aiohttp keeps none of an address by itself
    for _ in range(2):
        face.call("list-all-cases")
    assert ["cookie" in received.headers for received in server.received] == [False, False]


class Breaker:
    """Opens at the second retry, and counts."""

    def __init__(self):
        self.successes = self.retries = 0

    @property
    def is_open(self):
        return self.retries > 1

    def succeeded(self):
        self.successes += 1

    def retried(self):
        self.retries += 1


def test_an_open_breaker_ends_the_retries(connect, persona, approval):
    face, breaker = connect(persona.url), Breaker()
    face.set_breaker(breaker)
    face.call("set-status-for-a-case", **approval)
    persona.script_fault("http_503", times=9)
    with pytest.raises(PersonaServerError):
        face.call("list-all-cases")
    assert (breaker.successes, breaker.retries) == (1, 2)
    assert face.client.usage.requests == len(persona.requests()) == 3


# ---------------------------------------------------------------------- what the log shows


@pytest.mark.parametrize("way", ["direct", "proxy"])
@pytest.mark.parametrize("header", ["X-Sound: 1", "CANARYNAME is no header"])
def test_no_query_and_nothing_of_an_answer_reaches_the_log(connect, serve, caplog, way, header):
    caplog.set_level(logging.DEBUG)
    server = serve(once(answer({"data": []}, headers=f"{header}\r\nConnection: close\r\n")))
    if way == "direct":
        face = connect(server.url, policy=NO_RETRIES)
    else:
        face = connect("http://127.0.0.1:1", policy=NO_RETRIES, proxies={"http": server.url})
    said = ""
    try:
        face.call("list-all-cases", query={"filter[reference-id]": "alice@example.com"})
    except PersonaError as error:  # aiohttp refuses such an answer
        said = str(error)
    (received,) = server.received
    assert "alice" in received.target
    assert "alice" not in caplog.text + said
    assert "CANARYNAME" not in caplog.text + said


def test_a_program_that_lets_http_client_print_what_it_sends_prints_no_key(connect, serve, monkeypatch, capfd):
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    server = serve(always(answer({"data": []}, headers="X-Answer: CANARYNAME\r\n")))
    face = connect(server.url, policy=NO_RETRIES)
    face.call("list-all-cases", query={"filter[reference-id]": "alice@example.com"})
    printed = "".join(capfd.readouterr())
    assert not any(each in printed for each in (SANDBOX_KEY, "alice", "CANARYNAME"))


def test_the_token_in_the_path_of_a_relay_is_not_logged(connect, serve, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "aiohttp", "asyncio", "http.client"):
        caplog.set_level(logging.DEBUG, name)
    face = connect(serve(always(answer({"errors": [{"title": "x"}]}, "404 X"))).url, policy=NO_RETRIES)
    headers = {"Persona-Relay-Secret": "CANARYSECRET", "Authorization": "PrivateToken token=CANARYPASS"}
    with pytest.raises(PersonaError) as caught:
        face.call("generate-a-relay-claim", path={"relay-token": "CANARYTOKEN"}, body={}, headers=headers)
    assert "CANARY" not in caplog.text + str(caught.value)


@pytest.mark.parametrize("endpoint", ["accounts/alice%40example.com", "accounts/by-name/alice%20doe"])
def test_a_path_that_is_no_id_is_not_logged(serve, caplog, endpoint):
    caplog.set_level(logging.DEBUG)
    settings = PersonaSettings.checked(api_key=SANDBOX_KEY, host=serve(always(answer({"data": []}))).url)
    with PersonaClient(settings) as client:
        client.session.get(f"{settings.host}/api/v1/{endpoint}", timeout=5).close()
    assert "/api/v1/accounts/" in caplog.text
    assert "alice" not in caplog.text
