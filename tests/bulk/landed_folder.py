"""A copy of a state folder that the landed version left, and what shows that today's code goes on with it."""

from __future__ import annotations

import http.client
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_persona.api.messages import Request
from airflow_provider_persona.bulk.ledger.ledger import LedgerState, read_ledger
from airflow_provider_persona.bulk.plan.file import Plan, PlanRow, read_plan
from airflow_provider_persona.bulk.subjects.subject import ObjectUpdate
from persona_simulator import READ_ONLY_KEY, SANDBOX_KEY, SimulatorControl
from persona_simulator.in_memory import InMemorySimulator

LANDED = Path(__file__).with_name("landed")
KEYS = {"full": SANDBOX_KEY, "read-only": READ_ONLY_KEY}


class Landed:
    """A copy of a folder that the landed version left.

    :param name: its name.
    :param folder: where the copy goes.
    """

    def __init__(self, name: str, folder: Path) -> None:
        shutil.copytree(LANDED / name, folder)
        self.folder = folder
        self.known = self.json("state.json")
        self.keys: dict[tuple[int, str], list[str]] = {
            (line["row"], line["operation"]): line["keys"] for line in self.json("keys.json")
        }
        self.sent: list[dict[str, Any]] = self.json("sent.json") if (folder / "sent.json").exists() else []

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_bytes())

    @property
    def plan(self) -> Plan:
        (path,) = self.folder.rglob("plan.jsonl")
        found = read_plan(path.parent)
        assert found is not None
        return found

    @property
    def state(self) -> LedgerState:
        return read_ledger(self.plan.folder, self.plan.header.hash)

    def send_again(self, sim: SimulatorControl) -> None:
        """Send what the landed version had sent, so that a new simulator has its changes and its kept answers."""
        for call in self.sent:
            if call["fault"] is not None:
                sim.script_fault(call["fault"], operation=call["operation"], case_id=call["case_id"])
            headers = {**call["headers"], "Authorization": f"Bearer {KEYS[call['credential']]}"}
            if call["idempotency_key"] is not None:
                headers["Idempotency-Key"] = call["idempotency_key"]
            _send(sim, call["method"], call["target"], headers, json.dumps(call["body"]))


def _send(sim: SimulatorControl, method: str, target: str, headers: Mapping[str, str], body: str) -> None:
    if isinstance(sim, InMemorySimulator):
        sim.handle(method, target, headers, body.encode())
        return
    parts = urlsplit(sim.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request(method, target, body, headers)
    connection.getresponse().read()
    connection.close()


def requests_of(row: PlanRow) -> list[Request]:
    """The writes of a row, whatever is already so."""
    if isinstance(row.wanted, ObjectUpdate):
        return [step.request(row.wanted.object_id) for step in row.wanted.change.steps()]
    return [] if row.wanted is None else [row.wanted.request()]


def ranges(numbers: list[list[int]]) -> Iterator[int]:
    for first, last in numbers:
        yield from range(first, last + 1)


def effects(sim: SimulatorControl) -> Counter[tuple[str, str]]:
    """How often each operation really changed each object."""
    return Counter((effect.operation, effect.case_id) for effect in sim.journal() if effect.changed)


def assert_keys_follow_on(sim: SimulatorControl, since: int, landed: Landed, rows: Iterable[PlanRow]) -> None:
    """Make sure that every keyed write since then has the landed key of its row, in the generation that follows."""
    row_of = {row.object_id: row.number for row in rows}
    posts = [request for request in sim.requests(since=since) if request.method == "POST"]
    assert posts
    for request in posts:
        number = row_of[request.case_id]
        generation = landed.known["generations"].get(str(number), 0)
        assert request.idempotency_key == landed.keys[number, str(request.operation)][generation]
