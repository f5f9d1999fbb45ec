"""Another client of the same environment: a slow and steady reader with a key of its own."""

from __future__ import annotations

import http.client
import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from persona_simulator import READ_ONLY_KEY

KIND_OF_KEY = "read-only"
"""What the simulator's request log calls its key."""


class ForeignClient:
    """Reads a case at a steady rate until it is stopped; use it in a `with` statement.

    It ignores the limit, so its refused requests are those that a client beside the run would lose.

    :param url: address of Persona.
    :param case_id: the case to read.
    :param per_second: requests a second.
    """

    def __init__(self, url: str, case_id: str, per_second: float) -> None:
        self._url = urlsplit(url)
        self._path = f"/api/v1/cases/{case_id}?fields[case]=status"
        self._pause = 1.0 / per_second
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read_on, name="foreign-client", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def _read_on(self) -> None:
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=30)
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            due += self._pause
            connection.request("GET", self._path, headers={"Authorization": f"Bearer {READ_ONLY_KEY}"})
            connection.getresponse().read()
        connection.close()
