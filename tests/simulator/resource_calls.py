"""Small words for tests about resources: bodies, things that are made, what was done to them."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

TEMPLATE = {"inquiry-template-id": "itmpl_kyc"}


def attributes(**given: Any) -> dict[str, Any]:
    """Return a body with these attributes, names in kebab-case."""
    return {"data": {"attributes": {name.replace("_", "-"): value for name, value in given.items()}}}


def meta(**given: Any) -> dict[str, Any]:
    """Return a body with this meta, names in kebab-case."""
    return {"meta": {name.replace("_", "-"): value for name, value in given.items()}}


def made(call: Any, path: str, body: Any) -> str:
    """Make something and return its id."""
    answer = call("POST", path, body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["id"])


def status(call: Any, path: str) -> str:
    """Read something and return its status."""
    return str(call("GET", path).json()["data"]["attributes"]["status"])


def effects(server: Any, object_id: str) -> Counter[str]:
    """Count the effects on an object by operation, those that changed something."""
    return Counter(each.operation for each in server.journal() if each.object_id == object_id and each.changed)


def csv(*lines: str) -> dict[str, str]:
    """Return a CSV file as a body holds it."""
    return {"data": base64.b64encode("\n".join(lines).encode()).decode(), "filename": "rows.csv"}
