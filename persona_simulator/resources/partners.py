"""What is left: connections to partner organisations and share tokens, relays, theme sets, activity reports, types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from persona_simulator.call import Call
from persona_simulator.clock import timestamp
from persona_simulator.problems import RefusedError, bad_request, not_found, unprocessable
from persona_simulator.resources.acts import (
    ATTRIBUTES,
    changing,
    creating,
    existing,
    given,
    moving,
    needed,
)
from persona_simulator.resources.answers import object_payload
from persona_simulator.resources.holdings import Change, Holdings, Outcomes
from persona_simulator.resources.seeds import reference
from persona_simulator.resources.things import Thing

_TOKEN_SECONDS: Final = 86_400


def _connection(holdings: Holdings, call: Call) -> Mapping[str, Any]:
    named = needed(call, "destination-organization-id")
    return {**named, "source-organization-id": holdings.config.organization_id}


def _connection_links(_holdings: Holdings, call: Call) -> Mapping[str, Any]:
    return {"creator": reference("api-key", call.key.key_id)}


create_connection = creating("connect/connection", _connection, _connection_links, event=None)
deactivate_connection = moving("connect/connection", "inactive", frozenset({"active", "pending"}), "deactivated")
reactivate_connection = moving("connect/connection", "active", frozenset({"inactive"}), "reactivated")


def _scopes(_holdings: Holdings, connection: Thing, call: Call) -> Mapping[str, Any]:
    connection.hidden["scopes"] = call.texts(*ATTRIBUTES, "scopes")
    return {}


update_connection = changing("connect/connection", _scopes, None)


def create_share_token(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /connect/share-tokens`."""
    needed(call, "connection-id", "source-id")
    connection = existing(holdings, "connect/connection", call, *ATTRIBUTES, "connection-id", declares_404=False)
    source = holdings.look_up(call.need(str, *ATTRIBUTES, "source-id"))
    if connection is None or source is None:
        raise unprocessable("data.attributes.source_id is not found", "/data/attributes/source-id")
    if connection.status != "active":
        raise RefusedError(409, "Conflict", "Connection is not active")
    seconds = call.may(int, *ATTRIBUTES, "expires-in-seconds") or _TOKEN_SECONDS
    links = {
        "connection": connection.reference,
        "creator": reference("api-key", call.key.key_id),
        "source": source.reference,
        "destination": None,
    }
    attributes = {"expires-at": timestamp(call.now + seconds)}
    token = holdings.make("connect/share-token", call.now, attributes, links)
    changes = [Change(token, None, ("created",), "outbound-created")]
    return Outcomes(object_payload(holdings, token, call), changes=changes)


expire_share_token = moving(
    "connect/share-token", "expired", frozenset({"created", "pending"}), "outbound-expired", "expires-at"
)


def redeem_share_token(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /connect/share-tokens/{id}/redeem`: pending, and redeemed when the copy is made."""
    token = holdings.find("connect/share-token", call.subject)
    if token.status != "created":
        raise RefusedError(409, "Conflict", f"Share token is {token.status}")
    before, parts = token.status, token.set({"status": "pending", "pending-at": timestamp(call.now)})

    def outcome(ended: float) -> Mapping[str, Any]:
        return {"status": "redeemed", "redeemed-at": timestamp(ended)}

    holdings.begin_work(token, call.now, outcome, "outbound-redeemed")
    return Outcomes(object_payload(holdings, token, call), changes=[Change(token, before, parts)])


def create_relay(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /relays`; its key may be null, but not missing."""
    call.need(str, "claim-type")
    if not call.has("encryption-key-pem"):
        raise bad_request("encryption_key_pem is missing")
    holdings.relays += 1
    name = f"relay_sim{holdings.relays:06d}"
    shown = {
        "relay-token": name,
        "relay-secret": f"secret-of-{name}",
        "relay-session-access-token": f"access-to-{name}",
    }
    return Outcomes(shown)


def challenge_relay(_holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /relays/challenge`."""
    call.need(str, "claim-type")
    return Outcomes({"challenge": "c2ltdWxhdGVk", "token-key": "c2ltdWxhdGVkLWtleQ", "token-key-id": "ab" * 32})


def claim_relay(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /relays/{relay-token}/generate-claim`; a wrong secret is not told from a wrong relay."""
    secret = call.headers.get(b"persona-relay-secret", b"").decode("latin-1")
    if not secret:
        raise bad_request("Persona-Relay-Secret is missing")
    number = call.subject.removeprefix("relay_sim")
    if number == call.subject or not number.isdecimal() or not 0 < int(number) <= holdings.relays:
        raise not_found()
    if secret != f"secret-of-{call.subject}":
        raise not_found()
    return Outcomes({"claim-payload": '{"claim_type":"simulated","claim_result":true}', "token-consumed": True})


def privacy_pass(_holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /privacy-passes`."""
    for name in ("blinded-token", "key-id"):
        call.need(str, name)
    return Outcomes({"blind-sig": "c2ltdWxhdGVkLXNpZ25hdHVyZQ"})


def _theme_set(_holdings: Holdings, call: Call) -> Mapping[str, Any]:
    return {**needed(call, "name"), **given(call, "styles")}


def _update_theme_set(_holdings: Holdings, theme_set: Thing, call: Call) -> Mapping[str, Any]:
    if theme_set.status == "archived":
        raise RefusedError(409, "Conflict", "Theme set is archived")
    return given(call, "name", "styles")


create_theme_set = creating("theme-set", _theme_set, event=None)
update_theme_set = changing("theme-set", _update_theme_set, None)
archive_theme_set = moving("theme-set", "archived", frozenset({"active"}), "archived", "archived-at")


def _sar_links(holdings: Holdings, call: Call) -> Mapping[str, Any]:
    case_id = call.need(str, *ATTRIBUTES, "case-id")
    if case_id not in holdings.world.cases:
        raise not_found("data.attributes.case_id is not found")
    return {"case": reference("case", case_id)}


def _update_sar(_holdings: Holdings, sar: Thing, call: Call) -> Mapping[str, Any]:
    return {"data": {**sar.attributes["data"], **call.need(dict, *ATTRIBUTES, "data")}}


create_sar = creating("sar", lambda _holdings, _call: {}, _sar_links)
update_sar = changing("sar", _update_sar, None)
create_transaction_type = creating("transaction-type", lambda _holdings, call: needed(call, "name"), event=None)
