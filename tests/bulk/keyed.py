"""Objects that can be found by another key than their id, for the suite over all kinds."""

from __future__ import annotations

from typing import Any

from tests.bulk.kinds import KINDS, Kind
from tests.virtual_time import VirtualPersona

KEYS = [(kind, by) for kind in KINDS for by in kind.subject.match.keys]
"""Each kind with each of its keys."""


def keyed_objects(persona: VirtualPersona, kind: Kind, by: str, count: int) -> dict[str, str]:
    """Make so many objects of a kind that have a key each, and return their ids by the key."""
    if kind.name == "case":
        return _cases(persona, kind, by, count)
    values = [f"act_simkey{number}" if by == "account-id" else f"key-{number}" for number in range(count)]
    if by == "account-id":
        persona.add_objects(*values)
    if kind.name in ("report", "inquiry"):
        return _made(persona, kind, by, values)
    found = dict(zip(values, kind.ids(persona, count), strict=True))
    for value, object_id in found.items():
        persona.change_object(object_id, attributes={"reference-id": value})
    return found


def keyed_rows(kind: Kind, by: str, values: list[str], **more: Any) -> list[dict[str, Any]]:
    """Rows that wish something for each key."""
    return [{by.replace("-", "_"): value, **kind.wish, **more} for value in values]


def _cases(persona: VirtualPersona, kind: Kind, by: str, count: int) -> dict[str, str]:
    prefix = {"reference-id": "customer-", "account-id": "act_", "inquiry-id": "inq_", "report-id": "rep_"}[by]
    numbers = [case_id.removeprefix("case_") for case_id in kind.ids(persona, 10_000)]
    if by == "report-id":  # the simulator gives a report to every fourth case
        numbers = [number for number in numbers if int(number.removeprefix("sim")) % 4 == 1]
    return {f"{prefix}{number}": f"case_{number}" for number in numbers[:count]}


def _made(persona: VirtualPersona, kind: Kind, by: str, values: list[str]) -> dict[str, str]:
    """Make inquiries or reports through the API, which alone gives them an account or a hidden reference id."""

    async def main() -> dict[str, str]:
        made = {}
        async with persona.client() as client:
            for value in values:
                given: dict[str, Any] = {by: value}
                if kind.name == "inquiry":
                    attributes = {**given, "inquiry-template-id": "itmpl_x"}
                    answer = await client.call("create-an-inquiry", body={"data": {"attributes": attributes}})
                else:
                    attributes = {**given, "query": {"term": "x"}}
                    data = {"type": "report/watchlist", "attributes": attributes}
                    answer = await client.call("create-a-report", body={"data": data})
                made[value] = answer.json()["data"]["id"]
        return made

    found = persona.run(main())
    for object_id in found.values():
        persona.change_object(object_id, attributes=kind.attributes)
    return found
