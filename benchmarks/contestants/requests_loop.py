"""A loop with one `requests.Session`: the script that does it by Friday.

After a 429 it waits as the API says (`RateLimit-Reset` is seconds left). It tries five times when the network or the
server fails, and then continues with the next row. It sends no idempotency key.
"""

from __future__ import annotations

import logging
import time

import requests

from benchmarks.contestants.command_line import Task, body, run

log = logging.getLogger(__name__)
TRIES = 5


def set_status(session: requests.Session, url: str, status: str) -> bool:
    """Set the status of a case; False when it could not be done."""
    tries = 0
    while tries < TRIES:
        try:
            answer = session.post(url, json=body(status), timeout=30)
        except requests.RequestException:
            tries += 1
            time.sleep(1)
            continue
        if answer.ok:
            return True
        if answer.status_code == requests.codes.too_many_requests:
            time.sleep(max(1, int(answer.headers.get("RateLimit-Reset", "1"))))
        elif answer.status_code in (409, 500, 502, 503, 504):
            tries += 1
            time.sleep(1)
        else:
            break
    log.warning("gave up on %s", url)
    return False


def apply(task: Task) -> list[str]:
    """Change one case after the other; return those that could not be changed."""
    with requests.Session() as session:
        session.headers.update(task.headers)
        return [case_id for case_id, status in task.rows if not set_status(session, task.address(case_id), status)]


if __name__ == "__main__":
    run(apply)
