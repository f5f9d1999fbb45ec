"""Every kind of fault: what the client sees, whether the effect happened, and what is kept."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from persona_simulator import FaultKind, SimulatorConfig, usual_rates
from persona_simulator.faults import INSIDE

GONE = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def _outcome(call: Any, case_id: str, key: str, **options: Any) -> Any:
    """Return the status of one attempt, or the kind of its end."""
    try:
        answer = call.set_status(case_id, "Approved", idempotency_key=key, **options)
        answer.json()
    except requests.ReadTimeout:
        return "timeout"
    except GONE as broken:
        return "reset" if "reset" in str(broken).lower() else "cut"
    except requests.JSONDecodeError:
        return "garbage" if answer.status_code == 200 else answer.status_code
    return answer.status_code


@pytest.mark.parametrize(
    ("kind", "seen", "effect", "again"),
    [
        *[(kind, status, after, status) for kind, (status, after) in INSIDE.items()],
        (FaultKind.PROXY_502, 502, False, 200),
        (FaultKind.PROXY_503, 503, False, 200),
        (FaultKind.RESET_BEFORE, "reset", False, 200),
        (FaultKind.RESET_AFTER, "reset", True, 200),
        (FaultKind.HANG_BEFORE, "timeout", False, 200),
        (FaultKind.HANG_AFTER, "timeout", True, 200),
        (FaultKind.TRUNCATED, "cut", True, 200),
        (FaultKind.MALFORMED, "garbage", True, 200),
        (FaultKind.HOLLOW, 200, True, 200),
        (FaultKind.LATENCY, 200, True, 200),
        (FaultKind.SLOW, 200, True, 200),
    ],
)
def test_what_is_seen_and_what_has_happened(call, server, open_case, kind, seen, effect, again) -> None:
    server.script_fault(kind, case_id=open_case)
    call("GET", "/cases")
    assert _outcome(call, open_case, "k", timeout=0.5) == seen
    assert (server.statuses()[open_case] == "Approved") is effect
    assert len(server.journal()) == int(effect)
    assert server.requests()[-1].fault == kind
    assert _outcome(call, open_case, "k") == again, "the same key gets the kept answer, or acts when none was kept"
    assert len(server.journal()) == int(effect or again == 200)
    assert server.state()["waiting_faults"] == 0


def test_failures_of_a_proxy_look_like_no_answer_of_the_api(call, server) -> None:
    server.script_fault("proxy_502")
    before = server.state()["remaining"]
    answer = call("GET", "/cases")
    assert answer.headers["Content-Type"] == "text/html"
    assert "Request-Id" not in answer.headers
    assert "RateLimit-Limit" not in answer.headers
    assert server.state()["remaining"] == before


def test_failures_of_the_api_carry_its_headers(call, server) -> None:
    server.script_fault("http_500")
    answer = call("GET", "/cases")
    assert answer.json()["errors"][0]["title"] == "Internal server error"
    assert all(name in answer.headers for name in ("Request-Id", "RateLimit-Limit"))


def test_a_redirect_points_to_another_host(call, server) -> None:
    server.script_fault("redirect", location="http://127.0.0.1:9/elsewhere")
    answer = call("GET", "/cases")
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://127.0.0.1:9/elsewhere")
    assert call("GET", "/cases").status_code == 200


def test_a_stale_object_is_for_writes_only(call, server, open_case) -> None:
    server.script_fault("stale_409")
    assert call("GET", f"/cases/{open_case}").status_code == 200
    answer = call.set_status(open_case, "Approved")
    assert (answer.status_code, answer.json()["errors"][0]["title"]) == (409, "Stale object error")


def test_latency_and_slowness_take_their_time(call, server) -> None:
    for kind in ("latency", "slow"):
        server.script_fault(kind, seconds=0.3)
        began = time.monotonic()
        assert call("GET", "/cases").status_code == 200
        assert time.monotonic() - began >= 0.29
    server.configure(latency_ms=100)
    began = time.monotonic()
    call("GET", "/cases")
    assert time.monotonic() - began >= 0.09


def test_scripted_faults_wait_for_their_requests(call, server, open_case) -> None:
    server.script_fault("http_500", operation="set-status-for-a-case", times=2, skip=1)
    server.script_fault("http_502", case_id=open_case)
    assert call("GET", "/cases").status_code == 200
    assert call("GET", f"/cases/{open_case}").status_code == 502
    statuses = [call.set_status(open_case, "Approved").status_code for _ in range(4)]
    assert statuses == [200, 500, 500, 200]


def test_a_refused_request_does_not_use_up_a_waiting_fault(call, server) -> None:
    server.script_fault("http_500")
    assert call("GET", "/cases", key="persona_sandbox_wrong").status_code == 401
    assert server.state()["waiting_faults"] == 1
    server.clear_faults()
    assert call("GET", "/cases").status_code == 200


def test_a_reset_is_a_real_one(server, call) -> None:
    server.script_fault("reset_before")
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(b"GET /api/v1/cases HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            raw.recv(100)


def test_a_hanging_request_is_logged_and_does_not_block_others(call, server) -> None:
    server.script_fault("hang_before", operation="list-all-cases")
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(call, "GET", "/cases", timeout=1)
        while not server.requests(operation="list-all-cases"):
            time.sleep(0.01)
        assert call("GET", "/cases/case_sim000001").status_code == 200
        assert [logged.status for logged in server.requests(operation="list-all-cases")] == [0]
        with pytest.raises(requests.ReadTimeout):
            hanging.result()


def _run(simulate: Any, seed: int) -> list[Any]:
    call = simulate(SimulatorConfig(cases=20, limit=10_000, seed=seed, fault_rates=usual_rates(0.5)))
    return [_outcome(call, "case_sim000001", f"k{number}") for number in range(60)]


def test_random_faults_follow_from_the_seed(simulate) -> None:
    first, again, other = _run(simulate, 7), _run(simulate, 7), _run(simulate, 8)
    assert first == again != other
    assert 10 < sum(outcome != 200 for outcome in first) < 50


def test_rates_can_be_set_while_running(call, server) -> None:
    server.configure(fault_rates={"http_500": 1.0})
    assert {call("GET", "/cases").status_code for _ in range(5)} == {500}
    server.configure(fault_rates={})
    assert {call("GET", "/cases").status_code for _ in range(5)} == {200}


@pytest.mark.parametrize("kind", [FaultKind.PROXY_503, FaultKind.HTTP_503])
def test_a_scripted_fault_lets_as_many_pass_as_it_was_told(call, server, open_case, kind):
    server.script_fault(kind, operation="set-status-for-a-case", skip=3)
    assert [_outcome(call, open_case, f"skip-{number}") for number in range(5)] == [200, 200, 200, 503, 200]
