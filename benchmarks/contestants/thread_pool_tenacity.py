"""A thread pool, `requests` and tenacity: the usual robust version.

Each thread has a session. Network failures, 429 and 5xx are tried again after a random exponential wait, eight times
at most. All tries of a row have the same idempotency key, as most people understand such keys.
"""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import requests
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from benchmarks.contestants.command_line import Row, Task, body, run

TRY_AGAIN = frozenset({409, 429, 500, 502, 503, 504})


class PassingError(Exception):
    """The server says that it may work later."""


class Writer:
    """Sets statuses from any thread."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._local = threading.local()
        self._retrying = Retrying(
            retry=retry_if_exception_type(
                (PassingError, requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
            ),
            wait=wait_random_exponential(multiplier=1, max=60),
            stop=stop_after_attempt(8),
        )

    def set_status(self, row: Row) -> bool:
        """Set the status of a case; False when it could not be done."""
        case_id, status = row
        key = str(uuid.uuid4())
        try:
            self._retrying.copy()(self._post, case_id, status, key)
        except (RetryError, requests.RequestException):
            return False
        return True

    def _post(self, case_id: str, status: str, key: str) -> None:
        url, headers = self._task.address(case_id), {"Idempotency-Key": key}
        answer = self._session().post(url, json=body(status), headers=headers, timeout=30)
        if answer.status_code in TRY_AGAIN:
            raise PassingError(answer.status_code)
        answer.raise_for_status()

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.headers.update(self._task.headers)
        session: requests.Session = self._local.session
        return session


def apply(task: Task) -> list[str]:
    """Change the cases, several at a time; return those that could not be changed."""
    writer = Writer(task)
    with ThreadPoolExecutor(task.concurrency) as pool:
        done = pool.map(writer.set_status, task.rows)
        return [case_id for (case_id, _), is_done in zip(task.rows, done, strict=True) if not is_done]


if __name__ == "__main__":
    run(apply)
