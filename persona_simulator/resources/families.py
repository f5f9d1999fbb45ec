"""How the things of each family look when they are new: prefix of their ids, attributes, relationships, filters.

Attributes that are None in a blank are set later or stay so. `created-at`, `updated-at` and `created-at-ts` are filled
in by whoever makes a thing, where the blank has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from persona_simulator.clock import timestamp
from persona_simulator.resources.things import Thing


@dataclass(frozen=True, slots=True)
class Family:
    """One family of things.

    :param prefix: of their ids.
    :param blank: attributes of a new one.
    :param links: relationships of a new one: None for one that points at one thing, an empty tuple for a list, a
        reference where each thing has one.
    :param filters: name of a filter -> what it compares: an attribute, `id`, `@name` for a relationship,
        `attribute>=` or `attribute<=` for times.
    :param required_filter: the filter without which the list is refused, if there is one.
    :param searchable: attributes that its search endpoint may use, in snake_case, and where to find them.
    """

    prefix: str
    blank: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, Any] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    required_filter: str | None = None
    searchable: Mapping[str, str] = field(default_factory=dict)


def _none(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names)


_ONE: Final = None
_MANY: Final = ()
_TIMES: Final = {"created-at": None, "updated-at": None}
_FLOW_LINKS: Final = {
    **_none("inquiry", "template", "inquiry-template-version", "inquiry-template", "transaction"),
}

_INQUIRY: Final = {
    "status": "created",
    "reference-id": None,
    "note": None,
    "behaviors": {},
    "tags": [],
    "creator": "API",
    "reviewer-comment": None,
    **_TIMES,
    **_none("started-at", "expires-at", "completed-at", "failed-at", "marked-for-review-at", "decisioned-at"),
    **_none("expired-at", "redacted-at", "previous-step-name", "next-step-name"),
    "fields": {},
}
_INQUIRY_LINKS: Final = {
    **_none("account", "template", "inquiry-template", "inquiry-template-version", "transaction", "reviewer"),
    **dict.fromkeys(("reports", "verifications", "sessions", "documents", "selfies"), _MANY),
}
_SESSION: Final = {
    "status": "new",
    "created-at": None,
    **_none("started-at", "expired-at", "ip-address", "user-agent", "os-name", "device-type", "browser-name"),
    **_none("is-proxy", "is-tor", "country-code", "latitude", "longitude"),
}
_REPORT: Final[Mapping[str, Any]] = {
    "status": "pending",
    "created-at": None,
    "completed-at": None,
    "redacted-at": None,
    "report-template-version-name": "v1",
    "has-match": False,
    "is-continuous": False,
    "is-recurring": False,
    "tags": [],
}
_VERIFICATION: Final = {
    "status": "initiated",
    "created-at": None,
    "created-at-ts": None,
    **_none("submitted-at", "submitted-at-ts", "completed-at", "completed-at-ts", "redacted-at", "country-code"),
    "tags": [],
    "checks": [],
}
_IMPORTER: Final = {
    "status": "pending",
    "created-at": None,
    "completed-at": None,
    "successful-count": 0,
    "duplicate-count": 0,
    "error-count": 0,
}
_WEBHOOK: Final[Mapping[str, Any]] = {
    "status": "disabled",
    "url": "",
    "name": None,
    "description": None,
    "api-version": "2025-12-08",
    "api-key-inflection": "kebab",
    "api-attributes-blocklist": [],
    "file-access-token-expires-in": 21_600,
    "enabled-events": [],
    "payload-filter": None,
    "created-at": None,
}
_API_KEY: Final = {
    "name": "",
    "note": None,
    "api-version": "2025-12-08",
    "api-key-inflection": "kebab",
    "api-attributes-blocklist": [],
    "permissions": [],
    "ip-address-allowlist": ["*"],
    "file-access-token-expires-in": 21_600,
    "last-used-at": None,
    "expires-at": None,
    "created-at": None,
}
_SHARE_TOKEN: Final = {
    "status": "created",
    "direction": "outbound",
    **_TIMES,
    **_none("pending-at", "redeemed-at", "expires-at", "failed-at", "failure-reason", "redeem-mode"),
}
_AUDIT_LOG: Final = {
    "path": "",
    "method": "GET",
    "get-params": {},
    "post-params": {},
    "ip-address": "192.0.2.1",
    "user-agent": "simulated browser",
    "response-status": 200,
    "created-at": None,
    "impersonator-email-address": None,
    "context": {},
}

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        "account": Family(
            "act",
            {
                "reference-id": None,
                "account-type-name": "User",
                **_TIMES,
                "redacted-at": None,
                "fields": {},
                "tags": [],
                "account-status": "Default",
            },
            {"account-type": {"type": "account-type", "id": "acttp_user"}},
            filters={"reference-id": "reference-id"},
            searchable={
                "type": "@account-type",
                "status": "account-status",
                "created_at": "created-at",
                "updated_at": "updated-at",
                "reference_id": "reference-id",
            },
        ),
        "account-type": Family(
            "acttp",
            {"name": "User", **_TIMES, "field-schemas": []},
            {"account-statuses": _MANY, "default-account-status": _ONE},
        ),
        "inquiry": Family(
            "inq",
            _INQUIRY,
            _INQUIRY_LINKS,
            filters={
                "inquiry-id": "id",
                "account-id": "@account",
                "note": "note",
                "reference-id": "reference-id",
                "inquiry-template-id": "@inquiry-template",
                "template-id": "@template",
                "status": "status",
                "created-at-start": "created-at>=",
                "created-at-end": "created-at<=",
            },
            searchable={
                "status": "status",
                "created_at": "created-at",
                "updated_at": "updated-at",
                "reference_id": "reference-id",
                "inquiry_template_id": "@inquiry-template",
            },
        ),
        "inquiry-session": Family(
            "iqse",
            _SESSION,
            {"inquiry": _ONE, "device": _ONE, "network": _ONE},
            filters={"inquiry-id": "@inquiry"},
        ),
        "inquiry-template": Family(
            "itmpl",
            {
                "name": "KYC",
                "status": "active",
                "embedded-flow-domain-allowlist": [],
                "hosted-flow-subdomains": [],
                "hosted-flow-redirect-uri-schemes": [],
                "field-schemas": [],
            },
            {"latest-published-version": _ONE},
        ),
        "inquiry-template-version": Family(
            "itmplv",
            {
                "name-display": "KYC",
                "description": None,
                "status": "published",
                "live": True,
                "last-updater": None,
                "enabled-locales": ["en"],
                **_TIMES,
                "published-at": None,
            },
            {"inquiry-template": _ONE},
            filters={"inquiry-template-id": "@inquiry-template"},
            required_filter="inquiry-template-id",
        ),
        "report": Family(
            "rep",
            _REPORT,
            _none("inquiry", "account", "transaction"),
            filters={"reference-id": "!reference-id", "account-id": "@account"},
        ),
        "verification": Family(
            "ver",
            _VERIFICATION,
            {**_FLOW_LINKS, "verification-template": _ONE, "verification-template-version": _ONE, "accounts": _MANY},
        ),
        "transaction": Family(
            "txn",
            {"status": "created", "reference-id": None, "fields": {}, "tags": [], **_TIMES},
            {
                **_none("reviewer", "transaction-label"),
                "transaction-type": {"type": "transaction-type", "id": "txntp_payment"},
                "related-objects": _MANY,
            },
            filters={
                "reference-id": "reference-id",
                "transaction-type-id": "@transaction-type",
                "identifier][key": "*",
                "identifier][value": "*",
            },
        ),
        "transaction-type": Family("txntp", {"name": "Payment", **_TIMES, "field-schemas": []}),
        "document": Family(
            "doc",
            {"status": "initiated", "created-at": None, "processed-at": None, "processed-at-ts": None},
            {**_FLOW_LINKS, "document-files": _MANY},
        ),
        "list": Family(
            "lst",
            {"name": "", "status": "active", "archived-at": None, **_TIMES},
            {"list-items": _MANY},
            filters={"status": "status"},
        ),
        "list-item": Family(
            "li",
            {"status": "active", "archived-at": None, **_TIMES, "redacted-at": None, "match-count": 0},
            {"creator": _ONE},
        ),
        "importer": Family("mprt", _IMPORTER),
        "workflow-version": Family(
            "wfv",
            {
                "workflow-name": "Onboarding",
                "description": None,
                "status": "published",
                "trigger-type": "api",
                "live": True,
                "rollout-label": None,
                "rollout-percentage": None,
                "last-updater": None,
                "inputs": [],
                "outputs": [],
                **_TIMES,
                "published-at": None,
            },
            {"workflow": _ONE},
            filters={"workflow-id": "@workflow"},
            required_filter="workflow-id",
        ),
        "workflow-run": Family(
            "wfr",
            {"status": "in_progress", "created-at": None, "completed-at": None},
            {"creator": _ONE, "workflow": _ONE, "workflow-version": _ONE},
            filters={"status": "status"},
        ),
        "graph-query": Family(
            "grphq",
            {
                "status": "submitted",
                "params": {},
                **_TIMES,
                **_none("errored-at", "completed-at", "redacted-at"),
                "stats": {},
                "explorer-url": None,
                "node-limit-reached": None,
                "nodes": [],
            },
            {"accounts": _MANY},
        ),
        "webhook": Family("wbh", _WEBHOOK),
        "api-key": Family("api", _API_KEY, filters={"name": "name"}),
        "user-audit-log": Family("ual", _AUDIT_LOG, {"user": _ONE, "user-session": _ONE}),
        "device": Family(
            "dev",
            _none("device-vendor-id", "device-fingerprint", "browser-fingerprint"),
            filters={"inquiry-session-id": "!inquiry-session"},
            required_filter="inquiry-session-id",
        ),
        "theme-set": Family(
            "thst",
            {"name": "", "status": "active", "styles": {}, **_TIMES, "archived-at": None},
            filters={"status": "status"},
        ),
        "connect/connection": Family(
            "cxn",
            {"status": "pending", "destination-organization-id": "", "source-organization-id": "", **_TIMES},
            {"creator": _ONE},
            filters={"status": "status", "destination-organization-id": "destination-organization-id"},
        ),
        "connect/share-token": Family(
            "cnst",
            _SHARE_TOKEN,
            {"connection": _ONE, "creator": _ONE, "source": _ONE, "destination": _ONE},
            filters={"connection-id": "@connection", "status": "status", "direction": "direction"},
        ),
        "client-token": Family("ctkn", {"allowed-resources": [], "created-at": None}),
        "sar": Family("sar", {"status": "draft", "data": {}, **_TIMES}, {"case": _ONE, "objects": _MANY}),
    }
)
"""Every family by the first part of its type."""


def family_of(kind: str) -> str:
    """Return the family of a type: `report` for `report/watchlist`, but `connect/connection` is one itself."""
    return kind if kind in FAMILIES else kind.partition("/")[0]


ITEM_PREFIXES: Final[Mapping[str, str]] = {
    "email-address": "liea",
    "browser-fingerprint": "libf",
    "device-fingerprint": "lidf",
    "country": "lic",
    "geolocation": "ligl",
    "government-id-number": "ligin",
    "ip-address": "liip",
    "name": "lin",
    "phone-number": "lipn",
    "field": "liif",
    "string": "lis",
    "face": "lif",
}
"""Kind of list item -> prefix of its ids; the last two are guesses."""


def dress(thing: Thing, now: float, attributes: Mapping[str, Any] | None, links: Mapping[str, Any] | None) -> None:
    """Give a thing the attributes and relationships of its family's blank, and its own instead of some."""
    family = FAMILIES[family_of(thing.kind)]
    blank = {name: _copy(value) for name, value in family.blank.items()}
    for name in ("created-at", "updated-at"):
        if name in blank:
            blank[name] = timestamp(now)
    if "created-at-ts" in blank:
        blank["created-at-ts"] = int(now)
    thing.attributes.update({**blank, **(attributes or {})})
    thing.relationships.update({name: [] if value == () else value for name, value in family.links.items()})
    thing.relationships.update(links or {})


def _copy(value: Any) -> Any:
    return type(value)(value) if isinstance(value, list | dict) else value
