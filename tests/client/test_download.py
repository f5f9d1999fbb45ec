"""Files behind links: fetched without the key, within limits, whole; over sockets, from a simulated host of files."""

from __future__ import annotations

import gzip
import io
import logging
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaError,
    PersonaServerError,
    PersonaSettingsError,
    PersonaTransportError,
)
from airflow_provider_persona.api.messages import Request
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client.download import Downloaded, download
from airflow_provider_persona.client.file_client import file_client
from airflow_provider_persona.client.file_links import FileLinks
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.storage.whole_files import scratch_file
from persona_simulator import SANDBOX_KEY
from tests.storage.full_disk import files_of_at_most

QUICK = RetryPolicy(delays=(0.01, 0.01), jitter=0)
FILLER = bytes(range(256))
PACKED = gzip.compress(FILLER * 1000)


def settings(host, **values):
    return PersonaSettings.checked(**{"api_key": SANDBOX_KEY, "host": host, **values})


def is_file_link(value, ours, hosts=()):
    return FileLinks(ours, hosts).is_link(value)


@pytest.fixture
def fetch(persona):
    """Download a link, also from `one_host`; returns what arrived and the file."""

    def get(url, *, limit=1_000_000, host=None, **options):
        sink = io.BytesIO(b"what an earlier attempt left" * 100)
        is_of_one_host = url.startswith("http://127.0.0.1:") and url.endswith("/file?access_token=t")
        options.setdefault("file_hosts", [urlsplit(url).netloc] if is_of_one_host else [])
        got = download(url, sink, settings(host or persona.url), limit=limit, policy=QUICK, **options)
        return got, sink.getvalue()

    return get


@contextmanager
def one_host(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A host of files that gives each connection the next of some answers; yields a link and what it was sent."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for answer in answers:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    seen.append(connection.recv(65_536))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/file?access_token=t", seen
    thread.join(timeout=5)


def answer(status="200 OK", body=b"%PDF-1.4", content_type="application/pdf", **headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


# ---------------------------------------------------------------------- what arrives


@pytest.mark.parametrize("declares_length", [True, False])
@pytest.mark.parametrize("size", [1, 65_536, 300_001])
def test_a_file_arrives_whole_and_in_place_of_what_was_there(persona, fetch, size, declares_length):
    link = persona.add_file("passport.pdf", size, declares_length=declares_length)
    got, content = fetch(link)
    assert got == Downloaded(size, "application/pdf")
    assert content == (FILLER * (size // 256 + 1))[:size]


def test_the_key_is_not_sent_nor_anything_else_of_the_api(persona, fetch):
    fetch(persona.add_file("passport.pdf", 10))
    assert [(each["status"], each["carried_key"]) for each in persona.downloads()] == [(200, False)]
    with one_host(answer()) as (link, seen):
        fetch(link)
    (sent,) = seen
    assert SANDBOX_KEY.encode() not in sent
    assert b"persona-version" not in sent.lower()
    assert b"authorization" not in sent.lower()


def test_neither_a_netrc_login_nor_a_cookie_is_sent(fetch, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    failing = answer("503 Busy", Set_Cookie="session=1")
    with one_host(failing, answer()) as (link, seen):
        fetch(link)
    assert len(seen) == 2
    assert [request for request in seen if b"authorization" in request.lower() or b"cookie" in request.lower()] == []


def test_links_of_older_versions_get_the_key_since_they_lead_to_the_api(persona, fetch):
    file_id = persona.add_file("passport.pdf", 1000).rpartition("/signed-files/")[2].partition("/")[0]
    got, content = fetch(f"{persona.url}/api/v1/files/{file_id}/passport.pdf")
    assert got == Downloaded(1000, "application/pdf")
    assert len(content) == 1000
    assert persona.requests()[-1].key == "full"


# ---------------------------------------------------------------------- limits and types


@pytest.mark.parametrize("declares_length", [True, False])
def test_a_file_over_the_limit_is_given_up_early(persona, fetch, declares_length):
    link = persona.add_file("passport.pdf", 50_000_000, declares_length=declares_length)
    with pytest.raises(PersonaAnswerError, match=r"a scan is larger than 100000 bytes; raise max_bytes") as caught:
        fetch(link, limit=100_000, what="a scan")
    assert not caught.value.retryable


def test_a_file_of_just_the_limit_is_taken(persona, fetch):
    assert fetch(persona.add_file("a.pdf", 1000), limit=1000)[0].size == 1000
    with pytest.raises(PersonaAnswerError, match="larger than 999 bytes"):
        fetch(persona.add_file("a.pdf", 1000), limit=999)


@pytest.mark.parametrize(
    ("content_type", "accepted", "taken"),
    [
        ("application/pdf", None, True),
        ("image/png", ["image/*", "application/pdf"], True),
        ("IMAGE/PNG; charset=binary", ["image/*"], True),
        ("application/octet-stream", None, True),
        ("text/html", None, False),
        ("application/json", None, False),
        ("image/png", ["application/pdf"], False),
        ("text/html", ["application/pdf"], False),
    ],
)
def test_what_is_of_another_type_is_refused(fetch, content_type, accepted, taken):
    with one_host(answer(content_type=content_type)) as (link, _):
        if taken:
            assert fetch(link, content_types=accepted)[1] == b"%PDF-1.4"
        else:
            with pytest.raises(PersonaAnswerError, match=f"came as {content_type}"):
                fetch(link, content_types=accepted)


def test_an_empty_file_is_refused(fetch):
    with one_host(answer(body=b"", Content_Length=0)) as (link, _), pytest.raises(PersonaAnswerError, match="is empty"):
        fetch(link)


# ---------------------------------------------------------------------- links that are not to be followed


@pytest.mark.parametrize(
    "link",
    [
        "http://files.withpersona.com/a?access_token=t",
        "http://192.0.2.1/a?access_token=t",
        "ftp://files.withpersona.com/a?access_token=t",
        "file:///etc/passwd?access_token=t",
        "https://user:pass@files.withpersona.com/a?access_token=t",
        "https://[bad/a?access_token=t",
        "/a?access_token=t",
    ],
)
def test_only_https_is_followed(fetch, link):
    with pytest.raises(PersonaAnswerError, match="not https"):
        fetch(link)


def test_plain_http_of_this_machine_is_for_a_simulated_persona_only(persona, fetch):
    link = persona.add_file("a.pdf", 10)
    with pytest.raises(PersonaAnswerError, match="not https"):
        fetch(link, host="https://api.withpersona.com")
    assert persona.downloads() == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary"])
def test_a_redirect_is_not_followed(persona, fetch, status):
    target = persona.add_file("a.pdf", 10)
    moved = answer(status, Location=target)
    with one_host(moved) as (link, seen), pytest.raises(PersonaAnswerError, match="redirects") as caught:
        fetch(link)
    assert len(seen) == 1
    assert persona.downloads() == []
    assert not caught.value.retryable


def test_a_link_that_has_ended_says_to_read_the_object_again(persona, fetch):
    link = persona.add_file("a.pdf", 10)
    persona.advance_clock(7 * 3600)
    with pytest.raises(PersonaAnswerError, match="read the object again") as caught:
        fetch(link)
    assert (caught.value.status, caught.value.retryable) == (403, True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://files.withpersona.com/a.jpg?access_token=x", True),
        ("https://api.withpersona.com/api/v1/files/token/a.jpg", True),
        ("https://withpersona.com/api/v1/files/token/a.jpg", True),
        ("https://withpersona.com/api/v1/files/token/..%2fa.jpg", False),
        ("https://withpersona.com/api/v1/cases", False),
        ("http://withpersona.com/api/v1/files/token/a.jpg", False),
        ("https://elsewhere.example/api/v1/files/token/a.jpg", False),
        ("https://linkedin.example/somebody", False),
        ("https://api.withpersona.com/api/v1/cases", False),
        ("access_token=x", False),
        ("https://[", False),
        (None, False),
        (7, False),
    ],
)
def test_links_to_files_are_told_from_other_links(value, expected):
    assert is_file_link(value, settings("https://api.withpersona.com")) is expected


@pytest.mark.parametrize(
    ("host", "is_moved"), [("https://api.withpersona.com", True), ("https://persona.example.com", False)]
)
def test_links_that_name_the_old_host_lead_to_the_default_host_and_get_its_key(host, is_moved):
    """Versions up to 2022-09-01 give such links; a connection to another host has other files."""
    links = FileLinks(settings(host))
    parts = links.checked("https://withpersona.com/api/v1/files/token/a.jpg", "a file")
    assert (parts.netloc, links.needs_key(parts)) == (
        ("api.withpersona.com", True) if is_moved else ("withpersona.com", False)
    )


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("files.withpersona.com", True),
        ("withpersona.com", True),
        ("FILES.WithPersona.com:443", True),
        ("files.eu.withpersona.com", True),
        ("api.example.com", True),  # the connection's own, a gateway
        ("files.example.com", True),  # named in file_hosts
        ("other.example.com:8443", True),
        ("other.example.com", False),
        ("below.files.example.com", False),
        ("files.withpersona.com:8443", False),
        ("evilwithpersona.com", False),
        ("withpersona.com.evil.example", False),
        ("files.withpersona.com.", False),
        ("evil.example\\.withpersona.com", False),  # some parsers end the host at the backslash
        ("evil.example%2f.withpersona.com", False),
        ("evil.example\t.withpersona.com", False),
        ("evil.example#.withpersona.com", False),
        ("user@files.withpersona.com", False),
        ("\u212ailes.withpersona.com", False),
        ("files.withpersona.com:99999", False),
        ("169.254.169.254", False),
        ("127.0.0.1", False),
        ("[::1]", False),
    ],
)
def test_only_known_hosts_are_followed(host, is_known):
    ours, link = settings("https://api.example.com"), f"https://{host}/a.pdf?access_token=t"
    known = ["files.example.com", "other.example.com:8443"]
    assert is_file_link(link, ours, known) is is_known
    if not is_known:
        with pytest.raises(PersonaAnswerError, match="is not followed"):
            download(link, io.BytesIO(), ours, limit=1000, file_hosts=known)


def test_a_simulated_persona_sends_to_its_own_address_only(persona, fetch):
    own = persona.add_file("a.pdf", 10)
    assert is_file_link(own, settings(persona.url))
    with one_host(answer()) as (link, seen):
        assert not is_file_link(link, settings(persona.url))
        with pytest.raises(PersonaAnswerError, match="name the host in file_hosts"):
            fetch(link, file_hosts=())
    assert seen == []
    assert not is_file_link("https://files.withpersona.com/a?access_token=t", settings(persona.url))


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/files/../cases",
        "/api/v1/files/../cases/case_1",
        "/api/v1/files/x/..",
        "/api/v1/files/./x",
        "/api/v1/files/%2e%2e/cases",
        "/api/v1/files/.%2E/cases",
        "/api/v1/files/x/%2e",
        "/api/v1/files/x/..%2f..%2fcases",
        "/api/v1/files/x/..%5ccases",
        "/api/v1/files/x/../../cases/case_1",
        "/api/v1/files/x/y/z",
        "/api/v1/files//cases",
        "/api/v1/files/x",
        "/api/v1/filesystem/x/y",
    ],
)
def test_the_key_goes_to_the_addresses_of_files_and_to_no_other_call(persona, fetch, path):
    link = f"{persona.url}{path}"
    assert not is_file_link(link, settings(persona.url))
    with pytest.raises(PersonaError):
        fetch(link)
    assert {request.key for request in persona.requests()} <= {"missing"}


@pytest.mark.parametrize("hosts", ["files.example.com", ["https://files.example.com"], ["a/b"], ["a@b"], [None], [""]])
def test_hosts_that_are_none_are_refused(hosts):
    with pytest.raises(PersonaSettingsError, match="file_hosts is a list of hosts"):
        is_file_link("https://files.example.com/a?access_token=t", settings("https://api.withpersona.com"), hosts)


# ---------------------------------------------------------------------- failures on the way


@pytest.mark.parametrize(
    "broken",
    [
        answer("500 Oops"),
        answer("503 Busy"),
        answer("429 Slowly"),
        answer(body=b"%PDF", Content_Length=8),
        answer(body=b"", Content_Length=8),
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n%PDF",
        answer(body=PACKED[:-20], Content_Encoding="gzip"),
        answer(body=PACKED[:-20], Content_Encoding="gzip", Content_Length=len(PACKED) - 20),
        answer(body=b"no gzip at all", Content_Encoding="gzip"),
        answer(body=b"", Content_Encoding="gzip"),
    ],
)
def test_a_failure_on_the_way_is_overcome_and_leaves_nothing_of_itself(fetch, broken):
    with one_host(broken, answer(body=b"%PDF-1.4", Content_Length=8)) as (link, seen):
        got, content = fetch(link)
    assert (got.size, content) == (8, b"%PDF-1.4")
    assert len(seen) == 2


def test_a_file_is_asked_for_as_it_is_and_taken_when_it_is_packed_all_the_same(fetch):
    with one_host(answer(body=PACKED, Content_Encoding="gzip", Content_Length=len(PACKED))) as (link, seen):
        assert fetch(link)[1] == FILLER * 1000
    assert b"accept-encoding: identity" in seen[0].lower()


def test_all_members_of_a_packed_file_arrive(fetch):
    members = gzip.compress(b"%PDF-1.4") + gzip.compress(b"%%EOF")
    with one_host(answer(body=members, Content_Encoding="gzip", Content_Length=len(members))) as (link, _):
        assert fetch(link)[1] == b"%PDF-1.4%%EOF"


def test_the_limit_holds_for_what_is_unpacked(fetch):
    packed = answer(body=PACKED, Content_Encoding="gzip")
    with one_host(packed) as (link, _), pytest.raises(PersonaAnswerError, match="larger than 10000 bytes"):
        fetch(link, limit=10_000)


def test_a_file_that_is_packed_in_another_way_is_refused(fetch):
    with one_host(answer(Content_Encoding="br")) as (link, _), pytest.raises(PersonaAnswerError, match="is packed"):
        fetch(link)


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, chunked", "gzip"])
def test_a_file_that_is_packed_for_the_way_is_refused(fetch, coding):
    content = gzip.compress(b"%PDF-1.4")
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
    packed = answer(body=chunked, Transfer_Encoding=coding)
    with one_host(packed) as (link, _), pytest.raises(PersonaAnswerError, match="is packed in a way"):
        fetch(link)


@pytest.mark.parametrize("length", ["abc", "", "-1", "8, 8", "\u0668", "9" * 5000])
def test_a_length_that_is_no_number_counts_as_none(fetch, length):
    answered = answer(body=b"%PDF-1.4").replace(b"\r\n\r\n", f"\r\nContent-Length: {length}\r\n\r\n".encode(), 1)
    with one_host(answered) as (link, _):
        assert fetch(link)[1] == b"%PDF-1.4"


def _from_the_api(*answers, read_timeout=5.0, **options):
    """Fetch a file of the API from a host that gives these answers."""
    sink = io.BytesIO()
    with one_host(*answers) as (link, seen):
        origin = link.rpartition("/")[0]
        ours = settings(origin, read_timeout=read_timeout)
        download(f"{origin}/api/v1/files/token/a.pdf", sink, ours, limit=1_000_000, policy=QUICK, **options)
    return sink.getvalue(), seen


@pytest.mark.parametrize(
    "broken",
    [answer(body=b"%PDF", Content_Length=8), answer(body=PACKED[:-20], Content_Encoding="gzip")],
)
def test_a_file_of_the_api_that_breaks_off_is_fetched_again(broken):
    content, seen = _from_the_api(broken, answer())
    assert content == b"%PDF-1.4"
    assert len(seen) == 2
    assert b"accept-encoding: identity" in seen[0].lower()


def test_a_file_of_the_api_may_name_no_sound_length():
    named = b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\nContent-Length: abc\r\n\r\n%PDF-1.4"
    assert _from_the_api(named)[0] == b"%PDF-1.4"


def test_a_printed_file_may_take_longer_than_an_answer():
    """The read timeout is for silences; a large file that goes on arriving has more time."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer(body=b"", Content_Length=8))
                for _ in range(8):
                    time.sleep(0.1)
                    connection.sendall(b"x")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        origin, sink = f"http://127.0.0.1:{listening.getsockname()[1]}", io.BytesIO()
        ours = settings(origin, read_timeout=0.6, connect_timeout=0.2)
        with file_client(ours, sink, 100, policy=QUICK) as client:
            client.send(Request("print-case", "GET", "/api/v1/cases/case_1/print", binary=True))
    assert sink.getvalue() == b"x" * 8
    thread.join(timeout=5)


@pytest.mark.parametrize("has_key", [True, False])
def test_a_full_disk_is_no_failure_of_the_network_and_is_not_tried_again(persona, has_key):
    link = persona.add_file("passport.pdf", 300_000)
    if has_key:
        link = f"{persona.url}/api/v1/files/{link.rpartition('/signed-files/')[2].partition('/')[0]}/passport.pdf"
    said = "a temporary file cannot be written"
    with scratch_file() as sink, files_of_at_most(5), pytest.raises(StoreError, match=said) as full:
        download(link, sink, settings(persona.url), limit=1_000_000, policy=QUICK)
    assert full.value.retryable
    assert len(persona.downloads()) + len(persona.requests()) == 1


def test_when_all_attempts_fail_the_last_failure_is_told(fetch):
    with one_host(*[answer("503 Busy")] * 3) as (link, seen), pytest.raises(PersonaServerError, match="503") as caught:
        fetch(link)
    assert len(seen) == 3
    assert caught.value.retryable


def test_a_host_that_does_not_answer_is_told_of(fetch):
    with one_host() as (link, _):
        pass
    with pytest.raises(PersonaTransportError, match="could not be downloaded"):
        fetch(link)


def test_a_file_that_comes_too_slowly_is_given_up(fetch, serve):
    def drip(_, line):
        line.send(answer(body=b"%PDF"))
        line.keep_sending(b"x")

    link = f"{serve(drip).url}/file?access_token=t"
    begun = time.monotonic()
    with pytest.raises(PersonaTransportError, match=r"downloaded \(no full answer in time\)"):
        fetch(link, timeout=0.3)
    assert time.monotonic() - begun < 20


def test_no_trace_of_the_link_is_left_in_errors_and_logs(persona, fetch, caplog):
    caplog.set_level(logging.DEBUG)
    texts = []
    token = "CANARYTOKEN"
    links = [
        f"https://127.0.0.1:1/a.pdf?access_token={token}",
        f"{persona.url}/signed-files/none/{token}.pdf?access_token={token}",
        f"{persona.url}/api/v1/files/none/{token}.pdf",
        f"http://elsewhere.example/a.pdf?access_token={token}",
        f"https://[{token}/a.pdf?access_token={token}",
    ]
    for link in links:
        with pytest.raises(PersonaError) as caught:
            fetch(link)
        texts.append("".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)))
    assert [text for text in texts if token in text or SANDBOX_KEY in text] == []
    assert any("/(a file)" in record.getMessage() for record in caplog.records)
    assert token not in caplog.text


def test_malformed_headers_bring_no_link_and_nothing_of_the_answer_into_the_log(fetch, caplog):
    bad = b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\nCANARYNAME is no header\r\n\r\n%PDF-1.4"
    with one_host(bad) as (link, _):
        fetch(link)
    (record,) = [record for record in caplog.records if "Failed to parse headers" in record.getMessage()]
    assert "/(a file)" in record.getMessage()
    assert "access_token" not in caplog.text
    assert "CANARYNAME" not in caplog.text


def test_other_requests_keep_their_queries_in_the_log(persona, fetch, caplog):
    import requests

    caplog.set_level(logging.DEBUG)
    fetch(persona.add_file("a.pdf", 10))
    with one_host(answer()) as (link, _):
        requests.get(link.replace("127.0.0.1", "0.0.0.0").replace("access_token", "token"), timeout=5)
    assert "/file?token=t" in caplog.text
