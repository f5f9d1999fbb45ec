"""What really happened, apart from what the API says: every effect on a case, and every request received.

Tests and audits compare a run's own record with the journal. It never holds a value of a field or a secret.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from persona_simulator.clock import timestamp

_HEADER_SETS_KEPT = 10_000

HUMAN: str = "human"
"""The actor of changes that were made through the control endpoint, as if in the dashboard."""

BACKGROUND: str = "background"
"""The actor of changes that Persona itself makes, when work ends or a test plays its part."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One write that was applied to one object, a case for example.

    :param index: its place in the journal, from 0.
    :param at: simulated time, in epoch seconds.
    :param wall: real time, in epoch seconds; the same run has other ones each time, so equality leaves it out.
    :param operation: id of the operation, or `dashboard`, or `work` for what ended in the background.
    :param object_id: the object.
    :param from_status: its status before; None for a new one.
    :param to_status: its status after; None when things like it have none.
    :param parts: names of what changed, for example `status` or `fields.name-first`.
    :param changed: False when the write set what was there already.
    :param actor: `human`, `background`, or the id of the key.
    :param idempotency_key: the key of the request, if it had one.
    :param request_id: the request, if it was one.
    """

    index: int
    at: float
    wall: float = field(compare=False)
    operation: str
    object_id: str
    from_status: str | None
    to_status: str | None
    parts: tuple[str, ...]
    changed: bool
    actor: str
    idempotency_key: str | None
    request_id: str | None

    @property
    def case_id(self) -> str:
        """The object, by the name that suits runs over cases."""
        return self.object_id

    def as_json(self) -> dict[str, Any]:
        """Return it as it is sent by the control endpoint, with the time in words too."""
        return {**_values(self), "case_id": self.object_id, "time": timestamp(self.at)}


def _values(record: Effect | LoggedRequest) -> dict[str, Any]:
    """Return the fields by their names, without `asdict`'s deep copy: a test reads thousands of records."""
    return {name: getattr(record, name) for name in record.__slots__}


class Journal:
    """The effects in the order in which they happened."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []

    def note(
        self,
        *,
        at: float,
        operation: str,
        object_id: str,
        from_status: str | None,
        to_status: str | None,
        parts: tuple[str, ...],
        actor: str,
        idempotency_key: str | None = None,
        request_id: str | None = None,
    ) -> Effect:
        """Add one effect; the parameters are those of `Effect`."""
        effect = Effect(
            index=len(self.effects),
            at=at,
            wall=time.time(),
            operation=operation,
            object_id=object_id,
            from_status=from_status,
            to_status=to_status,
            parts=parts,
            changed=bool(parts),
            actor=actor,
            idempotency_key=idempotency_key,
            request_id=request_id,
        )
        self.effects.append(effect)
        return effect


@dataclass(slots=True)
class LoggedRequest:
    """One request as it was received; `status` stays 0 while there is no answer, and for ever when there is none.

    :param case_id: the object in its path, a case for example; None when there is none.
    :param key: what kind of key it carried (`full`, `read-only`, `unknown`, `missing`), never the key.
    :param headers: its headers without the key, the idempotency key and the length.
    :param connection: the client's address and port, which tell connections apart.
    """

    index: int
    at: float
    method: str
    path: str
    query: str
    operation: str | None
    case_id: str | None
    idempotency_key: str | None
    key: str
    headers: tuple[tuple[str, str], ...]
    body_bytes: int
    connection: str
    fault: str | None = None
    replayed: bool = False
    status: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as it is sent by the control endpoint."""
        return {**_values(self), "time": timestamp(self.at)}


class RequestLog:
    """The last received requests, oldest first.

    :param size: how many are remembered.
    """

    def __init__(self, size: int) -> None:
        self._kept: deque[LoggedRequest] = deque(maxlen=size)
        self._headers: dict[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]] = {}
        self.received = 0

    def note(self, request: LoggedRequest) -> None:
        """Add one request; its headers share memory with equal ones."""
        if len(self._headers) < _HEADER_SETS_KEPT:
            request.headers = self._headers.setdefault(request.headers, request.headers)
        self.received += 1
        self._kept.append(request)

    def since(self, index: int) -> Iterable[LoggedRequest]:
        """Yield the remembered requests from number `index` (the first is 0) on."""
        first = self._kept[0].index if self._kept else 0
        return islice(self._kept, max(0, index - first), None)
