"""The control endpoints from Python: what tests and demos call on a running simulator."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from pydantic import TypeAdapter

from persona_simulator.faults import ELSEWHERE, FaultKind
from persona_simulator.journal import Effect, LoggedRequest

TOKEN_HEADER: Final = "Simulator-Token"  # noqa: S105 - the name of a header
"""The header of control requests that brings the control token."""


class SimulatorControl:
    """Controls a running simulator.

    :param url: where it listens, for example `http://127.0.0.1:8790`.
    :param token: its control token, None where it has none.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url
        self._token = token

    @property
    def url(self) -> str:
        """Where the simulator listens, without `/api/v1`."""
        return self._url

    def control(
        self, method: str, name: str, payload: Any = None, query: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """Send one control request and return the answer.

        :param name: the path below `/_simulator/`.
        :raises ValueError: when the simulator refuses it.
        """
        payload_bytes = json.dumps(payload).encode() if payload is not None else b""
        status, answer = self._ask(method, name, urlencode(query or {}), payload_bytes)
        body: dict[str, Any] = json.loads(answer)
        if status != http.client.OK:
            raise ValueError(body.get("error", f"status {status}"))
        return body

    def _ask(self, method: str, name: str, query: str, payload: bytes) -> tuple[int, bytes]:
        """Send a control request over a connection of its own; return status and body of the answer."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        target = f"/_simulator/{name}" + (f"?{query}" if query else "")
        try:
            headers = {} if self._token is None else {TOKEN_HEADER: self._token}
            connection.request(method, target, payload or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def journal(self, since: int = 0) -> list[Effect]:
        """Return the effects from number `since` on."""
        return _effects().validate_python(self.control("GET", "journal", query={"since": since})["effects"])

    def requests(self, since: int = 0, operation: str | None = None, case_id: str | None = None) -> list[LoggedRequest]:
        """Return the received requests from number `since` on, of one operation or about one case if so wished."""
        chosen = {"since": since, "operation": operation, "case-id": case_id}
        query = {name: value for name, value in chosen.items() if value is not None}
        return _logged().validate_python(self.control("GET", "requests", query=query)["requests"])

    def script_fault(
        self,
        kind: FaultKind | str,
        *,
        operation: str | None = None,
        case_id: str | None = None,
        times: int = 1,
        skip: int = 0,
        seconds: float = 0.2,
        location: str = ELSEWHERE,
    ) -> None:
        """Let the next matching requests meet a fault.

        :param times: how many of them; `skip` matching ones pass unharmed first.
        :param seconds: length of `latency` and `slow`.
        :param location: target of `redirect`.
        """
        fault = {"kind": str(FaultKind(kind)), "seconds": seconds, "location": location}
        waiting = {"fault": fault, "operation": operation, "case_id": case_id, "times": times, "skip": skip}
        self.control("POST", "faults", {"faults": [waiting]})

    def clear_faults(self) -> None:
        """Forget the faults that still wait."""
        self.control("POST", "faults", {"clear": True})

    def advance_clock(self, seconds: float) -> None:
        """Turn the simulator's clock forward by `seconds`."""
        self.control("POST", "clock", {"advance": seconds})

    def freeze_clock(self, *, frozen: bool = True) -> None:
        """Let the simulator's clock stand still, or run again."""
        self.control("POST", "clock", {"frozen": frozen})

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Change settings while running; see `ConfigChange` for their names. Returns all settings."""
        return self.control("POST", "config", changes)

    def act_as_human(self, case_id: str, status: str | None = None, fields: Mapping[str, Any] | None = None) -> bool:
        """Change a case as a reviewer would in the dashboard; True when something changed."""
        change = {"case_id": case_id, "status": status, "fields": dict(fields or {})}
        return bool(self.control("POST", "cases", change)["changed"])

    def add_objects(self, *object_ids: str) -> None:
        """Make ids known (`act_…`, `inq_…`, …) so that they can be attached to cases."""
        self.control("POST", "objects", list(object_ids))

    def change_object(
        self,
        object_id: str,
        status: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        event: str | None = None,
    ) -> bool:
        """Change something other than a case behind the API's back; True when something changed.

        Work on it in the background stops, so that a report that is made `errored` stays so.

        :param event: last part of the name of the event that it makes; None takes the status.
        """
        change = {"object_id": object_id, "status": status, "attributes": dict(attributes or {}), "event": event}
        return bool(self.control("POST", "object", change)["changed"])

    def object(self, object_id: str) -> dict[str, Any]:
        """Return something other than a case as it is now: `type`, `id`, `status`, `attributes`; no read is counted."""
        return self.control("GET", "object", query={"object-id": object_id})

    def add_file(
        self, filename: str, size: int, content_type: str | None = None, *, declares_length: bool = True
    ) -> str:
        """Make a file of filler and return a signed link to it.

        :param size: bytes.
        :param content_type: media type; None takes it from the name.
        :param declares_length: whether a download says how long it is.
        """
        new = {"filename": filename, "size": size, "content_type": content_type, "declares_length": declares_length}
        return self.url + str(self.control("POST", "files", new)["path"])

    def downloads(self) -> list[dict[str, Any]]:
        """Return the requests for signed links so far: `file_id`, `status`, `carried_key`."""
        found: list[dict[str, Any]] = self.control("GET", "downloads")["downloads"]
        return found

    def cases(self) -> list[dict[str, Any]]:
        """Return all cases, oldest first: `case_id`, `status`, `template_id`, `assignee`, `tags`, `fields`."""
        found: list[dict[str, Any]] = self.control("GET", "cases")["cases"]
        return found

    def statuses(self) -> dict[str, str]:
        """Return the status of every case by its id."""
        return {case["case_id"]: case["status"] for case in self.cases()}

    def state(self) -> dict[str, Any]:
        """Return a summary: counts, limit, clock."""
        return self.control("GET", "state")

    def connections(self) -> dict[str, int]:
        """Return how many connections were `seen`, `seen_by_api`, and are `open`."""
        return self.control("GET", "connections")

    def reset(self) -> None:
        """Begin anew with the first configuration: cases, journal, log, clock, limits, faults."""
        self.control("POST", "reset")


@cache
def _effects() -> TypeAdapter[list[Effect]]:
    return TypeAdapter(list[Effect])


@cache
def _logged() -> TypeAdapter[list[LoggedRequest]]:
    return TypeAdapter(list[LoggedRequest])
