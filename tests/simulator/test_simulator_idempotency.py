"""Answers kept under idempotency keys."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from persona_simulator import SANDBOX_KEY, SimulatorConfig

CREATE = {"data": {"attributes": {"case-template-id": "ctmpl_kyc"}}}


def test_the_first_answer_is_replayed_without_a_second_effect(call, server) -> None:
    first, second = (call("POST", "/cases", CREATE, idempotency_key="k") for _ in range(2))
    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["Request-Id"] == first.headers["Request-Id"]
    assert len(server.journal()) == 1
    assert [logged.replayed for logged in server.requests()] == [False, True]
    assert call("POST", "/cases", CREATE, idempotency_key="other").json() != first.json()


def test_refusals_are_kept_too(call, server, open_case) -> None:
    path, body = "/cases/case_none/set-status", {"meta": {"status": "Open"}}
    first, second = (call("POST", path, body, idempotency_key="k") for _ in range(2))
    assert first.status_code == second.status_code == 404
    assert [logged.replayed for logged in server.requests()] == [False, True]


def test_a_failure_is_kept_until_another_key_is_used(call, server, open_case) -> None:
    server.script_fault("http_503")
    answers = [call.set_status(open_case, "Approved", idempotency_key=key).status_code for key in "aab"]
    assert answers == [503, 503, 200]


def test_other_parameters_under_a_key_are_refused(call, open_case) -> None:
    call.set_status(open_case, "Approved", idempotency_key="the-key")
    for other in (
        call.set_status(open_case, "Declined", idempotency_key="the-key"),
        call.set_status("case_sim000002", "Approved", idempotency_key="the-key"),
        call(
            "POST",
            f"/cases/{open_case}/set-status?include=",
            {"meta": {"status": "Approved"}},
            idempotency_key="the-key",
        ),
    ):
        error = other.json()["errors"][0]
        assert (other.status_code, error["title"]) == (400, "Idempotency error")
        assert "the-key" in error["details"]


def test_the_order_of_keys_in_a_body_is_no_other_parameter(call, server) -> None:
    for body in ({"meta": {}, **CREATE}, {**CREATE, "meta": {}}):
        assert call("POST", "/cases", data=json.dumps(body), idempotency_key="k").status_code == 201
    assert len(server.journal()) == 1


def test_only_post_keeps_answers(call, server, open_case) -> None:
    body = {"data": {"attributes": {"fields": {"risk_score": 1}}}}
    for _ in range(2):
        assert call("PATCH", f"/cases/{open_case}", body, idempotency_key="k").status_code == 200
    assert call("GET", f"/cases/{open_case}", idempotency_key="k").status_code == 200
    assert len(server.journal()) == 2


def test_answers_are_kept_for_a_day_of_the_simulated_clock(call, server) -> None:
    server.freeze_clock()
    first = call("POST", "/cases", CREATE, idempotency_key="k")
    server.advance_clock(24 * 3600 - 1)
    assert call("POST", "/cases", CREATE, idempotency_key="k").content == first.content
    server.advance_clock(1)
    assert call("POST", "/cases", CREATE, idempotency_key="k").content != first.content
    server.configure(idempotency_ttl_seconds=10)
    server.advance_clock(10)
    call("POST", "/cases", CREATE, idempotency_key="k")
    assert len(server.journal()) == 3


def test_refused_keys_and_limits_come_first_and_are_not_kept(simulate) -> None:
    call = simulate(SimulatorConfig(cases=5, limit=1, frozen_clock=True))
    assert call("POST", "/cases", CREATE, idempotency_key="k", key="persona_sandbox_wrong").status_code == 401
    assert call("GET", "/cases").status_code == 200
    assert call("POST", "/cases", CREATE, idempotency_key="k").status_code == 429
    call.server.advance_clock(60)
    assert call("POST", "/cases", CREATE, idempotency_key="k").status_code == 201
    assert call("POST", "/cases", CREATE, idempotency_key="k").status_code == 429


def test_the_same_key_twice_at_once_is_a_conflict(call, server, open_case) -> None:
    server.configure(latency_ms=300)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: call.set_status(open_case, "Approved", idempotency_key="k"), range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["errors"][0]["title"] == "Conflict"
    assert call.set_status(open_case, "Approved", idempotency_key="k").status_code == 200
    assert len(server.journal()) == 1


def test_a_request_of_which_half_arrived_takes_no_key(call, server, open_case) -> None:
    """A client that is killed while it sends leaves half a body behind; the rest never comes."""
    body = json.dumps({"meta": {"status": "Approved"}}).encode()
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as killed:
        head = (
            f"POST /api/v1/cases/{open_case}/set-status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SANDBOX_KEY}\r\n"
        )
        more = f"Idempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        killed.sendall((head + more).encode() + body[:7])
        server.state()  # once this is answered, all of it has arrived
    server.state()
    assert call.set_status(open_case, "Approved", idempotency_key="k").status_code == 200
    assert len(server.journal()) == 1
