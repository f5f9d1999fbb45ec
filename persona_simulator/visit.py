"""One request to the API, from its arrival to what the client gets of the answer: values only, no socket, no waiting.

Both edges use it: `application` carries a delivery out on a connection, `in_memory` in the client's own event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from persona_simulator.environment import Environment
from persona_simulator.exchange import Incoming, Reply
from persona_simulator.faults import OUTSIDE, Fault, FaultKind

_HTML: Final = [(b"content-type", b"text/html")]


class Ending(StrEnum):
    """How a delivery ends."""

    COMPLETE = "complete"
    """All of the reply arrives."""
    CUT = "cut"
    """Half of the body arrives, then the connection closes."""
    RESET = "reset"
    """Nothing arrives, and the connection is reset."""
    SILENCE = "silence"
    """Nothing arrives, and the connection stays open."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the client gets.

    :param ending: how it ends.
    :param reply: the reply, None where nothing arrives.
    :param seconds: over which the body arrives in small pieces; 0 is all at once.
    """

    ending: Ending
    reply: Reply | None = None
    seconds: float = 0.0


class Visit:
    """One request to the API. The server waits `delay` seconds between its arrival and `finish`.

    :param environment: the environment as it is at the arrival. A reset in between makes a new one, and this request
        must have no effect there.
    :param incoming: the request.
    """

    def __init__(self, environment: Environment, incoming: Incoming) -> None:
        self._environment = environment
        self._exchange = environment.receive(incoming)
        self.delay = 0.0
        """Seconds."""
        if self._outside is None:
            environment.admit(self._exchange)
            fault = self._exchange.fault
            late = fault.seconds if fault is not None and fault.kind is FaultKind.LATENCY else 0.0
            self.delay = environment.config.latency_ms / 1000 + late

    def finish(self) -> Delivery:
        """Do what the request asks for, and return what the client gets."""
        if self._outside is not None:
            delivery = _met_outside(self._outside)
        else:
            if self._exchange.reply is None:
                self._environment.perform(self._exchange)
            assert self._exchange.reply is not None
            delivery = _spoilt(self._exchange.reply, self._exchange.fault)
        if delivery.ending is Ending.COMPLETE and delivery.reply is not None:
            self._exchange.logged.status = delivery.reply.status
        return delivery

    @property
    def _outside(self) -> Fault | None:
        """The fault that keeps the request from the API, or None."""
        fault = self._exchange.fault
        return fault if fault is not None and fault.kind in OUTSIDE else None


def _met_outside(fault: Fault) -> Delivery:
    if fault.kind is FaultKind.RESET_BEFORE:
        return Delivery(Ending.RESET)
    if fault.kind is FaultKind.HANG_BEFORE:
        return Delivery(Ending.SILENCE)
    if fault.kind is FaultKind.REDIRECT:
        return Delivery(Ending.COMPLETE, Reply(302, b"", [(b"location", fault.location.encode())]))
    status = 502 if fault.kind is FaultKind.PROXY_502 else 503
    page = b"<html><head><title>%d</title></head><body><h1>upstream unavailable</h1></body></html>" % status
    return Delivery(Ending.COMPLETE, Reply(status, page, _HTML))


def _spoilt(reply: Reply, fault: Fault | None) -> Delivery:
    """Return what a fault leaves of a good reply."""
    kind = fault.kind if fault else None
    if kind is FaultKind.RESET_AFTER:
        return Delivery(Ending.RESET)
    if kind is FaultKind.HANG_AFTER:
        return Delivery(Ending.SILENCE)
    if kind is FaultKind.TRUNCATED:
        return Delivery(Ending.CUT, reply)
    if kind is FaultKind.MALFORMED:
        reply = Reply(reply.status, reply.body[:-2] + b',"', reply.headers)
    elif kind is FaultKind.HOLLOW:
        reply = Reply(reply.status, b"{}", reply.headers)
    return Delivery(Ending.COMPLETE, reply, fault.seconds if fault is not None and kind is FaultKind.SLOW else 0.0)
