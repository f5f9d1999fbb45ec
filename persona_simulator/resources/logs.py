"""What the environment remembers: events, and the API calls that it was sent, which are the simulator's own log."""

from __future__ import annotations

from typing import Any

from persona_simulator.call import Call
from persona_simulator.clock import timestamp
from persona_simulator.journal import LoggedRequest, RequestLog
from persona_simulator.problems import not_found
from persona_simulator.resources.answers import event_object, thinned
from persona_simulator.resources.holdings import Holdings, Outcomes
from persona_simulator.resources.listing import page_of

_PREFIX = "req_sim"


def request_id(number: int) -> str:
    """Return the id of request `number`, counted from 0."""
    return f"{_PREFIX}{number + 1:010d}"


def read_event(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `GET /events/{id}`."""
    event = holdings.events.get(call.subject)
    if event is None:
        raise not_found()
    return Outcomes({"data": event_object(holdings, event, call)})


def list_api_logs(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `GET /api-logs`; replayed answers make no log of their own."""
    found = [logged for logged in _log(holdings).since(0) if logged.status and not logged.replayed][::-1]
    return page_of(call, found, lambda logged: request_id(logged.index), lambda logged: _shown(logged, call))


def read_api_log(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `GET /api-logs/{id}`."""
    number = call.subject.removeprefix(_PREFIX)
    for logged in _log(holdings).since(int(number) - 1) if number.isdecimal() else ():
        if request_id(logged.index) == call.subject and logged.status:
            return Outcomes({"data": _shown(logged, call)})
        break
    raise not_found()


def _log(holdings: Holdings) -> RequestLog:
    return holdings.requests


def _shown(logged: LoggedRequest, call: Call) -> dict[str, Any]:
    attributes = {
        "request": {
            "method": logged.method,
            "path": logged.path,
            "headers": {},
            "get-params": {},
            "post-params": {},
            "ip-address": "127.0.0.1",
        },
        "response": {"status": logged.status, "headers": {}},
        "created-at": timestamp(logged.at),
        "redacted-at": None,
    }
    return {"type": "api-log", "id": request_id(logged.index), "attributes": thinned(attributes, "api-log", call)}
