"""The control endpoints: looking behind the API, acting as a human, counting, starting anew."""

from __future__ import annotations

import json
import sys

import pytest
import requests

from persona_simulator import READ_ONLY_KEY, SANDBOX_KEY, SimulatorConfig, SimulatorServer


def test_controls_need_no_key_and_count_for_nothing(call, server) -> None:
    assert requests.get(f"{server.url}/_simulator/state", timeout=5).status_code == 200
    assert server.state()["requests"] == 0
    assert server.state()["remaining"] == 100_000


def test_unknown_controls_and_payloads_are_refused(server) -> None:
    with pytest.raises(ValueError, match="no such control"):
        server.control("GET", "secrets")
    for name, payload in (
        ("config", {"limit": "many"}),
        ("config", {"limit": -1}),
        ("faults", {"faults": [{"fault": {"kind": "meteor"}}]}),
        ("cases", {"case_id": "case_none", "status": "Open"}),
        ("cases", {"case_id": "case_sim000001", "status": "None"}),
        ("objects", ["xyz_1"]),
    ):
        with pytest.raises(ValueError, match=r"."):
            server.control("POST", name, payload)


def test_a_human_changes_a_case(call, server, open_case) -> None:
    assert server.act_as_human(open_case, "Declined", {"decision-note": "by hand"})
    attributes = call.attributes(open_case)
    assert (attributes["status"], attributes["resolver-type"]) == ("Declined", "user")
    assert attributes["fields"]["decision-note"] == "by hand"
    effect = server.journal()[0]
    assert (effect.actor, effect.operation, effect.request_id) == ("human", "dashboard", None)
    assert effect.parts == ("status", "fields.decision-note")
    assert not server.act_as_human(open_case, "Declined")


def test_the_journal_can_be_read_from_a_number_on(call, server, open_case) -> None:
    for status in ("Pending", "Approved"):
        call.set_status(open_case, status, idempotency_key=f"k-{status}")
    effect = server.journal(since=1)[0]
    assert (effect.index, effect.operation, effect.case_id) == (1, "set-status-for-a-case", open_case)
    assert (effect.from_status, effect.to_status, effect.changed) == ("Pending", "Approved", True)
    assert (effect.idempotency_key, effect.actor) == ("k-Approved", "api_simulator")
    assert effect.request_id == "req_sim0000000002"


def test_the_log_of_requests_holds_no_key(call, server, open_case) -> None:
    call.set_status(open_case, "Approved", idempotency_key="k", headers={"X-Extra": "seen"})
    call("GET", "/cases?page[size]=1", key=READ_ONLY_KEY)
    call("GET", "/cases", key="persona_sandbox_wrong")
    call("GET", "/cases", key=None)
    first, *rest = server.requests()
    assert (first.method, first.path) == ("POST", f"/api/v1/cases/{open_case}/set-status")
    assert (first.operation, first.case_id, first.status) == ("set-status-for-a-case", open_case, 200)
    assert (first.idempotency_key, first.key, first.body_bytes > 0) == ("k", "full", True)
    assert ("x-extra", "seen") in first.headers
    assert [(each.key, each.status) for each in rest] == [("read-only", 200), ("unknown", 401), ("missing", 401)]
    assert rest[0].query == "page%5Bsize%5D=1"
    assert SANDBOX_KEY not in json.dumps(server.control("GET", "requests"))
    assert [each.index for each in server.requests(since=2)] == [2, 3]
    assert [each.index for each in server.requests(operation="list-all-cases")] == [1, 2, 3]
    assert [each.index for each in server.requests(case_id=open_case)] == [0]


def test_the_log_is_bounded(simulate) -> None:
    call = simulate(SimulatorConfig(cases=1, log_size=3))
    for _ in range(5):
        call("GET", "/cases")
    assert [each.index for each in call.server.requests()] == [2, 3, 4]
    assert [each.index for each in call.server.requests(since=4)] == [4]
    assert call.server.state()["requests"] == 5


def test_connections_are_counted(call, server) -> None:
    before = server.connections()["seen_by_api"]
    for _ in range(5):
        call("GET", "/cases")
    assert server.connections()["seen_by_api"] == before + 1
    for _ in range(3):
        requests.get(f"{server.url}/api/v1/cases", timeout=5)
    assert server.connections()["seen_by_api"] == before + 4


def test_the_clock_can_be_turned_and_stopped(call, server, open_case) -> None:
    server.freeze_clock()
    now = server.state()["clock"]["now"]
    server.advance_clock(86_400)
    assert server.state()["clock"]["now"] == now + 86_400
    server.control("POST", "clock", {"jump": 2_000_000_000})
    updated = call.set_status(open_case, "Approved").json()["data"]["attributes"]["updated-at"]
    assert updated == "2033-05-18T03:33:20.000Z"
    server.freeze_clock(frozen=False)
    assert server.state()["clock"]["now"] >= 2_000_000_000


def test_reset_begins_anew(call, server, open_case) -> None:
    call.set_status(open_case, "Approved", idempotency_key="k")
    server.script_fault("http_500")
    server.configure(limit=5)
    server.reset()
    state = server.state()
    assert (state["effects"], state["requests"], state["kept_answers"], state["waiting_faults"]) == (0, 0, 0, 0)
    assert state["limit"] == 100_000
    assert server.statuses()[open_case] == "Open"


def test_cases_follow_from_the_seed(simulate) -> None:
    worlds = [simulate(SimulatorConfig(cases=40, seed=seed)).server.cases() for seed in (1, 1, 2)]
    assert worlds[0] == worlds[1] != worlds[2]
    assert [case["case_id"] for case in worlds[0]] == [case["case_id"] for case in worlds[2]]


def test_a_server_starts_once_and_stops_quietly() -> None:
    server = SimulatorServer(SimulatorConfig(cases=1))
    assert server.start() is server.start()
    url = server.url
    server.stop()
    server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/_simulator/state", timeout=5)


def test_a_taken_port_is_an_error(server) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        SimulatorServer(SimulatorConfig(cases=1, port=port)).start()


@pytest.mark.parametrize("missing", [["uvloop"], ["uvloop", "uvicorn.protocols.http.httptools_impl"]])
def test_without_the_fast_libraries_it_behaves_alike(monkeypatch, missing) -> None:
    for module in missing:
        monkeypatch.setitem(sys.modules, module, None)
    with SimulatorServer(SimulatorConfig(cases=1)) as server:
        for kind, message in (("reset_before", "reset"), ("reset_after", "reset"), ("truncated", "broken")):
            server.script_fault(kind)
            with pytest.raises(requests.RequestException, match=message):
                requests.get(
                    f"{server.url}/api/v1/cases", headers={"Authorization": f"Bearer {SANDBOX_KEY}"}, timeout=5
                )
        assert requests.get(f"{server.url}/api/v1/cases", timeout=5).status_code == 401
