"""What a request costs the simulator in CPU time: printed, and held only against a bound far above it."""

from __future__ import annotations

import asyncio
import json
import resource

from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorProcess

CONNECTIONS, REQUESTS = 16, 200


def _request(connection: int, number: int) -> bytes:
    body = json.dumps({"meta": {"status": "Approved" if number % 2 else "Pending"}}).encode()
    head = (
        f"POST /api/v1/cases/case_sim{5 * (connection * REQUESTS + number) + 1:06d}/set-status HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {SANDBOX_KEY}\r\nIdempotency-Key: {connection}-{number}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _use(port: int, connection: int) -> list[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    statuses = []
    for number in range(REQUESTS):
        writer.write(_request(connection, number))
        head = await reader.readuntil(b"\r\n\r\n")
        statuses.append(head[9:12])
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    writer.close()
    return statuses


async def _use_all(port: int) -> list[bytes]:
    used = await asyncio.gather(*(_use(port, connection) for connection in range(CONNECTIONS)))
    return [status for statuses in used for status in statuses]


def test_cost_of_status_changes() -> None:
    total = CONNECTIONS * REQUESTS
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with SimulatorProcess(SimulatorConfig(cases=5 * total, limit=10 * total)) as simulator:
        statuses = asyncio.run(_use_all(int(simulator.url.rpartition(":")[2])))
        effects = simulator.journal()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    milliseconds = 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) / total
    print(f"{milliseconds:.2f} ms of CPU a status change, with the start of the simulator")
    assert statuses == [b"200"] * total
    assert len({effect.case_id for effect in effects}) == total
    assert milliseconds < 5
