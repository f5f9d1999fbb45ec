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
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from airflow_provider_persona.simulator.call import parse_query
from airflow_provider_persona.simulator.clock import timestamp
from airflow_provider_persona.simulator.config import ResetRounding, SimulatorConfig, UnknownFields
from airflow_provider_persona.simulator.environment import Environment
from airflow_provider_persona.simulator.faults import FaultKind, ScriptedFault

if TYPE_CHECKING:
    from airflow_provider_persona.simulator.application import SimulatorApp


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


Control = Callable[["SimulatorApp", Mapping[str, str], bytes], Any]


def _journal(app: SimulatorApp, query: Mapping[str, str], body: bytes) -> Any:
    since = int(query.get("since", "0"))
    return {"effects": [effect.as_json() for effect in app.environment.journal.effects[since:]]}


def _requests(app: SimulatorApp, query: Mapping[str, str], body: bytes) -> Any:
    log = app.environment.requests
    operation, case_id = query.get("operation"), query.get("case-id")
    chosen = [
        request.as_json()
        for request in log.since(int(query.get("since", "0")))
        if operation in (None, request.operation) and case_id in (None, request.case_id)
    ]
    return {"received": log.received, "requests": chosen}


def _show_faults(app: SimulatorApp, query: Mapping[str, str], body: bytes) -> Any:
    plan = app.environment.faults
    return {"rates": dict(plan.rates), "waiting": [asdict(waiting) for waiting in plan.scripted]}


def _script_faults(app: SimulatorApp, query: Mapping[str, str], body: bytes) -> Any:
    script: FaultScript = _read(FaultScript, body)
    plan = app.environment.faults
    if script.clear:
        plan.scripted.clear()
    plan.script(script.faults)
    return _show_faults(app, query, body)


def _turn_clock(app: SimulatorApp, query: Mapping[str, str], body: bytes) -> Any:
    change: ClockChange = _read(ClockChange, body)
    clock = app.environment.clock
    if change.frozen is not None:
        (clock.freeze if change.frozen else clock.unfreeze)()
    if change.jump is not None:
        clock.jump(change.jump)
    clock.advance(change.advance)
    return _clock(app.environment)


def _clock(environment: Environment) -> dict[str, Any]:
    now = environment.clock.now()
    return {"now": now, "time": timestamp(now), "frozen": environment.clock.frozen}


def _reconfigure(app: SimulatorApp, query: Mapping[str, str], body: bytes) -> Any:
    change: ConfigChange = _read(ConfigChange, body)
    app.environment.reconfigure(change.applied_to(app.environment.config))
    return _settings(app.environment.config)


def _settings(config: SimulatorConfig) -> dict[str, Any]:
    shown = {name: value for name, value in asdict(config).items() if name != "keys"}
    return {**shown, "state_file": str(config.state_file) if config.state_file else None}


def _show_cases(app: SimulatorApp, query: Mapping[str, str], body: bytes) -> Any:
    cases = [
        {
            "case_id": case.case_id,
            "status": case.status,
            "template_id": case.template.template_id,
            "assignee": case.assignee,
            "tags": case.tags,
            "fields": case.fields,
        }
        for case in app.environment.world.order
    ]
    return {"cases": cases}


def _act_as_human(app: SimulatorApp, query: Mapping[str, str], body: bytes) -> Any:
    change: HumanChange = _read(HumanChange, body)
    try:
        changed = app.environment.act_as_human(change.case_id, change.status, change.fields)
    except KeyError as unknown:
        raise BadControlError(f"there is no case, status or field {unknown.args[0]!r}") from None
    return {"changed": changed}


def _add_objects(app: SimulatorApp, query: Mapping[str, str], body: bytes) -> Any:
    for object_id in _read(list[str], body):
        if app.environment.world.add_object(object_id) is None:
            raise BadControlError(f"{object_id} has no prefix of something that can be attached to a case")
    return {"objects": len(app.environment.world.objects)}


def _state(app: SimulatorApp, query: Mapping[str, str], body: bytes) -> Any:
    environment = app.environment
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


def _connections(app: SimulatorApp, query: Mapping[str, str], body: bytes) -> Any:
    return {"seen": app.book.seen, "seen_by_api": app.book.seen_by_api, "open": app.book.open_count}


def _reset(app: SimulatorApp, query: Mapping[str, str], body: bytes) -> Any:
    app.environment = Environment(app.config)
    return _state(app, query, body)


_CONTROLS: Final[Mapping[tuple[str, str], Control]] = {
    ("GET", "journal"): _journal,
    ("GET", "requests"): _requests,
    ("GET", "faults"): _show_faults,
    ("POST", "faults"): _script_faults,
    ("GET", "clock"): lambda app, query, body: _clock(app.environment),
    ("POST", "clock"): _turn_clock,
    ("GET", "config"): lambda app, query, body: _settings(app.environment.config),
    ("POST", "config"): _reconfigure,
    ("GET", "cases"): _show_cases,
    ("POST", "cases"): _act_as_human,
    ("POST", "objects"): _add_objects,
    ("GET", "state"): _state,
    ("GET", "connections"): _connections,
    ("POST", "reset"): _reset,
}


def answer_control(app: SimulatorApp, method: str, name: str, query: bytes, body: bytes) -> tuple[int, bytes]:
    """Answer a control request.

    :param name: the path below `/_simulator/`.
    :returns: status and JSON body; a request that makes no sense gets 400 and `{"error": …}`.
    """
    control = _CONTROLS.get((method, name))
    if control is None:
        return 404, json.dumps({"error": "no such control", "controls": sorted({n for _, n in _CONTROLS})}).encode()
    try:
        return 200, json.dumps(control(app, parse_query(query), body)).encode()
    except ValueError as refusal:
        return 400, json.dumps({"error": str(refusal)}).encode()
