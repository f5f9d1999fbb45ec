"""Keys, permissions, the shared request limit and the quota of creations."""

from __future__ import annotations

from typing import Any

import pytest

from persona_simulator import READ_ONLY_KEY, SimulatorConfig

CREATE = {"data": {"attributes": {"case-template-id": "ctmpl_kyc"}}}


def _headers(answer: Any) -> tuple[int, int, int]:
    found = answer.headers
    return int(found["RateLimit-Limit"]), int(found["RateLimit-Remaining"]), int(found["RateLimit-Reset"])


@pytest.mark.parametrize(
    ("authorization", "title"),
    [
        (None, "Must be authenticated to access this endpoint"),
        ("persona_sandbox_simulator", "Must be authenticated to access this endpoint"),
        ("Basic abc", "Must be authenticated to access this endpoint"),
        ("Bearer persona_sandbox_wrong", "Token is invalid"),
    ],
)
def test_without_a_good_key_nothing_is_told_or_counted(call, server, authorization, title) -> None:
    answer = call("GET", "/cases", key=None, headers={"Authorization": authorization} if authorization else {})
    assert (answer.status_code, answer.json()) == (401, {"errors": [{"title": title}]})
    named = {name.lower() for name in answer.headers}
    assert not [name for name in named if name.startswith(("ratelimit", "request-id", "persona-"))]
    assert server.state()["remaining"] == 100_000


def test_a_read_only_key_is_forbidden_to_write(call, server, open_case) -> None:
    assert call("GET", f"/cases/{open_case}", key=READ_ONLY_KEY).status_code == 200
    answer = call.set_status(open_case, "Approved", key=READ_ONLY_KEY)
    assert (answer.status_code, answer.json()["errors"][0]["title"]) == (403, "Forbidden")
    assert "RateLimit-Remaining" in answer.headers
    assert server.journal() == []


@pytest.mark.parametrize("path", ["/cases", "/cases/case_none", "/nothing", "/rate-limits"])
def test_authenticated_answers_say_who_answered(call, path) -> None:
    headers = call("GET", path).headers
    assert headers["Content-Type"] == "application/json"
    assert headers["Persona-Environment-Id"] == "env_simulator"
    assert headers["Persona-Organization-Id"] == "org_simulator"
    assert headers["Request-Id"].startswith("req_")
    assert all(name in headers for name in ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"))


def test_a_window_opens_with_its_first_request_and_ends_whole(simulate) -> None:
    call = simulate(SimulatorConfig(cases=5, limit=3, frozen_clock=True))
    call.server.advance_clock(1000)
    assert [_headers(call("GET", "/cases")) for _ in range(3)] == [(3, 2, 60), (3, 1, 60), (3, 0, 60)]
    call.server.advance_clock(59.5)
    refused = call("GET", "/cases")
    assert (refused.status_code, _headers(refused)) == (429, (3, 0, 1))
    assert refused.json()["errors"][0]["title"] == "Rate limit exceeded"
    call.server.advance_clock(0.5)
    assert _headers(call("GET", "/cases")) == (3, 2, 60)


def test_all_keys_share_the_window_and_refusals_use_nothing(simulate) -> None:
    call = simulate(SimulatorConfig(cases=5, limit=4, frozen_clock=True))
    for key in ("persona_sandbox_simulator", READ_ONLY_KEY) * 2:
        assert call("GET", "/cases", key=key).status_code == 200
    assert {call("GET", "/cases").status_code for _ in range(5)} == {429}
    call.server.configure(limit=6)
    assert _headers(call("GET", "/cases")) == (6, 1, 60)
    call.server.configure(limit=2)
    assert _headers(call("GET", "/cases")) == (2, 0, 60)


def test_seconds_left_can_be_rounded_down(simulate) -> None:
    call = simulate(SimulatorConfig(cases=5, limit=10, frozen_clock=True))
    call("GET", "/cases")
    call.server.advance_clock(59.5)
    assert _headers(call("GET", "/cases"))[2] == 1
    call.server.configure(reset_rounding="down")
    assert _headers(call("GET", "/cases"))[2] == 0


def test_rate_limits_tells_what_is_left_and_costs_one(simulate) -> None:
    call = simulate(SimulatorConfig(cases=5, limit=10, window_seconds=30, frozen_clock=True))
    call("GET", "/cases")
    told = call("GET", "/rate-limits").json()["data"]
    attributes = {"limit": 10, "remaining": 8, "seconds-to-reset": 30}
    assert told == [{"type": "rate-limit/api", "attributes": attributes}]


@pytest.mark.parametrize("status", [429, 403])
def test_the_quota_of_creations(simulate, status) -> None:
    call = simulate(SimulatorConfig(cases=5, create_quota=2, quota_status=status, frozen_clock=True))
    left = [call("POST", "/cases", CREATE, idempotency_key=f"k{n}").headers["Quota-Remaining"] for n in range(2)]
    assert left == ["1", "0"]
    assert call("POST", "/cases", CREATE, idempotency_key="k0").status_code == 201
    refused = call("POST", "/cases", CREATE, idempotency_key="k2")
    assert (refused.status_code, refused.json()["errors"][0]["title"]) == (status, "Quota exceeded")
    assert "create_case" in refused.json()["errors"][0]["details"]
    assert "Quota-Reset" not in call("GET", "/cases").headers
    call.server.advance_clock(60)
    assert call("POST", "/cases", CREATE, idempotency_key="k2").status_code == 201


def test_there_is_no_quota_unless_configured(call) -> None:
    assert "Quota-Limit" not in call("POST", "/cases", CREATE).headers
