"""What is there from the start, shelf by shelf: plain things by number, and one of each kind of what comes in kinds.

Ids are numbered (`inq_sim000001`); the one of each kind is named after it (`ver_selfie`, `lst_country`,
`liea_email_address`), and so is what a dashboard would have configured (`itmpl_kyc`, `txntp_payment`, `acttp_user`,
`wfl_onboarding`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from persona_simulator.clock import timestamp
from persona_simulator.config import SimulatorConfig
from persona_simulator.population import FIRST_DAY
from persona_simulator.resources.families import ITEM_PREFIXES, dress
from persona_simulator.resources.things import Shelf, Thing
from persona_simulator.world import World

_HOUR: Final = 3600.0
ACCOUNT_TYPE: Final = "acttp_user"
INQUIRY_TEMPLATE: Final = "itmpl_kyc"
TEMPLATE_VERSION: Final = "itmplv_kyc"
TRANSACTION_TYPE: Final = "txntp_payment"
WORKFLOW: Final = "wfl_onboarding"
WORKFLOW_VERSION: Final = "wfv_onboarding"

VERIFICATION_KINDS: Final = (
    "aamva",
    "database",
    "database-business",
    "database-ecbsv",
    "database-phone-carrier",
    "database-serpro",
    "database-standard",
    "database-tin",
    "document",
    "email-address",
    "government-id",
    "government-id-nfc",
    "phone-number",
    "selfie",
)
LIST_KINDS: Final = (
    "browser-fingerprint",
    "country",
    "email-address",
    "geolocation",
    "government-id-number",
    "ip-address",
    "name",
    "phone-number",
)
ITEM_VALUES: Final[Mapping[str, Mapping[str, Any]]] = {
    "browser-fingerprint": {"value": "b-0001"},
    "country": {"country-code": "FI"},
    "device-fingerprint": {"value": "d-0001"},
    "email-address": {"value": "mallory@people.example", "match-type": "email_address"},
    "face": {},
    "field": {"field-value": "x-0001"},
    "geolocation": {"latitude": 60.2, "longitude": 24.9, "radius-meters": 100},
    "government-id-number": {"id-number": "P0000001", "id-class": "pp"},
    "ip-address": {"value": "192.0.2.7"},
    "name": {"name-first": "Mallory", "name-last": "Brandt"},
    "phone-number": {"value": "+358401234567"},
    "string": {"value": "watched"},
}

Filler = Callable[[SimulatorConfig, World, Shelf], None]


def fill(config: SimulatorConfig, world: World, family: str, shelf: Shelf) -> None:
    """Put the first things of a family on its shelf.

    :param config: how many there are of some.
    :param world: where things that can be attached to cases are made known.
    """
    filler = _FILLERS.get(family)
    if filler is not None:
        filler(config, world, shelf)


def _put(
    shelf: Shelf,
    kind: str,
    attributes: Mapping[str, Any] | None = None,
    links: Mapping[str, Any] | None = None,
    thing_id: str | None = None,
) -> Thing:
    now = FIRST_DAY + len(shelf.order) * _HOUR
    thing = shelf.put(kind, now, thing_id)
    dress(thing, now, attributes, links)
    return thing


def reference(kind: str, thing_id: str) -> dict[str, str]:
    """Return a reference to a thing."""
    return {"type": kind, "id": thing_id}


def typed_value(value: Any) -> dict[str, Any]:
    """Return the value of a custom field as answers show it."""
    kinds = {bool: "boolean", int: "integer", float: "float", list: "array", dict: "hash"}
    return {"type": kinds.get(type(value), "string"), "value": value}


def _numbered(count: str, kind: str, attributes: Callable[[int], Mapping[str, Any]], **links: Any) -> Filler:
    named = {name.replace("_", "-"): value for name, value in links.items()}

    def filler(config: SimulatorConfig, world: World, shelf: Shelf) -> None:
        for number in range(1, getattr(config, count) + 1):
            thing = _put(shelf, kind, attributes(number), named)
            world.add_object(thing.thing_id, thing.attributes, thing.kind)

    return filler


def _account(number: int) -> dict[str, Any]:
    fields = {"name-first": typed_value("Hana"), "name-last": typed_value(f"Person {number}")}
    return {"reference-id": f"customer-sim{number:06d}", "fields": fields}


_INQUIRY_STATES: Final = ("completed", "needs_review", "pending", "approved", "created")


def _inquiry(number: int) -> dict[str, Any]:
    status = _INQUIRY_STATES[(number - 1) % len(_INQUIRY_STATES)]
    fields = {"name-first": typed_value("Hana"), "name-last": typed_value(f"Person {number}")}
    done = timestamp(1_740_000_000.0) if status in ("completed", "needs_review", "approved") else None
    return {
        "status": status,
        "reference-id": f"customer-sim{number:06d}",
        "fields": fields,
        "started-at": done,
        "completed-at": done,
        "decisioned-at": done if status == "approved" else None,
    }


def _report(number: int) -> dict[str, Any]:
    return {"status": "ready", "has-match": number % 3 == 0, "completed-at": timestamp(1_740_000_000.0)}


def _transaction(number: int) -> dict[str, Any]:
    return {"reference-id": f"transfer-sim{number:06d}", "fields": {"amount": typed_value(100 * number)}}


def _verifications(config: SimulatorConfig, world: World, shelf: Shelf) -> None:
    for kind in VERIFICATION_KINDS:
        thing = _put(shelf, f"verification/{kind}", {"status": "passed"}, None, f"ver_{_snake(kind)}")
        world.add_object(thing.thing_id, thing.attributes, thing.kind)
    for number in range(1, config.verifications + 1):
        kind, thing_id = "verification/government-id", f"ver_sim{number:06d}"
        thing = _put(shelf, kind, {"status": "passed"}, None, thing_id)
        world.add_object(thing_id, thing.attributes, kind)


def _documents(_config: SimulatorConfig, world: World, shelf: Shelf) -> None:
    content = world.files.store("passport.png", b"\x89PNG\r\n\x1a\nsimulated passport")
    done = {"status": "processed", "processed-at": timestamp(FIRST_DAY)}
    generic: dict[str, Any] = {**done, "kind": "utility_bill", "files": [content], "fields": {}}
    for kind, attributes in (
        ("generic", generic),
        ("government-id", {**done, "front-photo": content, "id-class": "pp"}),
    ):
        thing = _put(shelf, f"document/{kind}", attributes, None, f"doc_{_snake(kind)}")
        world.add_object(thing.thing_id, thing.attributes, thing.kind)


def _lists(_config: SimulatorConfig, _world: World, shelf: Shelf) -> None:
    for kind in LIST_KINDS:
        extra = {"allow-fuzzy-name-first": False} if kind == "name" else {}
        _put(shelf, f"list/{kind}", {"name": f"Watched: {kind}", **extra}, None, f"lst_{_snake(kind)}")


def _items(_config: SimulatorConfig, _world: World, shelf: Shelf) -> None:
    for kind, values in ITEM_VALUES.items():
        _put(shelf, f"list-item/{kind}", values, None, f"{ITEM_PREFIXES[kind]}_{_snake(kind)}")


def _single(kind: str, thing_id: str, attributes: Mapping[str, Any], **links: Any) -> Filler:
    named = {name.replace("_", "-"): value for name, value in links.items()}

    def filler(_config: SimulatorConfig, _world: World, shelf: Shelf) -> None:
        _put(shelf, kind, attributes, named, thing_id)

    return filler


def _audit_logs(config: SimulatorConfig, world: World, shelf: Shelf) -> None:
    user = next(iter(world.users.values())).user_id
    links = {"user": reference("user", user), "user-session": reference("user-session", "usess_sim000001")}
    for number in range(1, config.user_audit_logs + 1):
        _put(shelf, "user-audit-log", {"path": f"/dashboard/inquiries/inq_sim{number:06d}"}, links)


def _connections(config: SimulatorConfig, world: World, shelf: Shelf) -> None:
    ends = {
        "status": "active",
        "source-organization-id": config.organization_id,
        "destination-organization-id": "org_partner",
    }
    links = {"creator": reference("user", next(iter(world.users.values())).user_id)}
    _put(shelf, "connect/connection", ends, links, "cxn_partner")


def _snake(kind: str) -> str:
    return kind.replace("-", "_")


_PUBLISHED: Final = {"published-at": "2025-01-06T08:00:00.000Z"}
_FILLERS: Final[Mapping[str, Filler]] = {
    "account": _numbered("accounts", "account", _account, account_type=reference("account-type", ACCOUNT_TYPE)),
    "account-type": _single("account-type", ACCOUNT_TYPE, {}),
    "inquiry": _numbered(
        "inquiries",
        "inquiry",
        _inquiry,
        inquiry_template=reference("inquiry-template", INQUIRY_TEMPLATE),
        inquiry_template_version=reference("inquiry-template-version", TEMPLATE_VERSION),
    ),
    "inquiry-session": _single(
        "inquiry-session",
        "iqse_sim000001",
        {"status": "active"},
        inquiry=reference("inquiry", "inq_sim000001"),
        device=reference("device", "dev_sim000001"),
    ),
    "inquiry-template": _single(
        "inquiry-template",
        INQUIRY_TEMPLATE,
        {},
        latest_published_version=reference("inquiry-template-version", TEMPLATE_VERSION),
    ),
    "inquiry-template-version": _single(
        "inquiry-template-version",
        TEMPLATE_VERSION,
        _PUBLISHED,
        inquiry_template=reference("inquiry-template", INQUIRY_TEMPLATE),
    ),
    "report": _numbered("reports", "report/watchlist", _report),
    "verification": _verifications,
    "transaction": _numbered(
        "transactions",
        "transaction",
        _transaction,
        transaction_type=reference("transaction-type", TRANSACTION_TYPE),
    ),
    "transaction-type": _single("transaction-type", TRANSACTION_TYPE, {}),
    "document": _documents,
    "list": _lists,
    "list-item": _items,
    "workflow-version": _single(
        "workflow-version", WORKFLOW_VERSION, _PUBLISHED, workflow=reference("workflow", WORKFLOW)
    ),
    "webhook": _single(
        "webhook",
        "wbh_sim000001",
        {
            "name": "Backoffice",
            "url": "https://backoffice.example/persona",
            "status": "enabled",
            "enabled-events": ["*"],
        },
    ),
    "user-audit-log": _audit_logs,
    "device": _single("device", "dev_sim000001", {"device-fingerprint": "d-0001", "browser-fingerprint": "b-0001"}),
    "theme-set": _single("theme-set", "thst_sim000001", {"name": "House style"}),
    "connect/connection": _connections,
    "client-token": _single("client-token", "ctkn_sim000001", {"allowed-resources": ["inq_sim000001"]}),
}
