"""A request on its way through the environment, from the wire to its answer, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from persona_simulator.config import ApiKey
from persona_simulator.faults import Fault, ScriptedFault
from persona_simulator.journal import LoggedRequest
from persona_simulator.rendering import AnswerStyle
from persona_simulator.routes import Route


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came off the wire; `headers` have lower-case names."""

    method: str
    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    connection: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the API, ready for the wire."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Exchange:
    """One request on its way through the environment.

    :param awaiting: the fault that awaits it, which may yet not happen.
    :param fault: the fault that does happen.
    :param reply: the answer, once there is one.
    """

    incoming: Incoming
    route: Route | None
    logged: LoggedRequest
    request_id: str
    awaiting: ScriptedFault | Fault | None = None
    fault: Fault | None = None
    key: ApiKey | None = None
    idempotency_key: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    style: AnswerStyle | None = None
    reply: Reply | None = None
