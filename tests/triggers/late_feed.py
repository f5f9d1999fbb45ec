"""A server of events that can appear late, be many, or lack what they should have; paged as Persona pages them."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
NAME = "case.status-updated"


class LateFeed:
    """Answers `GET /events` with what was added so far, the newest first, and counts the requests."""

    def __init__(self) -> None:
        self.requests = 0
        self._events: list[dict[str, Any]] = []
        feed = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                feed.requests += 1
                body = json.dumps(feed._page(parse_qs(urlsplit(self.path).query))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, event_id: str, seconds: float, **attributes: Any) -> None:
        """Let an event appear now that happened so many seconds after the start."""
        at = START + timedelta(seconds=seconds)
        shown = {"name": NAME, "created-at": at.isoformat(), "payload": {"data": {"id": f"case_{event_id}"}}}
        self._events.append({"type": "event", "id": event_id, "at": at, "attributes": {**shown, **attributes}})
        self._events.sort(key=lambda each: each["at"], reverse=True)

    def _page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        size = int(query["page[size]"][0])
        ids = [each["id"] for each in self._events]
        begin = ids.index(query["page[after]"][0]) + 1 if "page[after]" in query else 0
        shown = self._events[begin : begin + size]
        following = None
        if begin + size < len(ids):
            following = f"/api/v1/events?page%5Bsize%5D={size}&page%5Bafter%5D={shown[-1]['id']}"
        data = [{name: value for name, value in each.items() if name != "at"} for each in shown]
        return {"data": data, "links": {"prev": None, "next": following}}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
