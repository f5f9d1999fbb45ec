"""What one simulated environment is like: its keys, limits, clock, size and faults.

Values only. The server, the command line and the control endpoints all speak in these terms.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from persona_simulator.faults import FaultKind

API_VERSIONS: Final = (
    "2020-05-18",
    "2021-02-21",
    "2021-05-14",
    "2021-07-05",
    "2021-08-18",
    "2022-09-01",
    "2023-01-05",
    "2025-10-27",
    "2025-12-08",
    "2026-09-29",
)
"""Every version that Persona has named."""

VERSION_OF_SPARE_ANSWERS: Final = "2025-10-27"
"""From here on: nothing included unasked, `fields` never inflected, status only in `meta`, fields only in `fields`."""

SANDBOX_KEY: Final = "persona_sandbox_simulator"
READ_ONLY_KEY: Final = "persona_sandbox_simulator_read_only"
_READ_AND_WRITE: Final = (
    "account",
    "api_key",
    "case",
    "document",
    "importer",
    "inquiry",
    "list",
    "report",
    "txn",
    "verification",
    "webhook",
)
READ_PERMISSIONS: Final = frozenset({f"{group}.read" for group in _READ_AND_WRITE}) | {
    "account_type.read",
    "api_log.read",
    "case_template.read",
    "event.read",
    "user_audit_log.read",
}
ALL_PERMISSIONS: Final = (
    READ_PERMISSIONS | {f"{group}.write" for group in _READ_AND_WRITE} | {"filing.write", "workflow.trigger"}
)


class Inflection(StrEnum):
    """How the keys of an answer are spelt."""

    KEBAB = "kebab"
    CAMEL = "camel"
    SNAKE = "snake"


class ResetRounding(StrEnum):
    """How the seconds left in a window become an integer."""

    UP = "up"
    DOWN = "down"


class UnknownFields(StrEnum):
    """What happens to a field that the case's template does not have."""

    REJECT = "reject"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key of the environment.

    :param secret: what is sent after `Bearer`.
    :param key_id: the key's own id, shown as the actor of what it does.
    :param kind: what the request log calls it, so that the log holds no secret.
    :param permissions: what it may do; a missing one gives 403.
    :param version: the version of answers when the request names none.
    :param inflection: the inflection of answers when the request names none.
    """

    secret: str = field(repr=False)
    key_id: str = "api_simulator"
    kind: str = "full"
    permissions: frozenset[str] = ALL_PERMISSIONS
    version: str = "2025-12-08"
    inflection: Inflection = Inflection.KEBAB


DEFAULT_KEYS: Final = (
    ApiKey(SANDBOX_KEY),
    ApiKey(READ_ONLY_KEY, "api_simulator_read_only", "read-only", READ_PERMISSIONS),
)


DEFAULT_REVIEWERS: Final = ("ana.reviewer@example.com", "ben.reviewer@example.com", "chika.lead@example.com")


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """One simulated environment.

    :param host: address to listen on. One that others can reach needs a `control_token`.
    :param port: port to listen on; 0 takes a free one.
    :param cases: number of cases to begin with.
    :param limit: requests a window, over all keys.
    :param window_seconds: length of a window in seconds of the simulator's clock.
    :param reset_rounding: how `RateLimit-Reset` is rounded.
    :param latency_ms: real milliseconds that every API answer takes.
    :param seed: of the cases' contents and of the random faults.
    :param keys: the keys of the environment.
    :param fault_rates: share of requests (0 to 1) that meets each kind of fault.
    :param create_quota: how many of each of cases, inquiries, reports and transactions may be created a window; None is
        no quota.
    :param quota_status: 429 or 403, the status of an answer over the quota.
    :param idempotency_ttl_seconds: how long an answer is kept under its idempotency key.
    :param search_lag_seconds: how far the search index is behind.
    :param unknown_fields: what happens to fields that the template does not have.
    :param frozen_clock: whether the clock stands still until it is turned.
    :param clock_start: first time of the clock in epoch seconds; None is the present.
    :param log_size: how many received requests are remembered.
    :param state_file: file to begin from if it is there and to save the cases to at the end; None is no file. What is
        neither a case nor attached to one is not saved.
    :param accounts: number of accounts to begin with, beside those that the cases have.
    :param inquiries: likewise of inquiries; their states take turns.
    :param reports: likewise of reports.
    :param verifications: likewise of government ID verifications; there is one of each kind besides.
    :param transactions: likewise of transactions.
    :param user_audit_logs: number of entries of what dashboard users did.
    :param reviewers: e-mail addresses of the dashboard's users, to whom cases are assigned.
    :param work_seconds: simulated seconds after which work in the background ends (a report, an import, a run, …).
    :param work_reads: how many reads of a thing still find such work under way; the next one finds it ended.
    :param restricted: whether operations that are not in the published specification answer 403.
    :param file_link_seconds: how long a signed link to a file works.
    :param largest_file: bytes that a file in a request may have.
    :param control_token: what control requests must bring along; None lets anybody control it who can reach it.
    :param environment_id: what `Persona-Environment-Id` says.
    :param organization_id: what `Persona-Organization-Id` says.
    """

    host: str = "127.0.0.1"
    port: int = 0
    cases: int = 3000
    limit: int = 300
    window_seconds: float = 60.0
    reset_rounding: ResetRounding = ResetRounding.UP
    latency_ms: float = 0.0
    seed: int = 1
    keys: tuple[ApiKey, ...] = DEFAULT_KEYS
    fault_rates: Mapping[FaultKind, float] = field(default_factory=dict)
    create_quota: int | None = None
    quota_status: int = 429
    idempotency_ttl_seconds: float = 24 * 3600.0
    search_lag_seconds: float = 60.0
    unknown_fields: UnknownFields = UnknownFields.REJECT
    frozen_clock: bool = False
    clock_start: float | None = None
    log_size: int = 200_000
    state_file: Path | None = None
    accounts: int = 20
    inquiries: int = 20
    reports: int = 10
    verifications: int = 5
    transactions: int = 20
    user_audit_logs: int = 5
    reviewers: tuple[str, ...] = DEFAULT_REVIEWERS
    work_seconds: float = 5.0
    work_reads: int = 2
    restricted: bool = False
    file_link_seconds: float = 6 * 3600.0
    largest_file: int = 10_000_000
    control_token: str | None = field(default=None, repr=False)
    environment_id: str = "env_simulator"
    organization_id: str = "org_simulator"

    def __post_init__(self) -> None:
        if not self.control_token and not _is_loopback(self.host):
            raise ValueError(f"{self.host} can be reached by others, so its control endpoints need a control_token")
        if self.limit < 0 or self.window_seconds <= 0 or self.cases < 0:
            raise ValueError("limit and cases must not be negative, window_seconds must be above 0")
        counts = (self.accounts, self.inquiries, self.reports, self.verifications, self.transactions)
        if min(*counts, self.user_audit_logs, self.work_reads, self.work_seconds, self.largest_file) < 0:
            raise ValueError("numbers of things, work_seconds, work_reads and largest_file must not be negative")
        if not self.reviewers:
            raise ValueError("somebody must review: reviewers must not be empty")
        if self.quota_status not in (403, 429):
            raise ValueError("quota_status is 403 or 429")
        if sum(self.fault_rates.values()) > 1 or any(rate < 0 for rate in self.fault_rates.values()):
            raise ValueError("fault_rates must not be negative nor add up to more than 1")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
