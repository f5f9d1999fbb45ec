"""The control endpoints under `/_simulator/`: look behind the API, turn the clock, script faults, act as a human.

They need no key, count against no limit, and answer loopback clients only. Payloads are checked by pydantic against
the dataclasses that they fill.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from persona_simulator.call import parse_query
from persona_simulator.clock import timestamp
from persona_simulator.config import API_VERSIONS, ResetRounding, SimulatorConfig, UnknownFields
from persona_simulator.environment import Environment
from persona_simulator.faults import FaultKind, ScriptedFault
from persona_simulator.simulation import Simulation


class BadControlError(ValueError):
    """A control request that makes no sense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChange:
    """What may change while the simulator runs; None leaves it, `create_quota` -1 takes the quota away."""

    limit: int | None = None
    window_seconds: float | None = None
    reset_rounding: ResetRounding | None = None
    latency_ms: float | None = None
    idempotency_ttl_seconds: float | None = None
    search_lag_seconds: float | None = None
    create_quota: int | None = None
    quota_status: int | None = None
    unknown_fields: UnknownFields | None = None
    fault_rates: dict[FaultKind, float] | None = None
    work_seconds: float | None = None
    work_reads: int | None = None
    restricted: bool | None = None
    file_link_seconds: float | None = None

    def applied_to(self, config: SimulatorConfig) -> SimulatorConfig:
        """Return `config` with the changes."""
        changes = {name: value for name, value in asdict(self).items() if value is not None}
        if changes.get("create_quota") == -1:
            changes["create_quota"] = None
        return replace(config, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """How to turn the clock: first freeze or unfreeze, then jump to epoch seconds, then advance by seconds."""

    frozen: bool | None = None
    jump: float | None = None
    advance: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanChange:
    """What a reviewer does to one case in the dashboard."""

    case_id: str
    status: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectChange:
    """What Persona, or a person in the dashboard, does to something other than a case.

    :param event: last part of the name of the event that it makes; None takes the status.
    """

    object_id: str
    status: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    event: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A file of filler to download.

    :param size: bytes.
    :param declares_length: whether a download says how long it is.
    """

    filename: str
    size: int
    content_type: str | None = None
    declares_length: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultScript:
    """Faults to add to the waiting queue; `clear` empties it first."""

    faults: list[ScriptedFault] = field(default_factory=list)
    clear: bool = False


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _read(kind: Any, body: bytes) -> Any:
    try:
        return _reader(kind).validate_json(body or b"{}")
    except ValidationError as refusal:
        first = refusal.errors(include_url=False, include_input=False)[0]
        raise BadControlError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """One control request: the simulation that it controls, its query and its body."""

    simulation: Simulation
    query: Mapping[str, str]
    body: bytes

    @property
    def environment(self) -> Environment:
        """The environment as it is now."""
        return self.simulation.environment


Control = Callable[[ControlRequest], Any]


def _journal(request: ControlRequest) -> Any:
    since = int(request.query.get("since", "0"))
    return {"effects": [effect.as_json() for effect in request.environment.journal.effects[since:]]}


def _requests(request: ControlRequest) -> Any:
    log = request.environment.requests
    operation, case_id = request.query.get("operation"), request.query.get("case-id")
    chosen = [
        logged.as_json()
        for logged in log.since(int(request.query.get("since", "0")))
        if operation in (None, logged.operation) and case_id in (None, logged.case_id)
    ]
    return {"received": log.received, "requests": chosen}


def _show_faults(request: ControlRequest) -> Any:
    plan = request.environment.faults
    return {"rates": dict(plan.rates), "waiting": [asdict(waiting) for waiting in plan.scripted]}


def _script_faults(request: ControlRequest) -> Any:
    script: FaultScript = _read(FaultScript, request.body)
    plan = request.environment.faults
    if script.clear:
        plan.scripted.clear()
    plan.script(script.faults)
    return _show_faults(request)


def _turn_clock(request: ControlRequest) -> Any:
    change: ClockChange = _read(ClockChange, request.body)
    clock = request.environment.clock
    if change.frozen is not None:
        (clock.freeze if change.frozen else clock.unfreeze)()
    if change.jump is not None:
        clock.jump(change.jump)
    clock.advance(change.advance)
    return _clock(request.environment)


def _clock(environment: Environment) -> dict[str, Any]:
    now = environment.clock.now()
    return {"now": now, "time": timestamp(now), "frozen": environment.clock.frozen}


def _reconfigure(request: ControlRequest) -> Any:
    change: ConfigChange = _read(ConfigChange, request.body)
    request.environment.reconfigure(change.applied_to(request.environment.config))
    return _settings(request.environment.config)


def _settings(config: SimulatorConfig) -> dict[str, Any]:
    shown = {name: value for name, value in asdict(config).items() if name != "keys"}
    return {**shown, "state_file": str(config.state_file) if config.state_file else None}


def _show_cases(request: ControlRequest) -> Any:
    cases = [
        {
            "case_id": case.case_id,
            "status": case.status,
            "template_id": case.template.template_id,
            "assignee": case.assignee,
            "tags": case.tags,
            "fields": case.fields,
        }
        for case in request.environment.world.order
    ]
    return {"cases": cases}


def _act_as_human(request: ControlRequest) -> Any:
    change: HumanChange = _read(HumanChange, request.body)
    try:
        changed = request.environment.act_as_human(change.case_id, change.status, change.fields)
    except KeyError as unknown:
        raise BadControlError(f"there is no case, status or field {unknown.args[0]!r}") from None
    return {"changed": changed}


def _add_objects(request: ControlRequest) -> Any:
    for object_id in _read(list[str], request.body):
        if request.environment.world.add_object(object_id) is None:
            raise BadControlError(f"{object_id} has no prefix of something that can be attached to a case")
    return {"objects": len(request.environment.world.objects)}


def _change_object(request: ControlRequest) -> Any:
    change: ObjectChange = _read(ObjectChange, request.body)
    environment = request.environment
    environment.holdings.at(environment.clock.now())
    try:
        changed = environment.holdings.alter(change.object_id, change.status, change.attributes, change.event)
    except KeyError as unknown:
        raise BadControlError(f"there is no {unknown.args[0]!r}") from None
    return {"changed": changed}


def _show_object(request: ControlRequest) -> Any:
    environment = request.environment
    environment.holdings.at(environment.clock.now())
    thing = environment.holdings.look_up(request.query.get("object-id", ""))
    if thing is None:
        raise BadControlError("there is no such object")
    return {"type": thing.kind, "id": thing.thing_id, "status": thing.status, "attributes": thing.attributes}


def _add_file(request: ControlRequest) -> Any:
    new: NewFile = _read(NewFile, request.body)
    files, now = request.environment.world.files, request.environment.clock.now()
    file = files.store(
        new.filename, None, size=new.size, content_type=new.content_type, declares_length=new.declares_length
    )
    return {"file_id": file.file_id, "path": files.link(file, origin="", version=API_VERSIONS[-1], now=now)}


def _downloads(request: ControlRequest) -> Any:
    return {"downloads": [asdict(each) for each in request.environment.world.files.downloads]}


def _state(request: ControlRequest) -> Any:
    environment = request.environment
    now = environment.clock.now()
    statuses: dict[str, Counter[str]] = {}
    for case in environment.world.order:
        statuses.setdefault(case.template.template_id, Counter())[case.status] += 1
    return {
        "environment_id": environment.config.environment_id,
        "cases": len(environment.world.order),
        "statuses": statuses,
        "limit": environment.window.limit,
        "remaining": environment.window.remaining(now),
        "seconds_to_reset": environment.window.seconds_left(now),
        "effects": len(environment.journal.effects),
        "requests": environment.requests.received,
        "kept_answers": len(environment.kept),
        "waiting_faults": len(environment.faults.scripted),
        "clock": _clock(environment),
    }


def _connections(request: ControlRequest) -> Any:
    return {
        "seen": request.simulation.book.seen,
        "seen_by_api": request.simulation.book.seen_by_api,
        "open": request.simulation.book.open_count,
    }


def _reset(request: ControlRequest) -> Any:
    request.simulation.reset()
    return _state(request)


_CONTROLS: Final[Mapping[tuple[str, str], Control]] = {
    ("GET", "journal"): _journal,
    ("GET", "requests"): _requests,
    ("GET", "faults"): _show_faults,
    ("POST", "faults"): _script_faults,
    ("GET", "clock"): lambda request: _clock(request.environment),
    ("POST", "clock"): _turn_clock,
    ("GET", "config"): lambda request: _settings(request.environment.config),
    ("POST", "config"): _reconfigure,
    ("GET", "cases"): _show_cases,
    ("POST", "cases"): _act_as_human,
    ("POST", "objects"): _add_objects,
    ("GET", "object"): _show_object,
    ("POST", "object"): _change_object,
    ("POST", "files"): _add_file,
    ("GET", "downloads"): _downloads,
    ("GET", "state"): _state,
    ("GET", "connections"): _connections,
    ("POST", "reset"): _reset,
}


def answer_control(simulation: Simulation, method: str, name: str, query: bytes, body: bytes) -> tuple[int, bytes]:
    """Answer a control request.

    :param name: the path below `/_simulator/`.
    :returns: status and JSON body; a request that makes no sense gets 400 and `{"error": …}`.
    """
    control = _CONTROLS.get((method, name))
    if control is None:
        return 404, json.dumps({"error": "no such control", "controls": sorted({n for _, n in _CONTROLS})}).encode()
    try:
        return 200, json.dumps(control(ControlRequest(simulation, parse_query(query), body))).encode()
    except ValueError as refusal:
        return 400, json.dumps({"error": str(refusal)}).encode()
