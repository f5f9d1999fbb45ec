"""A server that stands in Persona's place and gives answers that Persona would not give."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit


class RoguePersona:
    """Gives scripted pages over a socket, the first again after the last, and remembers what was asked."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._pages: dict[str, Sequence[Any]] = {}
        rogue = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                rogue.paths.append(self.path)
                rogue.headers.append({name.lower(): value for name, value in self.headers.items()})
                pages = rogue._pages.get(urlsplit(self.path).path, [{"errors": []}])
                body = json.dumps(pages[(len(rogue.paths) - 1) % len(pages)]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def give(self, path: str, pages: Sequence[Any]) -> None:
        self._pages[path] = pages

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
