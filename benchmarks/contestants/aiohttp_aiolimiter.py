"""aiohttp with aiolimiter: the fast version, written with care.

As many workers as connections share one session and one leaky bucket with the account's limit. After a 429 a worker
waits as `RateLimit-Reset` says, which costs no try. Its author knows that Persona keeps answers under their idempotency
key, failures included: after an answer that is a failure the next try has a new key, without an answer the same key.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import nullcontext

import aiohttp
from aiolimiter import AsyncLimiter

from benchmarks.contestants.command_line import Row, Task, body, run

TRIES = 6
TRY_AGAIN = frozenset({409, 500, 502, 503, 504})


async def set_status(session: aiohttp.ClientSession, limiter: AsyncLimiter | None, url: str, status: str) -> bool:
    """Set the status of a case; False when it could not be done."""
    key, tries = str(uuid.uuid4()), 0
    while tries < TRIES:
        try:
            async with (
                limiter or nullcontext(),
                session.post(url, json=body(status), headers={"Idempotency-Key": key}) as answer,
            ):
                await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            tries += 1
            await asyncio.sleep(min(2**tries / 2, 30))
            continue
        if answer.ok:
            return True
        if answer.status == 429:
            await asyncio.sleep(max(1, int(answer.headers.get("RateLimit-Reset", "1"))))
        elif answer.status in TRY_AGAIN:
            key, tries = str(uuid.uuid4()), tries + 1
            await asyncio.sleep(min(2**tries / 2, 30))
        else:
            return False
    return False


async def apply_all(task: Task) -> list[str]:
    """Change the cases with as many workers as connections; return those that could not be changed."""
    limiter = AsyncLimiter(task.limit, task.window) if task.limit else None
    failed: list[str] = []

    async def work(rows: Iterator[Row]) -> None:
        for case_id, status in rows:
            if not await set_status(session, limiter, task.address(case_id), status):
                failed.append(case_id)

    async with aiohttp.ClientSession(
        headers=task.headers,
        connector=aiohttp.TCPConnector(limit=task.concurrency),
        timeout=aiohttp.ClientTimeout(total=30),
    ) as session:
        rows = iter(task.rows)
        await asyncio.gather(*(work(rows) for _ in range(task.concurrency)))
    return failed


def apply(task: Task) -> list[str]:
    """Change the cases; return those that could not be changed."""
    return asyncio.run(apply_all(task))


if __name__ == "__main__":
    run(apply)
