"""One simulated environment: everything it holds, and how it treats a request from the key to the answer.

No sockets and no waiting here: the edge (`application`) waits and sends. The order is Persona's: key, rate limit,
idempotency, permission, effect.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from email.utils import formatdate
from urllib.parse import parse_qs

from persona_simulator.body_kinds import check_kinds
from persona_simulator.call import Call, answer_style, parse_body, parse_query
from persona_simulator.clock import SimulatorClock
from persona_simulator.config import SimulatorConfig
from persona_simulator.exchange import Exchange, Incoming, Reply
from persona_simulator.faults import INSIDE, OUTSIDE, Fault, FaultKind, FaultPlan, ScriptedFault
from persona_simulator.files import StoredFile
from persona_simulator.idempotency import IdempotencyStore, KeptAnswer, KeyState
from persona_simulator.journal import HUMAN, Journal, LoggedRequest, RequestLog
from persona_simulator.key_ring import KeyRing
from persona_simulator.population import populate
from persona_simulator.problems import RefusedError, bad_request, not_found, server_failure
from persona_simulator.rate_window import FixedWindow
from persona_simulator.reads import case_of, list_cases, retrieve_case, retrieve_template
from persona_simulator.rendering import INCLUDABLE, AnswerStyle, case_answer, object_answer
from persona_simulator.resources.holdings import Holdings
from persona_simulator.resources.table import acts
from persona_simulator.routes import (
    CREATE,
    LIST,
    RATE_LIMITS,
    RETRIEVE,
    SEARCH,
    TEMPLATE,
    Route,
    find_route,
)
from persona_simulator.search import search_cases
from persona_simulator.state_file import load_world
from persona_simulator.world import Actor, CaseRecord
from persona_simulator.writes import WRITES, actor_of, create, move

JSON = b"application/json"
QUOTAS = {
    CREATE: "create_case",
    "create-an-inquiry": "create_inquiry",
    "create-a-report": "create_report",
    "create-a-transaction": "create_transaction",
}
"""Operations that count against a quota of their product, beside the request limit."""
_NOT_LOGGED = frozenset({b"authorization", b"idempotency-key", b"content-length"})


class Environment:
    """A simulated environment.

    :param config: what it is like.
    :param monotonic: seconds that pass for its clock.
    """

    def __init__(self, config: SimulatorConfig, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.config = config
        self.clock = SimulatorClock(frozen=config.frozen_clock, start=config.clock_start, monotonic=monotonic)
        self.world = load_world(config) or populate(config.cases, config.seed, config.reviewers)
        self.world.search_lag = config.search_lag_seconds
        self.window = FixedWindow(config.limit, config.window_seconds, config.reset_rounding)
        self.quotas = {product: self._quota_window(config) for product in QUOTAS.values()}
        self.kept = IdempotencyStore(config.idempotency_ttl_seconds)
        self.faults = FaultPlan(config.seed, config.fault_rates)
        self.journal = Journal()
        self.requests = RequestLog(config.log_size)
        self.world.files.seconds = config.file_link_seconds
        self.holdings = Holdings(config, self.world, self.journal, self.requests)
        self.keys = KeyRing(config.keys, self.holdings)
        self._standing_headers = [
            (b"persona-environment-id", config.environment_id.encode()),
            (b"persona-organization-id", config.organization_id.encode()),
        ]

    def reconfigure(self, config: SimulatorConfig) -> None:
        """Take over what can change while running: limits, latency, rounding, retention, lag, quota, faults, work."""
        self.config = config
        self.window.limit, self.window.seconds = config.limit, config.window_seconds
        for quota in self.quotas.values():
            quota.limit, quota.seconds = config.create_quota or 0, config.window_seconds
            quota.rounding = config.reset_rounding
        self.window.rounding = config.reset_rounding
        self.holdings.config = config
        self.world.files.seconds = config.file_link_seconds
        self.world.search_lag = config.search_lag_seconds
        self.kept.ttl = config.idempotency_ttl_seconds
        self.faults.set_rates(config.fault_rates)

    def receive(self, incoming: Incoming) -> Exchange:
        """Log a request and see which fault awaits it; a fault outside the API is taken here."""
        number = self.requests.received
        route = find_route(incoming.method, incoming.path)
        operation, case_id = (route.operation, route.case_id) if route else (None, None)
        idempotency_key = incoming.headers.get(b"idempotency-key", b"").decode("latin-1") or None
        logged = LoggedRequest(
            index=number,
            at=self.clock.now(),
            method=incoming.method,
            path=incoming.path,
            query=incoming.query.decode("latin-1"),
            operation=operation,
            case_id=case_id,
            idempotency_key=idempotency_key,
            key=self.keys.kind_of(incoming.headers, self.clock.now(), operation),
            headers=tuple(
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in incoming.headers.items()
                if name not in _NOT_LOGGED
            ),
            body_bytes=len(incoming.body),
            connection=incoming.connection,
        )
        self.requests.note(logged)
        exchange = Exchange(incoming, route, logged, f"req_sim{number + 1:010d}")
        if incoming.method == "POST":
            exchange.idempotency_key = idempotency_key
        exchange.awaiting = self.faults.meet(number, operation, case_id)
        if _kind(exchange.awaiting) in OUTSIDE:
            self._take_fault(exchange)
        return exchange

    def admit(self, exchange: Exchange) -> None:
        """Check key, limit, version and idempotency; a refusal or a kept answer becomes the reply at once."""
        now = self.clock.now()
        try:
            exchange.key = self.keys.key_of(exchange.incoming.headers, now, exchange.logged.operation)
        except RefusedError as problem:
            exchange.reply = Reply(problem.status, problem.body(), [(b"content-type", b"application/json")])
            return
        if not self.window.take(now):
            details = f"You have hit your rate limit of {self.window.limit} requests / {self.window.seconds:g} s."
            exchange.reply = self._refusal(exchange, RefusedError(429, "Rate limit exceeded", details))
            return
        try:
            exchange.query = parse_query(exchange.incoming.query)
            exchange.style = answer_style(exchange.incoming.headers, exchange.query, exchange.key, now)
            _check_inclusions(exchange.route, exchange.style)
            kept = self._begin(exchange, now)
        except RefusedError as problem:
            exchange.reply = self._refusal(exchange, problem)
            return
        if kept is not None:
            exchange.logged.replayed = True
            exchange.request_id = kept.request_id
            exchange.reply = self._reply(exchange, kept.status, kept.body)
        if _happens(_kind(exchange.awaiting), exchange):
            self._take_fault(exchange)

    def perform(self, exchange: Exchange) -> None:
        """Do what an admitted request asks for, keep the answer under its idempotency key, and make it the reply."""
        try:
            _fail(exchange.fault, after=False)
            status, body, content_type = self._act(exchange)
            _fail(exchange.fault, after=True)
        except RefusedError as problem:
            status, body, content_type = problem.status, problem.body(), JSON
        except Exception:  # noqa: BLE001 - a slip of the simulator must not look like a network failure
            traceback.print_exc()
            failed = server_failure(500)
            status, body, content_type = failed.status, failed.body(), JSON
        if exchange.idempotency_key:
            self.kept.keep(exchange.idempotency_key, KeptAnswer(status, body, exchange.request_id))
        exchange.reply = self._reply(exchange, status, body, content_type)

    def download(self, path: str, query: bytes, headers: Mapping[bytes, bytes]) -> StoredFile | int:
        """Return the file that a signed link leads to, or the status of the refusal."""
        token = parse_qs(query.decode("latin-1")).get("access_token", [""])[0]
        carried = b"authorization" in headers
        return self.world.files.opened_by(path, token, carried_key=carried, now=self.clock.now())

    def act_as_human(self, case_id: str, status: str | None, fields: Mapping[str, object]) -> bool:
        """Change a case as a reviewer would in the dashboard; True when something changed.

        :raises KeyError: when there is no such case, status or field.
        """
        case, now = self.world.cases[case_id], self.clock.now()
        if unknown := set(fields) - set(case.template.fields):
            raise KeyError(min(unknown))
        if status is not None and status not in case.template.statuses:
            raise KeyError(status)
        reviewer = Actor(next(iter(self.world.users)), "user")
        before = case.status
        self.world.remember_for_search(case)
        parts = move(case, status, now, reviewer) if status is not None else ()
        parts += tuple(f"fields.{key}" for key, value in fields.items() if case.fields.get(key) != value)
        case.fields = {**case.fields, **fields}
        self._settle(case, now, reviewer, parts)
        self.journal.note(
            at=now,
            operation="dashboard",
            object_id=case_id,
            from_status=before,
            to_status=case.status,
            parts=parts,
            actor=HUMAN,
        )
        return bool(parts)

    def _take_fault(self, exchange: Exchange) -> None:
        awaiting, exchange.awaiting = exchange.awaiting, None  # a request lets one fault pass by at most once
        if awaiting is not None:
            exchange.fault = self.faults.take(awaiting)
            exchange.logged.fault = exchange.fault.kind if exchange.fault else None

    def _begin(self, exchange: Exchange, now: float) -> KeptAnswer | None:
        """Return the kept answer of the request's idempotency key, or note that work under it begins."""
        incoming, key = exchange.incoming, exchange.idempotency_key
        target = f"{incoming.method} {incoming.path}?{incoming.query.decode('latin-1')}"
        if key:
            state, kept = self.kept.look_up(key, target, incoming.body, now)
            if state is KeyState.KEPT:
                return kept
            if state is KeyState.IN_PROGRESS:
                raise RefusedError(409, "Conflict", "A request with this idempotency key is still in progress")
            if state is KeyState.OTHER_REQUEST:
                details = f"Keys can only be used again with the parameters of the first request; key: {key}"
                raise RefusedError(400, "Idempotency error", details)
        product = self._product(exchange)
        if product is not None and not self.quotas[product].take(now):
            details = f"You have hit your {product} quota limit of {self.quotas[product].limit} requests."
            raise RefusedError(self.config.quota_status, "Quota exceeded", details)
        if key:
            self.kept.begin(key, target, incoming.body, now)
        return None

    def _quota_window(self, config: SimulatorConfig) -> FixedWindow:
        return FixedWindow(config.create_quota or 0, config.window_seconds, config.reset_rounding)

    def _product(self, exchange: Exchange) -> str | None:
        """Return the quota that a request counts against, None for none."""
        if self.config.create_quota is None or exchange.route is None:
            return None
        return QUOTAS.get(exchange.route.operation)

    def _act(self, exchange: Exchange) -> tuple[int, bytes, bytes]:
        route, key, style = exchange.route, exchange.key, exchange.style
        if route is None:
            raise not_found()
        assert key is not None and style is not None  # noqa: PT018 - admit has set both
        if route.permission is not None and route.permission not in key.permissions:
            raise RefusedError(403, "Forbidden", f"API key does not have the permission {route.permission}")
        if route.withdrawn and self.config.restricted:
            raise RefusedError(403, "Forbidden", f"The API for {route.operation} is not enabled")
        body = parse_body(exchange.incoming.body, exchange.incoming.headers.get(b"content-type", b""))
        check_kinds(body)
        headers, now = exchange.incoming.headers, self.clock.now()
        call = Call(route.operation, route.subject, exchange.query, body, style, key, now, self.config, headers)
        if route.own:
            return route.success, self._answer(call, exchange), JSON
        return self._answer_of_resource(call, exchange, route)

    def _answer_of_resource(self, call: Call, exchange: Exchange, route: Route) -> tuple[int, bytes, bytes]:
        self.holdings.at(call.now)
        outcome = acts()[call.operation](self.holdings, call)
        for change in outcome.changes:
            self.holdings.record(
                change,
                call.now,
                call.operation,
                call.key.key_id,
                exchange.idempotency_key,
                exchange.request_id,
            )
        status = outcome.status or route.success
        if isinstance(outcome.payload, bytes):
            return status, outcome.payload, outcome.content_type.encode()
        return status, object_answer(outcome.payload, call.style), JSON

    def _answer(self, call: Call, exchange: Exchange) -> bytes:
        if (read := _READS.get(call.operation)) is not None:
            return read(self.world, call)
        if call.operation == RATE_LIMITS:
            return self._rate_limits(call)
        world = self.world
        before: str | None
        parts: tuple[str, ...]
        if call.operation == CREATE:
            case, before, parts = create(world, call), None, ("created",)
            world.hidden_from_search(case, call.now)
            self.holdings.events.note_case(case, parts, call.now)
        else:
            case = case_of(world, call)
            before = case.status
            world.remember_for_search(case)
            parts = WRITES[call.operation](world, case, call)
            self._settle(case, call.now, actor_of(call), parts)
        self.journal.note(
            at=call.now,
            operation=call.operation,
            object_id=case.case_id,
            from_status=before,
            to_status=case.status,
            parts=parts,
            actor=call.key.key_id,
            idempotency_key=exchange.idempotency_key,
            request_id=exchange.request_id,
        )
        return case_answer(world, case, call.style)

    def _settle(self, case: CaseRecord, now: float, actor: Actor, parts: tuple[str, ...]) -> None:
        if parts:
            case.updated_at, case.updater = now, actor
            self.world.changed(case, now)
            self.holdings.events.note_case(case, parts, now)

    def _rate_limits(self, call: Call) -> bytes:
        attributes = {
            "limit": self.window.limit,
            "remaining": self.window.remaining(call.now),
            "seconds-to-reset": self.window.seconds_left(call.now),
        }
        return object_answer({"data": [{"type": "rate-limit/api", "attributes": attributes}]}, call.style)

    def _refusal(self, exchange: Exchange, problem: RefusedError) -> Reply:
        return self._reply(exchange, problem.status, problem.body())

    def _reply(self, exchange: Exchange, status: int, body: bytes, content_type: bytes = JSON) -> Reply:
        now = self.clock.now()
        headers = [
            (b"content-type", content_type),
            (b"date", formatdate(now, usegmt=True).encode()),
            *self._standing_headers,
            (b"request-id", exchange.request_id.encode()),
            *_window_headers(b"ratelimit", self.window, now),
        ]
        if (product := self._product(exchange)) is not None:
            headers.extend(_window_headers(b"quota", self.quotas[product], now))
        return Reply(status, body, headers)


_READS = {
    LIST: list_cases,
    SEARCH: search_cases,
    RETRIEVE: retrieve_case,
    TEMPLATE: retrieve_template,
}


def _check_inclusions(route: Route | None, style: AnswerStyle) -> None:
    """Refuse relationships that a case does not have; other resources check their own."""
    unknown = [name for name in style.include or () if name not in INCLUDABLE] if route and route.own else []
    if unknown:
        raise bad_request(f"include has an invalid relationship: {unknown[0]}")


def _window_headers(name: bytes, window: FixedWindow, now: float) -> list[tuple[bytes, bytes]]:
    return [
        (name + b"-limit", b"%d" % window.limit),
        (name + b"-remaining", b"%d" % window.remaining(now)),
        (name + b"-reset", b"%d" % window.seconds_left(now)),
    ]


def _fail(fault: Fault | None, *, after: bool) -> None:
    """Raise the failure of the API that `fault` asks for, before or after the effect."""
    status, late = INSIDE.get(fault.kind, (0, False)) if fault else (0, False)
    if status and late is after:
        raise server_failure(status)


def _kind(awaiting: ScriptedFault | Fault | None) -> FaultKind | None:
    if isinstance(awaiting, ScriptedFault):
        return awaiting.fault.kind
    return awaiting.kind if awaiting else None


def _happens(kind: FaultKind | None, exchange: Exchange) -> bool:
    """Whether a fault can happen to an admitted request: the API itself cannot fail on an answer that it has kept."""
    if kind is None or (kind in INSIDE and exchange.reply is not None):
        return False
    return kind is not FaultKind.STALE_409 or exchange.incoming.method != "GET"
