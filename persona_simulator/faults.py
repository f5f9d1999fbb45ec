"""Which request meets which misfortune: decided here, carried out at the edge and in the gateway.

Random faults depend on the seed and the request's number only, so a run can be repeated. Scripted faults wait for
the request that they are meant for and are asked first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from types import MappingProxyType
from typing import Final


class FaultKind(StrEnum):
    """Everything that can go wrong with one request."""

    LATENCY = "latency"
    """The answer is good but takes `seconds` longer."""
    HTTP_500 = "http_500"
    HTTP_502 = "http_502"
    HTTP_503 = "http_503"
    HTTP_504 = "http_504"
    """The API fails before the effect; the failure is kept under the idempotency key."""
    HTTP_500_AFTER = "http_500_after"
    HTTP_502_AFTER = "http_502_after"
    HTTP_503_AFTER = "http_503_after"
    HTTP_504_AFTER = "http_504_after"
    """The API fails after the effect; the failure is kept under the idempotency key."""
    STALE_409 = "stale_409"
    """A write meets `Stale object error`, without effect; kept under the idempotency key."""
    PROXY_502 = "proxy_502"
    PROXY_503 = "proxy_503"
    """A proxy answers in HTML; the request never reached the API."""
    REDIRECT = "redirect"
    """302 to `location`; the request never reached the API."""
    RESET_BEFORE = "reset_before"
    """The connection is reset; the request never reached the API."""
    RESET_AFTER = "reset_after"
    """The effect happens and its answer is kept, then the connection is reset."""
    HANG_BEFORE = "hang_before"
    """No answer until the client goes away; the request never reached the API."""
    HANG_AFTER = "hang_after"
    """The effect happens and its answer is kept, but nothing is sent."""
    SLOW = "slow"
    """The good answer comes in small pieces over `seconds`."""
    TRUNCATED = "truncated"
    """The connection closes in the middle of the good answer."""
    MALFORMED = "malformed"
    """The good status with broken JSON, though the kept answer is good."""
    HOLLOW = "hollow"
    """The good status with a JSON object that holds nothing, though the kept answer is good."""


OUTSIDE: Final = frozenset(
    {FaultKind.PROXY_502, FaultKind.PROXY_503, FaultKind.REDIRECT, FaultKind.RESET_BEFORE, FaultKind.HANG_BEFORE}
)
"""Faults of requests that never reach the API: no effect, no count against the limit, nothing kept."""

INSIDE: Final = MappingProxyType(
    {
        FaultKind.HTTP_500: (500, False),
        FaultKind.HTTP_502: (502, False),
        FaultKind.HTTP_503: (503, False),
        FaultKind.HTTP_504: (504, False),
        FaultKind.HTTP_500_AFTER: (500, True),
        FaultKind.HTTP_502_AFTER: (502, True),
        FaultKind.HTTP_503_AFTER: (503, True),
        FaultKind.HTTP_504_AFTER: (504, True),
        FaultKind.STALE_409: (409, False),
    }
)
"""Faults of the API itself: the status it answers, and whether the effect happens."""

USUAL_MIX: Final = (
    FaultKind.HTTP_500,
    FaultKind.HTTP_502,
    FaultKind.HTTP_503,
    FaultKind.HTTP_504,
    FaultKind.HTTP_500_AFTER,
    FaultKind.HTTP_503_AFTER,
    FaultKind.STALE_409,
    FaultKind.PROXY_502,
    FaultKind.PROXY_503,
    FaultKind.RESET_BEFORE,
    FaultKind.RESET_AFTER,
    FaultKind.TRUNCATED,
)
"""What `--faults RATE` spreads its rate over: failures that cost little time (no hang, no slow answer, no redirect)."""


_HANGS: Final = (FaultKind.HANG_BEFORE, FaultKind.HANG_AFTER)


def usual_rates(total: float, *, with_hangs: bool = False) -> dict[FaultKind, float]:
    """Return rates that spread a rate evenly over the usual faults.

    :param total: the rate, 0 to 1.
    :param with_hangs: whether hangs before and after the effect are among them.
    """
    kinds = USUAL_MIX + _HANGS if with_hangs else USUAL_MIX
    return {kind: total / len(kinds) for kind in kinds} if total else {}


ELSEWHERE: Final = "http://elsewhere.invalid/"
"""Where `redirect` points unless told otherwise: a host that cannot exist."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One misfortune of one request.

    :param kind: what happens.
    :param seconds: length of `latency` and `slow`.
    :param location: target of `redirect`.
    """

    kind: FaultKind
    seconds: float = 0.2
    location: str = ELSEWHERE


@dataclass(slots=True)
class ScriptedFault:
    """A fault that waits for its requests.

    :param fault: what happens to them.
    :param operation: only requests of this operation id; None is any.
    :param case_id: only requests about this case; None is any.
    :param times: how many requests it is for.
    :param skip: how many matching requests pass unharmed first.
    """

    fault: Fault
    operation: str | None = None
    case_id: str | None = None
    times: int = 1
    skip: int = 0

    def matches(self, operation: str | None, case_id: str | None) -> bool:
        """Whether a request of `operation` about `case_id` is meant."""
        return self.operation in (None, operation) and self.case_id in (None, case_id)


class FaultPlan:
    """Decides the fault of each request.

    :param seed: of the random faults.
    :param rates: share of requests (0 to 1) for each kind.
    """

    def __init__(self, seed: int, rates: Mapping[FaultKind, float]) -> None:
        self._seed = str(seed).encode()
        self._steps: tuple[tuple[float, FaultKind], ...] = ()
        self.rates: Mapping[FaultKind, float] = {}
        self.scripted: list[ScriptedFault] = []
        self.set_rates(rates)

    def set_rates(self, rates: Mapping[FaultKind, float]) -> None:
        """Replace the rates of the random faults."""
        self.rates = dict(rates)
        reached, steps = 0.0, []
        for kind, rate in self.rates.items():
            reached += rate
            steps.append((reached, kind))
        self._steps = tuple(steps) if reached else ()

    def script(self, faults: Sequence[ScriptedFault]) -> None:
        """Add faults to the end of the waiting queue."""
        self.scripted.extend(faults)

    def meet(self, number: int, operation: str | None, case_id: str | None) -> ScriptedFault | Fault | None:
        """Return what awaits request `number`: the first waiting fault that matches, else a random one or none.

        A waiting fault is not used up by this; `take` does that when it really happens.
        """
        for waiting in self.scripted:
            if waiting.matches(operation, case_id):
                return waiting
        return self._random(number) if self._steps else None

    def take(self, awaiting: ScriptedFault | Fault) -> Fault | None:
        """Return the fault that happens now; None while a waiting one still lets requests pass."""
        if isinstance(awaiting, Fault):
            return awaiting
        if awaiting.skip > 0:
            awaiting.skip -= 1
            return None
        awaiting.times -= 1
        if awaiting.times <= 0 and awaiting in self.scripted:
            self.scripted.remove(awaiting)
        return awaiting.fault

    def _random(self, number: int) -> Fault | None:
        digest = blake2b(b"%s:%d" % (self._seed, number), digest_size=8).digest()
        drawn = int.from_bytes(digest, "big") / 2**64
        for reached, kind in self._steps:
            if drawn < reached:
                return Fault(kind)
        return None
